"""How two sets of masses of the same clusters differ: offset, trends with mass and redshift, scatter, by bootstrap."""

from typing import Any, TypeAlias

import numpy as np

from clustermass.baselines.relation import columns, redshift_term
from clustermass.cosmology import FloatArray
from clustermass.evaluation.bootstrap import interval68

#: log10(M500c / Msun) and redshift at which the fitted offset is stated: about the medians of eFEDS
PIVOT_LOG10_M500C = 14.2
PIVOT_Z = 0.35
#: with fewer clusters no trend is fitted, and no scatter told
MIN_CLUSTERS = 10
#: standard deviation of a Gaussian / its median absolute deviation
_SIGMA_PER_MAD = 1.4826022185056018
_NAMES = ("mean_dex", "median_dex", "scatter_dex", "nmad_dex", "rms_dex")
_FIT_NAMES = ("offset_dex", "slope_mass", "slope_redshift", "scatter_dex")

Summary: TypeAlias = dict[str, Any]


def compare_masses(
    first: FloatArray, second: FloatArray, redshift: FloatArray, resamplings: int, rng: np.random.Generator
) -> Summary:
    """Describe the difference of two sets of masses, first minus second.

    The fit is difference = offset + slope_mass (m - `PIVOT_LOG10_M500C`) + slope_redshift q by least squares, with m
    the mean of the two log10 masses (Bland & Altman 1986) and q = log10((1 + z) / (1 + `PIVOT_Z`)). Against the mean
    equal errors of both make no slope; against either mass alone its own errors would make one out of nothing.

    Parameters
    ----------
    first, second
        log10(M500c / Msun), (cluster,); clusters where either isn't finite are left out.
    redshift
        (cluster,).
    resamplings
        Of the bootstrap, which draws single clusters.
    rng
        Source of the draws.

    Returns
    -------
    dict
        `n`; `mean_dex`, `median_dex`, `scatter_dex` (about the mean), `nmad_dex` (scatter by the median absolute
        deviation), `rms_dex`; `fit`: `offset_dex` at the pivots, `slope_mass` (dex per dex), `slope_redshift` (dex per
        dex of 1 + z), `scatter_dex` about the fit; each with its 68 % interval `<name>_ci68` and its standard error
        `<name>_error`. None for all below `MIN_CLUSTERS`.
    """
    known = np.isfinite(first) & np.isfinite(second) & np.isfinite(redshift)
    first, second, redshift = first[known], second[known], redshift[known]
    if first.size < MIN_CLUSTERS:
        nothing = _stated(_NAMES, None, None)
        return {"n": int(first.size), **nothing, "fit": _stated(_FIT_NAMES, None, None)}
    difference = first - second
    design = columns((first + second) / 2 - PIVOT_LOG10_M500C, redshift_term(redshift, PIVOT_Z))
    draws = rng.integers(first.size, size=(resamplings, first.size))
    moments = np.array([_moments(difference[draw]) for draw in draws])
    fits = np.array([_fit(difference[draw], design[draw]) for draw in draws])
    return {
        "n": int(first.size),
        **_stated(_NAMES, _moments(difference), moments),
        "fit": _stated(_FIT_NAMES, _fit(difference, design), fits),
    }


def _moments(difference: FloatArray) -> FloatArray:
    """Values of `_NAMES`."""
    median = np.median(difference)
    nmad = _SIGMA_PER_MAD * np.median(np.abs(difference - median))
    return np.array([difference.mean(), median, difference.std(), nmad, np.sqrt(np.mean(difference**2))])


def _fit(difference: FloatArray, design: FloatArray) -> FloatArray:
    """Values of `_FIT_NAMES`; the scatter has the degrees of freedom left after the fit."""
    coefficients = np.linalg.lstsq(design, difference, rcond=None)[0]
    residual = difference - design @ coefficients
    scatter = np.sqrt(np.sum(residual**2) / (difference.size - design.shape[1]))
    return np.array([*coefficients, scatter])


def _stated(names: tuple[str, ...], values: FloatArray | None, resampled: FloatArray | None) -> Summary:
    """Each name with its value, 68 % interval and standard error, rounded: digits below depend on the machine."""
    if values is None or resampled is None:
        return {f"{name}{suffix}": None for name in names for suffix in ("", "_ci68", "_error")}
    found: Summary = {}
    for index, name in enumerate(names):
        interval = interval68(resampled[:, index]) or []
        found |= {name: round(float(values[index]), 6), f"{name}_ci68": [round(end, 6) for end in interval]}
        found |= {f"{name}_error": round(float(resampled[:, index].std(ddof=1)), 6)}
    return found
