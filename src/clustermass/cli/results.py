"""The commands `clustermass summary`, `verify` and `trace`, which read the results of a run."""

from collections.abc import Sequence
from pathlib import Path

from clustermass.cli.command import Command, path

_INPUTS = "where your own files lie (event lists, catalogues) that the run read; may be repeated"
_OWN_FILES = {"--inputs": path(_INPUTS, action="append", default=[], metavar="FOLDER")}


def summary(run: Path) -> None:
    """Print the key figures of a run."""
    from clustermass.report.console import headline

    headline(run)


def verify(results: Path, inputs: Sequence[Path]) -> int:
    """Print which files contradict what the results record about them. Return 1 if there are any, otherwise 0."""
    from clustermass.report.console import print_verification
    from clustermass.report.records import Files
    from clustermass.report.verify import verify

    files = Files.around(results, inputs)
    result = verify(results, files)
    print_verification(result, files)
    return 1 if result.findings else 0


def trace(file: Path, inputs: Sequence[Path]) -> None:
    """Print how a file was made, from its provenance."""
    from clustermass.report.console import print_trace
    from clustermass.report.records import Files

    print_trace(file, Files.around(file, inputs))


SUMMARY = Command(
    "summary",
    summary,
    "print the key figures of a finished run",
    "Print scatter, bias and calibration of a finished run, and where its catalogues are.",
    ("clustermass summary results/default",),
    {"results": {"run": path("folder of the run, results/<run>")}},
)
VERIFY = Command(
    "verify",
    verify,
    "check that all files of a run are those that its results were made from",
    "Compare every hash that the files state: of their inputs, their settings, FITS checksums.\n"
    "Exit status: 0 all is as stated, 1 something differs or can't be read, 2 wrong arguments.",
    ("clustermass verify results/default",),
    {"results": {"results": path("folder of a run, results/<run>; results, for all; or one file"), **_OWN_FILES}},
)
TRACE = Command(
    "trace",
    trace,
    "the way from a figure or a catalogue back to the events",
    "Print how a file came about, step by step: settings, seeds, code, software and inputs.",
    ("clustermass trace results/default/fiducial/figures/predictions.png",),
    {"results": {"file": path("any file of results/ that says how it was made"), **_OWN_FILES}},
)
