"""Luminosities and temperatures of haloes from scaling relations in physical parameters, with correlated scatter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from clustermass.arrays import FloatArray
from clustermass.cosmology import efunc
from clustermass.simulate.mean_gas import KT_RANGE, luminosity_response, mean_relations
from clustermass.simulate.sources import Haloes

if TYPE_CHECKING:
    from clustermass.config.source_models import Clusters

#: pivot of the relation: redshift and M500c in Msun
PIVOT_REDSHIFT, PIVOT_MASS = 0.35, 2e14


def draw_relations(
    haloes: Haloes, scores: FloatArray, parameters: Clusters, cosmology: Mapping[str, float], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return random L500 (erg/s, 0.5-2 keV rest frame) and kT (keV), both (halo,).

    L500 is the luminosity inside R500c of the true mass M500c. `parameters` is the config block `clusters`. The
    relations are in its block `relations`, whose keys `log10_amplitude`, `slope` and `evolution` are called A, B and
    gamma here. The mean of ln L500 at given mass and redshift is

        A ln 10 + B ln(M500c / 2e14 Msun) + 2 ln(E(z) / E(0.35)) + gamma ln((1 + z) / 1.35).

    The deviations from the means of ln L500 and ln kT are normal with the standard deviations `scatter` and
    `temperature_scatter`, and with the correlation `correlation`. The mean of ln kT is that of `mean_relations` at the
    hydrostatic mass, which is M500c times `hydrostatic_bias` here, without scatter, plus `temperature_shift` (0 if the
    key is absent).

    The profile of a halo already makes it brighter or fainter than the mean. This deviation of ln L500 is linear in
    the amplitudes of the profile's components, with the coefficients at the pivot of mass and redshift. If the
    deviations' standard deviation is larger than `scatter`, they are scaled to reduce it to `scatter`. If it is
    smaller, independent normal deviations are added. `scores` are the amplitudes in standard deviations,
    (halo, component).
    """
    relations = parameters["relations"]
    sigma, rho = relations["scatter"], relations["correlation"]
    loadings = np.array(parameters["component_scale"]) * luminosity_response(parameters["component_mean"])
    of_profile = max(float(np.linalg.norm(loadings)), 1e-9)
    own = scores @ loadings * min(1.0, sigma / of_profile)
    deviation = own + np.sqrt(max(sigma**2 - of_profile**2, 0.0)) * rng.standard_normal(len(haloes))
    free = np.sqrt(1 - rho**2) * rng.standard_normal(len(haloes))
    log_kt = relations["temperature_scatter"] * (rho * deviation / sigma + free)
    hydrostatic = haloes.log10_m500c + np.log10(parameters["hydrostatic_bias"])
    log_kt += mean_relations(haloes.redshift, hydrostatic)[1] + relations.get("temperature_shift", 0.0)
    kt = np.clip(np.exp(log_kt), *KT_RANGE)
    mass = np.log(10) * haloes.log10_m500c - np.log(PIVOT_MASS)
    growth = 2 * np.log(efunc(haloes.redshift, cosmology) / efunc(PIVOT_REDSHIFT, cosmology))
    evolution = relations["evolution"] * np.log((1 + haloes.redshift) / (1 + PIVOT_REDSHIFT))
    mean = np.log(10) * relations["log10_amplitude"] + relations["slope"] * mass + growth + evolution
    return np.exp(mean + deviation), kt
