"""Estimate the background around positions from the counts alone, and search boxes for an excess of counts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, pdtr

from clustermass.arrays import BoolArray, Float32Array, FloatArray, IntArray
from clustermass.detect.stamps import EventIndex, Stamps, Templates

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection

#: exposure in s at positions (RA, Dec) in deg
Exposure: TypeAlias = Callable[[FloatArray, FloatArray], NDArray[np.floating]]

ROUNDS = 12
BLOCK = 4000  # positions at a time; 4000 windows of 11 x 11 cells take 4 MB
CORES_ARCSEC = (15.0, 30.0, 60.0)  # of the kernel 1 / (1 + r^2 / core^2)^1.5: each pass of erbox doubles its pixels
HALF_BOX = 1.2  # half the side of the box in units of the core: 4.5 pixels of 4 arcsec for 15 arcsec
STEPS = (-1.0, 0.0, 1.0)


def estimate_background(
    index: EventIndex, ra: FloatArray, dec: FloatArray, exposure_s: Exposure, parameters: Detection
) -> FloatArray:
    """Return the background rate around each position, (position,), in counts / (arcmin^2 s).

    `ra` (relative to the index's `ra_zero`) and `dec` are in deg, (position,) each. The rate is estimated from the
    counts in cells of about 1 arcmin. It is 0 where no cell near the position holds counts.

    Let n be the counts in a cell, and w the exposure of the cell divided by the longest exposure nearby. The background
    b is the expected number of counts in a cell with w = 1. Cells whose counts exceed the background by more than clip
    = `background_clip_sigma` standard deviations are left out, because they hold sources. Empty cells and cells with
    w <= 0.5 are left out, because they may be outside the covered sky. For all other cells, n is assumed to follow a
    Poisson distribution truncated to 1 <= n <= k, where k = floor(b + clip * sqrt(b)). The maximum-likelihood estimate
    of b is found by iteration:

        b = sum(n) / sum(w) * P(1 <= n <= k | b) / P(n <= k - 1 | b).

    Sources that are too faint to be clipped remain in the background, and so do the wings of brighter sources. The same
    is true of the maps that erbackmap of eSASS makes.
    """
    if len(ra) == 0:
        return np.zeros(0)
    cell_arcsec = parameters["background_cell_arcsec"]
    steps, cell = int(np.ceil(parameters["background_radius_arcsec"] / cell_arcsec - 0.5)), cell_arcsec / 3600.0
    step = np.arange(-steps, steps + 1)
    far = np.hypot(step[:, None], step[None, :]) * cell_arcsec >= parameters["background_exclusion_arcsec"]
    cells, levels = _Cells(index, ra, dec, cell, steps, exposure_s), []
    for block in np.array_split(np.arange(len(ra)), len(ra) // BLOCK + 1):
        rows, columns = cells.window(ra[block], dec[block], step)
        counts, exposure = cells.counts[rows, columns][:, far], cells.exposure[rows, columns][:, far]
        levels.append(truncated_rate(counts, exposure, parameters["background_clip_sigma"]))
    return np.concatenate(levels) / (cell * 60.0) ** 2


class _Cells:
    """Counts and exposures in a grid of cells around all positions. The rows of the grid have constant declination."""

    def __init__(
        self, index: EventIndex, ra: FloatArray, dec: FloatArray, cell: float, steps: int, exposure_s: Exposure
    ) -> None:
        self.cell, margin = cell, (steps + 1) * cell
        self.dec_low = float(dec.min()) - margin
        rows = int((dec.max() + margin - self.dec_low) / cell) + 1
        row_dec = self.dec_low + (np.arange(rows) + 0.5) * cell
        self.cosine = np.cos(np.radians(row_dec))
        extremes = ra * np.cos(np.radians(dec + margin * np.array([[-1.0], [1.0]])))
        self.x_low = float(extremes.min()) - margin
        columns = int((extremes.max() + margin - self.x_low) / cell) + 1
        row = np.floor((index.dec - self.dec_low) / cell).astype(np.int64)
        x = index.ra * self.cosine[np.clip(row, 0, rows - 1)]
        column = np.floor((x - self.x_low) / cell).astype(np.int64)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        counts = np.bincount(row[inside] * columns + column[inside], minlength=rows * columns)
        self.counts = counts.astype(np.int32).reshape(rows, columns)
        centre = self.x_low + (np.arange(columns) + 0.5) * cell
        cell_ra = (index.ra_zero + centre / self.cosine[:, None]) % 360.0
        exposure = exposure_s(cell_ra.ravel(), np.repeat(row_dec, columns))
        self.exposure = np.asarray(exposure, dtype=np.float32).reshape(rows, columns)

    def window(self, ra: FloatArray, dec: FloatArray, step: IntArray) -> tuple[IntArray, IntArray]:
        """Return the row and column indices of the cells around each position.

        `step` holds offsets in cells, (step,), which are used for both rows and columns. The result has the shape
        (position, step, 1) for rows, and (position, step, step) for columns.
        """
        rows = np.floor((dec - self.dec_low) / self.cell).astype(np.int64)[:, None] + step
        columns = np.floor((ra[:, None] * self.cosine[rows] - self.x_low) / self.cell).astype(np.int64)
        return rows[:, :, None], columns[:, :, None] + step


def truncated_rate(counts: NDArray[np.integer], exposure: NDArray[np.floating], clip: float) -> FloatArray:
    """Return the background rate per cell around each position, (position,), in counts / s.

    `counts` and `exposure` (s) have the shape (position, cell). Cells whose counts exceed the expected counts by more
    than `clip` standard deviations are left out. `estimate_background` describes the method.
    """
    longest = np.maximum(exposure.max(axis=1, initial=0.0), 1e-30)[:, None]
    weight = exposure / longest
    covered = (weight > 0.5) & (counts > 0)
    level = _ratio(counts, weight, covered)
    for _ in range(ROUNDS):
        expected = level[:, None] * weight
        kept = covered & (counts <= expected + clip * np.sqrt(expected))
        most = np.floor(level + clip * np.sqrt(level))
        chance = pdtr(most, level) - np.exp(-level)
        below = np.where(most >= 1.0, pdtr(np.maximum(most - 1.0, 0.0), level), 1.0)
        level = _ratio(counts, weight, kept) * np.where(most >= 1.0, chance / below, 1.0)
    return level / longest[:, 0]


def _ratio(counts: NDArray[np.integer], weight: NDArray[np.floating], kept: BoolArray) -> FloatArray:
    """Return sum(counts) / sum(weight) of the kept cells of each position, (position,), or 0 if no cell is kept."""
    total = np.einsum("ij,ij->i", weight, kept, dtype=np.float64)
    return np.einsum("ij,ij->i", counts, kept, dtype=np.float64) / np.maximum(total, 1e-30)


def box_likelihood(
    stamps: Stamps, level: FloatArray, neighbours: Float32Array, templates: Templates, parameters: Detection
) -> FloatArray:
    """Return the largest likelihood of an excess of counts in boxes near the centre of each stamp, float64 (stamp,).

    A stamp is the count image around one position, and an entry is one of its pixels with counts (`Stamps`). The boxes
    have three sizes, as in erbox with boxsize 4 and three passes. Boxes of each size are centred on the 3 x 3 positions
    at which the maximum-likelihood fits of `fit_stamps` start. The largest boxes are cut at the stamps' radius.

    The likelihood of a box is -ln P(n, b). Here n is the number of counts in the box, and b is the number expected from
    the background. Both are weighted by a kernel. P is the regularised lower incomplete gamma function, which is the
    probability of n or more counts if b are expected. If P underflows, the likelihood is infinite.

    `level` is the background in counts / pixel, (stamp,). `neighbours` are the counts that other sources are expected
    to add to each entry, (entry,). To remove these sources, the counts of an entry are multiplied by level / (level +
    neighbours).
    """
    flat = level[stamps.owner]
    counts = stamps.counts * flat / (flat + neighbours)
    least = np.ones(len(stamps.ra))
    for core, x, y in product(CORES_ARCSEC, STEPS, STEPS):
        dx, dy = templates.x - x * parameters["shift_arcsec"], templates.y - y * parameters["shift_arcsec"]
        inside = np.maximum(np.abs(dx), np.abs(dy)) <= HALF_BOX * core
        kernel = np.where(inside, (1.0 + (dx**2 + dy**2) / core**2) ** -1.5, 0.0)
        number = np.bincount(stamps.owner, kernel[stamps.pixel] * counts, minlength=len(least))
        least = np.minimum(least, gammainc(np.maximum(number, 1e-9), level * kernel.sum()))
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(least))
