"""What reads the files of the hostile campaign: a function for each kind, and the commands of the command line."""

import json
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from astropy.table import Table
from xarray import Dataset

from clustermass import cli
from clustermass.apply import field as _field  # noqa: F401  all that commands import is imported before the forks
from clustermass.cards import find as _find  # noqa: F401
from clustermass.cards import page as _page  # noqa: F401
from clustermass.cards import show as _show  # noqa: F401
from clustermass.catalogues.formats import read_table
from clustermass.catalogues.truth import read_truth
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.config import validate as _validate  # noqa: F401
from clustermass.config.resolve import default_config, load_config
from clustermass.ensemble.aggregate import read_training
from clustermass.ensemble.calibration import read_calibration
from clustermass.ensemble.ensemble import Ensemble
from clustermass.ensemble.out_of_distribution import read_ood_model
from clustermass.errors import InputError
from clustermass.events.read import read_events
from clustermass.images.band_images import photons_of_images
from clustermass.images.exposure import exposure_at, read_exposure
from clustermass.ingest.published_images import read_published_images
from clustermass.ingest.published_set import read_published_catalogue
from clustermass.io.log import log_to
from clustermass.io.netcdf import read_netcdf
from clustermass.network.predict import TrainedNetwork
from clustermass.report import console as _console  # noqa: F401
from clustermass.report import verify as _verify  # noqa: F401
from clustermass.report.estimate import Costs
from clustermass.report.plan import Job, described
from clustermass.report.records import read_record

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
#: bands of the images that the tests write, in eV
EDGES_EV = (200, 1275, 2350)
#: number of clusters in the published set that the tests write
PUBLISHED = 3


def content(value):
    """Return a value whose `repr` tells all that a reader returned."""
    if isinstance(value, np.ndarray):
        masked = np.ma.getmaskarray(value).tobytes() if isinstance(value, np.ma.MaskedArray) else b""
        return (
            value.dtype.str,
            value.shape,
            np.asarray(value).tobytes() if value.dtype != object else value.tolist(),
            masked,
        )
    if isinstance(value, Table):
        return {name: content(np.ma.asarray(value[name])) for name in value.colnames}
    if isinstance(value, Dataset):
        return {name: content(variable.values) for name, variable in value.variables.items()}, value.attrs
    if isinstance(value, dict):
        return {name: content(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [content(one) for one in value]
    return content(vars(value)) if hasattr(value, "__dataclass_fields__") else value


def events(path):
    found = read_events(path)
    return found.columns(), found.gti, found.exposure_s


def exposure(path):
    image, wcs = read_exposure(path)
    return image, exposure_at(image, wcs, np.array([136.0, 136.01]), np.array([1.5, 1.501]))


def band_images(path):
    return photons_of_images(sorted(path.parent.glob("band*")), EDGES_EV).events.columns()


def ensemble(path):
    """Read what `masses` reads of an ensemble before it opens the events."""
    with Ensemble.load(path) as trained:
        files = {name: file.read_bytes() for name, file in trained.named().items()}
        models = [TrainedNetwork.load(one) for one in trained.weights]
        models += [read_calibration(trained.calibration), read_training(trained.ensemble)]
        return (
            files,
            models,
            read_ood_model(trained.domain),
            json.loads(read_netcdf(trained.ensemble).attrs["cosmology"]),
        )


def plan(path):
    """Describe a plan of two jobs for the results folder in `path`, as `clustermass plan` does."""
    sky, run = Path("results/skies/embedded/01"), Path("results/default/fiducial")
    jobs = [
        Job("simulate_realization", (sky / "events.fits",), sky / "benchmarks" / "simulate_realization.tsv", "x"),
        Job("train_member_00", (run / "members/00.nc",), run / "benchmarks" / "train_member_00.tsv", "x"),
    ]
    return [*described(jobs, default_config(), 2, Costs({}, {}), path)]


FUNCTIONS = {
    "table": read_table,
    "catalogue": read_catalogue,
    "truth": lambda path: read_truth(path, {}, "01"),
    "events": events,
    "exposure": exposure,
    "band_images": band_images,
    "weights": TrainedNetwork.load,
    "calibration": read_calibration,
    "domain": read_ood_model,
    "training": read_training,
    "ensemble": ensemble,
    "netcdf": read_netcdf,
    "images": lambda path: read_netcdf(path, ("counts", "redshift")),
    "published_images": lambda path: read_published_images(path, PUBLISHED),
    "published_catalogue": lambda path: read_published_catalogue(path, 1, "Msun", COSMOLOGY),
    "record": read_record,
    "yaml": lambda path: load_config([path]),
    "plan": plan,
}


def function(read):
    """Return a reader that calls `read` as a step does, with the log of a step."""

    def reader(path, folder):
        log_to(folder / "out" / "step.log", "step")
        return content(read(path))

    return reader


def command(*arguments):
    """Return a reader that runs a command, with the path at the place of None; an InputError is status 1 there."""

    def reader(path, folder):
        known = {None: str(path), "OUT": str(folder / "out" / "out.fits"), "PACKED": str(folder / "out" / "out.zip")}
        known |= {
            "CARD": str(folder / "out" / "card.png"),
            "EVENTS": "events.fits",
            "CATALOGUE": "clusters.csv",
            "ENSEMBLE": "ensemble.zip",
        }
        with mock.patch.object(cli, "_failed", partial(_refused, cli._failed)):
            status = cli.main([known.get(one, one) for one in arguments])
        made = folder / "out" / "out.fits"
        return status, content(read_table(made)) if made.is_file() else None

    return reader


def _refused(say, message, status):
    """Print the message as the command line does, and raise it as the InputError that it was."""
    assert say(message, status) == 1
    raise InputError(message)


READERS = {name: function(read) for name, read in FUNCTIONS.items()} | {
    "code": lambda path, _: exec(path.read_text()),  # by which the tests try whether harm is noticed
    "verify": command("verify", None),
    "trace": command("trace", None),
    "summary": command("summary", None),
    "check-config": command("check-config", None, "--base", "base.yaml"),
    "pack": command("pack", None, "PACKED"),
    "show": command("show", "1", "--field", None, "--output", "CARD"),
    "masses of events": command("masses", None, "CATALOGUE", "--ensemble", "ENSEMBLE", "--output", "OUT"),
    "masses of clusters": command("masses", "EVENTS", None, "--ensemble", "ENSEMBLE", "--output", "OUT"),
    "masses by ensemble": command("masses", "EVENTS", "CATALOGUE", "--ensemble", None, "--output", "OUT"),
}
