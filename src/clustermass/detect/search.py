"""Search the image of a facet for sources: places where boxes of three sizes hold more counts than the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import correlate
from scipy.spatial import KDTree
from scipy.special import gammainc

from clustermass.arrays import Float32Array, FloatArray, IntArray
from clustermass.detect.facet_image import FacetImage

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

CORES_ARCSEC = (15.0, 30.0, 60.0)  # of the kernel 1 / (1 + r^2 / core^2)^1.5: each pass of erbox doubles its pixels
HALF_BOX = 2  # in pixels of a pass, which are twice as large as those of the pass before
#: places of a pass nearer than this to a place of an earlier pass (with smaller boxes) are the same source, arcsec
SAME_ARCSEC = (0.0, 20.0, 30.0)
LEAST_SIGMA = 2.0  # an excess of fewer standard deviations is never likely enough


def search(image: FacetImage, parameters: Detection) -> tuple[FloatArray, FloatArray]:
    """Return x and y in the facet's plane, in arcsec, of places with an excess of counts.

    As in the three passes of erbox, the pixels of each pass are twice as wide as those of the pass before. A box has 5
    x 5 pixels. The pixels of the first pass are twice as wide as those of the image. Counts n in a box and expected
    counts b are weighted by the kernel 1 / (1 + r^2 / core^2)^1.5. The likelihood is -ln P(n, b), where the regularised
    lower incomplete gamma function P is the probability of n or more counts if b are expected. A place is returned if
    its likelihood is at least `box_like_min` and the largest among the adjacent pixels.
    """
    expected = image.rate * image.exposure
    counts, found = image.counts, np.zeros((2, 0))
    side = image.pixel_arcsec
    for core, same in zip(CORES_ARCSEC, SAME_ARCSEC, strict=True):
        counts, side = counts[::2, ::2] + counts[1::2, ::2] + counts[::2, 1::2] + counts[1::2, 1::2], 2.0 * side
        column, row = _excess(counts, expected, side, core, image, parameters["box_like_min"])
        new = np.stack([image.x_low + column * side, image.y_low + row * side])
        if same and found.size:
            new = new[:, KDTree(found.T).query(new.T, distance_upper_bound=same)[0] > same]
        found = np.concatenate([found, new], axis=1)
    return found[0], found[1]


def _excess(
    counts: Float32Array, expected: FloatArray, side: float, core: float, image: FacetImage, least: float
) -> tuple[FloatArray, FloatArray]:
    """Return the places of likely excesses in one pass: columns and rows, in pixels of `counts` from its edges."""
    step = np.arange(-HALF_BOX, HALF_BOX + 1) * side
    kernel = (1.0 + (step[:, None] ** 2 + step**2) / core**2) ** -1.5
    boxes = correlate(counts, kernel.astype(np.float32), mode="constant").ravel()
    level = expected * (kernel.sum() * (side / 60.0) ** 2)
    cells = [((np.arange(n) + 0.5) * side / (image.cell * image.pixel_arcsec)).astype(np.intp) for n in counts.shape]
    cells = [at.clip(None, n - 1) for at, n in zip(cells, level.shape, strict=True)]
    limit = np.where(level > 0.0, level + LEAST_SIGMA * np.sqrt(level), np.inf).astype(np.float32)
    columns = counts.shape[1]
    place = np.flatnonzero(boxes > limit.take(cells[1], axis=1).take(cells[0], axis=0).ravel())
    row, column = np.divmod(place, columns)
    inner = (row > 0) & (column > 0) & (row < counts.shape[0] - 1) & (column < columns - 1)
    place = place[inner]
    for step_row, step_column in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
        beside = step_row * columns + step_column
        # of equal neighbours, the first is the maximum
        higher = boxes[place] > boxes[place + beside] if beside < 0 else boxes[place] >= boxes[place + beside]
        place = place[higher]
    row, column = np.divmod(place, columns)
    with np.errstate(divide="ignore"):
        likelihood = -np.log(gammainc(boxes[place].astype(float), level[cells[0][row], cells[1][column]]))
    place = place[likelihood >= least]
    row, column = np.divmod(place, columns)
    return _middle(boxes, place, 1, column), _middle(boxes, place, columns, row)


def _middle(boxes: Float32Array, place: IntArray, step: int, number: IntArray) -> FloatArray:
    """Return where parabolas through three adjacent values of `boxes` are highest, in pixels from the image's edge."""
    before, here, after = (boxes[place + shift].astype(float) for shift in (-step, 0, step))
    return number + 0.5 + 0.5 * (after - before) / np.maximum(2.0 * here - before - after, 1e-9)
