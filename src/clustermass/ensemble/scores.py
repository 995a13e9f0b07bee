"""Scores of predicted distributions of log10 M500c against the truth: likelihood, CRPS, coverage, z-scores, PIT."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, kstest, norm

from clustermass.arrays import FloatArray

#: content of a JSON file, to be written
Json = dict[str, object]

#: fewer clusters than this have no scatter: their scores are None
MIN_CLUSTERS = 3
#: nominal coverage of one sigma; the intervals of metrics.json are central ones of 68.27 % throughout
ONE_SIGMA = float(norm.cdf(1) - norm.cdf(-1))
#: half-widths, in sigma, of the central intervals that hold 68.27 % and 95 % of a Gaussian
HALF_WIDTHS = {"coverage68": 1.0, "coverage95": float(norm.ppf(0.975))}
#: nominal coverages of the central intervals of any distribution
CENTRAL = {"coverage68": ONE_SIGMA, "coverage95": 0.95}
PIT_BINS = 10

_COVERAGES = tuple(f"{name}{end}" for end in ("", "_ci68") for name in CENTRAL)
_PIT_SCORES = (*_COVERAGES, "pit_ks_pvalue", "pit_histogram")
_GAUSSIAN_SCORES = (*_PIT_SCORES, "z_score_mean", "z_score_std", "residual_std_over_mean_sigma", "crps_dex", "nll")


def negative_log_likelihood(residual: FloatArray, sigma: FloatArray) -> FloatArray:
    """-ln N(residual | 0, sigma^2) = residual^2 / (2 sigma^2) + ln sigma + ln(2 pi) / 2, per dex, of any shape."""
    return np.asarray(0.5 * (residual / sigma) ** 2 + np.log(sigma) + 0.5 * np.log(2 * np.pi), dtype=float)


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


def calibration_scores(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> Json:
    """Scores of Gaussian predictions of log10(M500c / Msun); mean, sigma and true value in dex, (cluster,).

    `n`; `coverage68`, `coverage95`: fractions of truths within 1 and 1.96 sigma (0.683 and 0.95 if calibrated), each
    with its `_ci68`; `z_score_mean`, `z_score_std` of residual / sigma; `residual_std_over_mean_sigma` (both 1 if
    calibrated); the scores of `uniformity`; `crps_dex`; `nll`, per cluster. All but `n` are None for fewer than three
    clusters.
    """
    if mu.size < MIN_CLUSTERS:
        return {"n": int(mu.size), **dict.fromkeys(_GAUSSIAN_SCORES)}
    z = z_scores(mu, sigma, truth)
    scores: Json = {"n": int(mu.size)}
    for name, half_width in HALF_WIDTHS.items():
        scores |= fraction(name, np.abs(z) <= half_width)
    return scores | {
        "z_score_mean": float(z.mean()),
        "z_score_std": float(z.std()),
        "residual_std_over_mean_sigma": float((truth - mu).std() / sigma.mean()),
        **uniformity(pit(mu, sigma, truth)),
        "crps_dex": float(crps_gaussian(mu, sigma, truth).mean()),
        "nll": float(negative_log_likelihood(mu - truth, sigma).mean()),
    }


def pit_scores(values: FloatArray) -> Json:
    """Scores of predictions of any shape by their probability integral transform, (cluster,).

    `n`; `coverage68` (nominally 0.683) and `coverage95` of the central intervals, each with its `_ci68`; the scores of
    `uniformity`. All but `n` are None for fewer than three clusters.
    """
    if values.size < MIN_CLUSTERS:
        return {"n": int(values.size), **dict.fromkeys(_PIT_SCORES)}
    scores: Json = {"n": int(values.size)}
    for name, level in CENTRAL.items():
        scores |= fraction(name, np.abs(values - 0.5) <= level / 2)
    return scores | uniformity(values)


def uniformity(values: FloatArray) -> Json:
    """`pit_ks_pvalue` of a Kolmogorov-Smirnov test, and `pit_histogram`: numbers in ten equal bins of [0, 1]."""
    histogram = np.histogram(values, bins=PIT_BINS, range=(0, 1))[0]
    return {"pit_ks_pvalue": float(kstest(values, "uniform").pvalue), "pit_histogram": histogram.tolist()}


def fraction(name: str, inside: NDArray[np.bool_]) -> Json:
    """Share of true entries under `name`, and its 68.27 % interval (Wilson 1927, JASA 22, 209) under `<name>_ci68`."""
    interval = binomtest(int(inside.sum()), inside.size).proportion_ci(ONE_SIGMA, method="wilson")
    return {name: float(inside.mean()), f"{name}_ci68": [float(interval.low), float(interval.high)]}
