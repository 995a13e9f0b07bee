"""Scores of predicted distributions, given the true masses: coverage, uniformity, likelihood and CRPS."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, kstest, norm

from clustermass.arrays import FloatArray

#: content of a JSON file, to be written
Json = dict[str, object]
#: smallest number of clusters with scores; with fewer clusters the scores are None
MIN_CLUSTERS = 3
#: nominal coverage of one sigma, and of the central intervals in metrics.json: 68.27 %
ONE_SIGMA = float(norm.cdf(1) - norm.cdf(-1))
#: central intervals, each with its half-width in sigma for a Gaussian and its nominal coverage
INTERVALS = {"coverage68": (1.0, ONE_SIGMA), "coverage95": (float(norm.ppf(0.975)), 0.95)}
PIT_BINS = 10
_PIT_SCORES = ("coverage68", "coverage95", "coverage68_ci68", "coverage95_ci68", "pit_ks_pvalue", "pit_histogram")
_GAUSSIAN_SCORES = (*_PIT_SCORES, "z_score_mean", "z_score_std", "residual_std_over_mean_sigma", "crps_dex", "nll")


def negative_log_likelihood(residual: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return -ln N(residual | 0, sigma^2) = residual^2 / (2 sigma^2) + ln sigma + ln(2 pi) / 2.

    The arrays may have any shape.
    """
    return np.asarray(0.5 * (residual / sigma) ** 2 + np.log(sigma) + 0.5 * np.log(2 * np.pi), dtype=float)


def pit(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> FloatArray:
    """Return the probability integral transform of Gaussian predictions: the probability of a value below the truth."""
    return np.asarray(norm.cdf(truth, mu, sigma), dtype=float)


def crps_gaussian(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> FloatArray:
    """Return the continuous ranked probability score of Gaussian predictions in the unit of `mu`; smaller is better.

    CRPS = sigma [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)] with z = (truth - mu) / sigma (Gneiting et al. 2005, MWR
    133, 1098, Eq. 5).
    """
    z = (truth - mu) / sigma
    score = sigma * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    return np.asarray(score, dtype=float)


def calibration_scores(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> Json:
    """Return scores of Gaussian predictions of log10(M500c / Msun), given means, sigmas and true values in dex.

    - `n`: number of clusters; with fewer than three, all other scores are None
    - `coverage68`, `coverage95`: fractions of true values within 1 and 1.96 sigma (0.683 and 0.95 if calibrated)
    - `coverage68_ci68`, `coverage95_ci68`: 68 % confidence intervals of these fractions
    - `z_score_mean`, `z_score_std`: mean and standard deviation of (truth - mu) / sigma (0 and 1 if calibrated)
    - `residual_std_over_mean_sigma`: standard deviation of truth - mu, divided by the mean sigma (1 if calibrated)
    - `crps_dex`, `nll`: means of `crps_gaussian` and of `negative_log_likelihood`
    - the scores of `uniformity`
    """
    if mu.size < MIN_CLUSTERS:
        return {"n": int(mu.size), **dict.fromkeys(_GAUSSIAN_SCORES)}
    z = (truth - mu) / sigma  # standard normal if the predictions are calibrated
    scores: Json = {"n": int(mu.size)}
    for name, (half_width, _) in INTERVALS.items():
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
    """Return scores of predicted distributions of any form, given their probability integral transforms (cluster,).

    `n` is the number of clusters. With fewer than three clusters, all other scores are None. `coverage68` and
    `coverage95` are the fractions of true values within the central 68.27 % and 95 % of the distributions.
    `coverage68_ci68` and `coverage95_ci68` are the 68 % confidence intervals of these fractions. The result also holds
    the scores of `uniformity`.
    """
    if values.size < MIN_CLUSTERS:
        return {"n": int(values.size), **dict.fromkeys(_PIT_SCORES)}
    scores: Json = {"n": int(values.size)}
    for name, (_, level) in INTERVALS.items():
        scores |= fraction(name, np.abs(values - 0.5) <= level / 2)
    return scores | uniformity(values)


def uniformity(values: FloatArray) -> Json:
    """Return two scores that show whether `values` are spread evenly between 0 and 1.

    `pit_ks_pvalue` is the p-value of a Kolmogorov-Smirnov test. `pit_histogram` holds the histogram in ten bins.
    """
    histogram = np.histogram(values, bins=PIT_BINS, range=(0, 1))[0]
    return {"pit_ks_pvalue": float(kstest(values, "uniform").pvalue), "pit_histogram": histogram.tolist()}


def fraction(name: str, inside: NDArray[np.bool_]) -> Json:
    """Return the fraction of True in `inside` and its 68.27 % confidence interval, as a dict.

    The key of the fraction is `name`, and that of the interval is `<name>_ci68`. The interval is that of Wilson (1927,
    JASA 22, 209).
    """
    interval = binomtest(int(inside.sum()), inside.size).proportion_ci(ONE_SIGMA, method="wilson")
    return {name: float(inside.mean()), f"{name}_ci68": [float(interval.low), float(interval.high)]}
