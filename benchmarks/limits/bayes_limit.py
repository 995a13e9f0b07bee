"""Compute the Bayes limit: how well a cluster's own photons determine its mass, if the model of the sky is known.

``python benchmarks/limits/bayes_limit.py --sky further --jobs 2`` reads the realizations in ``results/skies/<sky>/``,
which a run with ``test_skies: [further]`` makes. The posteriors of each realization are kept, so an interrupted run
continues. ``--predictions`` takes the ``predictions.nc`` of a network on the same sky, to compare it with the limit.
"""

import argparse
import os
import shlex
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.integrate import cumulative_trapezoid
from threadpoolctl import threadpool_limits

from clustermass.arrays import generator
from clustermass.baselines.bayes_limit import RATE_RADIUS_ARCSEC, VIEWS, MassPrior, Observation, mass_posterior
from clustermass.baselines.gas_scores import GasModel
from clustermass.baselines.halo_photons import LabelledPhotons, ring_exposure
from clustermass.baselines.mass_information import MassFunction, PropertyShare
from clustermass.baselines.measurements import is_isolated
from clustermass.baselines.ring_counts import RING_EDGES_ARCSEC
from clustermass.catalogues.formats import read_table
from clustermass.config.bands import band_edges
from clustermass.config.resolve import load_config, resolve_experiment, resolve_sky
from clustermass.config.validate import check_config
from clustermass.errors import InputError
from clustermass.evaluate.metrics import resampled_moments
from clustermass.io.files import atomic, write_json
from clustermass.io.log import LOGGER, step, track
from clustermass.io.provenance import config_hash, source_hash
from clustermass.simulate.field import ExposureMap, Field

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from runner import machine, versions  # noqa: E402

EXPERIMENT = "fiducial"
PACKAGES = ("clustermass", "numpy", "scipy", "scikit-learn", "astropy")
FILES = ("events", "labels", "exposure", "truth", "catalogue", "matches")
STEPS = ("baselines.bayes_limit", "baselines.halo_photons", "baselines.mass_information")
#: lowest energy of simulated events, eV
LOWEST_EV = 200
#: photons belong to a detection within this radius; AGN photons of a halo are counted in it, too
NEAR_ARCSEC = 60.0
#: haloes are told apart by their numbers of AGN photons: below, between and above these
AGN_PHOTONS = (5, 20)
#: value in place of the number of AGN photons for haloes that are too faint to have photons in the simulation
SILENT = len(AGN_PHOTONS) + 1
#: masses by the mass function for each cluster that is found at a detection of another source
DRAWN = 50
#: enough effective draws for a posterior
ENOUGH = 200
BINS = {"counts": (0, 60, 120, 240, np.inf), "redshift": (0, 0.15, 0.3, 0.5, 2)}


@dataclass(frozen=True)
class Settings:
    """What the posteriors depend on, besides the files of the realizations."""

    name: str
    sky: dict
    cosmology: dict
    bands_ev: np.ndarray
    selection: dict
    folder: Path
    cache: Path
    realizations: list
    clusters: int | None

    def hash(self):
        """Return a hash of the configuration and of the code."""
        blocks = {key: vars(self)[key] for key in ("name", "sky", "cosmology", "selection")}
        values = {"bands_ev": self.bands_ev.tolist(), "of": [self.realizations, self.clusters]}
        return config_hash({**blocks, **values, "code": source_hash(STEPS, [__file__])})


def main():
    """Compute the posteriors of all realizations, and write their summary."""
    args = arguments()
    args.cache.mkdir(parents=True, exist_ok=True)
    with step(args.cache / "bayes_limit.log", "Bayes limit"):
        start, load = time.monotonic(), os.getloadavg()[0]
        settings = settings_of(args)
        settings.cache.mkdir(parents=True, exist_ok=True)
        realizations = settings.realizations
        shares = fitted_shares(settings, each(partial(haloes_of, settings), realizations, args.jobs, "haloes"))
        rows = joined(each(partial(posteriors_of, settings, shares), realizations, args.jobs, "posteriors"))
        wall = round(time.monotonic() - start)
        report = setup(settings) | {"wall_s": wall, "load_at_start": round(load, 2)}
        report |= summary(rows, args.predictions)
        write_json(report, args.out)
        show(report, args.out)


def arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = ROOT / "config" / "config.yaml"
    parser.add_argument("--config", nargs="+", default=[default], help="configuration files, merged in order")
    parser.add_argument("--sky", default="further", help="simulated sky whose clusters are used")
    parser.add_argument("--realizations", nargs="+", help="realizations of the sky, such as 01; default: all there are")
    parser.add_argument("--clusters", type=int, help="only so many clusters of each realization")
    parser.add_argument("--predictions", type=Path, help="predictions.nc of a network on this sky")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with 1 GB of memory")
    parser.add_argument("--skies", type=Path, default=ROOT / "results" / "skies", help="folder of the simulated skies")
    parser.add_argument("--cache", type=Path, default=ROOT / "results" / "limits", help="folder of the posteriors")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "measured" / "bayes_limit.json")
    return parser.parse_args()


def settings_of(args):
    """Return the settings for the arguments of the command line."""
    config = load_config(args.config)
    check_config(config)
    selection = resolve_experiment(config["experiments"], EXPERIMENT)["selection"]
    sky = {key: value for key, value in resolve_sky(config["skies"], args.sky).items() if key != "realizations"}
    cosmology = {**config["cosmology"], **sky.get("cosmology", {})}
    bands = np.array([LOWEST_EV, *band_edges(config["images"]["bands"])], dtype=float)
    folder = args.skies / args.sky
    realizations = args.realizations or sorted(path.parent.name for path in folder.glob("*/matches.fits"))
    if not realizations:
        raise InputError(f"{folder}: has no realization with matches.fits. Make the sky first.")
    plain = Settings(args.sky, sky, cosmology, bands, selection, folder, args.cache, realizations, args.clusters)
    return replace(plain, cache=args.cache / f"bayes-{plain.hash()}")


def each(function, realizations, jobs, what):
    """Return the results of `function` for all realizations, computed by `jobs` processes."""
    # only this process handles Ctrl-C: it lets running realizations end and starts no others
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        return list(track(pool.map(function, realizations), f"{what} of realizations", total=len(realizations)))
    finally:
        pool.shutdown(cancel_futures=True)


def kept(settings, name, make):
    """Return the arrays in a file of the cache; if it doesn't exist, `make` them and write it."""
    path = settings.cache / f"{name}.npz"
    if not path.exists():
        with threadpool_limits(1):
            arrays = make()
        with atomic(path) as temporary:
            np.savez(temporary, **arrays)
    with np.load(path) as arrays:
        return dict(arrays)


def haloes_of(settings, realization):
    """Return mass, redshift, AGN photons and confirmation of haloes and of clusters in one realization."""
    return kept(settings, f"haloes_{realization}", partial(measure_haloes, settings, realization))


def measure_haloes(settings, realization):
    """Return, for `PropertyShare`, properties of all haloes with photons, and the table of selected clusters."""
    files = {name: settings.folder / realization / f"{name}.fits" for name in FILES}
    truth, photons = read_table(files["truth"]), LabelledPhotons.read(files["events"], files["labels"])
    catalogue, matches = read_table(files["catalogue"]), read_table(files["matches"])
    emitting = np.flatnonzero(np.asarray(truth["FLUX"]) >= settings.sky["clusters"]["flux_min_cgs"])
    halo = {name: np.asarray(truth[name], dtype=float) for name in ("RA", "DEC", "Z", "LOG10_M500C", "COUNTS")}
    agn = np.digitize(photons.agn_photons(halo["RA"], halo["DEC"], NEAR_ARCSEC), AGN_PHOTONS)
    row_of_halo = {number: row for row, number in enumerate(np.asarray(truth["SRC_ID"]).tolist())}
    match = dict(zip(np.asarray(matches["ID_SRC"]).tolist(), np.asarray(matches["SRC_ID"]).tolist(), strict=True))
    # a detection above the thresholds belongs to the source of most of its photons, whether it is confirmed or not
    limits, names = settings.selection, ("DET_LIKE", "EXT_LIKE")
    candidate = np.all([np.asarray(catalogue[name]) > limits[f"{name.lower()}_min"] for name in names], axis=0)
    catalogue = catalogue[candidate]
    id_src = np.asarray(catalogue["ID_SRC"]).tolist()
    position = (np.asarray(catalogue[name], dtype=float) for name in ("RA", "DEC"))
    owner = photons.owners(*position, NEAR_ARCSEC)
    matched = np.array([match.get(number, 0) for number in id_src])
    owned = np.flatnonzero(owner > 0)
    owners = np.array([row_of_halo[number] for number in owner[owned].tolist()], dtype=int)
    mass = np.array([halo["LOG10_M500C"][row_of_halo[number]] if number else np.nan for number in matched.tolist()])
    chosen = np.flatnonzero((mass >= limits["log10_m500c_min"]) & (mass < limits["log10_m500c_max"]))
    rows = np.array([row_of_halo[number] for number in matched[chosen].tolist()], dtype=int)
    return {
        "halo_mass": halo["LOG10_M500C"][emitting],
        "halo_redshift": halo["Z"][emitting],
        "halo_agn": agn[emitting],
        "owner_mass": halo["LOG10_M500C"][owners],
        "owner_redshift": halo["Z"][owners],
        "owner_confirmed": (matched[owned] == owner[owned]).astype(int),
        "cluster": np.array([f"{realization}_{id_src[place]}" for place in chosen]),
        "src_id": matched[chosen],
        "ra": halo["RA"][rows],
        "dec": halo["DEC"][rows],
        "redshift": halo["Z"][rows],
        "log10_m500c": halo["LOG10_M500C"][rows],
        "counts": halo["COUNTS"][rows],
        "agn": agn[rows],
        "own_source": matched[chosen] == owner[chosen],
        "silent": ~np.isin(rows, emitting),
        "isolated": is_isolated(halo["RA"], halo["DEC"], halo["COUNTS"])[rows],
    }


def fitted_shares(settings, parts):
    """Return the fitted probabilities of confirmation, of AGN, and of masses at detections of other sources."""
    value = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    confirmed = (value[f"owner_{name}"] for name in ("mass", "redshift", "confirmed"))
    agn = (value[f"halo_{name}"] for name in ("mass", "redshift", "agn"))
    value["agn"][value["silent"]] = SILENT
    other = (value[name][~value["own_source"]] for name in ("log10_m500c", "redshift", "agn"))
    other = share_of_others(MassFunction.from_config(settings.sky, settings.cosmology), *other)
    return {"confirmed": PropertyShare(*confirmed), "agn": PropertyShare(*agn), "other": other}


def share_of_others(haloes, mass, redshift, agn):
    """Return the fitted share of clusters at detections of other sources, with each value of `agn` (1 + agn).

    The value 0 stands for haloes at the same redshifts with masses by the mass function. The ratio of a share to that
    of the value 0 is proportional to the probability that such a halo is found, at given mass and redshift.
    """
    quantile = (np.arange(DRAWN) + 0.5) / DRAWN
    sums = [cumulative_trapezoid(haloes.at(one), haloes.log10_m500c, initial=0) for one in redshift.tolist()]
    drawn = [np.interp(quantile, one / one[-1], haloes.log10_m500c) for one in sums]
    value = np.concatenate([1 + agn, np.zeros(DRAWN * len(agn), dtype=int)])
    return PropertyShare(np.concatenate([mass, *drawn]), np.concatenate([redshift, np.repeat(redshift, DRAWN)]), value)


def posteriors_of(settings, shares, realization):
    """Return the scores of the posteriors of all selected clusters in one realization."""
    return kept(settings, f"posteriors_{realization}", partial(posteriors, settings, shares, realization))


def posteriors(settings, shares, realization):
    """Compute the posteriors of one realization; return a row of numbers for each cluster."""
    cpu, folder = time.process_time(), settings.folder / realization
    clusters = haloes_of(settings, realization)
    model = GasModel.from_config(settings.sky, settings.cosmology, settings.bands_ev)
    haloes = MassFunction.from_config(settings.sky, settings.cosmology)
    photons = LabelledPhotons.read(folder / "events.fits", folder / "labels.fits")
    field = Field.from_config(settings.sky["field"])
    exposed = ExposureMap.read(folder / "exposure.fits", field)
    particles = ExposureMap.from_config(field, settings.sky["exposure"], vignetted=False)
    rng, rows = generator(settings.sky["seed"], "bayes_limit", settings.name, realization), []
    names = ("ra", "dec", "src_id", "redshift", "agn", "own_source", "silent", "log10_m500c")
    chosen = some(len(clusters["cluster"]), settings.clusters)
    columns = (clusters[name][chosen].tolist() for name in names)
    for ra, dec, src_id, redshift, agn, own, silent, mass in zip(*columns, strict=True):
        # without exposure, the photons say nothing about a halo that has none whatever its mass
        seen_s, particles_s = (ring_exposure(one, ra, dec) * (not silent) for one in (exposed, particles))
        background = model.rings.background(seen_s, particles_s)
        counts = photons.in_rings(ra, dec, src_id, settings.bands_ev) * (not silent)
        grid = haloes.log10_m500c
        if own:
            given = shares["confirmed"].density(grid, redshift, 1) * shares["agn"].density(grid, redshift, agn)
        else:
            kind = 1 + (SILENT if silent else agn)
            found, any_halo = (shares["other"].density(grid, redshift, value) for value in (kind, 0))
            given = found / any_halo
        seen = Observation(redshift, counts, seen_s, background)
        result = mass_posterior(model, seen, MassPrior(grid, haloes.at(redshift) * given), rng)
        scores = [
            (result.mean(view), result.deviation(view), result.below(view, mass), result.sample_size(view))
            for view in VIEWS
        ]
        rows.append((scores, len(result.log10_m500c)))
    scores, draws = zip(*rows, strict=True)
    identity = ("cluster", "redshift", "log10_m500c", "counts", "agn", "own_source", "isolated")
    return {
        **{name: clusters[name][chosen] for name in identity},
        "scores": np.array(scores),
        "draws": np.array(draws),
        "cpu_s": np.full(len(draws), (time.process_time() - cpu) / len(draws)),
    }


def some(number, wanted):
    """Return the rows of `wanted` of `number` clusters, evenly spaced; all if `wanted` is None or too large."""
    return np.unique(np.linspace(0, number - 1, min(wanted or number, number)).astype(int))


def joined(parts):
    """Return the rows of all realizations."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def summary(rows, predictions):
    """Return the numbers of the report, for all clusters and for subsets."""
    everything = np.ones(len(rows["cluster"]), dtype=bool)
    subsets = {"own_source": rows["own_source"], "other_source": ~rows["own_source"], "isolated": rows["isolated"]}
    for name, edges in BINS.items():
        for low, high in pairwise(edges):
            subsets[f"{name} {low:g} to {high:g}"] = (rows[name] >= low) & (rows[name] < high)
    network = network_of(rows["cluster"], predictions)
    result = judged(rows, everything, network)
    result["cpu_s_per_cluster"] = round(float(rows["cpu_s"].mean()), 3)
    result["draws_per_cluster"] = round(float(rows["draws"].mean()))
    result["views"] = {view: judged(rows, everything, network, view) for view in VIEWS}
    result["subsets"] = {name: judged(rows, chosen, network) for name, chosen in subsets.items() if chosen.sum() > 1}
    return result


def network_of(clusters, predictions):
    """Return the mass that a network predicts for each cluster, NaN where the network has none."""
    if predictions is None:
        return np.full(len(clusters), np.nan)
    with xr.open_dataset(predictions) as table:
        mass_of = dict(zip(table["cluster"].values.astype(str), table["mu"].values.astype(float), strict=True))
    return np.array([mass_of.get(name, np.nan) for name in clusters.tolist()])


def judged(rows, chosen, network, view="all"):
    """Return bias, scatter, width and coverage of the posteriors of the `chosen` clusters for one view.

    Errors are from a paired bootstrap of the clusters.
    """
    mean, deviation, rank, size = np.moveaxis(rows["scores"][chosen, list(VIEWS).index(view)], -1, 0)
    truth, mu = rows["log10_m500c"][chosen], network[chosen]
    residual, both = mean - truth, np.isfinite(mu)
    width = float(np.sqrt(np.mean(deviation**2)))
    errors = bootstrap(residual[None])
    result = {
        "n": len(truth),
        "bias_dex": float(residual.mean()),
        "bias_dex_err": float(errors[0].std()),
        "scatter_dex": float(residual.std()),
        "scatter_dex_err": float(errors[1].std()),
        "posterior_sd_dex": width,
        "posterior_sd_over_scatter": width / float(residual.std()),
        "coverage_68": float(np.mean(np.abs(rank - 0.5) < 0.3413)),
        "ranks_in_tenths": np.histogram(rank, 10, (0, 1))[0].tolist(),
        "ess_share_above_200": float(np.mean(size > ENOUGH)),
        "ess_median": float(np.median(size)),
        "n_network": int(both.sum()),
        "network_over_limit": None,
        "network_over_limit_err": None,
    }
    if both.sum() > 1:
        pair = np.stack([mu[both] - truth[both], residual[both]])
        drawn = bootstrap(pair)[1]
        result["network_over_limit"] = float(pair[0].std() / pair[1].std())
        result["network_over_limit_err"] = float((drawn[0] / drawn[1]).std())
    return result


def bootstrap(residuals):
    """Return mean and scatter of each row of residuals in each of 2000 resamplings."""
    number = residuals.shape[1]
    return resampled_moments(residuals, np.arange(number), 2000, generator(number, "bayes_limit"))


def setup(settings):
    """Return the beginning of the report: what was computed, on which clusters and with which software."""
    return {
        "what": "posterior of log10 M500c from a halo's own photons and the background's, model of the sky known",
        "command": shlex.join(["python", "benchmarks/limits/bayes_limit.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "hash": settings.hash(),
        "sky": settings.name,
        "realizations": settings.realizations,
        "selection": settings.selection,
        "rings_arcsec": RING_EDGES_ARCSEC.tolist(),
        "bands_ev": settings.bands_ev.tolist(),
        "views_described": {
            "all": "photons in rings and bands",
            "no_energy": "photons in rings",
            "rate": f"all photons within {RATE_RADIUS_ARCSEC:g} arcsec",
        },
        "subsets_described": {
            "own_source": f"most photons within {NEAR_ARCSEC:g} arcsec of the detection, except the background's, "
            "are of the halo whose mass is wanted",
            "counts": "photons of the halo",
        },
    }


def show(report, path):
    """Print scatter, width and effective sample sizes of each view and subset."""
    print(
        f"{'':24}{'n':>6}{'bias':>18}{'scatter':>17}{'sd':>8}{'sd/scatter':>11}{'ESS > 200':>10}{'network / limit':>18}"
    )
    for name, row in {**report["views"], **report["subsets"]}.items():
        over, error = row["network_over_limit"], row["network_over_limit_err"]
        ratio = f"{over:9.3f} ± {error:.3f}" if over else ""
        print(
            f"{name:24}{row['n']:6d}{row['bias_dex']:+9.4f} ± {row['bias_dex_err']:.4f}{row['scatter_dex']:8.4f} ± "
            f"{row['scatter_dex_err']:.4f}{row['posterior_sd_dex']:8.4f}{row['posterior_sd_over_scatter']:11.3f}"
            f"{row['ess_share_above_200']:10.3f}{ratio:>18}"
        )
    LOGGER.info("%d clusters, %.2f s of CPU each", report["n"], report["cpu_s_per_cluster"])
    print(f"written: {path}")


if __name__ == "__main__":
    main()
