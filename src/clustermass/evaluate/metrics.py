"""Bias and scatter of predictions, with bootstrap intervals. Residuals are predicted minus true log10 mass, in dex."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.ensemble.scores import MIN_CLUSTERS, Json
from clustermass.evaluate.bootstrap import interval68, paired_ratios, resampled_moments
from clustermass.rng import generator

#: percent of the mass that one dex of scatter amounts to: sigma_ln = ln(10) sigma_dex, so 0.188 dex = 43 %
LN_PERCENT = 100 * np.log(10)


class Residuals(NamedTuple):
    """Residuals of the network and of the baselines on the same clusters, dex.

    Attributes
    ----------
    network
        (cluster,).
    baselines
        (cluster,) each, by name.
    group
        Group of each cluster, (cluster,): resampled as a whole.
    """

    network: FloatArray
    baselines: Mapping[str, FloatArray]
    group: NDArray[np.str_]

    def subset(self, chosen: NDArray[np.bool_]) -> "Residuals":
        """Return those of the clusters in `chosen`, (cluster,)."""
        baselines = {name: residual[chosen] for name, residual in self.baselines.items()}
        return Residuals(self.network[chosen], baselines, self.group[chosen])


class Comparison(NamedTuple):
    """Scores of the network, of the baselines by name, and `network_over_<name>`: the ratios of their scatters."""

    network: Json
    baselines: dict[str, Json]
    ratios: dict[str, Json]


def residual_scores(residual: FloatArray) -> Json:
    """Bias, scatter and rms of residuals (cluster,) in dex; None for fewer than three clusters.

    Returns
    -------
    dict
        `n`; `bias_dex`: mean; `scatter_dex`: standard deviation about the mean (divided by n); `scatter_ln_percent`;
        `rms_dex`: about zero.
    """
    names = ("scatter_dex", "scatter_ln_percent", "bias_dex", "rms_dex")
    if residual.size < MIN_CLUSTERS:
        return {"n": int(residual.size), **dict.fromkeys(names)}
    scatter = float(residual.std())
    values = (scatter, LN_PERCENT * scatter, float(residual.mean()), float(np.sqrt(np.mean(residual**2))))
    return {"n": int(residual.size), **dict(zip(names, values, strict=True))}


def scores_with_sigma(residual: FloatArray, sigma: FloatArray) -> Json:
    """`residual_scores`, and `mean_sigma_dex` of the predicted sigma, (cluster,)."""
    return residual_scores(residual) | {"mean_sigma_dex": mean_or_none(sigma)}


def by_bin(values: FloatArray, edges: Sequence[float], scores: Callable[..., Json], *columns: FloatArray) -> list[Json]:
    """Scores of the clusters in half-open bins [low, high) of `values`; an infinite edge is None.

    Parameters
    ----------
    values
        What is binned, (cluster,).
    edges
        Ascending.
    scores
        Called with the clusters of each bin.
    *columns
        Its arguments for all clusters, (cluster,) each.
    """
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        bounds = {"low": low if np.isfinite(low) else None, "high": high if np.isfinite(high) else None}
        rows.append(bounds | scores(*(column[inside] for column in columns)))
    return rows


def mean_or_none(values: FloatArray) -> float | None:
    """Mean of `values`, or None if there are fewer than three."""
    return float(values.mean()) if values.size >= MIN_CLUSTERS else None


def compare(residuals: Residuals, resamplings: int, seed: int, where: str) -> Comparison:
    """Compare network and baselines on the same clusters, with intervals from a paired bootstrap over groups.

    Parameters
    ----------
    residuals
        Of network and baselines.
    resamplings, seed
        Number of resamplings, and root of the random numbers.
    where
        Name of the subset: seeds its own random numbers.

    Returns
    -------
    Comparison
        All scores with `scatter_dex_ci68` and `bias_dex_ci68`; each ratio {value, ci68}. None for fewer than three
        clusters.
    """
    names = list(residuals.baselines)
    rows = np.stack([residuals.network, *residuals.baselines.values()])
    scores = [residual_scores(row) for row in rows]
    values, intervals = dict[str, float | None].fromkeys(names), dict[str, list[float] | None].fromkeys(names)
    if residuals.network.size < MIN_CLUSTERS:
        ends: list[tuple[list[float] | None, list[float] | None]] = [(None, None)] * len(rows)
    else:
        rng = generator(seed, "bootstrap", where)
        mean, scatter = resampled_moments(rows, residuals.group, resamplings, rng)
        ends = [(interval68(s), interval68(m)) for s, m in zip(scatter, mean, strict=True)]
        intervals, spread = paired_ratios(scatter, names), [float(row.std()) for row in rows]
        values = {name: spread[0] / other if other else None for name, other in zip(names, spread[1:], strict=True)}
    for row, (scatter_ci, bias_ci) in zip(scores, ends, strict=True):
        row |= {"scatter_dex_ci68": scatter_ci, "bias_dex_ci68": bias_ci}
    ratios: dict[str, Json] = {
        f"network_over_{name}": {"value": values[name], "ci68": intervals[name]} for name in names
    }
    return Comparison(scores[0], dict(zip(names, scores[1:], strict=True)), ratios)
