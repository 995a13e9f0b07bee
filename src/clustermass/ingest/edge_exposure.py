"""Exposures that a table states at its rows, carried to the exposed part of boxes that leave the field."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.spatial import KDTree

from clustermass.arrays import FloatArray

#: side of a box, over which maps are averaged, and of the cells in which its exposed part is found
_BOX_ARCMIN, _CELL_ARCMIN = 20.0, 1.0
#: a box leaves the field if less of it is exposed
_WHOLE = 0.99
#: the plane goes through the rows in the box, of which so many at most, or else through the nearest rows, three in all
_MOST, _LEAST = 30, 3


def of_exposed_part(
    seconds: NDArray[np.float32], x: FloatArray, y: FloatArray, exposed: NDArray[np.bool_], pixel_arcmin: float
) -> NDArray[np.float32]:
    """Return the mean exposure in s of the exposed part of a 20' box about each row, float32 (rows,).

    For a box within the field it is the row's own exposure. Other boxes have the middle of their exposed part farther
    inside, where the exposure is usually longer. To it the exposure is carried by the slope of the plane through the
    exposures of the rows in the box, or at least the two nearest; no more than the largest of these counts. With fewer
    than three rows in all, it is the own exposure. `seconds` is NaN where the exposure is unknown, and stays so. `x`
    and `y` are the columns and rows, from 0, of the positions in the image `exposed` (y, x), whose pixels have sides of
    `pixel_arcmin`.
    """
    places = np.stack([x, y], axis=1)
    share, middle = _exposed_part(places, exposed, pixel_arcmin)
    leaves = np.isfinite(seconds) & (share > 0) & (share < _WHOLE)
    known = np.flatnonzero(np.isfinite(seconds))
    if not leaves.any() or known.size < _LEAST:
        return seconds
    distance, near = KDTree(places[known]).query(places[leaves], min(_MOST, known.size))
    used: NDArray[np.bool_] = np.asarray(distance <= _BOX_ARCMIN / 2 / pixel_arcmin)
    used[:, :_LEAST] = True
    values, around = seconds[known][near].astype(float), places[known][near]
    number = used.sum(axis=1)
    offset = (around - (around * used[..., None]).sum(axis=1, keepdims=True) / number[:, None, None]) * used[..., None]
    slope = (np.linalg.pinv(offset, rcond=1e-3) @ values[..., None])[..., 0]
    carried = seconds[leaves] + (slope * (middle - places)[leaves]).sum(axis=1)
    result = seconds.copy()
    result[leaves] = np.clip(carried, 0.5 * seconds[leaves], np.max(values, axis=1, where=used, initial=0.0))
    return result


def _exposed_part(places: FloatArray, exposed: NDArray[np.bool_], pixel_arcmin: float) -> tuple[FloatArray, FloatArray]:
    """Return the exposed share of each row's box, (rows,), and column and row of that part's middle, (rows, 2)."""
    step = max(1, round(_CELL_ARCMIN / pixel_arcmin))
    first = step // 2
    cells = exposed[first::step, first::step].astype(float)
    side = 2 * round(_BOX_ARCMIN / 2 / pixel_arcmin / step) + 1  # odd, so that a cell lies in the middle
    weighted = (cells, *(cells * index for index in np.indices(cells.shape)[::-1]))
    row, column = (
        np.clip(np.rint((place - first) / step).astype(int), 0, size - 1)
        for place, size in zip(places.T[::-1], cells.shape, strict=True)
    )
    share, *sums = (uniform_filter(image, side, mode="constant")[row, column] for image in weighted)
    with np.errstate(divide="ignore", invalid="ignore"):
        return share, np.stack(sums, axis=1) / share[:, None] * step + first
