"""Decide which rows of a table lie in a field. Rows far from any exposure are left out before images are cut."""

from collections.abc import Iterable, Sequence

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray
from scipy.spatial import KDTree

from clustermass.arrays import FloatArray, unit_vectors
from clustermass.images.frames import to_sky

#: a cluster farther than this from any exposure has less than half its image exposed, and so no mass
REACH_ARCMIN = 10.0
#: approximate size of the cells in which exposed places are searched for
_CELL_ARCMIN = 2.0


def in_field(planes: Iterable[tuple[NDArray[np.float32], WCS]], ra: FloatArray, dec: FloatArray) -> NDArray[np.bool_]:
    """Return whether each position (deg) has exposure within `REACH_ARCMIN`, bool (rows,).

    `planes` are exposure maps (y, x) and their celestial coordinates. Exposure is searched for in cells with sides of
    about `_CELL_ARCMIN`. Therefore a position may also count if the nearest exposure is up to about one cell farther
    away than `REACH_ARCMIN`.
    """
    near = np.zeros(ra.size, dtype=bool)
    for image, wcs in planes:
        cells, cell_deg = exposed_cells(image, wcs)
        if len(cells):
            reach = np.radians(REACH_ARCMIN / 60 + cell_deg / np.sqrt(2))
            distance, _ = KDTree(cells).query(unit_vectors(ra, dec), distance_upper_bound=2 * np.sin(reach / 2))
            near |= np.isfinite(distance)
    return near


def meant(planes: Sequence[tuple[NDArray[np.float32], WCS]], first: FloatArray, second: FloatArray) -> str:
    """Return a text that says what the columns `first` and `second` may be instead of RA and DEC in deg ("" = unknown).

    This function is called if no position lies in the field. It tries hours of RA, radians, exchanged columns and
    Galactic coordinates. The text names a possibility by which at least half of the positions would lie in the field.
    """
    galactic = SkyCoord(first, second, unit="deg", frame="galactic").icrs
    guesses = {
        "RA is in hours. Give its column the unit h, or multiply it by 15": (15 * first, second),
        "they are in radians. Give their columns the unit rad": (np.degrees(first), np.degrees(second)),
        "RA and DEC are exchanged. Name them (--column RA=... --column DEC=...; Python: columns)": (second, first),
        "they are Galactic. Name the columns GLON and GLAT": (galactic.ra.deg, galactic.dec.deg),
    }
    for meaning, (ra, dec) in guesses.items():
        possible = (np.abs(dec) <= 90) & (np.abs(ra) <= 360)
        if possible.all() and in_field(planes, ra, dec).mean() >= 0.5:
            return meaning
    return ""


def exposed_cells(image: NDArray[np.float32], wcs: WCS) -> tuple[FloatArray, float]:
    """Return unit vectors to the centres of all cells with exposure, (cell, 3), and the size of a cell in deg.

    A cell is a block of pixels of the exposure map `image`.
    """
    scales = proj_plane_pixel_scales(wcs)[::-1]  # of y and x
    steps = [max(1, round(_CELL_ARCMIN / 60 / scale)) for scale in scales]
    starts = [np.arange(0, pixels, step) for pixels, step in zip(image.shape, steps, strict=True)]
    exposed = image > 0
    for axis, first in enumerate(starts):
        exposed = np.logical_or.reduceat(exposed, first, axis=axis)
    row, column = np.nonzero(exposed)
    y, x = (first[cell] + (step - 1) / 2 for first, cell, step in zip(starts, (row, column), steps, strict=True))
    ra, dec = to_sky(wcs, x, y)
    return unit_vectors(ra, dec)[np.isfinite(ra)], float(max(steps * scales))
