"""Level of the background around positions, estimated from the counts alone."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

from clustermass.sky.stamps import EventIndex

Exposure = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.floating]]

ROUNDS = 12
BLOCK = 4000  # positions at a time; 4000 windows of 11 x 11 cells take 4 MB


def estimate_background(
    index: EventIndex,
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    exposure_s: Exposure,
    parameters: Mapping[str, Any],
) -> NDArray[np.float64]:
    """Estimate the background rate around positions from the counts in cells of about an arcminute.

    Cells with too many counts for the level are left out as sources, empty ones as uncovered, and the mean of the
    others is corrected for both missing tails (maximum likelihood of a truncated Poisson distribution). Sources too
    faint for the clip, and the wings of brighter ones, stay in, as they do in the maps of eSASS erbackmap.

    Parameters
    ----------
    index : EventIndex
        Events of the detection band.
    ra, dec : float64, shape (position,)
        Relative right ascension and declination [deg].
    exposure_s : callable
        Exposure [s] at absolute (ra, dec) [deg].
    parameters : mapping
        Uses background_cell_arcsec, background_radius_arcsec, background_exclusion_arcsec, background_clip_sigma.

    Returns
    -------
    float64, shape (position,), counts / (arcmin^2 s); 0 where no cell near the position holds counts.
    """
    cell = parameters["background_cell_arcsec"] / 3600.0
    steps = int(np.ceil(parameters["background_radius_arcsec"] / parameters["background_cell_arcsec"] - 0.5))
    step = np.arange(-steps, steps + 1)
    distance = np.hypot(step[:, None], step[None, :]) * parameters["background_cell_arcsec"]
    far = distance >= parameters["background_exclusion_arcsec"]
    if len(ra) == 0:
        return np.zeros(0)
    cells, levels = _Cells(index, ra, dec, cell, steps, exposure_s), []
    for block in np.array_split(np.arange(len(ra)), len(ra) // BLOCK + 1):
        rows, columns = cells.window(ra[block], dec[block], step)
        counts, exposure = cells.counts[rows, columns][:, far], cells.exposure[rows, columns][:, far]
        levels.append(_truncated_rate(counts, exposure, parameters["background_clip_sigma"]))
    return np.concatenate(levels) / (cell * 60.0) ** 2


class _Cells:
    """Counts and exposures of cells, in rows of constant declination, that cover positions and their windows."""

    def __init__(
        self,
        index: EventIndex,
        ra: NDArray[np.float64],
        dec: NDArray[np.float64],
        cell: float,
        steps: int,
        exposure_s: Exposure,
    ) -> None:
        self.cell, margin = cell, (steps + 1) * cell
        self.dec_low = float(dec.min()) - margin
        rows = int((dec.max() + margin - self.dec_low) / cell) + 1
        row_dec = self.dec_low + (np.arange(rows) + 0.5) * cell
        self.cosine = np.cos(np.radians(row_dec))
        extremes = ra * np.cos(np.radians(dec + margin * np.array([[-1.0], [1.0]])))
        self.x_low = float(extremes.min()) - margin
        columns = int((extremes.max() + margin - self.x_low) / cell) + 1
        self.counts = self._count(index, rows, columns)
        centre = self.x_low + (np.arange(columns) + 0.5) * cell
        cell_ra = (index.ra_zero + centre / self.cosine[:, None]) % 360.0
        exposure = exposure_s(cell_ra.ravel(), np.repeat(row_dec, columns))
        self.exposure = np.asarray(exposure, dtype=np.float32).reshape(rows, columns)

    def _count(self, index: EventIndex, rows: int, columns: int) -> NDArray[np.int32]:
        row = np.floor((index.dec - self.dec_low) / self.cell).astype(np.int64)
        x = index.ra * self.cosine[np.clip(row, 0, rows - 1)]
        column = np.floor((x - self.x_low) / self.cell).astype(np.int64)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        counts = np.bincount(row[inside] * columns + column[inside], minlength=rows * columns)
        return counts.astype(np.int32).reshape(rows, columns)

    def window(
        self, ra: NDArray[np.float64], dec: NDArray[np.float64], step: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows (position, step, 1) and columns (position, step, step) of the cells around positions."""
        rows = np.floor((dec - self.dec_low) / self.cell).astype(np.int64)[:, None] + step
        columns = np.floor((ra[:, None] * self.cosine[rows] - self.x_low) / self.cell).astype(np.int64)
        return rows[:, :, None], columns[:, :, None] + step


def _truncated_rate(counts: NDArray[np.integer], exposure: NDArray[np.floating], clip: float) -> NDArray[np.float64]:
    """Return counts / s of a cell, shape (position,), from cells of shape (position, cell) without sources."""
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


def _ratio(counts: NDArray[np.integer], weight: NDArray[np.floating], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return sum(counts) / sum(weight) of the kept cells, 0 where there are none."""
    total = np.einsum("ij,ij->i", weight, kept, dtype=np.float64)
    return np.einsum("ij,ij->i", counts, kept, dtype=np.float64) / np.maximum(total, 1e-30)
