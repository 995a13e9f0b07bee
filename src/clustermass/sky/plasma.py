"""Spectrum of hot optically thin plasma: bremsstrahlung and line complexes, scaled to a cooling function.

Bremsstrahlung has the Born-approximation Gaunt factor (Greene 1959) and a correction for what the approximation lacks;
lines are complexes of Gaussian shape whose power is log-normal in temperature. Both are fitted to published numbers of
APEC (Smith et al. 2001) of AtomDB 3.1.3 at 0.3 solar abundance (Anders & Grevesse 1989): the power between 0.5 and
2 keV to 4 % (1 % for kT >= 0.65 keV), its shares in six bands to 2.5 % for kT >= 1 keV but for one of 5 %.
"""

from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import k0e

FloatArray: TypeAlias = NDArray[np.float64]

#: line complexes: energy keV, width keV, temperature of peak power keV, width in ln kT below and above it, power at the
#: peak in 1e-24 erg cm3/s per electron and hydrogen nucleus. Energies are those of the ions' lines and temperatures
#: were kept near their ionisation equilibrium; a least-squares fit to APEC sets the rest but for the marked estimates.
LINES = np.array(
    [
        [0.25, 0.03, 0.09, 0.50, 0.50, 6.0],  # Si, S, Mg L shells: estimate
        [0.31, 0.01, 0.09, 0.45, 0.45, 0.5],  # C V: estimate
        [0.37, 0.01, 0.12, 0.50, 0.80, 0.45],  # C VI: estimate
        [0.43, 0.01, 0.13, 0.40, 0.40, 0.15],  # N VI: estimate
        [0.50, 0.01, 0.19, 0.50, 0.80, 0.12],  # N VII: estimate
        [0.567, 0.01, 0.18, 0.35, 0.44, 2.24],  # O VII
        [0.654, 0.01, 0.26, 0.50, 0.77, 0.76],  # O VIII
        [0.73, 0.01, 0.46, 0.54, 0.34, 1.98],  # Fe XVII 3s-2p
        [0.775, 0.015, 0.66, 0.31, 0.25, 0.67],  # Fe XVIII 3s-2p
        [0.776, 0.01, 0.29, 0.50, 0.60, 0.23],  # O VIII beta
        [0.826, 0.015, 0.54, 0.51, 0.33, 1.68],  # Fe XVII 3d-2p
        [0.87, 0.02, 0.73, 0.28, 0.22, 1.53],  # Fe XVIII 3d-2p
        [0.915, 0.01, 0.35, 0.36, 0.35, 0.40],  # Ne IX
        [0.92, 0.02, 0.84, 0.32, 0.24, 1.00],  # Fe XIX
        [0.965, 0.02, 0.97, 0.23, 0.21, 0.94],  # Fe XX
        [1.00, 0.02, 1.00, 0.29, 0.27, 0.36],  # Fe XXI
        [1.02, 0.01, 0.50, 0.52, 0.87, 0.46],  # Ne X, Fe XVII 4d-2p
        [1.05, 0.02, 1.09, 0.31, 0.33, 0.38],  # Fe XXII
        [1.12, 0.02, 1.27, 0.77, 0.46, 0.23],  # Fe XXIII, XXIV
        [1.165, 0.015, 1.86, 0.79, 0.74, 0.15],  # Fe XXIV
        [1.24, 0.04, 0.73, 0.63, 0.38, 0.24],  # Fe XIX, XX 4d-2p, Ne X beta
        [1.34, 0.015, 0.54, 0.46, 0.56, 0.15],  # Mg XI
        [1.45, 0.07, 1.14, 0.30, 0.26, 0.21],  # Fe XXI-XXIV n = 4-2
        [1.47, 0.01, 0.95, 0.52, 0.99, 0.09],  # Mg XII
        [1.855, 0.015, 0.87, 0.52, 0.44, 0.18],  # Si XIII
        [2.005, 0.01, 1.41, 0.60, 1.18, 0.052],  # Si XIV
        [2.20, 0.03, 0.96, 0.54, 0.47, 0.02],  # Si XIII, XIV beta
        [2.45, 0.015, 1.24, 0.53, 0.47, 0.09],  # S XV
        [2.62, 0.01, 2.09, 0.87, 1.27, 0.049],  # S XVI
        [3.12, 0.03, 1.90, 0.63, 0.50, 0.014],  # Ar XVII, XVIII
        [3.90, 0.05, 2.97, 0.54, 0.51, 0.0065],  # Ca XIX, XX
    ]
)

#: continuum over Born bremsstrahlung of hydrogen and helium: a + b (kT / keV)^-c (E / keV)^d. The first term holds the
#: free-free emission of the metals, the second recombination and the failing of Born's approximation; fit to APEC.
CONTINUUM: tuple[float, float, float, float] = (1.057, 0.476, 1.16, 0.38)

#: cooling function published with Comparat et al. 2020 over the power of this model: kT keV, ratio; own fit
COOLING_RATIO: tuple[tuple[float, float], ...] = (
    (0.2, 0.784), (0.28, 0.840), (0.45, 0.900), (0.8, 0.899), (1.2, 0.957), (2.5, 0.905), (15.0, 0.878),
)  # fmt: skip
_BAND = np.linspace(0.5, 2.0, 601)


def bremsstrahlung(energy_kev: ArrayLike, kt_kev: ArrayLike) -> FloatArray:
    """Power of free-free emission per electron and hydrogen nucleus in Born's approximation, erg cm3 / (s keV).

    6.8e-38 T^-1/2 g exp(-E/kT) per Hz (Rybicki & Lightman Eq. 5.14b) with the Born Gaunt factor
    g = sqrt(3)/pi exp(E/2kT) K0(E/2kT) and sum Z^2 n_ion = 1.39 n_hydrogen (helium included).
    """
    x = np.asarray(energy_kev, dtype=float) / np.asarray(kt_kev, dtype=float)
    kelvin = np.asarray(kt_kev, dtype=float) * 1.160452e7
    hertz_per_kev = 2.417989e17
    # exp(-x) exp(x/2) K0(x/2) = exp(-x) k0e(x/2), k0e being scaled by exp(x/2)
    return 6.8e-38 * hertz_per_kev * 1.39 * np.sqrt(3) / np.pi * np.exp(-x) * k0e(x / 2) / np.sqrt(kelvin)


def emissivity(energy_kev: ArrayLike, kt_kev: float) -> FloatArray:
    """Power per electron and hydrogen nucleus at rest-frame energies, erg cm3 / (s keV), on APEC's scale."""
    energy = np.asarray(energy_kev, dtype=float)
    constant, excess, kt_slope, energy_slope = CONTINUUM
    correction = constant + excess * kt_kev**-kt_slope * energy**energy_slope
    return bremsstrahlung(energy, kt_kev) * correction + _lines(energy, kt_kev)


def plasma_power(energy_kev: ArrayLike, kt_kev: float) -> FloatArray:
    """Spectrum of the power per keV at rest-frame energies, for a power of one between 0.5 and 2 keV (rest frame)."""
    return emissivity(energy_kev, kt_kev) / _band_power(kt_kev)


def cooling_function(kt_kev: ArrayLike) -> FloatArray:
    """Power between 0.5 and 2 keV (rest frame), erg cm3/s, for 0.2-20 keV on the scale of Comparat et al. 2020."""
    log_kt, log_power = _cooling_table()
    return np.exp(np.interp(np.log(np.asarray(kt_kev, dtype=float)), log_kt, log_power))


@cache
def _cooling_table() -> tuple[FloatArray, FloatArray]:
    log_kt = np.linspace(np.log(0.2), np.log(20.0), 300)
    nodes, ratio = np.array(COOLING_RATIO).T
    power = np.array([_band_power(kt) for kt in np.exp(log_kt)])
    return log_kt, np.log(power * np.interp(log_kt, np.log(nodes), ratio))


def _band_power(kt_kev: float) -> float:
    return float(np.trapezoid(emissivity(_BAND, kt_kev), _BAND))


def _lines(energy: FloatArray, kt_kev: float) -> FloatArray:
    centre, width, peak, below, above, power = LINES.T
    offset = np.log(kt_kev / peak)
    height = 1e-24 * power * np.exp(-0.5 * (offset / np.where(offset > 0, above, below)) ** 2) / width
    total = np.zeros(energy.shape)
    for position, scale, amplitude in zip(centre, width, height / np.sqrt(2 * np.pi), strict=True):
        total += amplitude * np.exp(-0.5 * ((energy - position) / scale) ** 2)
    return total
