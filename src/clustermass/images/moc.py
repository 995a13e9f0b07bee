"""The sky coverage of a field as a multi-order coverage map (MOC 1.1 of the IVOA), made of HEALPix cells."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.images.exposure import ExposureMap
from clustermass.images.frames import to_sky
from clustermass.io.fits import write_fits
from clustermass.io.products import MOC, primary_hdu, table_hdu

#: finest order: its cells measure 1.7'
FINEST = 11
#: side in deg of a cell of order 0, the square root of a twelfth of the sphere
_SIDE_DEG = 58.6
#: width of a cell, divided by the distance of the examined pixels, is at least this, so that no cell is missed
_CELL_PIXELS = 3.0


def write_moc(exposures: Iterable[ExposureMap], output: Path, made_by: Mapping[str, Any]) -> None:
    """Write the file `output`: the MOC of all cells that the maps `exposures` cover, as ascending NUNIQ numbers.

    `made_by` is the provenance, which is written as HISTORY with the step `write_moc`.
    """
    found = [(order, covered_cells(one, order)) for one in exposures for order in [cell_order(one)]]
    order = min(each for each, _ in found)
    cells = np.unique(np.concatenate([some >> 2 * (each - order) for each, some in found]))
    header = {"PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "C", "MOCORDER": order, "MOCVERS": "1.1"}
    table = table_hdu("MOC", MOC, {"UNIQ": merged(cells, order)}, header)
    write_fits(fits.HDUList([primary_hdu({**made_by, "step": "write_moc"}), table]), output, checksum=True)


def cell_order(exposure: ExposureMap) -> int:
    """Return the order of the cells with which a map is described: `FINEST`, or lower if the map's pixels are large."""
    pixel = max(proj_plane_pixel_scales(wcs).max() for _, wcs in exposure.planes)
    return min(FINEST, max(0, int(np.log2(_SIDE_DEG / (_CELL_PIXELS * pixel)))))


def covered_cells(exposure: ExposureMap, order: int) -> NDArray[np.int64]:
    """Return the ascending numbers of the cells of the given order that contain the centre of a covered pixel.

    A pixel is covered if its exposure is above `ExposureMap.covered_above_s`. If the pixels are small, only some of the
    rows and columns are examined.
    """
    found = []
    for image, wcs in exposure.planes:
        step = max(1, int(_SIDE_DEG / 2**order / (_CELL_PIXELS * proj_plane_pixel_scales(wcs).max())))
        y, x = np.nonzero(image[::step, ::step] > exposure.covered_above_s)
        found.append(nested_cell(*to_sky(wcs, step * x, step * y), order))
    return np.unique(np.concatenate(found))


def nested_cell(longitude: FloatArray, latitude: FloatArray, order: int) -> NDArray[np.int64]:
    """Return the HEALPix cell (nested numbering) of positions in deg (Gorski et al. 2005, ApJ 622, 759)."""
    side = 1 << order
    z, turn = np.sin(np.radians(latitude)), np.mod(longitude, 360.0) / 90.0  # turn in quarters, 0 to 4
    quarter = np.minimum(turn.astype(np.int64), 3)
    # lines of the grid ascending to the East and to the West; around the equator they run on from one face to the next
    rising, falling = (np.floor(side * (0.5 + turn + sign * 0.75 * z)).astype(np.int64) for sign in (-1, 1))
    one, other = rising >> order, falling >> order
    face = np.where(one == other, (one & 3) + 4, np.where(one < other, one & 3, (other & 3) + 8))
    x, y = falling & (side - 1), side - 1 - (rising & (side - 1))
    reach, part = side * np.sqrt(3 * (1 - np.abs(z))), turn - quarter
    low, high = (np.minimum((share * reach).astype(np.int64), side - 1) for share in (part, 1 - part))
    polar, north = np.abs(z) > 2 / 3, z > 0
    face = np.where(polar, np.where(north, quarter, quarter + 8), face)
    x = np.where(polar, np.where(north, side - 1 - high, low), x)
    y = np.where(polar, np.where(north, side - 1 - low, high), y)
    return (face << 2 * order) + _spread(x) + 2 * _spread(y)


def _spread(number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers in which bit k of `number` is moved to bit 2k. The bits between them are 0."""
    return np.sum([(number >> bit & 1) << 2 * bit for bit in range(FINEST)], axis=0)


def merged(cells: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Return `cells` of this `order` as ascending NUNIQ numbers. Four cells that fill a larger one are replaced by it.

    `cells` must be distinct and ascending.
    """
    listed = []
    for level in range(order, 0, -1):
        parents, number = np.unique(cells >> 2, return_counts=True)
        whole = parents[number == 4]
        listed.append(cells[~np.isin(cells >> 2, whole)] + (4 << 2 * level))
        cells = whole
    return np.sort(np.concatenate([*listed, cells + 4]))
