"""Photon spectra and what the detector makes of them: absorption, power laws and tables to draw event energies from."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clustermass.sky.instrument import PI_EDGES_EV, detection_band_fraction, fold

FloatArray: TypeAlias = NDArray[np.float64]

ERG_PER_KEV = 1.602176634e-9
#: probabilities at which the energies of a spectrum are tabulated
_QUANTILES = np.linspace(0.0, 1.0, 1025)

#: Morrison & McCammon 1983 (ApJ 270, 119), Table 2: lower edge keV and c0, c1, c2 of
#: sigma = (c0 + c1 E + c2 E^2) E^-3 1e-24 cm2 per hydrogen atom, solar abundances
_MORRISON_MCCAMMON = np.array(
    [
        [0.030, 17.3, 608.1, -2150.0],
        [0.100, 34.6, 267.9, -476.1],
        [0.284, 78.1, 18.8, 4.3],
        [0.400, 71.4, 66.8, -51.4],
        [0.532, 95.5, 145.8, -61.1],
        [0.707, 308.9, -380.6, 294.0],
        [0.867, 120.6, 169.3, -47.7],
        [1.303, 141.3, 146.8, -31.5],
        [1.840, 202.7, 104.7, -17.0],
        [2.471, 342.7, 18.7, 0.0],
        [3.210, 352.2, 18.7, 0.0],
        [4.038, 433.9, -2.4, 0.75],
        [7.111, 629.0, 30.9, 0.0],
        [8.331, 701.2, 25.2, 0.0],
    ]
)


def transmission(energy_kev: ArrayLike, nh_cm2: float) -> FloatArray:
    """Fraction of photons of `energy_kev` (0.03-10 keV) that pass a hydrogen column `nh_cm2` (Morrison-McCammon)."""
    energy = np.asarray(energy_kev, dtype=float)
    row = np.clip(np.searchsorted(_MORRISON_MCCAMMON[:, 0], energy, side="right") - 1, 0, None)
    c0, c1, c2 = np.moveaxis(_MORRISON_MCCAMMON[row, 1:], -1, 0)
    cross_section = (c0 + c1 * energy + c2 * energy**2) / energy**3 * 1e-24
    return np.exp(-nh_cm2 * cross_section)


def power_law(energy_kev: ArrayLike, photon_index: float) -> FloatArray:
    """Photon spectrum E^-index in photon / (s cm2 keV) for a flux of 1 erg/s/cm2 between 0.5 and 2 keV, unabsorbed."""
    if abs(photon_index - 2) < 1e-9:
        energy_flux = np.log(2.0 / 0.5)
    else:
        energy_flux = (2.0 ** (2 - photon_index) - 0.5 ** (2 - photon_index)) / (2 - photon_index)
    return np.asarray(energy_kev, dtype=float) ** -photon_index / (energy_flux * ERG_PER_KEV)


@dataclass(frozen=True)
class CountSpectra:
    """Folded spectra ready to draw events from.

    Attributes
    ----------
    rate
        Count rate over all detector energies (200-2350 eV) for the photon spectrum given, count/s; shape (spectra,).
    detection_fraction
        Fraction of these counts in the detection band 0.2-2.3 keV; shape (spectra,).
    quantiles
        Detector energy in eV at equidistant probabilities; shape (spectra, probabilities), float32.
    """

    rate: FloatArray
    detection_fraction: FloatArray
    quantiles: NDArray[np.float32]

    @classmethod
    def from_photons(cls, photon_spectra: FloatArray) -> "CountSpectra":
        """Fold photon spectra (spectra, photon energies), photon / (s cm2 keV)."""
        return cls.from_counts(fold(np.atleast_2d(photon_spectra)))

    @classmethod
    def from_counts(cls, counts: FloatArray) -> "CountSpectra":
        """Take count spectra (spectra, PI bins) in count/s per bin."""
        rate = counts.sum(axis=1)
        # a spectrum without counts has no energies either; a constant stands for what is never drawn
        shape = np.where(rate[:, None] > 0, counts, 1.0)
        cumulative = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(shape, axis=1)], axis=1)
        cumulative /= cumulative[:, -1:]
        quantiles = np.stack([np.interp(_QUANTILES, row, PI_EDGES_EV) for row in cumulative])
        return cls(rate, detection_band_fraction(counts), quantiles.astype(np.float32))

    def draw_energy(
        self, rng: np.random.Generator, spectrum: NDArray[np.integer] | int, number: int
    ) -> NDArray[np.float32]:
        """Draw `number` detector energies in eV; `spectrum` is one row for all or a row for each."""
        position = rng.random(number, dtype=np.float32) * np.float32(len(_QUANTILES) - 1)
        lower = np.minimum(position.astype(np.int32), len(_QUANTILES) - 2)
        position -= lower
        start, end = self.quantiles[spectrum, lower], self.quantiles[spectrum, lower + 1]
        return np.minimum(start + position * (end - start), np.float32(np.nextafter(np.float32(PI_EDGES_EV[-1]), 0)))
