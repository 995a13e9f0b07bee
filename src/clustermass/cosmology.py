"""Conversions of mass, radius and distance in flat LCDM. Masses are log10(M500c / Msun), without factors of h.

`parameters` has the same meaning in all functions. `flat_lcdm` describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from numpy.typing import ArrayLike

from clustermass.arrays import FloatArray

if TYPE_CHECKING:
    from astropy.cosmology import FlatLambdaCDM

#: flat LCDM of Chiu et al. 2022 (A&A 661, A11), in which the published scaling relations are stated
PUBLISHED_RELATIONS = {"h0_km_s_mpc": 70.0, "omega_m": 0.3}


def flat_lcdm(parameters: Mapping[str, float]) -> FlatLambdaCDM:
    """Return the flat LCDM cosmology of `parameters`, whose keys are `h0_km_s_mpc` (H0 in km/s/Mpc) and `omega_m`."""
    return _flat_lcdm(float(parameters["h0_km_s_mpc"]), float(parameters["omega_m"]))


@cache
def _flat_lcdm(h0_km_s_mpc: float, omega_m: float) -> FlatLambdaCDM:
    # the import takes half a second, which most steps that import this module don't need
    from astropy.cosmology import FlatLambdaCDM

    # astropy takes 14 ms to make the object, longer than most computations with it
    return FlatLambdaCDM(H0=h0_km_s_mpc * u.km / u.s / u.Mpc, Om0=omega_m)


def r500c_mpc(log10_m500c: ArrayLike, redshift: ArrayLike, parameters: Mapping[str, float]) -> FloatArray:
    """Return the radius R500c of haloes in proper Mpc, from M500c = 4/3 * pi * 500 * rho_crit(z) * R500c^3."""
    density = flat_lcdm(parameters).critical_density(np.asarray(redshift)).to_value(u.Msun / u.Mpc**3)
    return np.asarray((3 * 10 ** np.asarray(log10_m500c) / (4 * np.pi * 500 * density)) ** (1 / 3), dtype=float)


def arcmin_per_mpc(redshift: ArrayLike, parameters: Mapping[str, float]) -> FloatArray:
    """Return the angle in arcmin that one proper Mpc spans at `redshift`."""
    distance = flat_lcdm(parameters).angular_diameter_distance(np.asarray(redshift)).to_value(u.Mpc)
    return np.asarray(np.degrees(1 / distance) * 60, dtype=float)


def luminosity_distance_cm(redshift: ArrayLike, parameters: Mapping[str, float]) -> FloatArray:
    """Return the luminosity distance to `redshift` in cm."""
    return np.asarray(flat_lcdm(parameters).luminosity_distance(np.asarray(redshift)).to_value(u.cm), dtype=float)


def efunc(redshift: ArrayLike, parameters: Mapping[str, float]) -> FloatArray:
    """Return E(z) = H(z) / H0 at `redshift`."""
    return np.asarray(flat_lcdm(parameters).efunc(np.asarray(redshift)), dtype=float)
