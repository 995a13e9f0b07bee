"""Spectrum of hot optically thin plasma: bremsstrahlung and line complexes, normalised to a cooling function.

Bremsstrahlung has the Born-approximation Gaunt factor (Greene 1959); lines are complexes of Gaussian shape whose
strength is log-normal in temperature, a stand-in for APEC (Smith et al. 2001) at 0.3 solar abundance. The share of the
lines is set so that the power between 0.5 and 2 keV is that of APEC's cooling function as published with Comparat et
al. 2020. Against APEC, K-corrections are good to 6 % for kT >= 1 keV; the shape of the Fe-L complex inside single
bands is an estimate.
"""

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import k0e

FloatArray: TypeAlias = NDArray[np.float64]

#: line complexes: energy keV, width keV, temperature of peak emissivity keV, width in ln kT, relative power there.
#: Ions, energies and temperatures are those of ionisation equilibrium; the relative powers are estimates.
LINES = np.array(
    [
        [0.25, 0.03, 0.09, 0.50, 6.0],  # Si, S, Mg L shells
        [0.31, 0.01, 0.09, 0.45, 0.6],  # C V
        [0.37, 0.01, 0.12, 0.50, 1.0],  # C VI
        [0.43, 0.01, 0.13, 0.40, 0.3],  # N VI
        [0.50, 0.01, 0.19, 0.50, 0.35],  # N VII
        [0.567, 0.01, 0.18, 0.35, 1.8],  # O VII
        [0.654, 0.01, 0.28, 0.50, 1.5],  # O VIII
        [0.73, 0.01, 0.45, 0.40, 2.9],  # Fe XVII
        [0.826, 0.015, 0.50, 0.40, 2.6],  # Fe XVII, XVIII
        [0.87, 0.02, 0.65, 0.35, 1.2],  # Fe XVIII
        [0.92, 0.02, 0.78, 0.33, 1.1],  # Fe XIX
        [0.915, 0.01, 0.34, 0.35, 0.7],  # Ne IX
        [0.96, 0.02, 0.90, 0.32, 1.2],  # Fe XX
        [1.00, 0.02, 1.00, 0.32, 1.2],  # Fe XXI
        [1.02, 0.01, 0.52, 0.50, 0.6],  # Ne X
        [1.05, 0.02, 1.10, 0.33, 1.1],  # Fe XXII
        [1.10, 0.02, 1.35, 0.38, 1.2],  # Fe XXIII
        [1.15, 0.025, 1.80, 0.50, 1.3],  # Fe XXIV
        [1.34, 0.015, 0.55, 0.40, 0.5],  # Mg XI
        [1.47, 0.01, 0.90, 0.55, 0.4],  # Mg XII
        [1.855, 0.015, 0.90, 0.45, 0.9],  # Si XIII
        [2.005, 0.01, 1.40, 0.60, 0.8],  # Si XIV
        [2.45, 0.015, 1.40, 0.45, 0.5],  # S XV
        [2.62, 0.01, 2.20, 0.60, 0.4],  # S XVI
    ]
)

#: power between 0.5 and 2 keV over that of the bremsstrahlung alone: coefficients of a polynomial in ln(kT / keV) for
#: its logarithm, rising powers; own fit for 0.2-15 keV to the cooling function published with Comparat et al. 2020
POWER_RATIO: tuple[float, ...] = (1.119, -1.4443, 0.1385, 0.4106, -0.0263, -0.099, 0.0239)
#: least share of the lines in the power between 0.5 and 2 keV, reached above about 7 keV
_LINE_SHARE_MIN = 0.01
_BAND = np.linspace(0.5, 2.0, 601)


def bremsstrahlung(energy_kev: ArrayLike, kt_kev: ArrayLike) -> FloatArray:
    """Power of free-free emission per electron and proton, erg cm3 / (s keV).

    6.8e-38 T^-1/2 g exp(-E/kT) per Hz (Rybicki & Lightman Eq. 5.14b) with the Born Gaunt factor
    g = sqrt(3)/pi exp(E/2kT) K0(E/2kT) and sum Z^2 n_ion = 1.39 n_proton (helium included).
    """
    x = np.asarray(energy_kev, dtype=float) / np.asarray(kt_kev, dtype=float)
    kelvin = np.asarray(kt_kev, dtype=float) * 1.160452e7
    hertz_per_kev = 2.417989e17
    # exp(-x) exp(x/2) K0(x/2) = exp(-x) k0e(x/2), k0e being scaled by exp(x/2)
    return 6.8e-38 * hertz_per_kev * 1.39 * np.sqrt(3) / np.pi * np.exp(-x) * k0e(x / 2) / np.sqrt(kelvin)


def cooling_function(kt_kev: ArrayLike) -> FloatArray:
    """Power between 0.5 and 2 keV (rest frame) per electron and proton, erg cm3/s, for 0.2-20 keV."""
    log_kt, log_power = _cooling_table()
    return np.exp(np.interp(np.log(np.asarray(kt_kev, dtype=float)), log_kt, log_power))


@cache
def _cooling_table() -> tuple[FloatArray, FloatArray]:
    log_kt = np.linspace(np.log(0.2), np.log(20.0), 300)
    continuum = _band_power(bremsstrahlung(_BAND, np.exp(log_kt)[:, None]))
    return log_kt, np.log(continuum) + _log_power_ratio(log_kt)


def _log_power_ratio(log_kt: ArrayLike) -> FloatArray:
    inside = np.clip(log_kt, np.log(0.2), np.log(15.0))
    return np.asarray(np.polynomial.polynomial.polyval(inside, POWER_RATIO))


def plasma_power(energy_kev: ArrayLike, kt_kev: float) -> FloatArray:
    """Spectrum of the power per keV at rest-frame energies, for a power of one between 0.5 and 2 keV (rest frame)."""
    energy = np.asarray(energy_kev, dtype=float)
    continuum = bremsstrahlung(energy, kt_kev) / _band_power(bremsstrahlung(_BAND, kt_kev))
    lines = _lines(energy, kt_kev) / _band_power(_lines(_BAND, kt_kev))
    share = line_share(kt_kev)
    return (1 - share) * continuum + share * lines


def line_share(kt_kev: float) -> float:
    """Share of the lines in the power between 0.5 and 2 keV."""
    return float(np.clip(1 - np.exp(-_log_power_ratio(np.log(kt_kev))), _LINE_SHARE_MIN, 1.0))


def _lines(energy: FloatArray, kt_kev: float) -> FloatArray:
    centre, width, peak, spread, strength = LINES.T
    # The lines fade more slowly above their peak: recombination keeps hydrogen-like ions shining.
    offset = np.log(kt_kev / peak)
    amplitude = strength * np.exp(-0.5 * (offset / np.where(offset > 0, 1.5 * spread, spread)) ** 2) / width
    total = np.zeros(energy.shape)
    for position, scale, height in zip(centre, width, amplitude, strict=True):
        total += height * np.exp(-0.5 * ((energy - position) / scale) ** 2)
    return total


def _band_power(spectrum: FloatArray) -> FloatArray:
    return np.asarray(np.trapezoid(spectrum, _BAND, axis=-1))
