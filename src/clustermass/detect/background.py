"""Estimate the background around positions from the counts alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

from clustermass.arrays import BoolArray, FloatArray

#: exposure in s at positions (RA, Dec) in deg
Exposure: TypeAlias = Callable[[FloatArray, FloatArray], NDArray[np.floating]]

ROUNDS = 12


def truncated_rate(counts: NDArray[np.integer], exposure: NDArray[np.floating], clip: float) -> FloatArray:
    """Return the background rate per cell around each position, (position,), in counts / s.

    `counts` and `exposure` (s) are those of the cells around each position, (position, cell). Let n be the counts in a
    cell, and w the exposure of the cell divided by the longest exposure nearby. The background b is the expected number
    of counts in a cell with w = 1. Cells whose counts exceed the background by more than `clip` standard deviations are
    left out, because they hold sources. Empty cells and cells with w <= 0.5 are left out, because they may be outside
    the covered sky. For all other cells, n is assumed to follow a Poisson distribution truncated to 1 <= n <= k, where
    k = floor(b + clip * sqrt(b)). The maximum-likelihood estimate of b is found by iteration:

        b = sum(n) / sum(w) * P(1 <= n <= k | b) / P(n <= k - 1 | b).

    The rate is 0 where no cell holds counts. Sources that are too faint to be clipped remain in the background, and so
    do the wings of brighter sources. The same is true of the maps that erbackmap of eSASS makes.
    """
    longest = np.maximum(exposure.max(axis=1, initial=0.0), 1e-30)[:, None]
    weight = exposure / longest
    covered = (weight > 0.5) & (counts > 0)
    level = _ratio(counts, weight, covered)
    # the background from which a cell is kept: n <= b w + clip * sqrt(b w), solved for b
    least = ((np.sqrt(clip**2 + 4.0 * counts) - clip) / 2.0) ** 2 / np.where(covered, weight, np.inf)
    for _ in range(ROUNDS):
        kept = covered & (least <= level[:, None])
        most = np.floor(level + clip * np.sqrt(level))
        chance = pdtr(most, level) - np.exp(-level)
        below = np.where(most >= 1.0, pdtr(np.maximum(most - 1.0, 0.0), level), 1.0)
        level = _ratio(counts, weight, kept) * np.where(most >= 1.0, chance / below, 1.0)
    return level / longest[:, 0]


def _ratio(counts: NDArray[np.integer], weight: NDArray[np.floating], kept: BoolArray) -> FloatArray:
    """Return sum(counts) / sum(weight) of the kept cells of each position, (position,), or 0 if no cell is kept."""
    total = np.einsum("ij,ij->i", weight, kept, dtype=np.float64)
    return np.einsum("ij,ij->i", counts, kept, dtype=np.float64) / np.maximum(total, 1e-30)
