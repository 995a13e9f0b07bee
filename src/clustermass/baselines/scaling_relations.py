"""Masses from scaling relations, both published ones and those fitted to the training set.

A published relation between mass and an observable X (count rate or luminosity) is a power law at each redshift,

    log10 M500c = m(z) + s(z) * (log10 X - log10 X_p).

A relation that is fitted to the training set is linear in its coefficients. If it has several forms, such as
polynomials of different degrees, the form that is best on the validation set is used.
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

#: pivots of the polynomials in luminosity, temperature and redshift, which only make the fit numerically stable
PIVOT_L500, PIVOT_KT_KEV, PIVOT_Z = 10**43.5, 3.0, 0.35


class ScalingRelation(NamedTuple):
    """Power law log10 M500c = m + s * (log10 X - log10 X_p) of an observable X, at the redshifts of some clusters."""

    #: m: log10(M500c / Msun) at the pivot X_p, (cluster,)
    mass: FloatArray
    #: s: d log10 M / d log10 X, a number or (cluster,)
    slope: FloatArray | float
    #: log10 X_p
    log10_pivot: float
    #: q = log10((1 + z) / (1 + z_p)), (cluster,)
    redshift_term: FloatArray

    def log10_mass(self, observable: FloatArray) -> FloatArray:
        """Return log10(M500c / Msun) of clusters, given their observables X; (cluster,)."""
        return self.mass + self.slope * (np.log10(observable) - self.log10_pivot)

    def log10_observable(self, log10_mass: FloatArray) -> FloatArray:
        """Return the mean log10 X of clusters, given their log10 masses; (cluster,)."""
        return self.log10_pivot + (log10_mass - self.mass) / self.slope

    def refit_forms(self, observable: FloatArray) -> dict[str, FloatArray]:
        """Return the forms in which the relation can be fitted anew to clusters with the observable X.

        The result is that of `surface_forms`, with log10 X relative to its pivot.
        """
        return surface_forms(np.log10(observable) - self.log10_pivot, self.redshift_term)


def count_rate_relation(redshift: FloatArray, block: CountRateRelation | Mapping[str, float]) -> ScalingRelation:
    """Return the relation between mass and count rate, fitted to the published eFEDS masses (Chiu et al. 2023).

    The relation is log10 M = log10_mass + slope_rate * log10(rate / pivot_rate) + linear_z * q + quadratic_z * q^2,
    where q is the redshift term log10((1 + z) / (1 + pivot_z)). The parameters are the keys of `block`, which is the
    block `baselines.count_rate_efeds` of the configuration. Four of them were fitted to 453 clusters; the residuals
    have an rms of 0.035 dex. The observable X is the fitted count rate in count/s, 0.2-2.3 keV.
    """
    q = redshift_term(redshift, block["pivot_z"])
    mass = block["log10_mass"] + block["linear_z"] * q + block["quadratic_z"] * q**2
    return ScalingRelation(mass, block["slope_rate"], float(np.log10(block["pivot_rate"])), q)


def luminosity_relation(redshift: FloatArray, block: LuminosityRelation) -> ScalingRelation:
    """Return the luminosity-mass relation of Chiu et al. (2022, A&A 661, A11), Eq. 67, solved for the mass.

    The relation is ln L = ln L_pivot + [slope + delta * ln((1+z)/(1+z_p))] * ln(M / M_pivot) + evolution *
    ln(E(z)/E(z_p)) + gamma * ln((1+z)/(1+z_p)). The parameters are from `block`, which is the block
    `baselines.luminosity_published` of the configuration and holds L_pivot as log10(erg/s) and M_pivot in Msun. There
    is no correction for selection or for the mass function. The observable X is the luminosity in erg/s, 0.5-2 keV rest
    frame, within R500, in the published cosmology (see `published_luminosity`).
    """
    q = redshift_term(redshift, block["pivot_z"])
    expansion = np.log10(efunc(redshift, PUBLISHED_RELATIONS) / efunc(block["pivot_z"], PUBLISHED_RELATIONS))
    slope = block["slope"] + block["delta"] * q * np.log(10)
    mass = np.log10(block["mass_pivot_msun"]) - (block["evolution"] * expansion + block["gamma"] * q) / slope
    return ScalingRelation(mass, 1 / slope, block["log10_l_pivot"], q)


def published_luminosity(l500: FloatArray, redshift: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Return luminosities in the cosmology of Chiu et al. (2022), given `l500` in the sky's `cosmology`.

    The luminosities are L(0.5-2 keV rest frame, < R500) in erg/s, (cluster,). As L = 4 pi D_L^2 F and the observed flux
    F is the same, L is multiplied by (D_L,published / D_L,sky)^2. Masses in Msun aren't changed. The aperture R500 also
    changes with the cosmology, which is neglected because it changes L by less than 1 %.
    """
    published = luminosity_distance_cm(redshift, PUBLISHED_RELATIONS)
    return l500 * (published / luminosity_distance_cm(redshift, cosmology)) ** 2


def redshift_term(redshift: FloatArray, pivot: float) -> FloatArray:
    """Return q = log10((1 + z) / (1 + pivot)), the redshift term of the published relations."""
    return np.log10((1 + redshift) / (1 + pivot))


def design_matrix(*terms: FloatArray) -> FloatArray:
    """Return the design matrix of a linear model, (cluster, term): a column of ones, followed by the `terms`."""
    return np.stack([np.ones_like(terms[0]), *terms], axis=1)


def surface_forms(r: FloatArray, q: FloatArray) -> dict[str, FloatArray]:
    """Return design matrices of several forms of a relation between mass, observable and redshift, as a dict by name.

    `r` is log10 of the observable, and `q` is the `redshift_term`. One form is the published one. The others have more
    terms, up to a full cubic, so that networks are compared with the best masses that follow from observable and
    redshift.
    """
    quadratic = (r, q, q**2, r**2, r * q)
    return {
        "published form": design_matrix(r, q, q**2),
        "curved in z": design_matrix(r, q, q**2, q**3),
        "full quadratic": design_matrix(*quadratic),
        "full cubic": design_matrix(*quadratic, r**3, r**2 * q, r * q**2, q**3),
    }


def polynomial_forms(*terms: FloatArray) -> dict[str, FloatArray]:
    """Return design matrices of full polynomials of degree 1, 2 and 3 in `terms`, (cluster,) each, as a dict."""
    products, forms = list[FloatArray](), {}
    for degree, name in enumerate(("linear", "quadratic", "cubic"), start=1):
        products += [np.prod(factors, axis=0) for factors in combinations_with_replacement(terms, degree)]
        forms[name] = design_matrix(*products)
    return forms


def gas_forms(redshift: FloatArray, kt_kev: FloatArray, l500: FloatArray | None = None) -> dict[str, FloatArray]:
    """Return design matrices of full polynomials of degree 1, 2 and 3, as a dict by name.

    The polynomials' variables are log10(kT), log10(1 + z) and, if `l500` is given, log10 L. `l500` is in erg/s. All
    arguments are (cluster,).
    """
    terms = [np.log10(kt_kev / PIVOT_KT_KEV), redshift_term(redshift, PIVOT_Z)]
    return polynomial_forms(*([] if l500 is None else [np.log10(l500 / PIVOT_L500)]), *terms)


def fit_best_form(
    name: str, forms: Mapping[str, FloatArray], log10_m500c: FloatArray, split: NDArray[np.str_]
) -> FloatArray:
    """Return log10(M500c / Msun) of all clusters from the form of a relation that is best on the validation set.

    `forms` maps names to design matrices (cluster, term), with the simplest form first. Each form is fitted to the
    training set by least squares. If two forms are equally good, the simpler one is taken. The true masses
    `log10_m500c` are read only for training and validation clusters. InputError if a form has at least as many terms as
    there are training clusters.
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
    """Return the predictions with the smallest mean squared error on the validation set.

    The keys of `predictions` are the choices for a setting, such as the penalty. The values are the log10(M500c / Msun)
    predicted with each choice, (cluster,). If two choices are equally good, the first one is taken. If the validation
    set is empty, the training set is used instead. `name` is the name of the setting in the log.
    """
    val = split == ("val" if (split == "val").any() else "train")
    errors = {key: float(np.mean((mu[val] - log10_m500c[val]) ** 2)) for key, mu in predictions.items()}
    best = min(errors, key=lambda key: errors[key])
    LOGGER.info("%s: %s is the best of %d on the validation set", name, best, len(predictions))
    return np.asarray(predictions[best], dtype=float)
