"""Mass from the fitted count rate and the redshift: the relation behind the eFEDS masses, as published and refitted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.baselines.relation import columns, fit_best_form, redshift_term, require
from clustermass.cosmology import FloatArray

KEYS = ("log10_mass", "slope_rate", "linear_z", "quadratic_z", "pivot_rate", "pivot_z")


def predict_count_rate_efeds(ml_rate: FloatArray, redshift: FloatArray, block: Mapping[str, Any]) -> FloatArray:
    """Four-parameter fit to the published eFEDS masses (Chiu et al. 2023), nothing of it fitted here.

    log10 M = log10_mass + slope_rate log10(rate / pivot_rate) + linear_z q + quadratic_z q^2 with
    q = log10((1 + z) / (1 + pivot_z)); it reproduces 453 published masses with an rms of 0.035 dex.

    Parameters
    ----------
    ml_rate
        Fitted count rate, count/s, 0.2-2.3 keV, (cluster,).
    redshift
        (cluster,).
    block
        `baselines.count_rate_efeds` of the configuration.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).

    Raises
    ------
    InputError
        A key of the block is missing.
    """
    log10_mass, slope, linear, quadratic, pivot_rate, pivot_z = require(block, KEYS, "baselines.count_rate_efeds")
    q = redshift_term(redshift, pivot_z)
    return log10_mass + slope * np.log10(ml_rate / pivot_rate) + linear * q + quadratic * q**2


def predict_count_rate_recalibrated(
    ml_rate: FloatArray,
    redshift: FloatArray,
    log10_m500c: FloatArray,
    split: NDArray[np.str_],
    block: Mapping[str, Any],
) -> FloatArray:
    """Fit the same form to the training set, with curvature where the validation set asks for it.

    Besides the published form, a full quadratic and a full cubic in (log10 rate, q) compete: what is compared with a
    network should be the best that rate and redshift can do.

    Parameters
    ----------
    ml_rate, redshift, block
        As for `predict_count_rate_efeds`; only the pivots of the block are used.
    log10_m500c, split
        (cluster,); see `relation.fit_best_form`.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    pivot_rate, pivot_z = require(block, KEYS[4:], "baselines.count_rate_efeds")
    forms = surface_forms(np.log10(ml_rate / pivot_rate), redshift_term(redshift, pivot_z))
    return fit_best_form("count_rate_recalibrated", forms, log10_m500c, split)


def surface_forms(r: FloatArray, q: FloatArray) -> dict[str, FloatArray]:
    """Design matrices of growing freedom for a mass surface over a log observable `r` and the redshift term `q`."""
    quadratic = (r, q, q**2, r**2, r * q)
    return {
        "published form": columns(r, q, q**2),
        "curved in z": columns(r, q, q**2, q**3),
        "full quadratic": columns(*quadratic),
        "full cubic": columns(*quadratic, r**3, r**2 * q, r * q**2, q**3),
    }
