"""Mass from the true temperature, and from true luminosity and temperature: what perfect measurements would tell."""

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from clustermass.baselines.relation import columns, fit_best_form, redshift_term
from clustermass.cosmology import FloatArray

#: values about which the polynomials are written, near the selected clusters' medians; they only condition the fit
PIVOT_L500, PIVOT_KT_KEV, PIVOT_Z = 10**43.5, 3.0, 0.35
FORMS = {"linear": 1, "quadratic": 2, "cubic": 3}


def predict_temperature(
    kt_kev: FloatArray, redshift: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_]
) -> FloatArray:
    """Regress log10 mass on log10 temperature and redshift: linear, quadratic or cubic, whichever validates best.

    Parameters
    ----------
    kt_kev
        True temperature, keV, (cluster,).
    redshift, log10_m500c, split
        (cluster,); see `relation.fit_best_form`.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    terms = (np.log10(kt_kev / PIVOT_KT_KEV), redshift_term(redshift, PIVOT_Z))
    return fit_best_form("temperature", polynomials(*terms), log10_m500c, split)


def predict_luminosity_temperature(
    l500: FloatArray, kt_kev: FloatArray, redshift: FloatArray, log10_m500c: FloatArray, split: NDArray[np.str_]
) -> FloatArray:
    """Regress log10 mass on log10 luminosity, log10 temperature and redshift, in the same competing forms.

    Photons tell luminosity and temperature with errors; only through the shape of the profile, and its extent on the
    sky, could they tell of the mass what these two don't.

    Parameters
    ----------
    l500
        True L(0.5-2 keV rest frame, < R500), erg/s, (cluster,).
    kt_kev, redshift, log10_m500c, split
        As for `predict_temperature`.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    terms = (np.log10(l500 / PIVOT_L500), np.log10(kt_kev / PIVOT_KT_KEV), redshift_term(redshift, PIVOT_Z))
    return fit_best_form("luminosity_temperature", polynomials(*terms), log10_m500c, split)


def polynomials(*terms: FloatArray) -> dict[str, FloatArray]:
    """Design matrices of the full polynomials of degree 1 to 3 in `terms` (cluster,), by name, the simplest first."""
    return {
        form: columns(
            *(
                np.asarray(np.prod(factors, axis=0))
                for power in range(1, degree + 1)
                for factors in combinations_with_replacement(terms, power)
            )
        )
        for form, degree in FORMS.items()
    }
