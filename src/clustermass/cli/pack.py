"""The command `clustermass pack`."""

import shlex
from pathlib import Path

from clustermass.cli.command import OVERWRITE, Command, path
from clustermass.io.log import printable


def pack(experiment: Path, output: Path, overwrite: bool) -> None:
    """Write the trained ensemble of an experiment as one file."""
    from clustermass.apply.field import check_outputs
    from clustermass.ensemble.ensemble import Ensemble

    trained = Ensemble.from_folder(experiment)
    check_outputs([output], overwrite, list(trained.named().values()))
    digest = trained.save(output)
    size = output.stat().st_size / 1e6
    print(printable(f"Written: {output}, {size:.1f} MB, {len(trained.weights)} networks, ensemble {digest}"))
    print(printable(f"To use it: clustermass masses EVENTS CATALOGUE --ensemble {shlex.quote(str(output))}"))


PACK = Command(
    "pack",
    pack,
    "a trained ensemble as one file, for `masses` elsewhere",
    "Pack networks, calibration and all else that `clustermass masses` needs into one file.",
    ("clustermass pack results/default/fiducial ensemble.zip",),
    {
        "input": {"experiment": path("folder of a finished experiment, results/<run>/<experiment>")},
        "output": {"output": path("file to write, as ensemble.zip"), "--overwrite": OVERWRITE},
    },
)
