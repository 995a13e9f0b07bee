"""Mass from the true X-ray luminosity: what an observer with perfect fluxes would get from the scaling relation."""

from collections.abc import Mapping
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.baselines.linear_fits import columns, fit_best_form, redshift_term, require
from clustermass.cosmology import PUBLISHED_RELATIONS, efunc, luminosity_distance_cm

KEYS = ("log10_l_pivot", "mass_pivot_msun", "slope", "delta", "evolution", "gamma", "pivot_z")


def published_luminosity(l500: FloatArray, redshift: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Luminosity that the published cosmology gives to the flux that `l500` has in the sky's cosmology.

    A flux is observed, L = 4 pi D_L^2 F is inferred: L changes by (D_L,published / D_L,sky)^2. The mass stays in Msun;
    the change of the aperture R500 with the cosmology is left out (below 1 % of L).

    Parameters
    ----------
    l500
        L(0.5-2 keV rest frame, < R500), erg/s, in the sky's cosmology, (cluster,).
    redshift
        (cluster,).
    cosmology
        The sky's: `h0_km_s_mpc` (km/s/Mpc), `omega_m`.

    Returns
    -------
    l500
        erg/s in the cosmology of Chiu et al. (2022), float64 (cluster,).
    """
    published = luminosity_distance_cm(redshift, PUBLISHED_RELATIONS)
    return l500 * (published / luminosity_distance_cm(redshift, cosmology)) ** 2


def predict_luminosity_published(l500: FloatArray, redshift: FloatArray, block: Mapping[str, Any]) -> FloatArray:
    """Invert Eq. 67 of Chiu et al. (2022, A&A 661, A11) for the mass.

    ln L = ln L_pivot + [slope + delta ln((1+z)/(1+z_p))] ln(M / M_pivot) + evolution ln(E(z)/E(z_p))
    + gamma ln((1+z)/(1+z_p)), without a correction for selection or for the mass function.

    Parameters
    ----------
    l500
        erg/s, 0.5-2 keV rest frame, < R500, in the published cosmology (`published_luminosity`), (cluster,).
    redshift
        (cluster,).
    block
        `baselines.luminosity_published` of the configuration: L_pivot as log10(erg/s), M_pivot in Msun.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).

    Raises
    ------
    InputError
        A key of the block is missing.
    """
    log10_mass, at_pivot_mass, slope = _relation_at(redshift, block)
    return log10_mass + (np.log10(l500) - at_pivot_mass) / slope


def mean_log10_luminosity(log10_m500c: FloatArray, redshift: FloatArray, block: Mapping[str, Any]) -> FloatArray:
    """Mean log10(L / (erg/s)) at given mass and redshift by the same relation, (cluster,).

    Parameters
    ----------
    log10_m500c
        log10(M500c / Msun), (cluster,).
    redshift, block
        As for `predict_luminosity_published`.

    Raises
    ------
    InputError
        A key of the block is missing.
    """
    log10_mass, at_pivot_mass, slope = _relation_at(redshift, block)
    return at_pivot_mass + slope * (log10_m500c - log10_mass)


def _relation_at(redshift: FloatArray, block: Mapping[str, Any]) -> tuple[float, FloatArray, FloatArray]:
    """log10 of the pivot mass, and at each redshift log10 L at that mass and the slope of log10 L with log10 M."""
    log10_l, mass, slope, delta, evolution, gamma, pivot_z = require(block, KEYS, "baselines.luminosity_published")
    q = redshift_term(redshift, pivot_z)
    expansion = np.log10(efunc(redshift, PUBLISHED_RELATIONS) / efunc(pivot_z, PUBLISHED_RELATIONS))
    return np.log10(mass), log10_l + evolution * expansion + gamma * q, slope + delta * q * np.log(10)


def predict_luminosity_recalibrated(
    l500: FloatArray,
    redshift: FloatArray,
    log10_m500c: FloatArray,
    split: NDArray[np.str_],
    block: Mapping[str, Any],
) -> FloatArray:
    """Regress log10 mass on log10 L and redshift on the training set, in the same competing forms as the count rate.

    Parameters
    ----------
    l500, redshift, block
        As for `predict_luminosity_published`; only the pivots of the block are used.
    log10_m500c, split
        (cluster,); see `relation.fit_best_form`.

    Returns
    -------
    mu
        Predicted log10(M500c / Msun), float64 (cluster,).
    """
    log10_l, pivot_z = require(block, ("log10_l_pivot", "pivot_z"), "baselines.luminosity_published")
    forms = surface_forms(np.log10(l500) - log10_l, redshift_term(redshift, pivot_z))
    return fit_best_form("luminosity_recalibrated", forms, log10_m500c, split)


COUNT_RATE_KEYS = ("log10_mass", "slope_rate", "linear_z", "quadratic_z", "pivot_rate", "pivot_z")


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
    log10_mass, slope, linear, quadratic, pivot_rate, pivot_z = require(
        block, COUNT_RATE_KEYS, "baselines.count_rate_efeds"
    )
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
    pivot_rate, pivot_z = require(block, COUNT_RATE_KEYS[4:], "baselines.count_rate_efeds")
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
