"""Numbers that tell how good a set of predictions is. Residuals are predicted minus true log10 mass, in dex."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clustermass.arrays import FloatArray
from clustermass.evaluate.bootstrap import MIN_CLUSTERS, generator, interval68, paired_ratios, resampled_moments

#: percent of the mass that one dex of scatter amounts to: sigma_ln = ln(10) sigma_dex, so 0.188 dex = 43 %
LN_PERCENT = 100 * np.log(10)

Summary = dict[str, Any]


def summarize(residual: FloatArray) -> Summary:
    """Bias, scatter and rms of residuals (cluster,) in dex; None where fewer than three clusters tell nothing.

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


def by_bin(values: FloatArray, residual: FloatArray, sigma: FloatArray, edges: Sequence[float]) -> list[Summary]:
    """Summaries of the clusters in half-open bins [low, high) of `values`; an infinite edge is None.

    Parameters
    ----------
    values, residual, sigma
        (cluster,): what is binned, residual and predicted sigma in dex.
    edges
        Ascending.
    """
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        rows.append(bounds(low, high) | summarize(residual[inside]) | {"mean_sigma_dex": mean_or_none(sigma[inside])})
    return rows


def bounds(low: float, high: float) -> Summary:
    """Return the edges of a bin as JSON can hold them: None instead of an infinite one."""
    return {"low": low if np.isfinite(low) else None, "high": high if np.isfinite(high) else None}


def mean_or_none(values: FloatArray) -> float | None:
    """Mean of `values`, or None if there are fewer than three."""
    return float(values.mean()) if values.size >= MIN_CLUSTERS else None


def compare(
    network: FloatArray,
    baselines: Mapping[str, FloatArray],
    group: ArrayLike,
    resamplings: int,
    seed: int,
    where: str,
) -> tuple[Summary, dict[str, Summary], dict[str, Summary]]:
    """Network and baselines on the same clusters, with intervals from a paired bootstrap over groups.

    Parameters
    ----------
    network
        Residuals in dex, (cluster,).
    baselines
        Residuals in dex, (cluster,), by name.
    group
        Of each cluster, (cluster,): resampled as a whole.
    resamplings, seed
        Number of resamplings, and root of the random numbers.
    where
        Name of the subset: seeds its own random numbers.

    Returns
    -------
    tuple
        The network's summary and the baselines' by name, each with `scatter_dex_ci68` and `bias_dex_ci68`; and
        `network_over_<name>`: {value, ci68}, the ratio of the scatters.
    """
    names = list(baselines)
    residuals = np.stack([network, *baselines.values()])
    summaries = [summarize(row) for row in residuals]
    if network.size < MIN_CLUSTERS:
        none: Summary = {"scatter_dex_ci68": None, "bias_dex_ci68": None}
        ratios: dict[str, Summary] = {f"network_over_{name}": {"value": None, "ci68": None} for name in names}
        return {**summaries[0], **none}, {n: {**s, **none} for n, s in zip(names, summaries[1:], strict=True)}, ratios
    mean, scatter = resampled_moments(residuals, group, resamplings, generator(seed, "bootstrap", where))
    for summary, means, scatters in zip(summaries, mean, scatter, strict=True):
        summary["scatter_dex_ci68"], summary["bias_dex_ci68"] = interval68(scatters), interval68(means)
    intervals = paired_ratios(scatter, names)
    ratios = {
        f"network_over_{name}": {"value": _ratio(summaries[0], other), "ci68": intervals[name]}
        for name, other in zip(names, summaries[1:], strict=True)
    }
    return summaries[0], dict(zip(names, summaries[1:], strict=True)), ratios


def _ratio(network: Summary, baseline: Summary) -> float | None:
    return network["scatter_dex"] / baseline["scatter_dex"] if baseline["scatter_dex"] else None
