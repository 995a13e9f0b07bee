"""Masses from scaling relations: published ones, and relations fitted to the training set.

A published relation between mass and an observable X (count rate, luminosity) is a power law at each redshift,

    log10 M500c = m(z) + s(z) (log10 X - log10 X_p).

A fitted one is linear in its coefficients; its form is the one that predicts the validation set best.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.cosmology import PUBLISHED_RELATIONS, efunc, luminosity_distance_cm
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.config.models import CountRateRelation, LuminosityRelation

Name = TypeVar("Name", bound=Hashable)

#: pivots of the polynomials of luminosity and temperature: they only improve the conditioning of the fit
PIVOT_L500, PIVOT_KT_KEV, PIVOT_Z = 10**43.5, 3.0, 0.35


class ScalingRelation(NamedTuple):
    """Power law between mass and an observable X at the redshifts of some clusters."""

    #: m: log10(M500c / Msun) at the pivot of X, (cluster,)
    mass: FloatArray
    #: s: d log10 M / d log10 X, a number or (cluster,)
    slope: FloatArray | float
    #: log10 X_p
    log10_pivot: float
    #: q = log10((1 + z) / (1 + z_p)), (cluster,)
    redshift_term: FloatArray

    def log10_mass(self, observable: FloatArray) -> FloatArray:
        """Return log10(M500c / Msun) of clusters with the observables X, (cluster,)."""
        return self.mass + self.slope * (np.log10(observable) - self.log10_pivot)

    def log10_observable(self, log10_mass: FloatArray) -> FloatArray:
        """Return mean log10 X of clusters of these masses, (cluster,)."""
        return self.log10_pivot + (log10_mass - self.mass) / self.slope

    def refit_forms(self, observable: FloatArray) -> dict[str, FloatArray]:
        """Forms that compete when the relation is fitted to clusters with the observables X; see `surface_forms`."""
        return surface_forms(np.log10(observable) - self.log10_pivot, self.redshift_term)


def count_rate_relation(redshift: FloatArray, block: CountRateRelation | Mapping[str, float]) -> ScalingRelation:
    """Four-parameter fit to the published eFEDS masses (Chiu et al. 2023), with an rms of 0.035 dex for 453 clusters.

    log10 M = log10_mass + slope_rate log10(rate / pivot_rate) + linear_z q + quadratic_z q^2 with q = log10((1 + z) /
    (1 + pivot_z)). X is the fitted count rate in count/s, 0.2-2.3 keV. `block` is `baselines.count_rate_efeds` of the
    configuration.
    """
    q = redshift_term(redshift, block["pivot_z"])
    mass = block["log10_mass"] + block["linear_z"] * q + block["quadratic_z"] * q**2
    return ScalingRelation(mass, block["slope_rate"], float(np.log10(block["pivot_rate"])), q)


def luminosity_relation(redshift: FloatArray, block: LuminosityRelation) -> ScalingRelation:
    """Return the luminosity-mass relation of Chiu et al. (2022, A&A 661, A11), Eq. 67, inverted for the mass.

    ln L = ln L_pivot + [slope + delta ln((1+z)/(1+z_p))] ln(M / M_pivot) + evolution ln(E(z)/E(z_p)) + gamma
    ln((1+z)/(1+z_p)), without a correction for selection or for the mass function. X is the luminosity in erg/s, 0.5-2
    keV rest frame, < R500, in the published cosmology (`published_luminosity`). `block` is
    `baselines.luminosity_published` of the configuration: L_pivot as log10(erg/s), M_pivot in Msun.
    """
    q = redshift_term(redshift, block["pivot_z"])
    expansion = np.log10(efunc(redshift, PUBLISHED_RELATIONS) / efunc(block["pivot_z"], PUBLISHED_RELATIONS))
    slope = block["slope"] + block["delta"] * q * np.log(10)
    mass = np.log10(block["mass_pivot_msun"]) - (block["evolution"] * expansion + block["gamma"] * q) / slope
    return ScalingRelation(mass, 1 / slope, block["log10_l_pivot"], q)


def published_luminosity(l500: FloatArray, redshift: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Return the luminosity in the cosmology of Chiu et al. (2022), given `l500` in the sky's `cosmology`.

    L(0.5-2 keV rest frame, < R500), erg/s, (cluster,). The observed flux F is fixed, and L = 4 pi D_L^2 F: L changes by
    (D_L,published / D_L,sky)^2. The mass stays in Msun; the change of the aperture R500 with the cosmology is left out
    (below 1 % of L).
    """
    published = luminosity_distance_cm(redshift, PUBLISHED_RELATIONS)
    return l500 * (published / luminosity_distance_cm(redshift, cosmology)) ** 2


def redshift_term(redshift: FloatArray, pivot: float) -> FloatArray:
    """Return q = log10((1 + z) / (1 + pivot)), the redshift term of the published relations."""
    return np.log10((1 + redshift) / (1 + pivot))


def design_matrix(*terms: FloatArray) -> FloatArray:
    """Return the terms of a linear model, (cluster, term), with a leading column of ones."""
    return np.stack([np.ones_like(terms[0]), *terms], axis=1)


def surface_forms(r: FloatArray, q: FloatArray) -> dict[str, FloatArray]:
    """Design matrices of growing freedom for a mass surface over a log observable `r` and the redshift term `q`.

    A full quadratic and a full cubic compete with the published form: a network should be compared with the best that
    the observable and the redshift can do.
    """
    quadratic = (r, q, q**2, r**2, r * q)
    return {
        "published form": design_matrix(r, q, q**2),
        "curved in z": design_matrix(r, q, q**2, q**3),
        "full quadratic": design_matrix(*quadratic),
        "full cubic": design_matrix(*quadratic, r**3, r**2 * q, r * q**2, q**3),
    }


def polynomial_forms(*terms: FloatArray) -> dict[str, FloatArray]:
    """Design matrices of the full polynomials of degree 1 to 3 in `terms` (cluster,), by name, the simplest first."""
    products, forms = list[FloatArray](), {}
    for degree, name in enumerate(("linear", "quadratic", "cubic"), start=1):
        products += [np.prod(factors, axis=0) for factors in combinations_with_replacement(terms, degree)]
        forms[name] = design_matrix(*products)
    return forms


def gas_forms(redshift: FloatArray, kt_kev: FloatArray, l500: FloatArray | None = None) -> dict[str, FloatArray]:
    """Polynomials in the logarithms of the true temperature (keV), of 1 + z, and of the true luminosity (erg/s)."""
    terms = [np.log10(kt_kev / PIVOT_KT_KEV), redshift_term(redshift, PIVOT_Z)]
    return polynomial_forms(*([] if l500 is None else [np.log10(l500 / PIVOT_L500)]), *terms)


def fit_best_form(
    name: str, forms: Mapping[str, FloatArray], log10_m500c: FloatArray, split: NDArray[np.str_]
) -> FloatArray:
    """Fit each form to the training set by least squares and return the predictions of the best on the validation set.

    `forms` are design matrices (cluster, term), the simplest first (it wins a tie); labels log10(M500c / Msun) are read
    for training and validation clusters only. Returns log10(M500c / Msun) of all clusters, test clusters included;
    InputError if a form has as many terms as there are training clusters, or more.
    """
    train = split == "train"
    widest = max(design.shape[1] for design in forms.values())
    if train.sum() <= widest:
        raise InputError(
            f"{name}: {train.sum()} training clusters can't fit {widest} coefficients. "
            "Widen the selection or add realizations."
        )
    fits = {
        form: design @ np.linalg.lstsq(design[train], log10_m500c[train], rcond=None)[0]
        for form, design in forms.items()
    }
    return best_on_validation(name, fits, log10_m500c, split)


def best_on_validation(
    name: str, predictions: Mapping[Name, FloatArray], log10_m500c: FloatArray, split: NDArray[np.str_]
) -> FloatArray:
    """Return the predictions of least mean squared error on the validation set (training set if there is none).

    `predictions` holds log10(M500c / Msun), (cluster,), by the varied setting; the first one wins a tie.
    """
    val = split == ("val" if (split == "val").any() else "train")
    errors = {key: float(np.mean((mu[val] - log10_m500c[val]) ** 2)) for key, mu in predictions.items()}
    best = min(errors, key=lambda key: errors[key])
    LOGGER.info("%s: %s is the best of %d on the validation set", name, best, len(predictions))
    return np.asarray(predictions[best], dtype=float)
