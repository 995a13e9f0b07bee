"""The command `clustermass masses`."""

import argparse
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from clustermass.cli.command import OVERWRITE, Command, path
from clustermass.cli.send import send
from clustermass.ensemble.released import released_ensemble
from clustermass.errors import InputError
from clustermass.io.files import check_present
from clustermass.io.log import printable

#: largest exposure and largest photon energy on the command line
LONGEST_S, HIGHEST_EV = 1e8, 10**6


def masses(output: Path, column: Sequence[str], ensemble: Path | None, samp: bool, **field: Any) -> None:
    """Predict the masses of a field's clusters, and write the mass catalogue to `output`.

    If `ensemble` is None, the released ensemble is used.
    """
    columns = column_map(column)
    if output.suffix != ".fits":
        raise InputError(f"--output {output}: must end in .fits; .vot, .ecsv, .nc and others are written beside it.")
    # checked before the imports, which take seconds
    check_present([*field["events"], field["catalogue"], *field["exposure"], *([ensemble] if ensemble else [])])
    trained = ensemble or released_ensemble("name one by --ensemble")
    if samp:
        from clustermass.io.samp import lock_file

        lock_file()
    from clustermass.apply.card_data import cards_beside
    from clustermass.apply.field import masses_of_field
    from clustermass.cards.page import write_page

    masses_of_field(output=output, columns=columns, ensemble=trained, log=True, **field)
    print(printable(f"Written: {output}, and beside it .vot, .ecsv, .nc, .reg, .moc.fits and .log"))
    if cards_beside(output).is_file():
        write_page(output, output.with_suffix(".html"), cards_beside(output))
        print(printable(f"To look at the clusters: open {output.with_suffix('.html')} in a browser"))
    if samp:
        send(output)


def column_map(pairs: Sequence[str]) -> dict[str, str]:
    """Return a dict from our names of columns to the user's names, given `pairs` such as OURS=THEIRS."""
    for pair in pairs:
        if not all(pair.partition("=")):
            raise InputError(f"--column {pair}: write OURS=THEIRS, for instance Z=z_best.")
    return {ours: theirs for ours, _, theirs in (pair.partition("=") for pair in pairs)}


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0, at most {LONGEST_S:g}")
    return value


def _edges(text: str) -> list[int]:
    try:
        edges = [int(part) for part in text.split(",")]
    except ValueError:
        edges = []
    if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)) or edges[-1] > HIGHEST_EV:
        raise argparse.ArgumentTypeError(f"{text!r}: must be whole eV, ascending, such as 200,600,2300,5000")
    return edges


def _acronym(text: str) -> str:
    if not (text.strip() and text.isascii() and text.isprintable()):
        raise argparse.ArgumentTypeError(f"{text!r}: must be printable ASCII, as FITS wants it")
    return text


_EVENTS = "event list(s) of one field: eSASS or SIXTE, FITS; or its images in the networks' bands"
_CATALOGUE = "table with position and redshift of each cluster: FITS, VOTable, ECSV, CSV or text"
_ENSEMBLE = "a file of `clustermass pack`, or the folder results/<run>/<experiment>; default: the released ensemble"
_EXPOSURE = "exposure map in s, may be repeated; default: each cluster's ML_EXP, else (one pointing) the good time"
_COLUMN = "a column of the catalogue that goes by another name, as Z=z_best; may be repeated"
_BANDS = "edges of the catalogue's energy bands in eV, as 200,600,2300,5000, if it has several"
_OUTPUT = "catalogue to write, .fits; .vot, .ecsv, .nc, .html and others go beside it (default: masses.fits)"
_PRIOR = "flat: also columns LOGM500_FLAT*, from which the training sample's mass distribution is divided out"
MASSES = Command(
    "masses",
    masses,
    "masses of the clusters of an event list, by a trained ensemble",
    "Write a mass catalogue of the clusters in a table, from the event lists of their field.",
    (
        "clustermass masses events.fits clusters.csv --exposure expmap.fits",
        "clustermass masses tm1.fits tm2.fits clusters.csv --exposure-s 1180 --ensemble ensemble.zip --column Z=z_best",
    ),
    {
        "input": {
            "events": path(_EVENTS, nargs="+"),
            "catalogue": path(_CATALOGUE),
            "--ensemble": path(_ENSEMBLE),
        },
        "exposure": {
            "--exposure": path(_EXPOSURE, action="append", default=[], metavar="MAP"),
            "--exposure-s": {
                "type": _positive,
                "metavar": "S",
                "help": "exposure in s of all clusters, where there is no --exposure",
            },
        },
        "columns of the catalogue": {
            "--column": {"action": "append", "default": [], "metavar": "OURS=THEIRS", "help": _COLUMN},
            "--catalogue-bands": {"type": _edges, "metavar": "EV,EV,...", "help": _BANDS},
        },
        "output": {
            "--output": path(_OUTPUT, default=Path("masses.fits")),
            "--overwrite": OVERWRITE,
            "--samp": {
                "action": "store_true",
                "help": "then send it to TOPCAT, Aladin and DS9, as `send` does",
            },
            "--acronym": {"type": _acronym, "default": "eFEDS", "help": "begins each cluster's NAME (default: eFEDS)"},
            "--mass-prior": {"choices": ("training", "flat"), "default": "training", "help": _PRIOR},
        },
    },
)
