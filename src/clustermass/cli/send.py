"""The command `clustermass send`."""

from pathlib import Path

from clustermass.cli.command import Command, path
from clustermass.io.log import printable


def send(catalogue: Path, cluster: str | None = None) -> None:
    """Send a mass catalogue and a position to the tools that are running, such as TOPCAT.

    The position is that of `cluster`, or the middle of the field if `cluster` is None.
    """
    from clustermass.apply.send import send_catalogue

    for line in send_catalogue(catalogue, cluster):
        print(printable(line))


_CLUSTER = "cluster to point at: ID_SRC, NAME, an id or name of your table, or a part of a name"
SEND = Command(
    "send",
    send,
    "a mass catalogue to TOPCAT, Aladin and DS9, by SAMP",
    "Open a mass catalogue in TOPCAT and Aladin, and point Aladin and DS9 at a cluster, or at the middle of the field.",
    ("clustermass send masses.fits", 'clustermass send masses.fits "SIM J084850.7+010229"'),
    {
        "input": {
            "catalogue": path("mass catalogue, masses.fits"),
            "cluster": {
                "nargs": "?",
                "help": "cluster to point at: ID_SRC, NAME, an id or name of your table, or a part of a name",
            },
        }
    },
)
