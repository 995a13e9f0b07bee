"""Mass from the true X-ray luminosity: what an observer with perfect fluxes would get from the scaling relation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.baselines.count_rate import surface_forms
from clustermass.baselines.relation import fit_best_form, redshift_term, require
from clustermass.cosmology import PUBLISHED_RELATIONS, FloatArray, efunc, luminosity_distance_cm

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
