"""The grid of patches of a simulated sky with a `population`: one patch of sky for each cluster."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from clustermass.config.sky_models import Field


class Patches(NamedTuple):
    """A grid of patches without gaps around the centre of a field. Its axes are native longitude and latitude."""

    width_deg: float  #: of a patch in native longitude; a patch is square where degrees of longitude are shortest
    height_deg: float  #: of a patch in native latitude
    columns: int
    rows: int

    @classmethod
    def of(cls, field: Field, side_arcmin: float) -> Patches:
        """Return the grid with the most patches that fits into the area of the block `field`.

        Each side of a patch is at least `side_arcmin` long.
        """
        height = side_arcmin / 60
        width = height / math.cos(math.radians(field["height_deg"] / 2))
        return cls(width, height, _fitting(field["width_deg"] / width), _fitting(field["height_deg"] / height))


def _fitting(ratio: float) -> int:
    return math.floor(ratio + 1e-9)
