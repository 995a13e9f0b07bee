"""Whether the predicted Gaussians are honest: coverage, z-scores, probability integral transform and CRPS."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstest, norm

from clustermass.cosmology import FloatArray

#: half-widths, in sigma, of the central intervals that hold 68.27 % and 95 % of a Gaussian
HALF_WIDTHS = {"coverage68": 1.0, "coverage95": float(norm.ppf(0.975))}


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


def calibration(mu: FloatArray, sigma: FloatArray, truth: FloatArray) -> dict[str, float | int | None]:
    """Calibration of Gaussian predictions of log10(M500c / Msun).

    Parameters
    ----------
    mu, sigma, truth
        Mean, standard deviation and true value in dex, (cluster,).

    Returns
    -------
    dict
        `n`; `coverage68`, `coverage95`: fractions of truths within 1 and 1.96 sigma (0.683 and 0.95 if calibrated);
        `z_score_mean`, `z_score_std`; `pit_ks_pvalue` of a Kolmogorov-Smirnov test for uniformity; `crps_dex`.
        Everything but `n` is None without clusters.
    """
    if mu.size == 0:
        empty = (*HALF_WIDTHS, "z_score_mean", "z_score_std", "pit_ks_pvalue", "crps_dex")
        return {"n": 0, **dict.fromkeys(empty)}
    z = z_scores(mu, sigma, truth)
    return {
        "n": int(mu.size),
        **{name: _fraction(np.abs(z) <= half_width) for name, half_width in HALF_WIDTHS.items()},
        "z_score_mean": float(z.mean()),
        "z_score_std": float(z.std()),
        "pit_ks_pvalue": float(kstest(pit(mu, sigma, truth), "uniform").pvalue),
        "crps_dex": float(crps_gaussian(mu, sigma, truth).mean()),
    }


def _fraction(inside: NDArray[np.bool_]) -> float:
    return float(inside.mean())
