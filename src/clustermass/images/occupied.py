"""Estimates from photons alone, without exposure map: the exposed area of a field, and covered fractions of images."""

from collections.abc import Iterable

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy import ndimage

from clustermass.arrays import FloatArray, unit_vectors
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList

#: side of a cell in arcsec; widest gap without photons that is filled, in cells
CELL_ARCSEC = 60.0
_GAP_CELLS = 6
#: largest distance of a photon from the mean position that one projection can show
_FARTHEST_DEG = 60.0
#: number of cells along a side of a box (4' each for a 20' box); a cell with a photon counts as exposed
_CELLS = 5
#: largest area in deg2 that one pointing covers (field of view of 1.03 deg diameter, somewhat dithered)
POINTING_DEG2 = 1.3


def occupied_cells(pieces: Iterable[EventList], centre: tuple[float, float]) -> tuple[NDArray[np.bool_], float, WCS]:
    """Return whether each cell of the sky is exposed, bool (y, x); the exposed area in deg2; and the cells' WCS.

    A cell is exposed if it holds photons, or if it lies in a small gap.

    Cells have sides of `CELL_ARCSEC` in a SIN projection about `centre`, the photons' mean RA and Dec in deg. A margin
    of empty cells surrounds the field. InputError if photons lie more than 60 deg from `centre`.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = centre
    wcs.wcs.cdelt = [-CELL_ARCSEC / 3600, CELL_ARCSEC / 3600]
    reach = int(np.sin(np.radians(_FARTHEST_DEG)) / np.radians(CELL_ARCSEC / 3600)) + 1
    sphere = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=bool)
    for piece in pieces:
        with np.errstate(invalid="ignore"):
            x, y = wcs.wcs_world2pix(piece.ra, piece.dec, 0)
        far = np.hypot(x, y) * np.radians(CELL_ARCSEC / 3600) > np.sin(np.radians(_FARTHEST_DEG))
        if (far | ~np.isfinite(x)).any():
            raise InputError(
                f"{piece.name}: the event list covers more of the sky than one image can. Give an exposure map, or "
                "divide it."
            )
        sphere[np.floor(y + 0.5).astype(int) + reach, np.floor(x + 0.5).astype(int) + reach] = True
    margin = _GAP_CELLS + 1
    (top, bottom), (left, right) = (np.flatnonzero(sphere.any(axis=axis))[[0, -1]] for axis in (1, 0))
    wcs.wcs.crpix = [1 - (left - reach - margin), 1 - (top - reach - margin)]
    cells = fill_gaps(np.pad(sphere[top : bottom + 1, left : right + 1], margin))
    return cells, float(cells.sum()) * (CELL_ARCSEC / 3600) ** 2, wcs  # area without the projection's distortion


def fill_gaps(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells (y, x) after filling holes and gaps of a few cells. No cell is lost at the border."""
    margin = _GAP_CELLS + 1
    closed = ndimage.binary_closing(np.pad(cells, margin), np.ones((_GAP_CELLS + 1, _GAP_CELLS + 1), dtype=bool))
    return np.asarray(ndimage.binary_fill_holes(closed)[margin:-margin, margin:-margin])


def mean_position(pieces: Iterable[EventList]) -> tuple[float, float]:
    """Return the photons' mean direction, RA in [0, 360) and Dec in deg, for any division into pieces."""
    total, number = np.zeros(3), 0
    for piece in pieces:
        directions = unit_vectors(piece.ra, piece.dec)
        directions[0] += total  # added row by row, so that the sum doesn't depend on the pieces
        total, number = directions.sum(axis=0), number + len(piece)
    x, y, z = total / number
    return float(np.degrees(np.arctan2(y, x)) % 360), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def photon_coverage(counts: NDArray[np.uint16]) -> FloatArray:
    """Return, for each image, the share of its 5 x 5 cells that hold photons, (cluster,).

    `counts` has the shape (cluster, band, y, x).
    """
    flat = counts.sum(axis=1, dtype=np.int64)
    edges = np.linspace(0, flat.shape[-1], _CELLS, endpoint=False).astype(int)
    cells = np.add.reduceat(np.add.reduceat(flat, edges, axis=1), edges, axis=2)
    return np.asarray((cells > 0).mean(axis=(1, 2)))
