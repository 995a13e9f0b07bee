"""The commands `clustermass inject` and `clustermass recovered`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from clustermass.cli.command import OVERWRITE, Command, path
from clustermass.ensemble.released import released_ensemble
from clustermass.errors import InputError
from clustermass.io.files import check_present
from clustermass.io.log import printable, printable_lines

T = TypeVar("T", int, float)
#: most clusters that are injected at once; a field of 140 deg2 has room for a tenth of them
_MOST = 100_000


def inject(
    events: Sequence[Path],
    exposure: Sequence[Path],
    output: Path,
    number: int,
    seed: int,
    mass: tuple[float, float] | None,
    redshift: tuple[float, float] | None,
    flux_min: float | None,
    blank: Path | None,
) -> None:
    """Add photons of simulated clusters to event lists, and write the new list and the true masses to `output`."""
    check_present([*events, *exposure, *([blank] if blank else [])])
    from clustermass.ingest.inject import Wanted
    from clustermass.ingest.inject import inject as add_clusters

    photons = add_clusters(events, exposure, output, Wanted(number, seed, mass, redshift, flux_min), blank)
    print(printable(f"Written: {output}/events.fits, truth.fits, labels.fits. Clusters: {number}; photons: {photons}."))
    maps = " ".join(f"--exposure {one}" for one in exposure)
    print(printable(f"To detect them, and to compare their masses: clustermass recovered {output} {maps}"))


def recovered(
    folders: Sequence[Path], exposure: Sequence[Path], ensemble: Path | None, output: Path, overwrite: bool
) -> None:
    """Detect injected clusters, predict their masses, and compare these with the true masses."""
    if output.suffix != ".json":
        raise InputError(f"--output {output}: must end in .json; the figure is written beside it.")
    check_present([*folders, *exposure, *([ensemble] if ensemble else [])])
    trained = ensemble or released_ensemble("name one by --ensemble")
    from clustermass.apply.field import check_outputs
    from clustermass.apply.recovered import recover, summarise, text_summary
    from clustermass.figures import recovered as draw

    picture = output.with_suffix(".png")
    check_outputs([output, picture], overwrite)
    tables = [recover(folder, exposure, trained, overwrite) for folder in folders]
    print(printable_lines(text_summary(summarise(tables, output))))
    draw(tables, png=picture)
    print(printable(f"Written: {output}, {picture}, and recovered.fits in each folder"))


def _positive_whole(text: str) -> int:
    return _in_range(text, int, 1, _MOST)


def _seed(text: str) -> int:
    return _in_range(text, int, 0, 10**6)


def _flux(text: str) -> float:
    return _in_range(text, float, 1e-16, 1e-10)


def _in_range(text: str, kind: Callable[[str], T], least: float, most: float) -> T:
    value = kind(text)
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r}: must be from {least:g} to {most:g}")
    return value


def _limits(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    return low, high


_EVENTS = "event list(s) of one field: eSASS, SIXTE or clustermass, FITS"
_EXPOSURE = "vignetted exposure map in s, may be repeated"
_OUTPUT = "folder for events.fits, labels.fits and truth.fits (default: injected)"
_BLANK = "table of sources from which clusters keep away: 2' from all, 6' from those with EXT above 0"
_FLUX = "least flux inside R500, 0.5-2 keV, erg/s/cm2 (default: that of the simulated sky)"
INJECT = Command(
    "inject",
    inject,
    "an event list with photons of simulated clusters added",
    "Add the photons of simulated clusters to the event lists of a field, at random exposed places. Together with\n"
    "`clustermass recovered`, this tests detection and masses in your own field.",
    (
        "clustermass inject events.fits --exposure expmap.fits",
        "clustermass inject events.fits --exposure expmap.fits --blank catalogue.fits --mass 14,15 --output blank",
    ),
    {
        "input": {
            "events": path(_EVENTS, nargs="+"),
            "--exposure": path(_EXPOSURE, action="append", required=True, metavar="MAP"),
            "--blank": path(_BLANK, metavar="CATALOGUE"),
        },
        "clusters": {
            "--number": {"type": _positive_whole, "default": 100, "metavar": "N", "help": "how many (default: 100)"},
            "--seed": {"type": _seed, "default": 1, "metavar": "SEED", "help": "of all random numbers (default: 1)"},
            "--mass": {"type": _limits, "metavar": "LOW,HIGH", "help": "range of log10(M500c / Msun), as 14,15"},
            "--redshift": {"type": _limits, "metavar": "LOW,HIGH", "help": "range of redshifts, as 0.1,0.8"},
            "--flux-min": {"type": _flux, "metavar": "CGS", "help": _FLUX},
        },
        "output": {"--output": path(_OUTPUT, default=Path("injected"), metavar="FOLDER")},
    },
)
_FOLDERS = "folder(s) that `clustermass inject` wrote; they count together"
_ENSEMBLE = "a file of `clustermass pack`, or the folder results/<run>/<experiment>; default: the released ensemble"
_SUMMARY = "numbers to write, .json; the figure goes beside it (default: recovered.json)"
RECOVERED = Command(
    "recovered",
    recovered,
    "how many injected clusters are detected, and how right their masses are",
    "Detect the clusters that `clustermass inject` added, predict their masses, and compare these with the true ones.\n"
    "A catalogue.fits that is in the folder already is used, so that you can detect with eSASS.",
    ("clustermass recovered injected --exposure expmap.fits",),
    {
        "input": {
            "folders": path(_FOLDERS, nargs="+"),
            "--exposure": path(_EXPOSURE, action="append", required=True, metavar="MAP"),
            "--ensemble": path(_ENSEMBLE),
        },
        "output": {"--output": path(_SUMMARY, default=Path("recovered.json")), "--overwrite": OVERWRITE},
    },
)
