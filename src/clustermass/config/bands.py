"""Energy bands of the images, which the configuration states as a list of edges or as equally wide bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from clustermass import limits
from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.models import Bands

    #: value of the configuration's key `images.bands`: edges in eV, or a block of equally wide bands
    BandsKey: TypeAlias = Bands | Sequence[int]


def band_edges(bands: BandsKey) -> tuple[int, ...]:
    """Return the edges of the energy bands in eV. InputError if they don't ascend, or if there are over 120 bands."""
    if isinstance(bands, Mapping):
        start, width, number = (_whole_number(bands, key) for key in ("start_ev", "width_ev", "number"))
        edges = tuple(start + width * band for band in range(min(number, limits.BANDS.most + 1) + 1))
    else:
        edges = tuple(int(edge) for edge in bands)
        ascending = len(edges) > 1 and all(low < high for low, high in pairwise((0, *edges)))
        if not ascending or edges != tuple(bands):
            raise InputError(f"images.bands is {list(bands)}, but must be whole numbers of eV, two or more, ascending.")
    if len(edges) > limits.BANDS.most + 1:
        raise InputError(f"images.bands makes more than {limits.BANDS.most} bands.")
    return edges


def joined_edges(edges: Sequence[int], number: int | None) -> tuple[int, ...]:
    """Return the edges of the `number` bands that result from joining neighbouring bands.

    If `number` is None, no bands are joined.
    """
    return tuple(edges[:: (len(edges) - 1) // (number or len(edges) - 1)])


def _whole_number(bands: Bands, key: Literal["start_ev", "width_ev", "number"]) -> int:
    if bands[key] != int(bands[key]) or bands[key] <= 0:
        raise InputError(f"images.bands.{key} is {bands[key]}, but must be a whole number above 0.")
    return int(bands[key])


def in_kev(edges: Sequence[float]) -> str:
    """Return a text with the number of energy bands and their edges in keV. `edges` are in eV."""
    number = f"{len(edges) - 1} bands" if len(edges) > 2 else "1 band"
    return f"{number} with the edges {', '.join(f'{edge / 1000:g}' for edge in edges)} keV"
