"""Bias and scatter of predictions, with bootstrap intervals; residuals are predicted minus true log10 mass, in dex."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustermass.arrays import FloatArray, generator
from clustermass.ensemble.scores import MIN_CLUSTERS, Json

#: a scatter of one dex in percent of the mass: sigma_ln = ln(10) sigma_dex, so 0.188 dex = 43 %
LN_PERCENT = 100 * np.log(10)
#: central 68.27 % of a distribution, in percentiles
CENTRAL_68 = (15.865525393145708, 84.13447460685429)


class Residuals(NamedTuple):
    """Residuals (dex) of the network and of each baseline, and the group of each cluster; arrays are (cluster,)."""

    network: FloatArray
    baselines: Mapping[str, FloatArray]
    group: NDArray[np.str_]

    def subset(self, chosen: NDArray[np.bool_]) -> "Residuals":
        """Return the residuals of the clusters for which `chosen` (cluster,) is true."""
        baselines = {name: residual[chosen] for name, residual in self.baselines.items()}
        return Residuals(self.network[chosen], baselines, self.group[chosen])


class Comparison(NamedTuple):
    """Scores of the network and of each baseline, and the ratios of their scatters, `network_over_<baseline>`."""

    network: Json
    baselines: dict[str, Json]
    ratios: dict[str, Json]


def residual_scores(residual: FloatArray) -> Json:
    """Return the scores of residuals (cluster,) in dex.

    `n` is the number of clusters, `bias_dex` the mean, and `scatter_dex` the standard deviation about the mean (with n,
    not n - 1). `scatter_ln_percent` is the scatter in percent of the mass, and `rms_dex` the root mean square. All but
    `n` are None for fewer than three clusters.
    """
    if residual.size < MIN_CLUSTERS:
        names = ("n", "scatter_dex", "scatter_ln_percent", "bias_dex", "rms_dex")
        return dict.fromkeys(names) | {"n": int(residual.size)}
    scatter, rms = float(residual.std()), float(np.sqrt(np.mean(residual**2)))
    scores: Json = {"n": int(residual.size), "scatter_dex": scatter, "scatter_ln_percent": LN_PERCENT * scatter}
    return scores | {"bias_dex": float(residual.mean()), "rms_dex": rms}


def scores_with_sigma(residual: FloatArray, sigma: FloatArray) -> Json:
    """Return `residual_scores` and `mean_sigma_dex`, the mean predicted sigma (None for fewer than three clusters)."""
    return residual_scores(residual) | {"mean_sigma_dex": float(sigma.mean()) if sigma.size >= MIN_CLUSTERS else None}


def by_bin(values: FloatArray, edges: Sequence[float], scores: Callable[..., Json], *columns: FloatArray) -> list[Json]:
    """Return the scores of the clusters in each bin [low, high) of `values` (cluster,), with the bin's edges.

    The function `scores` gets the `columns`, (cluster,) each, of the clusters in a bin. Infinite edges become None.
    """
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        bounds = {"low": low if np.isfinite(low) else None, "high": high if np.isfinite(high) else None}
        rows.append(bounds | scores(*(column[inside] for column in columns)))
    return rows


def sigma_ratio(member_sigma: FloatArray, ensemble_sigma: FloatArray) -> dict[str, float]:
    """Return mean and standard deviations of the ratio of a member's sigma to the ensemble's sigma.

    Takes the members' sigma (member, cluster) and the ensemble's (cluster,). `mean` and `std` are over all members and
    clusters; `std_of_members` is the standard deviation of the members' mean ratios. Krippendorf et al. (2023, end of
    section 4) state 0.951 +- 0.039, where 0.039 could be either of the two standard deviations.
    """
    ratio = member_sigma / ensemble_sigma
    of_members = float(ratio.mean(axis=1).std())
    return {"mean": float(ratio.mean()), "std": float(ratio.std()), "std_of_members": of_members}


def compare(residuals: Residuals, resamplings: int, seed: int, where: str) -> Comparison:
    """Return the scores of network and baselines on the same clusters, with intervals of a paired bootstrap of groups.

    `where`, a name of these clusters, is part of the random numbers' seed. All scores get the intervals
    `scatter_dex_ci68` and `bias_dex_ci68`; each ratio is {value, ci68}. For fewer than three clusters, scores, ratios
    and intervals are None.
    """
    rows = [residuals.network, *residuals.baselines.values()]
    ends: list[tuple[list[float] | None, list[float] | None]] = [(None, None)] * len(rows)
    values, intervals = dict[str, float | None](), dict[str, list[float] | None]()
    if residuals.network.size >= MIN_CLUSTERS:
        rng = generator(seed, "bootstrap", where)
        mean, scatter = resampled_moments(np.stack(rows), residuals.group, resamplings, rng)
        ends = [(interval68(s), interval68(m)) for s, m in zip(scatter, mean, strict=True)]
        intervals = paired_ratios(scatter, list(residuals.baselines))
        spread = {name: float(row.std()) for name, row in residuals.baselines.items()}
        values = {name: float(rows[0].std()) / other if other else None for name, other in spread.items()}
    network, *others = (
        residual_scores(row) | {"scatter_dex_ci68": scatter_ci, "bias_dex_ci68": bias_ci}
        for row, (scatter_ci, bias_ci) in zip(rows, ends, strict=True)
    )
    ratios: dict[str, Json] = {
        f"network_over_{name}": {"value": values.get(name), "ci68": intervals.get(name)} for name in residuals.baselines
    }
    return Comparison(network, dict(zip(residuals.baselines, others, strict=True)), ratios)


def resampled_moments(
    residuals: FloatArray, group: ArrayLike, resamplings: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return mean and scatter of the residuals of every predictor in every resampling of a paired bootstrap.

    Takes residuals (predictor, cluster) and the clusters' groups (cluster,). Each resampling draws n of the n groups
    with replacement, so that clusters that share a halo or photons are drawn together. All predictors have the same
    draws. Mean and scatter (standard deviation about the mean) are float64 (predictor, resampling), in dex.
    """
    _, row = np.unique(np.asarray(group), return_inverse=True)
    groups = int(row.max()) + 1
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=resamplings).astype(float)
    # sums about the sample's mean: a large common offset costs no digits
    centre = residuals.mean(axis=1, keepdims=True)
    deviation = residuals - centre
    number = drawn @ np.bincount(row, minlength=groups)
    first, second = (
        drawn
        @ np.stack([np.bincount(row, weights=each, minlength=groups) for each in values], axis=1)
        / number[:, None]
        for values in (deviation, deviation**2)
    )
    scatter = np.sqrt(np.maximum(second - first**2, 0))
    return (first + centre[:, 0]).T, scatter.T


def interval68(values: FloatArray) -> list[float] | None:
    """Return the ends of the interval that holds the central 68.27 % of the finite `values`; None if none is finite."""
    finite = values[np.isfinite(values)]
    return [float(edge) for edge in np.percentile(finite, CENTRAL_68)] if finite.size else None


def paired_ratios(scatter: FloatArray, names: Sequence[str]) -> dict[str, list[float] | None]:
    """Return 68 % intervals of row 0 of `scatter` (predictor, resampling) over each other row, by the rows' `names`."""
    return {
        name: interval68(np.divide(scatter[0], row, out=np.full_like(row, np.nan), where=row > 0))
        for name, row in zip(names, scatter[1:], strict=True)
    }
