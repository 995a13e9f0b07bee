"""Bias and scatter of predicted log10 masses, with bootstrap intervals. Residuals are predicted minus true, in dex."""

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
    """Residuals of the ensemble (`network`) and of each baseline in dex, and the clusters' groups, each (cluster,)."""

    network: FloatArray
    baselines: Mapping[str, FloatArray]
    group: NDArray[np.str_]

    def subset(self, chosen: NDArray[np.bool_]) -> "Residuals":
        """Return the residuals of the clusters for which `chosen` (cluster,) is true."""
        baselines = {name: residual[chosen] for name, residual in self.baselines.items()}
        return Residuals(self.network[chosen], baselines, self.group[chosen])


class Comparison(NamedTuple):
    """Scores of the ensemble (`network`) and of each baseline, and the ratios of their scatters.

    The ratio `network_over_<baseline>` is the ensemble's scatter divided by the baseline's.
    """

    network: Json
    baselines: dict[str, Json]
    ratios: dict[str, Json]


def residual_scores(residual: FloatArray) -> Json:
    """Return the scores of residuals (cluster,) in dex.

    `n` is the number of clusters, `bias_dex` the mean, and `rms_dex` the root mean square. `scatter_dex` is the
    standard deviation about the mean, with the divisor n (not n - 1). `scatter_ln_percent` is the scatter in percent of
    the mass. With fewer than three clusters, all scores except `n` are None.
    """
    if residual.size < MIN_CLUSTERS:
        names = ("n", "scatter_dex", "scatter_ln_percent", "bias_dex", "rms_dex")
        return dict.fromkeys(names) | {"n": int(residual.size)}
    scatter, rms = float(residual.std()), float(np.sqrt(np.mean(residual**2)))
    scores: Json = {"n": int(residual.size), "scatter_dex": scatter, "scatter_ln_percent": LN_PERCENT * scatter}
    return scores | {"bias_dex": float(residual.mean()), "rms_dex": rms}


def scores_with_sigma(residual: FloatArray, sigma: FloatArray) -> Json:
    """Return `residual_scores`, and the mean sigma as `mean_sigma_dex` (None for fewer than three clusters)."""
    return residual_scores(residual) | {"mean_sigma_dex": float(sigma.mean()) if sigma.size >= MIN_CLUSTERS else None}


def by_bin(values: FloatArray, edges: Sequence[float], scores: Callable[..., Json], *columns: FloatArray) -> list[Json]:
    """Return a list with one dict for each bin: the edges `low` and `high`, and the scores of the clusters in the bin.

    A cluster is in a bin if its entry in `values` (cluster,) is in [low, high). The function `scores` is called for
    each bin, with the entries of each of the `columns` (cluster,) for the clusters in this bin. Infinite edges become
    None.
    """
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        bounds = {"low": low if np.isfinite(low) else None, "high": high if np.isfinite(high) else None}
        rows.append(bounds | scores(*(column[inside] for column in columns)))
    return rows


def sigma_ratio(member_sigma: FloatArray, ensemble_sigma: FloatArray) -> dict[str, float]:
    """Return the mean and the standard deviations of the ratio of a member's sigma to the ensemble's sigma.

    `member_sigma` has the shape (member, cluster), and `ensemble_sigma` (cluster,). `mean` and `std` are the mean and
    the standard deviation of the ratios of all members and clusters. `std_of_members` is the standard deviation of the
    members' mean ratios. Krippendorf et al. (2023, end of section 4) state 0.951 +- 0.039, where 0.039 could be either
    of the two standard deviations.
    """
    ratio = member_sigma / ensemble_sigma
    of_members = float(ratio.mean(axis=1).std())
    return {"mean": float(ratio.mean()), "std": float(ratio.std()), "std_of_members": of_members}


def compare(residuals: Residuals, resamplings: int, seed: int, where: str) -> Comparison:
    """Return the scores of ensemble and baselines on the same clusters, with 68 % intervals of a bootstrap of groups.

    The bootstrap is paired: ensemble and baselines are compared on the same draws. `where` is a name for these
    clusters, which becomes part of the random seed. The scores of each predictor include the intervals
    `scatter_dex_ci68` and `bias_dex_ci68`. Each ratio is a dict with the keys `value` and `ci68`. With fewer than three
    clusters, scores, ratios and intervals are None.
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

    `residuals` has the shape (predictor, cluster), and `group` (cluster,). In each resampling, groups are drawn with
    replacement, as many as there are groups. Therefore clusters that share a halo or photons are drawn together. All
    predictors get the same draws. Mean and scatter (the standard deviation about the mean) are in dex, each float64
    (predictor, resampling).
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
    """Return the ends of the range of the central 68.27 % of the finite `values`, or None if no value is finite."""
    finite = values[np.isfinite(values)]
    return [float(edge) for edge in np.percentile(finite, CENTRAL_68)] if finite.size else None


def paired_ratios(scatter: FloatArray, names: Sequence[str]) -> dict[str, list[float] | None]:
    """Return the 68 % intervals of ratios of scatters, as a dict by the names of predictors.

    `scatter` has the shape (predictor, resampling). `names` are the names of predictors 1, 2, ... A ratio is the
    scatter of predictor 0, divided by the scatter of the predictor with this name. Each resampling gives one ratio. The
    interval is that of the finite ratios, or None if no ratio is finite.
    """
    return {
        name: interval68(np.divide(scatter[0], row, out=np.full_like(row, np.nan), where=row > 0))
        for name, row in zip(names, scatter[1:], strict=True)
    }
