"""The command `clustermass`, which works without the Snakemake workflow."""

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import clustermass
from clustermass.errors import InputError
from clustermass.io.files import check_present
from clustermass.io.log import Ended, escape_tracebacks, orderly_end, printable, printable_lines

#: largest exposure and largest photon energy on the command line
LONGEST_S, HIGHEST_EV = 1e8, 10**6
EXIT_CODES = "Exit status: 0 done, 1 something is wrong with the input (one message says what), 2 wrong arguments."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` (None = those of the process) and return its exit status (see `EXIT_CODES`)."""
    escape_tracebacks()
    options = vars(_parser().parse_args(arguments))
    try:
        with orderly_end():
            return options.pop("command")(**options) or 0
    except InputError as error:
        return _failed(str(error), 1)
    except OSError as error:  # a full disk, a folder without permission
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except MemoryError:
        return _failed("the memory that is free isn't enough. Divide the files, or use a machine with more memory.", 1)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except Ended as ended:
        return _failed(str(ended), ended.status)


def _failed(message: str, status: int) -> int:
    print(printable_lines(f"clustermass: {message}"), file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Parser whose messages hold no control characters: an argument may be the name of somebody else's file."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with status 2."""
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="clustermass",
        description="Masses of galaxy clusters from eROSITA images.",
        epilog=f"{EXIT_CODES} More on a command: clustermass COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"clustermass {clustermass.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, (purpose, description, epilog, arguments) in _COMMANDS.items():
        name = run.__name__[1:].replace("_", "-")
        command = commands.add_parser(name, help=purpose, description=description, epilog=epilog)
        for names, options in arguments.items():
            command.add_argument(*names.split(), **options)
        command.set_defaults(command=run)
    return parser


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


def _masses(output: Path, column: Sequence[str], **field: Any) -> None:
    columns = _column_map(column)
    if output.suffix != ".fits":
        raise InputError(f"--output {output}: must end in .fits; .vot, .ecsv and .nc are written beside it.")
    # checked before the imports, which take seconds
    check_present([*field["events"], field["catalogue"], *field["exposure"], field["ensemble"]])
    from clustermass.apply.field import masses_of_field

    masses_of_field(output=output, columns=columns, log=True, **field)
    print(printable(f"Written: {output}, and beside it .vot, .ecsv, .nc and .log"))


def _column_map(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if not all(pair.partition("=")):
            raise InputError(f"--column {pair}: write OURS=THEIRS, for instance Z=z_best.")
    return {ours: theirs for ours, _, theirs in (pair.partition("=") for pair in pairs)}


def _pack(experiment: Path, output: Path, overwrite: bool) -> None:
    from clustermass.apply.field import check_outputs
    from clustermass.ensemble.ensemble import Ensemble

    trained = Ensemble.from_folder(experiment)
    check_outputs([output], overwrite, list(trained.named().values()))
    digest = trained.save(output)
    size = output.stat().st_size / 1e6
    print(printable(f"Written: {output}, {size:.1f} MB, {len(trained.weights)} networks, ensemble {digest}"))
    print(printable(f"To use it: clustermass masses EVENTS CATALOGUE --ensemble {shlex.quote(str(output))}"))


def _check_config(config: Sequence[Path], base: Path) -> None:
    from clustermass.config.resolve import load_config
    from clustermass.config.validate import check_config

    if not base.is_file():
        raise InputError(f"{base}: no such file. Run this in the repository's root, or name --base.")
    paths = [base, *config] if base not in config else config
    check_config(load_config(paths))
    print(printable(f"Valid: {', '.join(map(str, paths))}."))


def _summary(run: Path) -> None:
    from clustermass.report.console import headline

    headline(run)


def _verify(results: Path, inputs: Sequence[Path]) -> int:
    from clustermass.report.console import print_verification
    from clustermass.report.records import Files
    from clustermass.report.verify import verify

    files = Files.around(results, inputs)
    result = verify(results, files)
    print_verification(result, files)
    return 1 if result.findings else 0


def _trace(file: Path, inputs: Sequence[Path]) -> None:
    from clustermass.report.console import print_trace
    from clustermass.report.records import Files

    print_trace(file, Files.around(file, inputs))


def _path(meaning: str, **options: Any) -> dict[str, Any]:
    return {"type": Path, "help": meaning, **options}


_EVENTS = "event list(s) of one field: eSASS or SIXTE, FITS; or its images in the networks' bands"
_ENSEMBLE = "trained ensemble: a file of `clustermass pack`, or the folder results/<run>/<experiment>"
_OUTPUT = "catalogue to write, .fits; .vot, .ecsv, .nc and .log go beside it (default: masses.fits)"
_EXPOSURE = "exposure map in s, may be repeated; default: each cluster's ML_EXP, else (one pointing) the good time"
_COLUMN = "a column of the catalogue that goes by another name, as Z=z_best; may be repeated"
_BANDS = "edges of the catalogue's energy bands in eV, as 200,600,2300,5000, if it has several"
_PRIOR = "flat: also columns LOGM500_FLAT*, from which the training sample's mass distribution is divided out"
_INPUTS = "where your own files lie (event lists, catalogues) that the run read; may be repeated"
_OVERWRITE = {"action": "store_true", "help": "replace files that are there already"}
_OWN_FILES = _path(_INPUTS, action="append", default=[], metavar="FOLDER")
#: function of each command -> its text in the list of commands, first and last text of its help; its arguments
_COMMANDS: dict[Callable[..., int | None], tuple[str, str, str, dict[str, dict[str, Any]]]] = {
    _masses: (
        "masses of the clusters of an event list, by a trained ensemble",
        "Write a mass catalogue of the clusters in a table, from the event lists of their field.",
        "Example: clustermass masses events.fits clusters.csv --exposure expmap.fits --ensemble ensemble.zip",
        {
            "events": _path(_EVENTS, nargs="+"),
            "catalogue": _path("table with position and redshift of each cluster: FITS, VOTable, ECSV, CSV or text"),
            "--ensemble": _path(_ENSEMBLE, required=True),
            "--exposure": _path(_EXPOSURE, action="append", default=[], metavar="MAP"),
            "--output": _path(_OUTPUT, default=Path("masses.fits")),
            "--overwrite": _OVERWRITE,
            "--exposure-s": {"type": _positive, "help": "exposure in s of all clusters, where there is no --exposure"},
            "--column": {"action": "append", "default": [], "metavar": "OURS=THEIRS", "help": _COLUMN},
            "--catalogue-bands": {"type": _edges, "metavar": "EV,EV,...", "help": _BANDS},
            "--acronym": {"type": _acronym, "default": "eFEDS", "help": "begins each cluster's NAME (default: eFEDS)"},
            "--mass-prior": {"choices": ("training", "flat"), "default": "training", "help": _PRIOR},
        },
    ),
    _pack: (
        "a trained ensemble as one file, for `masses` elsewhere",
        "Pack networks, calibration and all else that `clustermass masses` needs into one file.",
        "",
        {
            "experiment": _path("folder of a finished experiment, results/<run>/<experiment>"),
            "output": _path("file to write, as ensemble.zip"),
            "--overwrite": _OVERWRITE,
        },
    ),
    _check_config: (
        "list everything that is wrong with a configuration",
        "",
        "",
        {
            "config": _path("YAML files; later ones override earlier ones", nargs="+"),
            "--base": _path("what the files are overlays of", default=Path("config/config.yaml")),
        },
    ),
    _summary: ("print the key figures of a finished run", "", "", {"run": _path("folder of the run, results/<run>")}),
    _verify: (
        "check that all files of a run are those that its results were made from",
        "Compare every hash that the files state: of their inputs, their settings, FITS checksums.",
        "Exit status: 0 all is as stated, 1 something differs or can't be read, 2 wrong arguments.",
        {"results": _path("folder of a run, results/<run>; results, for all; or one file"), "--inputs": _OWN_FILES},
    ),
    _trace: (
        "the way from a figure or a catalogue back to the events",
        "Print how a file came about, step by step: settings, seeds, code, software and inputs.",
        "Example: clustermass trace results/default/fiducial/figures/predictions.png",
        {"file": _path("any file of results/ that says how it was made"), "--inputs": _OWN_FILES},
    ),
}

if __name__ == "__main__":
    sys.exit(main())
