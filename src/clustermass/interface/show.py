"""One cluster of a mass catalogue in words and as a picture, or a list of the most unusual clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from clustermass.cards.field import FieldCards
from clustermass.cards.find import find_masses
from clustermass.cards.show import draw_card, list_of_strangest, text_card
from clustermass.cards.why import draw_why, text_of, why
from clustermass.figures.output import styled
from clustermass.interface.inputs import PathLike, name_of, path_of
from clustermass.io.log import printable_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from clustermass.ensemble.ensemble import Ensemble


@overload
def show(cluster: str | int, field: PathLike = ".", explained_by: Ensemble | None = None) -> Figure: ...


@overload
def show(cluster: None = None, field: PathLike = ".", explained_by: None = None) -> None: ...


def show(
    cluster: str | int | None = None, field: PathLike = ".", explained_by: Ensemble | None = None
) -> Figure | None:
    """Print a cluster's mass, flags and other numbers, and return its picture, as `clustermass show` does.

    Without `cluster`, print a list of the most unusual clusters, and return None. With `explained_by`, which is the
    ensemble that predicted the masses, print and draw the shares of the cluster's photons and measurements in its mass,
    as `clustermass show --why` does.

    `cluster` is the cluster's ID_SRC, its NAME, its id or name in the user's table, or a part of a name. `field` is the
    path of a mass catalogue, such as ``masses.fits``, or of a folder with a mass catalogue. InputError if no cluster or
    several clusters fit, if the catalogue or the file .cards.nc beside the catalogue is missing or damaged, or if the
    masses are from another ensemble.
    """
    name = None if cluster is None else name_of(cluster)
    known = FieldCards.read(find_masses(path_of(field, "field")))
    if name is None:
        print(printable_lines(list_of_strangest(known)))
        return None
    row = known.find(name)
    print(printable_lines(text_card(known, row)))
    if explained_by is None:
        return styled(draw_card)(known, row)
    made = why(known, row, explained_by)
    print(printable_lines(text_of(made)))
    return styled(draw_why)(made)
