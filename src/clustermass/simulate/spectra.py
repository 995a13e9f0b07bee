"""Photon spectra of plasmas and power laws, their absorption, and count spectra, which give energies of events."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import k0e

from clustermass.arrays import Float32Array, FloatArray, IntArray
from clustermass.simulate.telescope import Response

ERG_PER_KEV = 1.602176634e-9
#: probabilities at which the energies of a spectrum are tabulated
_QUANTILES = np.linspace(0.0, 1.0, 1025)

#: Morrison & McCammon 1983 (ApJ 270, 119), Table 2: lower edge keV and c0, c1, c2 of
#: sigma = (c0 + c1 E + c2 E^2) E^-3 1e-24 cm2 per hydrogen atom, solar abundances
_MORRISON_MCCAMMON = np.array([
    [0.030, 17.3, 608.1, -2150.0], [0.100, 34.6, 267.9, -476.1], [0.284, 78.1, 18.8, 4.3],
    [0.400, 71.4, 66.8, -51.4], [0.532, 95.5, 145.8, -61.1], [0.707, 308.9, -380.6, 294.0],
    [0.867, 120.6, 169.3, -47.7], [1.303, 141.3, 146.8, -31.5], [1.840, 202.7, 104.7, -17.0],
    [2.471, 342.7, 18.7, 0.0], [3.210, 352.2, 18.7, 0.0], [4.038, 433.9, -2.4, 0.75],
    [7.111, 629.0, 30.9, 0.0], [8.331, 701.2, 25.2, 0.0],
])  # fmt: skip


def transmission(energy_kev: ArrayLike, nh_cm2: float) -> FloatArray:
    """Return the share of photons of `energy_kev` (0.03-10 keV) that pass a hydrogen column (Morrison & McCammon)."""
    energy = np.asarray(energy_kev, dtype=float)
    row = np.clip(np.searchsorted(_MORRISON_MCCAMMON[:, 0], energy, side="right") - 1, 0, None)
    c0, c1, c2 = np.moveaxis(_MORRISON_MCCAMMON[row, 1:], -1, 0)
    cross_section = (c0 + c1 * energy + c2 * energy**2) / energy**3 * 1e-24
    return np.exp(-nh_cm2 * cross_section)


def power_law(energy_kev: ArrayLike, photon_index: float) -> FloatArray:
    """Return the unabsorbed photon spectrum E^-index in photon / (s cm2 keV), for a 0.5-2 keV flux of 1 erg/s/cm2."""
    if abs(photon_index - 2) < 1e-9:
        energy_flux = np.log(2.0 / 0.5)
    else:
        energy_flux = (2.0 ** (2 - photon_index) - 0.5 ** (2 - photon_index)) / (2 - photon_index)
    return np.asarray(energy_kev, dtype=float) ** -photon_index / (energy_flux * ERG_PER_KEV)


@dataclass(frozen=True)
class CountSpectra:
    """Spectra folded with the telescope's response. The energies of events are drawn from them."""

    rate: FloatArray  #: count rate over all detector energies of the response, count/s; (spectra,)
    detection_fraction: FloatArray  #: part of these counts in the detection band 0.2-2.3 keV; (spectra,)
    quantiles: Float32Array  #: detector energy in eV at equidistant probabilities; (spectra, probabilities)

    @classmethod
    def from_photons(cls, photon_spectra: FloatArray, response: Response) -> "CountSpectra":
        """Return the count spectra that result if photon spectra are folded with `response`.

        `photon_spectra` are in photon / (s cm2 keV) at the photon energies of `response`, (spectrum, photon energy).
        """
        return cls.from_counts(response.fold(np.atleast_2d(photon_spectra)), response)

    @classmethod
    def from_counts(cls, counts: FloatArray, response: Response) -> "CountSpectra":
        """Return count spectra from tables of count/s in each PI bin of `response`, (spectrum, PI bin)."""
        rate = counts.sum(axis=1)
        # a spectrum without counts gets a flat table, from which nothing is drawn
        shape = np.where(rate[:, None] > 0, counts, 1.0)
        cumulative = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(shape, axis=1)], axis=1)
        cumulative /= cumulative[:, -1:]
        quantiles = np.stack([np.interp(_QUANTILES, row, response.pi_edges_ev) for row in cumulative])
        return cls(rate, response.detection_band_fraction(counts), quantiles.astype(np.float32))

    def draw_energy(self, rng: np.random.Generator, spectrum: NDArray[np.integer] | int, number: int) -> Float32Array:
        """Return `number` random detector energies in eV.

        If `spectrum` is a number, it is the row of the spectrum from which all energies are drawn. Otherwise it holds
        such a row for each energy, (number,).
        """
        position = rng.random(number, dtype=np.float32) * np.float32(len(_QUANTILES) - 1)
        lower = np.minimum(position.astype(np.int32), len(_QUANTILES) - 2)
        position -= lower
        start, end = self.quantiles[spectrum, lower], self.quantiles[spectrum, lower + 1]
        return np.minimum(start + position * (end - start), np.nextafter(self.quantiles[0, -1], np.float32(0)))


#: line complexes: energy keV, width keV, temperature of peak power keV, width in ln kT below and above it, power at the
#: peak in 1e-24 erg cm3/s per electron and hydrogen nucleus. Energies are those of the ions' lines; temperatures
#: were kept near ionisation equilibrium. All else, except the marked estimates, is a least-squares fit to APEC.
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

#: continuum / Born bremsstrahlung of hydrogen and helium = a + b (kT / keV)^-c (E / keV)^d, fitted to APEC. The first
#: term includes free-free emission of metals; the second is recombination and the error of Born's approximation.
CONTINUUM: tuple[float, float, float, float] = (1.057, 0.476, 1.16, 0.38)

#: kT in keV; cooling function published with Comparat et al. 2020, divided by the power of this model (our fit)
COOLING_RATIO: tuple[tuple[float, float], ...] = (
    (0.2, 0.784), (0.28, 0.840), (0.45, 0.900), (0.8, 0.899), (1.2, 0.957), (2.5, 0.905), (15.0, 0.878),
)  # fmt: skip
_BAND = np.linspace(0.5, 2.0, 601)


def bremsstrahlung(energy_kev: ArrayLike, kt_kev: ArrayLike) -> FloatArray:
    """Return the free-free power per electron and hydrogen nucleus in Born's approximation, in erg cm3 / (s keV).

    The power is 6.8e-38 T^-1/2 g exp(-E/kT) per Hz (Rybicki & Lightman Eq. 5.14b). The Born Gaunt factor is g =
    sqrt(3)/pi exp(E/2kT) K0(E/2kT), and sum Z^2 n_ion = 1.39 n_hydrogen (helium included).
    """
    x = np.asarray(energy_kev, dtype=float) / np.asarray(kt_kev, dtype=float)
    kelvin = np.asarray(kt_kev, dtype=float) * 1.160452e7
    hertz_per_kev = 2.417989e17
    # exp(-x) exp(x/2) K0(x/2) = exp(-x) k0e(x/2), k0e being scaled by exp(x/2)
    return 6.8e-38 * hertz_per_kev * 1.39 * np.sqrt(3) / np.pi * np.exp(-x) * k0e(x / 2) / np.sqrt(kelvin)


def emissivity(energy_kev: ArrayLike, kt_kev: float) -> FloatArray:
    """Return a plasma's power per electron and hydrogen nucleus at rest-frame energies, in erg cm3 / (s keV)."""
    energy = np.asarray(energy_kev, dtype=float)
    constant, excess, kt_slope, energy_slope = CONTINUUM
    correction = constant + excess * kt_kev**-kt_slope * energy**energy_slope
    centre, width, peak, below, above, power = LINES.T
    offset = np.log(kt_kev / peak)
    height = 1e-24 * power * np.exp(-0.5 * (offset / np.where(offset > 0, above, below)) ** 2) / width
    lines = np.zeros(energy.shape)
    for position, scale, amplitude in zip(centre, width, height / np.sqrt(2 * np.pi), strict=True):
        lines += amplitude * np.exp(-0.5 * ((energy - position) / scale) ** 2)
    return bremsstrahlung(energy, kt_kev) * correction + lines


def plasma_power(energy_kev: ArrayLike, kt_kev: float) -> FloatArray:
    """Return a plasma's power per keV at rest-frame energies. Its integral from 0.5 to 2 keV (rest frame) is 1."""
    return emissivity(energy_kev, kt_kev) / _band_power(kt_kev)


def cooling_function(kt_kev: ArrayLike) -> FloatArray:
    """Return the 0.5-2 keV (rest-frame) cooling function of Comparat et al. 2020 in erg cm3/s, for kT of 0.2-20 keV."""
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


_LOG_KT = np.linspace(np.log(0.2), np.log(20.0), 36)
_REDSHIFT_STEP = 0.04
_FITTED_BAND = np.linspace(0.5, 2.0, 301)


@dataclass(frozen=True)
class ClusterSpectra:
    """Spectra of clusters on a grid of ln(kT / keV) and redshift.

    The spectrum at temperature i and redshift j of the grid (counted from 0) is in row i * (number of redshifts) + j.
    """

    redshift: FloatArray  #: grid, (z,)
    spectra: CountSpectra  #: for 1 erg/s/cm2 observed between 0.5 and 2 keV, unabsorbed
    k_correction: FloatArray  #: flux in 0.5-2 keV observed, divided by flux in 0.5-2 keV rest frame; (kT * z,)

    @classmethod
    def build(cls, redshift_max: float, nh_cm2: float, response: Response) -> "ClusterSpectra":
        """Return the spectra from redshift 0 to at least `redshift_max`, absorbed by the hydrogen column `nh_cm2`."""
        redshift = np.arange(0.0, redshift_max + _REDSHIFT_STEP, _REDSHIFT_STEP)
        stretch = 1 + redshift[:, None]
        photons, correction = [], []
        for kt in np.exp(_LOG_KT):
            # Power per observed keV: the rest-frame spectrum at E (1 + z), times the compression of energies.
            band = np.trapezoid(plasma_power(_FITTED_BAND * stretch, kt) * stretch, _FITTED_BAND, axis=1)
            correction.append(band)
            power = plasma_power(response.photon_kev * stretch, kt)
            photons.append(power * stretch / (response.photon_kev * ERG_PER_KEV * band[:, None]))
        absorbed = np.concatenate(photons) * transmission(response.photon_kev, nh_cm2)
        return cls(redshift, CountSpectra.from_photons(absorbed, response), np.concatenate(correction))

    def interpolate(self, values: FloatArray, kt_kev: FloatArray, redshift: FloatArray) -> FloatArray:
        """Return `values` interpolated bilinearly to the ln(kT) and redshift of each cluster, (cluster,).

        `values` holds a value for each spectrum of the grid, (spectrum,).
        """
        row, kt_weight, column, z_weight = self._position(kt_kev, redshift)
        grid = values.reshape(len(_LOG_KT), len(self.redshift))
        low = grid[row, column] * (1 - z_weight) + grid[row, column + 1] * z_weight
        high = grid[row + 1, column] * (1 - z_weight) + grid[row + 1, column + 1] * z_weight
        return low * (1 - kt_weight) + high * kt_weight

    def choose(self, rng: np.random.Generator, kt_kev: FloatArray, redshift: FloatArray) -> IntArray:
        """Choose a spectrum for each photon, and return its number, (photon,).

        It is drawn from the four spectra that are nearest to the photon's kT and redshift, with bilinear weights.
        """
        row, kt_weight, column, z_weight = self._position(kt_kev, redshift)
        row = row + (rng.random(len(row)) < kt_weight)
        column = column + (rng.random(len(column)) < z_weight)
        return row * len(self.redshift) + column

    def _position(self, kt_kev: FloatArray, redshift: FloatArray) -> tuple[IntArray, FloatArray, IntArray, FloatArray]:
        across = (np.log(kt_kev) - _LOG_KT[0]) / (_LOG_KT[1] - _LOG_KT[0])
        along = redshift / _REDSHIFT_STEP
        row = np.clip(across.astype(np.intp), 0, len(_LOG_KT) - 2)
        column = np.clip(along.astype(np.intp), 0, len(self.redshift) - 2)
        return row, across - row, column, along - column
