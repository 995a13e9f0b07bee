"""Spectra of a SIMPUT file: absorbed plasma on a grid of temperature and redshift, and an absorbed power law."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.sky.plasma import plasma_power
from clustermass.sky.spectra import ERG_PER_KEV, power_law, transmission

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]

#: energies of every spectrum, keV: steps as fine as the embedded sky's where the lines are, ends those of eROSITA's
#: response files, so that SIXTE finds a value in each of their bins (above 10 keV the absorption is extrapolated)
ENERGY_KEV: FloatArray = np.concatenate([np.arange(100, 3000, 5), np.arange(3000, 12001, 50)]) / 1000
#: band of the fluxes, keV
BAND_KEV = (0.5, 2.0)
#: steps of the grid in ln(kT / keV) and redshift; a cluster takes the nearest point
_LOG_KT_STEP, _REDSHIFT_STEP = 0.1, 0.02


@dataclass(frozen=True)
class ArrivingSpectra:
    """Spectra behind the hydrogen column.

    Attributes
    ----------
    names
        Unique name of each spectrum.
    density
        Photons on `ENERGY_KEV` for 1 erg/s/cm2 between 0.5 and 2 keV, absorbed; photon/s/cm2/keV, (spectrum, energy).
    passed
        Absorbed over unabsorbed flux between 0.5 and 2 keV, shape (spectrum,).
    """

    names: list[str]
    density: FloatArray
    passed: FloatArray

    @classmethod
    def from_emitted(cls, names: list[str], emitted: FloatArray, nh_cm2: float) -> "ArrivingSpectra":
        """Absorb unabsorbed photon spectra of any normalisation, shape (spectrum, energy)."""
        absorbed = emitted * transmission(ENERGY_KEV, nh_cm2)
        flux = band_flux(absorbed)
        return cls(names, absorbed / flux[:, None], flux / band_flux(emitted))

    def joined(self, other: "ArrivingSpectra") -> "ArrivingSpectra":
        """Return these spectra followed by those of `other`."""
        return ArrivingSpectra(
            self.names + other.names,
            np.concatenate([self.density, other.density]),
            np.concatenate([self.passed, other.passed]),
        )

    def hdu(self, cards: Mapping[str, Any]) -> fits.BinTableHDU:
        """Return the extension SPECTRUM with header `cards`; names are of fixed length, as libsimput needs."""
        width = max(len(name) for name in self.names)
        energies = np.broadcast_to(ENERGY_KEV, self.density.shape)
        vector = f"{len(ENERGY_KEV)}E"
        columns = [
            fits.Column("ENERGY", vector, unit="keV", array=energies.astype(np.float32)),
            fits.Column("FLUXDENSITY", vector, unit="photon/s/cm**2/keV", array=self.density.astype(np.float32)),
            fits.Column("NAME", f"{width}A", array=np.array(self.names)),
        ]
        table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM", ver=1)
        table.header.update(cards)
        return table


def band_flux(density: FloatArray) -> FloatArray:
    """Flux in erg/s/cm2 between 0.5 and 2 keV of photon/s/cm2/keV on `ENERGY_KEV`, shape (spectrum, energy)."""
    first, last = np.searchsorted(ENERGY_KEV, BAND_KEV)
    energy = ENERGY_KEV[first : last + 1]
    return np.asarray(np.trapezoid(density[:, first : last + 1] * energy, energy, axis=1)) * ERG_PER_KEV


def cluster_spectra(kt_kev: FloatArray, redshift: FloatArray, nh_cm2: float) -> tuple[ArrivingSpectra, IntArray]:
    """Return the spectra that some clusters need, and the row of each cluster's.

    Parameters
    ----------
    kt_kev, redshift
        Of the clusters, shape (cluster,).
    nh_cm2
        Hydrogen column, cm-2.

    Returns
    -------
    Spectra at the points of the grid that are nearest to a cluster, and rows of shape (cluster,). In a realization of
    the default sky the count rates are those of the embedded sky to 0.2 % (two thirds of the clusters), 0.7 % (95 %),
    3 % (all) and 0.1 % in sum.
    """
    nearest = np.stack([np.rint(np.log(kt_kev) / _LOG_KT_STEP), np.rint(redshift / _REDSHIFT_STEP)], axis=1)
    points, rows = np.unique(nearest, axis=0, return_inverse=True)
    temperatures, redshifts = np.exp(points[:, 0] * _LOG_KT_STEP), points[:, 1] * _REDSHIFT_STEP
    emitted = np.empty((len(points), len(ENERGY_KEV)))
    for row, (kt, z) in enumerate(zip(temperatures, redshifts, strict=True)):
        emitted[row] = plasma_power(ENERGY_KEV * (1 + z), float(kt)) / ENERGY_KEV
    names = [f"kT{kt:.2f}z{z:.2f}" for kt, z in zip(temperatures, redshifts, strict=True)]
    return ArrivingSpectra.from_emitted(names, emitted, nh_cm2), rows.reshape(-1)


def agn_spectra(photon_index: float, nh_cm2: float) -> ArrivingSpectra:
    """Return the one spectrum of all AGN."""
    return ArrivingSpectra.from_emitted(["AGN"], power_law(ENERGY_KEV, photon_index)[None], nh_cm2)
