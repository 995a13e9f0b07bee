"""Photons of clusters, point sources and background, thinned by the exposure map."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.sky.agn import PointSources
from clustermass.sky.cluster_spectra import ClusterSpectra
from clustermass.sky.field import ExposureMap
from clustermass.sky.gas import Gas
from clustermass.sky.halos import Haloes
from clustermass.sky.instrument import KingPsf
from clustermass.sky.spectra import CountSpectra

FloatArray: TypeAlias = NDArray[np.float64]
IdArray: TypeAlias = NDArray[np.int32]

ARCMIN2_PER_DEG2 = 3600.0


@dataclass(frozen=True)
class Photons:
    """Detected photons, arrays of one length.

    Attributes
    ----------
    longitude, latitude
        Native position in the field, deg, float64.
    energy_ev
        Detector energy, eV, float32.
    source
        Truth label: > 0 halo, < 0 AGN, 0 background; int32.
    """

    longitude: FloatArray
    latitude: FloatArray
    energy_ev: NDArray[np.float32]
    source: IdArray

    def __len__(self) -> int:
        """Return the number of photons."""
        return len(self.source)

    @classmethod
    def join(cls, parts: "list[Photons]") -> "Photons":
        """Put several lists after one another."""
        return cls(
            np.concatenate([part.longitude for part in parts]),
            np.concatenate([part.latitude for part in parts]),
            np.concatenate([part.energy_ev for part in parts]),
            np.concatenate([part.source for part in parts]),
        )


def point_source_photons(
    sources: PointSources,
    source_ids: IdArray,
    spectrum: CountSpectra,
    exposure: ExposureMap,
    psf: KingPsf,
    rng: np.random.Generator,
) -> Photons:
    """Draw the photons of point sources that share one spectrum, scattered by the PSF."""
    number = rng.poisson(sources.flux * spectrum.rate[0] * exposure.maximum_s)
    source = np.repeat(np.arange(len(number)), number)
    east, north = _scatter(psf, rng, len(source))
    longitude, latitude = _offset(sources.longitude[source], sources.latitude[source], east, north)
    kept = _survivors(longitude, latitude, exposure, rng)
    energy = spectrum.draw_energy(rng, 0, int(kept.sum()))
    return Photons(longitude[kept], latitude[kept], energy, source_ids[source[kept]])


def cluster_photons(
    haloes: Haloes,
    gas: Gas,
    rate: FloatArray,
    source_ids: IdArray,
    spectra: ClusterSpectra,
    exposure: ExposureMap,
    psf: KingPsf,
    rng: np.random.Generator,
) -> Photons:
    """Draw the photons of haloes.

    Parameters
    ----------
    haloes, gas
        The haloes that emit.
    rate
        Count rate of each whole halo over all detector energies, count/s, shape (halo,).
    source_ids
        Truth label of each halo.
    spectra, exposure, psf
        The instrument.
    rng
        Generator of this component's stream.
    """
    number = rng.poisson(rate * exposure.maximum_s)
    halo = np.repeat(np.arange(len(number)), number)
    radius = gas.profiles.draw_radius(rng, halo) * gas.scale_arcmin[halo] * 60
    phase = 2 * np.pi * rng.random(len(halo))
    # Stretched at constant area, so that the profile in the geometric mean radius stays.
    stretch = np.sqrt(gas.axis_ratio[halo])
    major, minor = radius * np.cos(phase) / stretch, radius * np.sin(phase) * stretch
    cosine, sine = np.cos(gas.position_angle)[halo], np.sin(gas.position_angle)[halo]
    east, north = _scatter(psf, rng, len(halo))
    east += major * cosine - minor * sine
    north += major * sine + minor * cosine
    longitude, latitude = _offset(haloes.longitude[halo], haloes.latitude[halo], east, north)
    kept = _survivors(longitude, latitude, exposure, rng)
    halo = halo[kept]
    spectrum = spectra.choose(rng, gas.kt_kev[halo], haloes.redshift[halo])
    energy = spectra.spectra.draw_energy(rng, spectrum, len(halo))
    return Photons(longitude[kept], latitude[kept], energy, source_ids[halo])


def background_photons(spectrum: CountSpectra, exposure: ExposureMap, rng: np.random.Generator) -> Photons:
    """Draw the photons of the smooth background; `spectrum` has the rate per arcmin2."""
    area = exposure.field.area_deg2 * ARCMIN2_PER_DEG2
    number = int(rng.poisson(spectrum.rate[0] * area * exposure.maximum_s))
    longitude, latitude = exposure.field.draw(rng, number)
    kept = _survivors(longitude, latitude, exposure, rng)
    energy = spectrum.draw_energy(rng, 0, int(kept.sum()))
    return Photons(longitude[kept], latitude[kept], energy, np.zeros(len(energy), dtype=np.int32))


def _scatter(psf: KingPsf, rng: np.random.Generator, number: int) -> tuple[FloatArray, FloatArray]:
    """Offsets by the PSF to the East and to the North, arcsec."""
    radius = psf.draw_radius(rng, number)
    phase = 2 * np.pi * rng.random(number)
    return radius * np.cos(phase), radius * np.sin(phase)


def _offset(
    longitude: FloatArray, latitude: FloatArray, east_arcsec: FloatArray, north_arcsec: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Positions moved by small offsets."""
    return longitude + east_arcsec / 3600 / np.cos(np.radians(latitude)), latitude + north_arcsec / 3600


def _survivors(
    longitude: FloatArray, latitude: FloatArray, exposure: ExposureMap, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Keep each photon with the probability of its local over the largest exposure."""
    limit = rng.random(len(longitude), dtype=np.float32) * np.float32(exposure.maximum_s)
    return limit < exposure.at_native(longitude, latitude)
