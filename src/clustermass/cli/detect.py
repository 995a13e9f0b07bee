"""The command `clustermass detect`."""

from collections.abc import Sequence
from pathlib import Path

from clustermass.cli.command import OVERWRITE, Command, path
from clustermass.errors import InputError
from clustermass.io.files import check_present
from clustermass.io.log import printable


def detect(events: Sequence[Path], exposure: Sequence[Path], output: Path, overwrite: bool) -> None:
    """Write a catalogue of the sources that are detected in the event lists of a field."""
    if output.suffix != ".fits":
        raise InputError(f"--output {output}: must end in .fits.")
    check_present([*events, *exposure])
    from clustermass.apply.field import check_outputs
    from clustermass.ingest.detect_field import detect_field

    check_outputs([output], overwrite, [*events, *exposure])
    sources, candidates = detect_field(events, exposure, output)
    print(printable(f"Written: {output}. Sources: {sources}; extended enough for clusters: {candidates}."))
    print("For masses, write the redshifts of the clusters into the column Z.")


_OUTPUT = "catalogue to write, .fits (default: catalogue.fits)"
DETECT = Command(
    "detect",
    detect,
    "a catalogue of the sources in an event list",
    "Detect the sources in the event lists of a field, as eSASS does, and write their catalogue.",
    ("clustermass detect events.fits --exposure expmap.fits",),
    {
        "input": {
            "events": path("event list(s) of one field: eSASS, SIXTE or clustermass, FITS", nargs="+"),
            "--exposure": path(
                "vignetted exposure map in s, may be repeated", action="append", required=True, metavar="MAP"
            ),
        },
        "output": {"--output": path(_OUTPUT, default=Path("catalogue.fits")), "--overwrite": OVERWRITE},
    },
)
