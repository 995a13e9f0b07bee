"""Folded spectra of absorbed, redshifted plasma on a grid of temperature and redshift."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.sky.instrument import PHOTON_KEV
from clustermass.sky.plasma import plasma_power
from clustermass.sky.spectra import ERG_PER_KEV, CountSpectra, transmission

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]

_LOG_KT = np.linspace(np.log(0.2), np.log(20.0), 36)
_REDSHIFT_STEP = 0.04
_BAND = np.linspace(0.5, 2.0, 301)


@dataclass(frozen=True)
class ClusterSpectra:
    """Spectra on a grid of ln(kT / keV) times redshift; a spectrum's number is kT row * redshifts + redshift row.

    Attributes
    ----------
    redshift
        Grid, shape (z,).
    spectra
        Folded spectra for 1 erg/s/cm2 observed between 0.5 and 2 keV, unabsorbed.
    k_correction
        Flux between 0.5 and 2 keV observed, over that between 0.5 and 2 keV in the rest frame; shape (kT * z,).
    """

    redshift: FloatArray
    spectra: CountSpectra
    k_correction: FloatArray

    @classmethod
    def build(cls, redshift_max: float, nh_cm2: float) -> "ClusterSpectra":
        """Compute the grid from redshift 0 to at least `redshift_max` behind a hydrogen column `nh_cm2`."""
        redshift = np.arange(0.0, redshift_max + _REDSHIFT_STEP, _REDSHIFT_STEP)
        stretch = 1 + redshift[:, None]
        photons, correction = [], []
        for kt in np.exp(_LOG_KT):
            # Power per observed keV: the rest-frame spectrum at E (1 + z), times the compression of energies.
            band = np.trapezoid(plasma_power(_BAND * stretch, kt) * stretch, _BAND, axis=1)
            correction.append(band)
            photons.append(
                plasma_power(PHOTON_KEV * stretch, kt) * stretch / (PHOTON_KEV * ERG_PER_KEV * band[:, None])
            )
        absorbed = np.concatenate(photons) * transmission(PHOTON_KEV, nh_cm2)
        return cls(redshift, CountSpectra.from_photons(absorbed), np.concatenate(correction))

    def interpolate(self, values: FloatArray, kt_kev: FloatArray, redshift: FloatArray) -> FloatArray:
        """Interpolate `values` of the grid's spectra, shape (kT * z,), bilinearly in ln(kT) and redshift."""
        row, kt_weight, column, z_weight = self._position(kt_kev, redshift)
        grid = values.reshape(len(_LOG_KT), len(self.redshift))
        low = grid[row, column] * (1 - z_weight) + grid[row, column + 1] * z_weight
        high = grid[row + 1, column] * (1 - z_weight) + grid[row + 1, column + 1] * z_weight
        return low * (1 - kt_weight) + high * kt_weight

    def choose(self, rng: np.random.Generator, kt_kev: FloatArray, redshift: FloatArray) -> IntArray:
        """Pick for each photon one of the four neighbouring spectra, by its weight in a bilinear interpolation."""
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
