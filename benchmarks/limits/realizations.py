"""Simulate realizations of a sky, and keep only the features and true values of their clusters for regressions."""

import math
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from clustermass.baselines.features import cluster_features
from clustermass.baselines.measurements import is_isolated
from clustermass.catalogues.match_field import match_sources
from clustermass.catalogues.tables import read_table
from clustermass.config.resolve import resolve_experiment, resolve_sky
from clustermass.dataset.sample import load_sample
from clustermass.errors import InputError
from clustermass.images.cutouts import extract_images
from clustermass.ingest.detect_field import detect_field
from clustermass.io.files import atomic
from clustermass.io.log import track
from clustermass.io.provenance import PACKAGE, config_hash, file_sha256, source_hash
from clustermass.simulate.realization import simulate_realization

#: number of the first realization of each subset; runs of the workflow count from 01 and don't reach val and test
FIRST = {"train": 1, "val": 801, "test": 901}
#: typical number of clusters in a realization, for a first guess of the realizations needed
EXPECTED = 440
#: a cluster is not isolated if a halo within so many arcsec has more than this factor times its counts
CROWDED_ARCSEC, CROWDED_FACTOR = 180.0, 0.5
MEASURED = ("ra", "dec", "redshift", "det_like", "ext_like", "ml_rate", "log10_m500c", "halo_id")
STEPS = ("simulate.realization", "ingest.detect_field", "images.cutouts", "dataset.sample", "baselines.features")


@dataclass(frozen=True)
class Source:
    """Settings of the realizations: the name of the sky and the blocks of the configuration that they depend on."""

    name: str
    sky: dict
    cosmology: dict
    images: dict
    events: dict
    selection: dict

    @classmethod
    def from_config(cls, config, experiment):
        """Return the settings for an experiment; InputError if its sky isn't an embedded one."""
        settings = resolve_experiment(config["experiments"], experiment)
        sky = resolve_sky(config["skies"], settings["sky"])
        if sky["source"] != "embedded":
            raise InputError(f"experiments.{experiment}.sky is {settings['sky']}, no embedded sky: can't draw more.")
        physics = {key: value for key, value in sky.items() if key != "realizations"}
        blocks = (config[key] for key in ("cosmology", "images", "events"))
        return cls(settings["sky"], physics, *blocks, settings["selection"])

    def hashes(self):
        """Return hashes of the configuration and the code that the features depend on."""
        data = [path for path in sorted(PACKAGE.rglob("*.*")) if path.is_file() and path.suffix not in (".py", ".pyc")]
        tables = {path.relative_to(PACKAGE).as_posix(): file_sha256(path) for path in data}
        code = config_hash({"modules": source_hash(STEPS, [__file__]), "tables": tables})
        return {"config_hash": config_hash(vars(self)), "code_hash": code}


def gather(source, targets, folder, jobs):
    """Simulate realizations until every subset has as many clusters as `targets` asks for.

    Returns a dict from each subset to the files of its realizations.
    """
    sizes = {subset: {} for subset in targets}
    while True:
        new = {
            FIRST[subset] + len(found) + more: subset
            for subset, found in sizes.items()
            for more in range(lacking(found.values(), targets[subset]))
        }
        if not new:
            return {subset: [file_of(folder, number) for number in found] for subset, found in sizes.items()}
        # only this process handles Ctrl-C: it lets running realizations end and starts no others
        pool = ProcessPoolExecutor(jobs, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
        try:
            drawn = track(pool.map(partial(realization, source, folder), new), "realizations", total=len(new))
            for (number, subset), clusters in zip(new.items(), drawn, strict=True):
                sizes[subset][number] = clusters
        finally:
            pool.shutdown(cancel_futures=True)


def lacking(found, target):
    """Return how many more realizations give `target` clusters, given the numbers `found` in earlier ones."""
    typical = max(sum(found) / len(found), 1) if found else EXPECTED
    return max(math.ceil((target - sum(found)) / typical), 0)


def file_of(folder, number):
    """Return the path of the file with the features of a realization."""
    return folder / f"{number:02d}.npz"


def realization(source, folder, number):
    """Simulate one realization unless its file exists; return its number of clusters."""
    path = file_of(folder, number)
    if not path.exists():
        with threadpool_limits(1), tempfile.TemporaryDirectory() as scratch:
            columns = draw(source, f"{number:02d}", Path(scratch))
        with atomic(path) as temporary:
            np.savez(temporary, **columns)
    with np.load(path) as columns:
        return columns["log10_m500c"].size


def draw(source, label, scratch):
    """Simulate a realization by the pipeline's steps; return features and true values of its selected clusters."""
    seen = {name: scratch / f"{name}.fits" for name in ("events", "exposure")}
    true = {name: scratch / f"{name}.fits" for name in ("labels", "sources")}
    found = {name: scratch / f"{name}.fits" for name in ("catalogue", "matches")}
    truth_file, images = scratch / "truth.fits", scratch / "images.nc"
    simulate_realization(source.sky, source.cosmology, source.name, label, **seen, **true, truth=truth_file)
    detections = scratch / "detections.fits"
    detect_field([seen["events"]], [seen["exposure"]], detections, source.sky["detection"], source.sky["psf"])
    matching = {**seen, **found, "truth": truth_file, "labels": true["labels"]}
    match_sources(source.sky, source.name, label, detections=detections, **matching)
    files = {**seen, **found, "truth": truth_file}
    extract_images(output=images, images=source.images, realization=label, events_block=source.events, **files)
    sample = load_sample([images], None, source.selection)
    features, names = cluster_features(sample, source.cosmology)
    halo_id = sample["halo_id"].values
    measured = {name: sample[name].values for name in MEASURED}
    identity = {"cluster": sample["cluster"].values.astype(str), "realization": np.full(halo_id.size, label)}
    return identity | measured | truth(files["truth"], halo_id) | {"features": features, "names": np.array(names)}


def truth(path, halo_id):
    """Return luminosity, temperature, redshift and isolation of the haloes with the given ids, (cluster,) each."""
    haloes = read_table(path)
    row_of = {number: row for row, number in enumerate(haloes["HALO_ID"].tolist())}
    rows = [row_of[number] for number in halo_id.tolist()]
    ra, dec, counts = (np.asarray(haloes[name], dtype=float) for name in ("RA", "DEC", "COUNTS"))
    alone = is_isolated(ra, dec, counts, crowded=[(CROWDED_ARCSEC, CROWDED_FACTOR)])
    gas = {name.lower(): np.asarray(haloes[name], dtype=float)[rows] for name in ("L500", "KT", "Z")}
    return gas | {"isolated": alone[rows]}


def joined(paths):
    """Return the columns of the files of several realizations, joined along the clusters."""
    parts = []
    for path in paths:
        with np.load(path) as columns:
            parts.append(dict(columns))
    names = parts[0]["names"]
    return {
        "names": names,
        **{key: np.concatenate([part[key] for part in parts]) for key in parts[0] if key != "names"},
    }
