"""Masses from scalar properties of clusters, by the multi-property model of Ho et al. (2023, sec. 3), out of fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr
from astropy.table import Table

from clustermass.arrays import FloatArray, IntArray
from clustermass.baselines.features import OUTER_RADII, annulus_counts, within
from clustermass.cosmology import efunc, luminosity_distance_cm
from clustermass.errors import InputError

CM_PER_GPC = 3.0857e27
#: pivot of ln M: log10(M500c / Msun)
PIVOT = 14.0
#: properties, and the columns of `truth.fits` that they are products of
PROPERTIES = {
    "temperature": ("KT",),
    "bolometric_luminosity": ("LBOL500",),
    "luminosity": ("L500",),
    "gas_mass": ("MGAS500",),
    "y_x": ("MGAS500", "KT"),
    "luminosity_500kpc": ("FLUX500KPC",),
    "richness": ("LAMBDA",),
    "richness_measured": ("LAMBDA_OBS",),
}
#: d ln X / d ln R: how properties grow with the aperture R around R500. Those of gas mass and luminosity are estimates
#: for a beta model with beta = 2/3 and a core radius of R500 / 5; a temperature is taken not to depend on the aperture
APERTURE_SLOPES = {"gas_mass": 1.3, "y_x": 1.3, "luminosity": 0.23, "bolometric_luminosity": 0.23}
#: part of R500 inside which core-excised luminosities have no photons
CORE_R500 = 0.15


class MultiProperty(NamedTuple):
    """Multi-property model: ln s = pi + alpha mu + a normal deviate with the covariance C, where mu = ln(M / M_0).

    pi may depend on redshift. Ho et al. (2023) fit the model in each snapshot; here, pi has a term in ln E(z).
    """

    constant: FloatArray  #: pi at E(z) = 1, (property,)
    evolution: FloatArray  #: d pi / d ln E(z), (property,)
    slope: FloatArray  #: alpha, (property,)
    covariance: FloatArray  #: C, (property, property)

    @classmethod
    def fit(cls, ln_s: FloatArray, mu: FloatArray, ln_e: FloatArray) -> MultiProperty:
        """Return the model fitted by least squares to ln properties `ln_s` (cluster, property), mu and ln E (cluster,).

        InputError if there are too few clusters, or if C can't be inverted because properties are exact functions of
        each other.
        """
        design = np.stack([np.ones_like(mu), ln_e, mu], axis=1)
        if len(mu) < design.shape[1] + ln_s.shape[1] + 1:
            raise InputError(f"proxies: {len(mu)} clusters are too few to fit {ln_s.shape[1]} properties.")
        coefficients, _, rank, _ = np.linalg.lstsq(design, ln_s, rcond=None)
        residual = ln_s - design @ coefficients
        covariance = residual.T @ residual / (len(mu) - rank)
        scale = np.sqrt(np.diag(covariance))
        if not (scale > 1e-9 * ln_s.std(axis=0)).all() or np.linalg.cond(covariance / np.outer(scale, scale)) > 1e8:
            raise InputError("proxies: a property is an exact function of others or of mass. Leave one of them out.")
        return cls(coefficients[0], coefficients[1], coefficients[2], covariance)

    @property
    def scatter(self) -> float:
        """Return the scatter of ln M at fixed properties, (alpha^T C^-1 alpha)^(-1/2).

        The inverse is missing in the printed equation of Ho et al. (2023).
        """
        return float((self.slope @ np.linalg.solve(self.covariance, self.slope)) ** -0.5)

    def mu(self, ln_s: FloatArray, ln_e: FloatArray, beta: float = 0.0) -> FloatArray:
        """Return the mean mu of clusters with the properties `ln_s` (cluster, property), (cluster,).

        `beta` is the slope of the mass function, n ~ exp(-beta mu); 0 for clusters that are uniform in log mass.
        """
        weight = np.linalg.solve(self.covariance, self.slope)
        pull = (ln_s - self.constant - ln_e[:, None] * self.evolution) @ weight
        return np.asarray((pull - beta) * self.scatter**2)


def proxy_masses(
    ln_s: FloatArray,
    log10_m500c: FloatArray,
    ln_e: FloatArray,
    fold: IntArray,
    beta: float = 0.0,
) -> FloatArray:
    """Return log10(M500c / Msun) of each cluster by the model that is fitted to the clusters of all other folds.

    `ln_s` (cluster, property) holds natural logarithms of properties. `ln_e` is ln E(z), and `fold` the number of each
    cluster's fold, (cluster,) each. `beta` is described in `MultiProperty.mu`.
    """
    mu = np.log(10) * (log10_m500c - PIVOT)
    found = np.empty(len(mu))
    for one in np.unique(fold):
        test = fold == one
        model = MultiProperty.fit(ln_s[~test], mu[~test], ln_e[~test])
        found[test] = model.mu(ln_s[test], ln_e[test], beta)
    return PIVOT + found / np.log(10)


def subset_scatters(
    properties: Mapping[str, FloatArray],
    log10_m500c: FloatArray,
    ln_e: FloatArray,
    fold: IntArray,
    largest: int | None = None,
    beta: float = 0.0,
) -> dict[tuple[str, ...], float]:
    """Return the scatter of the out-of-fold residuals of log10 M500c, in dex, for each subset of the `properties`.

    `properties` maps names to positive values (cluster,). Subsets have at most `largest` members (None: any number),
    and are sorted by their scatter. Subsets whose members are exact functions of each other are left out.
    """
    logs = {name: np.log(values) for name, values in properties.items()}
    found = {}
    for names in _subsets(list(logs), largest):
        ln_s = np.stack([logs[name] for name in names], axis=1)
        try:
            masses = proxy_masses(ln_s, log10_m500c, ln_e, fold, beta)
        except InputError:
            if len(names) == 1:
                raise
            continue
        found[names] = float(np.std(masses - log10_m500c))
    return dict(sorted(found.items(), key=lambda item: item[1]))


def true_properties(truth: Table) -> dict[str, FloatArray]:
    """Return the properties of `PROPERTIES` that a table `truth.fits` has for all of its rows, (halo,) each.

    A property is left out if the table lacks one of its columns, or if a value isn't positive.
    """
    found = {}
    for name, columns in PROPERTIES.items():
        if all(column in truth.colnames for column in columns):
            values = np.prod([np.asarray(truth[column], dtype=float) for column in columns], axis=0)
            if np.isfinite(values).all() and (values > 0).all():
                found[name] = values
    return found


def aperture_luminosities(
    sample: xr.Dataset, r500_arcmin: FloatArray, cosmology: Mapping[str, float]
) -> dict[str, FloatArray]:
    """Return luminosities from the photons inside R500, with the core and without it, in arbitrary units, (cluster,).

    The results are called `photons` and `core_excised_photons`. They are net counts of all bands inside `r500_arcmin`
    (cluster,) and outside 0 or 0.15 of it, per exposure, times D_L^2. To see what errors of R500 do, give wrong radii.
    `sample` is the content of an `images.nc` (see `features.cluster_features`). Counts in an aperture below one are set
    to one. Apertures end at 8', the outermost radius of the annuli, and contain background from 6.5' on.
    """
    profile = annulus_counts(sample["counts"].values, sample["x"].values, sample["y"].values)
    radius, background = 60 * np.asarray(r500_arcmin, dtype=float), profile.background().sum(axis=1)
    redshift, exposure = (sample[name].values.astype(float) for name in ("redshift", "exposure_s"))
    scale = (luminosity_distance_cm(redshift, cosmology) / CM_PER_GPC) ** 2 / exposure

    def net(outer: FloatArray) -> FloatArray:
        area = np.pi * np.minimum(outer, OUTER_RADII[-1]) ** 2 / 3600
        return within(profile.plain, outer).sum(axis=1) - background * area

    whole = net(radius)
    excised = whole - net(CORE_R500 * radius)
    return {"photons": np.maximum(whole, 1) * scale, "core_excised_photons": np.maximum(excised, 1) * scale}


def with_r500_errors(
    properties: Mapping[str, FloatArray], error: float, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Return the properties inside apertures whose radii differ from R500 by a log-normal error, (cluster,) each.

    `error` is the standard deviation of ln R, such as 0.03 or 0.05 (Ntampaka et al. 2019). All properties of a cluster
    share its error. A property is multiplied by R to the power of its slope in `APERTURE_SLOPES`. Properties without a
    slope there don't change.
    """
    number = len(next(iter(properties.values())))
    shift = error * rng.standard_normal(number)
    return {name: values * np.exp(APERTURE_SLOPES.get(name, 0.0) * shift) for name, values in properties.items()}


def ln_expansion(redshift: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Return ln E(z), (cluster,)."""
    return np.log(efunc(redshift, cosmology))


def _subsets(names: list[str], largest: int | None) -> Iterable[tuple[str, ...]]:
    for size in range(1, min(largest or len(names), len(names)) + 1):
        yield from combinations(names, size)
