"""Exposures of clusters at the edge of a field, converted to means over the exposed parts of their boxes."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.spatial import KDTree

from clustermass.arrays import FloatArray

#: side of an image box, over which the exposure is averaged; side of the cells with which its exposed part is found
_BOX_ARCMIN, _CELL_ARCMIN = 20.0, 1.0
#: a box reaches beyond the field if less than this share of it is exposed
_WHOLE = 0.99
#: largest and smallest number of rows to which a plane is fitted
_MOST, _LEAST = 30, 3


def of_exposed_part(
    seconds: NDArray[np.float32], x: FloatArray, y: FloatArray, exposed: NDArray[np.bool_], pixel_arcmin: float
) -> NDArray[np.float32]:
    """Return the mean exposure in s of the exposed part of a 20' box around each row's cluster, float32 (rows,).

    The rows are those of the catalogue. `seconds` holds the exposure in s at the position of each row (NaN = unknown).
    `x` and `y` are the pixel coordinates, from 0, of these positions in the image `exposed` (y, x), whose pixels have
    sides of `pixel_arcmin`.

    If the whole box is exposed, the result is the row's own exposure. Otherwise the middle of the exposed part is
    farther inside the field, where the exposure is usually longer. The row's exposure is extrapolated to this middle:

    - A plane is fitted to the exposures of the nearest rows: those within 10', but at least 3 and at most 30. The slope
      of the plane gives the difference between the middle and the row's position.
    - The result is at least half the row's own exposure, and at most the largest exposure of the nearest rows.
    - If fewer than three rows have an exposure, each row keeps its own. Unknown exposures stay NaN.
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
    """Return, for the box around each place, the share that is exposed, (place,), and the middle of the exposed part.

    `places` holds the pixel coordinates of the places, (place, 2). The middles are pixel coordinates, too, (place, 2).
    """
    step = min(max(1, round(_CELL_ARCMIN / pixel_arcmin)), *exposed.shape)
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
