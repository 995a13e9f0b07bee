"""Hot gas of haloes: emission profile, temperature and luminosity are drawn jointly for given mass and redshift.

The draw follows Comparat et al. 2020. The scaled emission measure S(r) and kT are log-normal at fixed redshift and
hydrostatic mass. The hydrostatic mass is M500c times `hydrostatic_bias`. Two corrections are tuned to the number counts
of clusters in surveys: a shift of the normalisation, and a steeper luminosity-mass relation below a threshold mass
(Comparat et al. 2025). The number counts of the simulated sky are therefore not a prediction. Radii are in units of
R500c of the hydrostatic mass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from clustermass.arrays import FloatArray, IdArray, Rows, Streams
from clustermass.cosmology import arcmin_per_mpc, luminosity_distance_cm, r500c_mpc
from clustermass.simulate.mean_gas import (
    COMPONENTS,
    KT_RANGE,
    PROFILE,
    TEMPERATURE_LOADINGS,
    TEMPERATURE_SCATTER,
    low_mass_correction_dex,
    luminosity_per_integral,
    mean_relations,
)
from clustermass.simulate.profiles import RadialProfiles
from clustermass.simulate.relations import draw_relations
from clustermass.simulate.sources import Haloes
from clustermass.simulate.spectra import ClusterSpectra

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky
    from clustermass.config.source_models import Clusters

_AXIS_RATIO_MIN = 0.3
#: row of the component that is largest in the core
_CORE = 1


@dataclass(frozen=True)
class Gas(Rows):
    """Gas of haloes. Every array has the shape (halo,)."""

    kt_kev: FloatArray
    luminosity: FloatArray  #: rest-frame 0.5-2 keV, inside the projected R500c of the true mass, erg/s
    total_over_inside: FloatArray  #: luminosity of the whole profile divided by `luminosity`
    profiles: RadialProfiles  #: projected emission; radii in units of `scale_arcmin`
    scale_arcmin: FloatArray  #: R500c of the hydrostatic mass
    r500_arcmin: FloatArray  #: R500c of the true mass
    axis_ratio: FloatArray  #: minor over major axis
    position_angle: FloatArray  #: of the major axis, rad

    def flux_over_r500(self, radius_arcmin: FloatArray) -> FloatArray:
        """Return the flux of each halo inside `radius_arcmin`, divided by its flux inside R500c, (halo,).

        `radius_arcmin` holds a radius for each halo, (halo,).
        """
        inside = self.profiles.enclosed(self.r500_arcmin / self.scale_arcmin)
        return self.profiles.enclosed(radius_arcmin / self.scale_arcmin) / inside


def draw_gas(haloes: Haloes, parameters: Clusters, cosmology: Mapping[str, float], rng: Streams) -> Gas:
    """Return the gas of `haloes`, drawn from the distributions in the config block `clusters`.

    The hydrostatic mass of a halo is M500c times `hydrostatic_bias`, with a log-normal scatter (`_radius_deviations`).
    The profile S(r) and kT are drawn by `_profiles_and_temperatures`. The luminosity L500 inside R500c of the true mass
    is the integral of S(r) 2 pi r dr up to this radius, times `luminosity_per_integral`. If `scaling` is "relations",
    L500 and kT come from `draw_relations` instead, and S(r) is multiplied by the factor that gives this L500.

    Finally the radii of the profile are multiplied by a random factor (`shape_radius_scatter`), at the same L500. The
    profile is cut off at a radius such that its flux outside R500c is at most `outskirts_flux_max` times its flux
    inside R500c. The random numbers come from the streams "gas" and "shape" of `rng`.
    """
    gas, shape = rng["gas"], rng["shape"]
    scores = gas.standard_normal((len(haloes), COMPONENTS))
    log_bias, log_stretch = _radius_deviations(scores[:, _CORE], parameters, shape)
    log_mass = haloes.log10_m500c + np.log10(parameters["hydrostatic_bias"]) + log_bias / np.log(10)
    profiles, kt = _profiles_and_temperatures(haloes.redshift, log_mass, scores, parameters, cosmology, gas)
    radius, true_radius = (r500c_mpc(mass, haloes.redshift, cosmology) for mass in (log_mass, haloes.log10_m500c))
    emission = profiles.enclosed(true_radius / radius)
    luminosity = emission * luminosity_per_integral(kt, haloes.redshift, radius, cosmology)
    if parameters["scaling"] == "relations":
        luminosity, kt = draw_relations(haloes, scores, parameters, cosmology, shape)
    radius = radius * np.exp(log_stretch)
    emission = profiles.enclosed(true_radius / radius)
    profiles = profiles.scaled(
        luminosity / (emission * luminosity_per_integral(kt, haloes.redshift, radius, cosmology))
    )
    inside = profiles.enclosed(true_radius / radius)
    profiles = replace(profiles, total=np.minimum(profiles.total, inside * (1 + parameters["outskirts_flux_max"])))
    arcmin = arcmin_per_mpc(haloes.redshift, cosmology)
    ratio = gas.normal(parameters["axis_ratio_mean"], parameters["axis_ratio_std"], len(haloes))
    return Gas(
        kt_kev=kt,
        luminosity=luminosity,
        total_over_inside=profiles.total / inside,
        profiles=profiles,
        scale_arcmin=radius * arcmin,
        r500_arcmin=true_radius * arcmin,
        axis_ratio=np.clip(ratio, _AXIS_RATIO_MIN, 1.0),
        position_angle=np.pi * gas.random(len(haloes)),
    )


def _profiles_and_temperatures(
    redshift: FloatArray,
    log10_mass: FloatArray,
    scores: FloatArray,
    parameters: Clusters,
    cosmology: Mapping[str, float],
    rng: np.random.Generator,
) -> tuple[RadialProfiles, FloatArray]:
    """Return random profiles S(r) of the scaled emission measure, and random temperatures kT in keV, (halo,).

    `log10_mass` is log10 of the hydrostatic mass M in Msun. The means of ln S(r) and ln kT are linear in ln(z / 0.3)
    and ln(M / 2e14 Msun) (`mean_relations`).

    ln S(r) is the sum of its mean, of four principal components, and of three shifts that don't depend on r. The
    amplitudes of the components have the means `component_mean` and the standard deviations `component_scale`. `scores`
    holds the deviations from these means, divided by these standard deviations, (halo, component). The three shifts are
    a random normal deviation with the standard deviation `extra_luminosity_scatter_dex`, the constant
    `normalisation_dex`, and the correction at low masses.

    The deviation of ln kT from its mean is normal. It correlates with the amplitudes of the components as Comparat et
    al. 2020 found, which implies hardly any correlation with luminosity. If `luminosity_temperature_correlation` is a
    number, these correlations aren't used. Instead, this number is the correlation between ln kT and the logarithm of
    the emission inside R500c, at fixed mass and redshift.
    """
    log_kt = _temperature_deviation(scores, parameters, rng)
    extra = np.log(10) * parameters["extra_luminosity_scatter_dex"] * rng.standard_normal(len(redshift))
    mean_profile, mean_log_kt = mean_relations(redshift, log10_mass)
    amplitudes = np.array(parameters["component_mean"]) + np.array(parameters["component_scale"]) * scores
    deviation = amplitudes @ PROFILE[:, 4:].T + extra[:, None]
    correlation = parameters["luminosity_temperature_correlation"]
    if correlation is not None:
        brightness = _brightness_deviation(mean_profile, deviation)
        free = np.sqrt(1 - float(correlation) ** 2) * rng.standard_normal(len(brightness))
        log_kt = np.log(10) * parameters["temperature_scatter_dex"] * (float(correlation) * brightness + free)
    low_mass_dex = low_mass_correction_dex(redshift, log10_mass, parameters, cosmology)
    correction = np.log(10) * (parameters["normalisation_dex"] + low_mass_dex)
    make_profiles = RadialProfiles.smooth if parameters["interpolation"] == "spline" else RadialProfiles.from_nodes
    profiles = make_profiles(PROFILE[:, 0], mean_profile + deviation + correction[:, None])
    return profiles, np.clip(np.exp(mean_log_kt + log_kt), *KT_RANGE)


def _radius_deviations(
    core: FloatArray, parameters: Clusters, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return random deviations of ln(hydrostatic bias) and of ln(scale radius of the profile), both (halo,).

    `core` is the amplitude of the core's component in standard deviations, (halo,). The first deviations have the
    standard deviation `hydrostatic_bias_scatter` exp(-`bias_scatter_core_slope` core). The second ones have the
    standard deviation `shape_radius_scatter`.
    """
    bias_scatter = parameters["hydrostatic_bias_scatter"] * np.exp(-parameters["bias_scatter_core_slope"] * core)
    log_bias = bias_scatter * rng.standard_normal(len(core))
    return log_bias, parameters["shape_radius_scatter"] * rng.standard_normal(len(core))


def _temperature_deviation(scores: FloatArray, parameters: Clusters, rng: np.random.Generator) -> FloatArray:
    """Return random deviations of ln kT, (halo,), which correlate with `scores`.

    `scores` are the amplitudes of the principal components of ln S(r), (halo, component).
    """
    residual = np.sqrt(TEMPERATURE_SCATTER**2 - TEMPERATURE_LOADINGS @ TEMPERATURE_LOADINGS)
    deviation = scores @ TEMPERATURE_LOADINGS + residual * rng.standard_normal(len(scores))
    return deviation / TEMPERATURE_SCATTER * np.log(10) * parameters["temperature_scatter_dex"]


def _brightness_deviation(mean_log_profile: FloatArray, deviation: FloatArray) -> FloatArray:
    """Return by how much ln(emission inside R500c) of each halo deviates from that of its mean profile, (halo,).

    `mean_log_profile` and `deviation` are added to give the halo's profile. The deviations in the result are shifted
    and scaled so that their mean is 0 and their standard deviation is 1.
    """
    one = np.ones(len(deviation))
    actual, mean = (
        RadialProfiles.from_nodes(PROFILE[:, 0], profile).enclosed(one)
        for profile in (mean_log_profile + deviation, mean_log_profile)
    )
    difference = np.log(actual / mean)
    return np.asarray((difference - difference.mean()) / max(float(difference.std()), 1e-9))


@dataclass(frozen=True)
class EmittingHaloes(Rows):
    """Haloes with their gas. Arrays are (halo,). The first halo has the SRC_ID 1, the second 2, and so on."""

    haloes: Haloes
    gas: Gas
    flux: FloatArray  #: inside R500c, 0.5-2 keV observed, unabsorbed, erg/s/cm2
    rate: FloatArray  #: count rate of the whole profile over all detector energies, count/s
    detection_rate: FloatArray  #: count rate in the detection band, 0.2-2.3 keV, count/s

    @property
    def source_ids(self) -> IdArray:
        """Return the SRC_ID of each halo. In `Photons.source`, this number marks the photons from the halo."""
        return np.arange(1, len(self.flux) + 1, dtype=np.int32)


def with_gas(
    haloes: Haloes, sky: Sky, cosmology: Mapping[str, float], spectra: ClusterSpectra, rng: Streams
) -> EmittingHaloes:
    """Return `haloes` with gas that is drawn at random."""
    parameters = sky["clusters"]
    gas = draw_gas(haloes, parameters, cosmology, rng)
    correction = spectra.interpolate(spectra.k_correction, gas.kt_kev, haloes.redshift)
    flux = gas.luminosity * correction / (4 * np.pi * luminosity_distance_cm(haloes.redshift, cosmology) ** 2)
    unit_rate = spectra.interpolate(spectra.spectra.rate, gas.kt_kev, haloes.redshift)
    fraction = spectra.interpolate(spectra.spectra.detection_fraction, gas.kt_kev, haloes.redshift)
    rate = flux * gas.total_over_inside * unit_rate
    return EmittingHaloes(haloes, gas, flux, rate, rate * fraction)
