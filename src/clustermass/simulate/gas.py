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
from numpy.typing import NDArray

from clustermass.arrays import BoolArray, FloatArray, IdArray, Rows, Streams
from clustermass.cosmology import arcmin_per_mpc, efunc, luminosity_distance_cm, r500c_mpc
from clustermass.simulate.field import Field
from clustermass.simulate.sources import Haloes, draw_haloes
from clustermass.simulate.spectra import ClusterSpectra, cooling_function

if TYPE_CHECKING:
    from clustermass.config.sky_models import Clusters, Sky

CM_PER_MPC = 3.0856776e24
#: lowest and highest temperature of the plasma model, keV
KT_RANGE = (0.2, 20.0)
_AXIS_RATIO_MIN = 0.3
#: pivot of the mean relations: redshift and hydrostatic M500c in Msun
PIVOT_REDSHIFT, PIVOT_MASS = 0.3, 2e14

#: one row per radius: radius / R500c; mean of ln(scaled emission measure / cm-6 Mpc); slopes of this mean with ln z and
#: ln M500c (hydrostatic); loadings of four principal components of unit variance
PROFILE = np.array(
    [
        [0.025, -12.327, -0.115, 0.594, 0.026, 0.942, -0.205, -0.168],
        [0.04, -12.514, -0.086, 0.589, 0.054, 0.882, -0.127, -0.064],
        [0.06, -12.754, -0.034, 0.595, 0.077, 0.781, -0.039, 0.031],
        [0.09, -13.071, 0.018, 0.597, 0.094, 0.649, 0.063, 0.108],
        [0.13, -13.445, 0.066, 0.582, 0.108, 0.514, 0.158, 0.138],
        [0.19, -13.926, 0.097, 0.547, 0.145, 0.363, 0.253, 0.118],
        [0.28, -14.524, 0.121, 0.499, 0.217, 0.21, 0.32, 0.049],
        [0.4, -15.232, 0.122, 0.447, 0.323, 0.082, 0.342, -0.04],
        [0.55, -16.006, 0.123, 0.398, 0.482, -0.006, 0.304, -0.108],
        [0.75, -16.888, 0.122, 0.311, 0.753, -0.054, 0.161, -0.167],
        [1.0, -17.841, 0.118, 0.203, 1.037, -0.087, -0.021, -0.122],
        [1.35, -18.916, 0.008, 0.038, 1.206, -0.094, -0.146, 0.049],
        [1.8, -19.887, -0.066, -0.047, 1.29, -0.098, -0.228, 0.164],
    ]
)

#: the same for ln(kT / keV): mean, slopes with ln z and ln M500c, covariance with the four components
TEMPERATURE_MEAN, TEMPERATURE_SLOPES = 1.341, (0.086, 0.551)
TEMPERATURE_LOADINGS = np.array([-0.004, -0.021, 0.028, 0.042])
#: standard deviation of ln(kT) at fixed redshift and mass (0.065 dex)
TEMPERATURE_SCATTER = 0.150


@dataclass(frozen=True)
class RadialProfiles:
    """Surface brightness profiles: flat inside the first node, power laws between nodes, zero beyond a cut-off."""

    nodes: FloatArray  #: radii, (node,)
    brightness: FloatArray  #: at the nodes, (profile, node)
    slope: FloatArray  #: exponent of r in the growth curve, 2 + d ln(brightness) / d ln(r), (profile, node - 1)
    enclosed_at_nodes: FloatArray  #: integral of the brightness over the disc inside each node, (profile, node)
    total: FloatArray  #: integral inside the cut-off, (profile,)

    @classmethod
    def from_nodes(cls, nodes: FloatArray, log_brightness: FloatArray) -> RadialProfiles:
        """Return profiles with the given ln(brightness) at the radii `nodes`.

        `log_brightness` has the shape (profile, node).
        """
        slope = 2 + np.diff(log_brightness, axis=1) / np.diff(np.log(nodes))
        # A slope of exactly 0 would need a logarithm; a slope of 1e-6 gives the same within rounding.
        slope = np.where(np.abs(slope) < 1e-6, 1e-6, slope)
        brightness = np.exp(log_brightness)
        ratio = nodes[1:] / nodes[:-1]
        rings = 2 * np.pi * brightness[:, :-1] * nodes[:-1] ** 2 * (ratio**slope - 1) / slope
        core = np.pi * nodes[0] ** 2 * brightness[:, :1]
        enclosed = np.cumsum(np.concatenate([core, rings], axis=1), axis=1)
        return cls(nodes, brightness, slope, enclosed, enclosed[:, -1].copy())

    def __getitem__(self, rows: NDArray[np.integer] | BoolArray) -> RadialProfiles:
        """Return the profiles of these `rows`, at the same nodes."""
        by_profile = (self.brightness, self.slope, self.enclosed_at_nodes, self.total)
        return RadialProfiles(self.nodes, *(values[rows] for values in by_profile))

    def enclosed(self, radius: FloatArray) -> FloatArray:
        """Return the integral of each profile over the disc inside its radius. Both arrays are (profile,)."""
        profile = np.arange(len(self.total))
        ring = np.clip(np.searchsorted(self.nodes, radius, side="right") - 1, 0, len(self.nodes) - 2)
        start, slope = self.nodes[ring], self.slope[profile, ring]
        growth = 2 * np.pi * self.brightness[profile, ring] * start**2 * ((radius / start) ** slope - 1) / slope
        core = np.pi * radius**2 * self.brightness[:, 0]
        value = np.where(radius < self.nodes[0], core, self.enclosed_at_nodes[profile, ring] + growth)
        return np.asarray(np.minimum(value, self.total))

    def draw_radius(self, rng: np.random.Generator, profile: NDArray[np.integer]) -> FloatArray:
        """Return a random radius for each photon, (photon,).

        The probability density of a radius is proportional to the radius times the brightness there. `profile` holds
        the row of each photon's profile.
        """
        wanted = rng.random(len(profile)) * self.total[profile]
        ring = (self.enclosed_at_nodes[profile] <= wanted[:, None]).sum(axis=1) - 1
        core = ring < 0
        ring = np.clip(ring, 0, len(self.nodes) - 2)
        start, slope, brightness = self.nodes[ring], self.slope[profile, ring], self.brightness[profile, ring]
        excess = (wanted - self.enclosed_at_nodes[profile, ring]) * slope / (2 * np.pi * brightness * start**2)
        outer = start * np.maximum(1 + np.where(core, 0.0, excess), 1e-12) ** (1 / slope)
        inner = np.sqrt(wanted / (np.pi * self.brightness[profile, 0]))
        return np.where(core, inner, outer)


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


def draw_gas(haloes: Haloes, parameters: Clusters, cosmology: Mapping[str, float], rng: np.random.Generator) -> Gas:
    """Return the gas of `haloes`, drawn from the distributions in the config block `clusters`.

    S(r) is the scaled emission measure. M is the hydrostatic mass, which is M500c times `hydrostatic_bias`. The means
    of ln S(r) and ln kT are linear in ln(z / 0.3) and ln(M / 2e14 Msun) (`PROFILE`, `TEMPERATURE_MEAN`). Four principal
    components with normal amplitudes are added to the mean of ln S(r). Three shifts move the whole profile of ln S(r):
    a normal deviation with the standard deviation `extra_luminosity_scatter_dex`, the constant `normalisation_dex`, and
    the correction at low masses (`_low_mass_correction_dex`). The emission measure along the line of sight is S (kT /
    10 keV)^0.5 E(z)^3. With the cooling function Lambda, the luminosity inside R500c of the true mass is therefore

        L500 = Lambda(kT) (kT / 10 keV)^0.5 E(z)^3 * integral of S(r) 2 pi r dr to R500c.

    The deviation of ln kT from its mean is normal. It correlates with the amplitudes of the components as Comparat et
    al. 2020 found, which implies hardly any correlation with luminosity. If `luminosity_temperature_correlation` is a
    number, these correlations aren't used. Instead, this number is the correlation between ln kT and the logarithm of
    the emission inside R500c, at fixed mass and redshift. Each profile is cut at a radius such that its flux outside
    R500c is at most `outskirts_flux_max` times its flux inside R500c.
    """
    log_mass = haloes.log10_m500c + np.log10(parameters["hydrostatic_bias"])
    scores = rng.standard_normal((len(haloes), PROFILE.shape[1] - 4))
    log_kt = _temperature_deviation(scores, parameters, rng)
    extra = np.log(10) * parameters["extra_luminosity_scatter_dex"] * rng.standard_normal(len(haloes))
    mean_profile, mean_log_kt = _mean_relations(haloes.redshift, log_mass)
    deviation = scores @ PROFILE[:, 4:].T + extra[:, None]
    correlation = parameters["luminosity_temperature_correlation"]
    if correlation is not None:
        brightness = _brightness_deviation(mean_profile, deviation)
        free = np.sqrt(1 - float(correlation) ** 2) * rng.standard_normal(len(brightness))
        log_kt = np.log(10) * parameters["temperature_scatter_dex"] * (float(correlation) * brightness + free)
    kt = np.clip(np.exp(mean_log_kt + log_kt), *KT_RANGE)
    low_mass_dex = _low_mass_correction_dex(haloes.redshift, log_mass, parameters, cosmology)
    correction = np.log(10) * (parameters["normalisation_dex"] + low_mass_dex)
    log_profile = mean_profile + deviation + correction[:, None]
    radius = r500c_mpc(log_mass, haloes.redshift, cosmology)
    true_radius = r500c_mpc(haloes.log10_m500c, haloes.redshift, cosmology)
    profiles = RadialProfiles.from_nodes(PROFILE[:, 0], log_profile)
    inside = profiles.enclosed(true_radius / radius)
    limit = inside * (1 + parameters["outskirts_flux_max"])
    profiles = replace(profiles, total=np.minimum(profiles.total, limit))
    arcmin = arcmin_per_mpc(haloes.redshift, cosmology)
    ratio = rng.normal(parameters["axis_ratio_mean"], parameters["axis_ratio_std"], len(haloes))
    return Gas(
        kt_kev=kt,
        luminosity=inside * _luminosity_per_integral(kt, haloes.redshift, radius, cosmology),
        total_over_inside=profiles.total / inside,
        profiles=profiles,
        scale_arcmin=radius * arcmin,
        r500_arcmin=true_radius * arcmin,
        axis_ratio=np.clip(ratio, _AXIS_RATIO_MIN, 1.0),
        position_angle=np.pi * rng.random(len(haloes)),
    )


def mean_luminosity(redshift: FloatArray, log10_hydrostatic: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Return the luminosity inside R500c (erg/s, 0.5-2 keV rest frame) of haloes with the mean S(r) and kT, (halo,).

    The mean S(r) and kT are those of `_mean_relations`, without corrections.
    """
    log_profile, log_kt = _mean_relations(redshift, log10_hydrostatic)
    profiles, kt = RadialProfiles.from_nodes(PROFILE[:, 0], log_profile), np.clip(np.exp(log_kt), *KT_RANGE)
    radius = r500c_mpc(log10_hydrostatic, redshift, cosmology)
    return profiles.enclosed(np.ones_like(radius)) * _luminosity_per_integral(kt, redshift, radius, cosmology)


def _luminosity_per_integral(
    kt: FloatArray, redshift: FloatArray, radius_mpc: FloatArray, cosmology: Mapping[str, float]
) -> FloatArray:
    scaling = np.sqrt(kt / 10) * efunc(redshift, cosmology) ** 3
    return cooling_function(kt) * scaling * radius_mpc**2 * CM_PER_MPC**3


def _mean_relations(redshift: FloatArray, log10_mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the means of ln S(r) and of ln kT at given redshift and hydrostatic mass.

    The mean of ln S(r) has the shape (halo, node), and the mean of ln kT the shape (halo,).
    """
    log_z, log_m = np.log(redshift / PIVOT_REDSHIFT), np.log(10) * log10_mass - np.log(PIVOT_MASS)
    _, mean, slope_z, slope_m = PROFILE[:, :4].T
    log_profile = mean + log_z[:, None] * slope_z + log_m[:, None] * slope_m
    return log_profile, TEMPERATURE_MEAN + TEMPERATURE_SLOPES[0] * log_z + TEMPERATURE_SLOPES[1] * log_m


def _temperature_deviation(scores: FloatArray, parameters: Clusters, rng: np.random.Generator) -> FloatArray:
    """Return random deviations of ln kT, (halo,), which correlate with `scores`.

    `scores` are the amplitudes of the principal components of ln S(r), (halo, component).
    """
    residual = np.sqrt(TEMPERATURE_SCATTER**2 - TEMPERATURE_LOADINGS @ TEMPERATURE_LOADINGS)
    deviation = scores @ TEMPERATURE_LOADINGS + residual * rng.standard_normal(len(scores))
    return deviation / TEMPERATURE_SCATTER * np.log(10) * parameters["temperature_scatter_dex"]


def _brightness_deviation(mean_log_profile: FloatArray, deviation: FloatArray) -> FloatArray:
    """Return the deviation of ln(emission inside R500c) from its value for the halo's mean profile, (halo,).

    The deviations are shifted and scaled so that their mean is 0 and their standard deviation is 1.
    """
    one = np.ones(len(deviation))
    actual, mean = (
        RadialProfiles.from_nodes(PROFILE[:, 0], profile).enclosed(one)
        for profile in (mean_log_profile + deviation, mean_log_profile)
    )
    difference = np.log(actual / mean)
    return np.asarray((difference - difference.mean()) / max(float(difference.std()), 1e-9))


def _low_mass_correction_dex(
    redshift: FloatArray, log10_mass: FloatArray, parameters: Clusters, cosmology: Mapping[str, float]
) -> FloatArray:
    """Return the shift of log10 S that steepens the luminosity relation below M_0 = 10^`low_mass_log10_m500c` Msun.

    Lbar(M, z) is the `mean_luminosity` at the hydrostatic mass M, and s is `low_mass_slope`. Below M_0, the corrected
    mean luminosity is a power law of M with the slope s:

        shift(M, z) = log10 Lbar(M_0, z) + s log10(M / M_0) - log10 Lbar(M, z)   for M < M_0, else 0.
    """
    correction = np.zeros(len(redshift))
    threshold = parameters["low_mass_log10_m500c"]
    low = log10_mass < threshold
    z, mass = redshift[low], log10_mass[low]
    anchor = np.log10(mean_luminosity(z, np.full(len(z), threshold), cosmology))
    wanted = anchor + parameters["low_mass_slope"] * (mass - threshold)
    correction[low] = wanted - np.log10(mean_luminosity(z, mass, cosmology))
    return correction


@dataclass(frozen=True)
class EmittingHaloes(Rows):
    """Haloes with their gas. Arrays are (halo,). The SRC_ID is 1, 2, ... in this order."""

    haloes: Haloes
    gas: Gas
    flux: FloatArray  #: inside R500c, 0.5-2 keV observed, unabsorbed, erg/s/cm2
    rate: FloatArray  #: count rate of the whole profile over all detector energies, count/s
    detection_rate: FloatArray  #: count rate in the detection band, 0.2-2.3 keV, count/s

    @property
    def source_ids(self) -> IdArray:
        """Return the SRC_ID of each halo. In `Photons.source`, it marks the photons from this halo."""
        return np.arange(1, len(self.flux) + 1, dtype=np.int32)


def emitting_haloes(
    sky: Sky, cosmology: Mapping[str, float], field: Field, spectra: ClusterSpectra, rng: Streams
) -> EmittingHaloes:
    """Return the haloes of `field` above the flux limit `flux_min_cgs`, drawn at random together with their gas."""
    haloes = all_haloes(sky, cosmology, field, spectra, rng)
    return haloes[haloes.flux >= sky["clusters"]["flux_min_cgs"]]


def all_haloes(
    sky: Sky, cosmology: Mapping[str, float], field: Field, spectra: ClusterSpectra, rng: Streams
) -> EmittingHaloes:
    """Return all haloes of `field`, bright or faint, drawn at random together with their gas."""
    parameters = sky["clusters"]
    haloes = draw_haloes(field, parameters, cosmology, rng["haloes"])
    gas = draw_gas(haloes, parameters, cosmology, rng["gas"])
    correction = spectra.interpolate(spectra.k_correction, gas.kt_kev, haloes.redshift)
    flux = gas.luminosity * correction / (4 * np.pi * luminosity_distance_cm(haloes.redshift, cosmology) ** 2)
    unit_rate = spectra.interpolate(spectra.spectra.rate, gas.kt_kev, haloes.redshift)
    fraction = spectra.interpolate(spectra.spectra.detection_fraction, gas.kt_kev, haloes.redshift)
    rate = flux * gas.total_over_inside * unit_rate
    return EmittingHaloes(haloes, gas, flux, rate, rate * fraction)
