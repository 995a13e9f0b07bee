"""Intervals by resampling groups of clusters: clusters that share a halo or photons are drawn together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustermass.arrays import FloatArray

#: central 68.27 % of a distribution, in percentiles
CENTRAL_68 = (15.865525393145708, 84.13447460685429)


def resampled_moments(
    residuals: FloatArray, group: ArrayLike, resamplings: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Mean and scatter of every predictor in every resampling, the same draws for all of them (paired).

    Parameters
    ----------
    residuals
        Predicted minus true log10 mass, dex, (predictor, cluster).
    group
        Label of each cluster's group, (cluster,); as many groups as there are are drawn with replacement.
    resamplings
        How many.
    rng
        Source of the draws.

    Returns
    -------
    mean, scatter
        dex, float64 (predictor, resampling); scatter about the mean, divided by n.
    """
    _, row = np.unique(np.asarray(group), return_inverse=True)
    groups = int(row.max()) + 1
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=resamplings).astype(float)
    # sums about the sample's mean: a large common offset costs no digits
    centre = residuals.mean(axis=1, keepdims=True)
    deviation = residuals - centre
    number = drawn @ np.bincount(row, minlength=groups)
    first = drawn @ _by_group(deviation, row, groups) / number[:, None]
    second = drawn @ _by_group(deviation**2, row, groups) / number[:, None]
    scatter = np.sqrt(np.maximum(second - first**2, 0))
    return (first + centre[:, 0]).T, scatter.T


def _by_group(values: FloatArray, row: NDArray[np.intp], groups: int) -> FloatArray:
    """Add up `values` (predictor, cluster) over each group: (group, predictor)."""
    return np.stack([np.bincount(row, weights=each, minlength=groups) for each in values], axis=1)


def interval68(values: FloatArray) -> list[float] | None:
    """Central 68.27 % of the finite `values`; None if there are none."""
    finite = values[np.isfinite(values)]
    return [float(edge) for edge in np.percentile(finite, CENTRAL_68)] if finite.size else None


def paired_ratios(scatter: FloatArray, names: Sequence[str]) -> dict[str, list[float] | None]:
    """Intervals of the first row of `scatter` (predictor, resampling) over each of the others, by their `names`."""
    return {
        name: interval68(np.divide(scatter[0], row, out=np.full_like(row, np.nan), where=row > 0))
        for name, row in zip(names, scatter[1:], strict=True)
    }
