"""Gas mass, bolometric luminosity and cool core of the drawn gas. The photons don't depend on these properties."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from scipy.interpolate import make_interp_spline

from clustermass.arrays import FloatArray, IdArray
from clustermass.cosmology import arcmin_per_mpc, efunc
from clustermass.simulate.gas import Gas
from clustermass.simulate.mean_gas import CM_PER_MPC, KT_RANGE
from clustermass.simulate.profiles import RadialProfiles
from clustermass.simulate.spectra import emissivity

#: helium nuclei per hydrogen nucleus (Anders & Grevesse 1989), as in the spectra
_HELIUM = 0.0977
_ELECTRONS, _NUCLEONS = 1 + 2 * _HELIUM, 1 + 4 * _HELIUM  # per hydrogen nucleus
_PROTON_G, _MSUN_G = 1.67262192e-24, 1.98840987e33
#: step of ln(radius) in the deprojection
_STEP = 0.03
#: share of the flux at which a core counts as a moderate and as a strong cool core (Santos et al. 2008)
_CORES = (0.075, 0.155)


def gas_mass(gas: Gas, redshift: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Return the gas mass of each halo in Msun, inside R500c of the true mass, (halo,).

    The gas is assumed to be spherical. `redshift` is (halo,).
    """
    radius, emissivities = deprojected(gas.profiles)
    scale_mpc = gas.scale_arcmin / arcmin_per_mpc(redshift, cosmology)
    factor = np.sqrt(gas.kt_kev / 10) * efunc(redshift, cosmology) ** 3 / scale_mpc  # electrons x hydrogen, cm-6
    shells = np.sqrt(emissivities) * radius**3
    inner = shells[:, :1] / 3  # the core inside the first radius has a constant density
    rings = (shells[:, 1:] + shells[:, :-1]) / 2 * _STEP
    inside = np.cumsum(np.concatenate([inner, rings], axis=1), axis=1)
    position = np.log(gas.r500_arcmin / gas.scale_arcmin / radius[0]) / _STEP
    row, halo = position.astype(int), np.arange(len(position))
    volume = inside[halo, row] + (position - row) * rings[halo, row]
    grams = _NUCLEONS * _PROTON_G * np.sqrt(factor / _ELECTRONS) * 4 * np.pi * volume * (scale_mpc * CM_PER_MPC) ** 3
    return np.asarray(grams / _MSUN_G)


def deprojected(profiles: RadialProfiles) -> tuple[FloatArray, FloatArray]:
    """Return the emission per volume that would be seen as the brightness `profiles` in projection.

    The first result holds radii (radius,), each 3 % larger than the one before, in the unit of the profiles' radii. The
    second result holds the emission per volume at these radii, (profile, radius). Its unit is that of the brightness
    divided by that of the radii. Beyond its last node, a profile is continued as a power law, to ten times the node's
    radius.

    The emission at a radius r is the Abel integral, which is -1 / pi times the integral of dS/dR (R^2 - r^2)^-1/2 dR
    from r outwards. Here S is the brightness at the projected radius R. Between neighbouring radii, S is assumed to be
    linear in R^2. Negative emission is set to 0.
    """
    nodes = profiles.nodes
    steps = int(np.log(40 * nodes[-1] / nodes[0]) / _STEP)
    radius = nodes[0] / 4 * np.exp(_STEP * np.arange(steps + 1))
    line = make_interp_spline(np.log(nodes), np.log(profiles.brightness), k=1, axis=1)
    slope = np.diff(np.exp(line(np.log(np.maximum(radius, nodes[0])))), axis=1) / np.diff(radius**2)
    root = np.sqrt(np.maximum(radius**2 - radius[:, None] ** 2, 0.0))
    return radius[:-1], np.maximum(slope @ np.diff(root, axis=1)[:-1].T * (-2 / np.pi), 0.0)


def bolometric_luminosity(gas: Gas) -> FloatArray:
    """Return the luminosity of each halo in erg/s, at 0.01-100 keV (rest frame) inside R500c of the true mass, (halo,).

    The luminosities of gas cooler than 1 keV are too low, because the spectra have no lines below 0.25 keV.
    """
    log_kt, ratio = _bolometric_ratio()
    return gas.luminosity * np.interp(np.log(gas.kt_kev), log_kt, ratio)


@cache
def _bolometric_ratio() -> tuple[FloatArray, FloatArray]:
    """Return ln(kT / keV) on a grid, and the ratio of power at 0.01-100 keV to power at 0.5-2 keV for each kT."""
    log_kt = np.linspace(np.log(KT_RANGE[0]), np.log(KT_RANGE[1]), 40)
    energy = np.geomspace(0.01, 100, 8001)
    soft = (energy >= 0.5) & (energy <= 2)
    power = np.stack([emissivity(energy, kt) for kt in np.exp(log_kt)])
    return log_kt, np.asarray(np.trapezoid(power, energy) / np.trapezoid(power[:, soft], energy[soft]))


def concentration(gas: Gas, redshift: FloatArray, cosmology: Mapping[str, float]) -> FloatArray:
    """Return the flux of haloes inside 40 kpc, divided by that inside 400 kpc (Santos et al. 2008), (halo,)."""
    scale = arcmin_per_mpc(redshift, cosmology)
    return gas.flux_over_r500(0.04 * scale) / gas.flux_over_r500(0.4 * scale)


def core_class(concentrated: FloatArray) -> IdArray:
    """Return 0 for haloes without a cool core, 1 for moderate and 2 for strong cool cores, (halo,).

    The argument is the result of `concentration`. The limits 0.075 and 0.155 are those of Santos et al. 2008.
    """
    return np.digitize(concentrated, _CORES).astype(np.int32)
