"""The command `clustermass show`."""

from contextlib import chdir
from pathlib import Path

from clustermass.cli.command import OVERWRITE, Command, path
from clustermass.ensemble.released import released_ensemble
from clustermass.errors import InputError
from clustermass.io.log import printable, printable_lines

KINDS = (".png", ".svg", ".pdf")


def show(
    cluster: str | None,
    most: bool,
    explained: bool,
    ensemble: Path | None,
    field: Path,
    output: Path | None,
    overwrite: bool,
) -> None:
    """Print the numbers of a cluster, and draw its picture.

    If `most` is true, the cluster is the most unusual one of the field. If `cluster` is None and `most` is false, the
    most unusual clusters are listed instead. If `explained` is true, the numbers and the picture say which photons and
    measurements the mass follows from. This needs the `ensemble` that predicted it, by default the released one.
    """
    if most and cluster is not None:
        raise InputError(f"--strangest chooses the cluster: leave out {cluster!r}.")
    if output and output.suffix not in KINDS:
        raise InputError(f"--output {output}: must end in {', '.join(KINDS)}.")
    with chdir(Path(__file__).parent):  # matplotlib would take settings from a file matplotlibrc in the current folder
        import matplotlib.style  # noqa: F401
    from clustermass.apply.field import check_outputs
    from clustermass.cards.field import FieldCards
    from clustermass.cards.find import find_masses
    from clustermass.cards.show import is_card, list_of_strangest, save_card, strangest, text_card

    known = FieldCards.read(find_masses(field))
    if explained and cluster is None and not most:
        raise InputError("--why needs a cluster: name one, or add --strangest.")
    if cluster is None and not most:
        print(printable_lines(list_of_strangest(known)))
        return
    unlike = strangest(known) if most else []
    if most and not unlike:
        raise InputError(f"{known.path}: no cluster is compared with the training clusters (OOD_P).")
    row = unlike[0] if cluster is None else known.find(cluster)
    name = printable(known.columns["NAME"][row]).replace(" ", "_").replace("/", "_")
    picture = output or Path(name + ("_why" if explained else "") + KINDS[0])
    # a card under the cluster's own name is drawn again; any other file of that name stays
    check_outputs([picture], overwrite or (not output and is_card(picture)), [known.path])
    print(printable_lines(text_card(known, row)))
    replaced = " (it replaces an older picture)" if picture.exists() else ""
    if explained:
        from clustermass.cards.why import save_why, text_of, why
        from clustermass.ensemble.ensemble import Ensemble

        with Ensemble.load(ensemble or released_ensemble("name one by --ensemble")) as trained:
            made = why(known, row, trained)
        print(printable_lines(text_of(made)))
        save_why(made, known.path, picture, dpi=200)
    else:
        save_card(known, row, picture, dpi=200)
    print(printable(f"Written: {picture}{replaced}"))


_CLUSTER = "ID_SRC, an id or name of your table, NAME, or a part of a name; none: list the strangest clusters"
_FIELD = "mass catalogue, or folder of a field, an experiment or a run (default: the current folder)"
_WHY = "which photons and measurements the mass follows from, as a sum and as a picture; takes half a minute"
_ENSEMBLE = "for --why: the ensemble that predicted the masses, as for `masses` (default: the released one)"
_OUTPUT = "picture to write, .png, .svg or .pdf (default: NAME.png; an older picture is replaced)"
SHOW = Command(
    "show",
    show,
    "one cluster as a picture: image, mass, neighbours, flags in words",
    "Print what is known of a cluster, and draw its image, the probability of its mass, and what is unusual.",
    (
        "clustermass show",
        "clustermass show J084842 --field results/default/fiducial/observed/mock_efeds",
        "clustermass show J084842 --why",
        "clustermass show 19778 --field masses.fits --output strange.pdf",
    ),
    {
        "input": {
            "cluster": {"nargs": "?", "help": _CLUSTER},
            "--strangest": {"action": "store_true", "dest": "most", "help": "the most unusual cluster of the field"},
            "--field": path(_FIELD, default=Path()),
            "--why": {"action": "store_true", "dest": "explained", "help": _WHY},
            "--ensemble": path(_ENSEMBLE),
        },
        "output": {"--output": path(_OUTPUT), "--overwrite": OVERWRITE},
    },
)
