"""The command `clustermass update`."""

from pathlib import Path

from clustermass.cli.command import OVERWRITE, Command, path
from clustermass.errors import InputError
from clustermass.io.files import check_present
from clustermass.io.log import printable


def update(catalogue: Path, lensing: Path, output: Path, overwrite: bool) -> None:
    """Write a mass catalogue whose masses agree with a constraint by lensing, and print what changed."""
    if output.suffix != ".fits":
        raise InputError(f"--output {output}: must end in .fits.")
    check_present([catalogue, lensing])
    from clustermass.apply.field import check_outputs
    from clustermass.apply.update import report, update_catalogue

    check_outputs([output], overwrite, [catalogue, lensing])
    for line in report(update_catalogue(catalogue, lensing, output)):
        print(printable(line))
    print(printable(f"Written: {output}"))


_CATALOGUE = "mass catalogue by networks that are conditioned on the physics, masses.fits"
_LENSING = (
    "table with a row for each bin: LOGM500_LO and LOGM500_HI, or ML_RATE_LO and ML_RATE_HI; LOGM500_WL; "
    "LOGM500_WL_ERR, or COV_1, COV_2, ..."
)
UPDATE = Command(
    "update",
    update,
    "masses that agree with mean lensing masses",
    "Constrain the parameters of the physics by mean lensing masses in bins, and shift all masses of a catalogue.",
    ("clustermass update masses.fits --lensing constraint.ecsv --output masses_updated.fits",),
    {
        "input": {"catalogue": path(_CATALOGUE), "--lensing": path(_LENSING, required=True, metavar="TABLE")},
        "output": {
            "--output": path("catalogue to write, .fits", default=Path("masses_updated.fits")),
            "--overwrite": OVERWRITE,
        },
    },
)
