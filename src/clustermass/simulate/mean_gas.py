"""Mean gas of haloes: emission profile, temperature and luminosity at given redshift and hydrostatic mass.

The means and the components of the scatter follow from the covariance of Comparat et al. 2020. The scaled emission
measure S(r) is the emission measure along the line of sight, divided by (kT / 10 keV)^0.5 E(z)^3. Radii are in units of
R500c of the hydrostatic mass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from clustermass.arrays import FloatArray
from clustermass.cosmology import efunc, r500c_mpc
from clustermass.simulate.profiles import RadialProfiles
from clustermass.simulate.spectra import cooling_function

if TYPE_CHECKING:
    from clustermass.config.source_models import Clusters

CM_PER_MPC = 3.0856776e24
#: lowest and highest temperature of the plasma model, keV
KT_RANGE = (0.2, 20.0)
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

COMPONENTS = PROFILE.shape[1] - 4

#: the same for ln(kT / keV): mean, slopes with ln z and ln M500c, covariance with the four components
TEMPERATURE_MEAN, TEMPERATURE_SLOPES = 1.341, (0.086, 0.551)
TEMPERATURE_LOADINGS = np.array([-0.004, -0.021, 0.028, 0.042])
#: standard deviation of ln(kT) at fixed redshift and mass (0.065 dex)
TEMPERATURE_SCATTER = 0.150


def mean_relations(redshift: FloatArray, log10_mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the means of ln S(r) and of ln kT at given redshift and hydrostatic mass.

    The mean of ln S(r) has the shape (halo, node), and the mean of ln kT the shape (halo,).
    """
    log_z, log_m = np.log(redshift / PIVOT_REDSHIFT), np.log(10) * log10_mass - np.log(PIVOT_MASS)
    _, mean, slope_z, slope_m = PROFILE[:, :4].T
    log_profile = mean + log_z[:, None] * slope_z + log_m[:, None] * slope_m
    return log_profile, TEMPERATURE_MEAN + TEMPERATURE_SLOPES[0] * log_z + TEMPERATURE_SLOPES[1] * log_m


def mean_luminosity(redshift: FloatArray, log10_hydrostatic: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Return the luminosity inside R500c (erg/s, 0.5-2 keV rest frame) of haloes with the mean S(r) and kT, (halo,).

    The mean S(r) and kT are those of `mean_relations`, without corrections.
    """
    log_profile, log_kt = mean_relations(redshift, log10_hydrostatic)
    profiles, kt = RadialProfiles.from_nodes(PROFILE[:, 0], log_profile), np.clip(np.exp(log_kt), *KT_RANGE)
    radius = r500c_mpc(log10_hydrostatic, redshift, cosmology)
    return profiles.enclosed(np.ones_like(radius)) * luminosity_per_integral(kt, redshift, radius, cosmology)


def luminosity_per_integral(
    kt: FloatArray, redshift: FloatArray, radius_mpc: FloatArray, cosmology: Mapping[str, float]
) -> FloatArray:
    """Return the luminosity (erg/s, 0.5-2 keV rest frame) divided by the integral of S(r) over a disc, (halo,).

    In the integral, r is in units of R = `radius_mpc`. `kt` is in keV. All arrays are (halo,). The result is
    Lambda(kT) (kT / 10 keV)^0.5 E(z)^3 R^2, where Lambda is the cooling function. S is in cm-6 Mpc and R in Mpc, so the
    result contains a factor that converts Mpc^3 to cm^3.
    """
    scaling = np.sqrt(kt / 10) * efunc(redshift, cosmology) ** 3
    return cooling_function(kt) * scaling * radius_mpc**2 * CM_PER_MPC**3


def low_mass_correction_dex(
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


def luminosity_response(component_mean: list[float]) -> FloatArray:
    """Return d ln L / d (amplitude) for each principal component of ln S(r), (component,).

    L is the luminosity inside R500c. The derivative is taken at the pivot of mass and redshift, and at the amplitudes
    `component_mean`, (component,).
    """
    steps = 0.01 * np.concatenate([np.eye(COMPONENTS), -np.eye(COMPONENTS)])
    log_profile = PROFILE[:, 1] + (np.array(component_mean) + steps) @ PROFILE[:, 4:].T
    emission = RadialProfiles.from_nodes(PROFILE[:, 0], log_profile).enclosed(np.ones(len(steps)))
    above, below = np.log(emission).reshape(2, COMPONENTS)
    return np.asarray((above - below) / 0.02)
