"""Whether the predictions are honest: coverage, z-scores, probability integral transform, likelihood and CRPS."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, kstest, norm

from clustermass.arrays import FloatArray
from clustermass.ensemble.recalibration import negative_log_likelihood
from clustermass.evaluate.bootstrap import MIN_CLUSTERS
from clustermass.evaluate.metrics import Summary, bounds

#: nominal coverage of one sigma; the intervals of metrics.json are central ones of 68.27 % throughout
ONE_SIGMA = float(norm.cdf(1) - norm.cdf(-1))
#: half-widths, in sigma, of the central intervals that hold 68.27 % and 95 % of a Gaussian
HALF_WIDTHS = {"coverage68": 1.0, "coverage95": float(norm.ppf(0.975))}
#: nominal coverages of the central intervals of a distribution that isn't Gaussian
CENTRAL = {"coverage68": ONE_SIGMA, "coverage95": 0.95}
PIT_BINS = 10


def z_scores(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> FloatArray:
    """(truth - mu) / sigma, (cluster,): standard normal if the predictions are calibrated."""
    return (truth - mu) / sigma


def pit(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> FloatArray:
    """Probability integral transform: the predicted cumulative probability of the truth, uniform if calibrated."""
    return np.asarray(norm.cdf(truth, mu, sigma), dtype=float)


def crps_gaussian(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> FloatArray:
    """Continuous ranked probability score of Gaussian predictions, in the unit of `mu`; smaller is better.

    CRPS = sigma [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)] with z = (truth - mu) / sigma (Gneiting et al. 2005,
    MWR 133, 1098, Eq. 5).
    """
    z = z_scores(mu, sigma, truth)
    score = sigma * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    return np.asarray(score, dtype=float)


def calibration(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> Summary:
    """Calibration of Gaussian predictions of log10(M500c / Msun).

    Parameters
    ----------
    mu, sigma, truth
        Mean, standard deviation and true value in dex, (cluster,).

    Returns
    -------
    dict
        `n`; `coverage68`, `coverage95`: fractions of truths within 1 and 1.96 sigma (0.683 and 0.95 if calibrated),
        each with its `_ci68`; `z_score_mean`, `z_score_std` of residual / sigma; `residual_std_over_mean_sigma` (both
        1 if calibrated); what `uniformity` tells; `crps_dex`; `nll`, per cluster. All but `n` are None for fewer than
        three clusters.
    """
    if mu.size < MIN_CLUSTERS:
        names = (*HALF_WIDTHS, *(f"{name}_ci68" for name in HALF_WIDTHS), "z_score_mean", "z_score_std")
        names += ("residual_std_over_mean_sigma", "pit_ks_pvalue", "pit_histogram", "crps_dex", "nll")
        return {"n": int(mu.size), **dict.fromkeys(names)}
    z = z_scores(mu, sigma, truth)
    told: Summary = {"n": int(mu.size)}
    for name, half_width in HALF_WIDTHS.items():
        told |= fraction(name, np.abs(z) <= half_width)
    return told | {
        "z_score_mean": float(z.mean()),
        "z_score_std": float(z.std()),
        "residual_std_over_mean_sigma": float((truth - mu).std() / sigma.mean()),
        **uniformity(pit(mu, sigma, truth)),
        "crps_dex": float(crps_gaussian(mu, sigma, truth).mean()),
        "nll": float(negative_log_likelihood(mu - truth, sigma).mean()),
    }


def calibration_of_pit(values: FloatArray) -> Summary:
    """Calibration of predictions of any shape, by their probability integral transform alone.

    Parameters
    ----------
    values
        Predicted cumulative probability of the truth, (cluster,).

    Returns
    -------
    dict
        `n`; `coverage68` (nominally 0.683) and `coverage95` of the central intervals, each with its `_ci68`; what
        `uniformity` tells. All but `n` are None for fewer than three clusters.
    """
    if values.size < MIN_CLUSTERS:
        names = (*CENTRAL, *(f"{name}_ci68" for name in CENTRAL), "pit_ks_pvalue", "pit_histogram")
        return {"n": int(values.size), **dict.fromkeys(names)}
    told: Summary = {"n": int(values.size)}
    for name, level in CENTRAL.items():
        told |= fraction(name, np.abs(values - 0.5) <= level / 2)
    return told | uniformity(values)


def uniformity(values: FloatArray) -> Summary:
    """`pit_ks_pvalue` of a Kolmogorov-Smirnov test, and `pit_histogram`: numbers in ten equal bins of [0, 1]."""
    histogram = np.histogram(values, bins=PIT_BINS, range=(0, 1))[0]
    return {"pit_ks_pvalue": float(kstest(values, "uniform").pvalue), "pit_histogram": histogram.tolist()}


def calibration_by_bin(
    values: FloatArray, columns: tuple[FloatArray, FloatArray, FloatArray], edges: Sequence[float]
) -> list[Summary]:
    """`calibration` of the clusters in half-open bins [low, high) of `values`; an infinite edge is None.

    Parameters
    ----------
    values
        What is binned, (cluster,).
    columns
        mu, sigma and truth, as `calibration` takes them.
    edges
        Ascending.
    """
    rows = []
    for low, high in pairwise(edges):
        inside = (values >= low) & (values < high)
        mu, sigma, truth = (column[inside] for column in columns)
        rows.append(bounds(low, high) | calibration(mu, sigma, truth))
    return rows


def fraction(name: str, inside: NDArray[np.bool_]) -> Summary:
    """Share of true entries under `name`, and its 68.27 % interval (Wilson 1927, JASA 22, 209) under `<name>_ci68`."""
    interval = binomtest(int(inside.sum()), inside.size).proportion_ci(ONE_SIGMA, method="wilson")
    return {name: float(inside.mean()), f"{name}_ci68": [float(interval.low), float(interval.high)]}
