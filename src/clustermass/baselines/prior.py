"""Redshift only: what is known of a selected cluster's mass before a photon of it is looked at."""

import numpy as np
from numpy.typing import NDArray

from clustermass.baselines.relation import columns, fit_best_form
from clustermass.cosmology import FloatArray


def predict_prior(redshift: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_]) -> FloatArray:
    """Regression of log10 mass on x = ln(1 + z): linear, quadratic or cubic, whichever validates best.

    Parameters
    ----------
    redshift, log10_m500c, split
        (cluster,); see `relation.fit_best_form`.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    x = np.log1p(redshift)
    forms = {"linear": columns(x), "quadratic": columns(x, x**2), "cubic": columns(x, x**2, x**3)}
    return fit_best_form("prior", forms, log10_m500c, split)
