"""Photons of clusters, point sources and background, thinned by the exposure map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray, IdArray
from clustermass.simulate.agn import PointSources
from clustermass.simulate.background import Background
from clustermass.simulate.field import ExposureMap
from clustermass.simulate.gas import Gas
from clustermass.simulate.haloes import Haloes
from clustermass.simulate.spectra import ClusterSpectra, CountSpectra
from clustermass.simulate.telescope import KingPsf

#: photons of haloes that send none farther than this are drawn with the exposure near by, arcsec
_NEAR_ARCSEC = 2400.0


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
    most = exposure.widened(psf.radius_max_arcsec).at_native(sources.longitude, sources.latitude)
    number = rng.poisson(sources.flux * spectrum.rate[0] * most)
    source = np.repeat(np.arange(len(number), dtype=np.int32), number)
    energy = spectrum.draw_energy(rng, 0, len(source))
    east, north = _scatter(psf, rng, energy)
    longitude, latitude = _offset(sources.longitude, sources.latitude, source, east, north)
    kept = _survivors(longitude, latitude, exposure, most[source], rng)
    return Photons(longitude[kept], latitude[kept], energy[kept], source_ids[source[kept]])


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
    farthest = 60 * gas.profiles.nodes[-1] * gas.scale_arcmin / np.sqrt(gas.axis_ratio) + psf.radius_max_arcsec
    near = exposure.widened(_NEAR_ARCSEC).at_native(haloes.longitude, haloes.latitude)
    most = np.where(farthest < _NEAR_ARCSEC, near, np.float32(exposure.maximum_s))
    number = rng.poisson(rate * most)
    halo = np.repeat(np.arange(len(number), dtype=np.int32), number)
    radius = gas.profiles.draw_radius(rng, halo) * gas.scale_arcmin[halo] * 60
    phase = 2 * np.pi * rng.random(len(halo))
    # Stretched at constant area, so that the profile in the geometric mean radius stays.
    stretch = np.sqrt(gas.axis_ratio[halo])
    major, minor = radius * np.cos(phase) / stretch, radius * np.sin(phase) * stretch
    cosine, sine = np.cos(gas.position_angle)[halo], np.sin(gas.position_angle)[halo]
    spectrum = spectra.choose(rng, gas.kt_kev[halo], haloes.redshift[halo])
    energy = spectra.spectra.draw_energy(rng, spectrum, len(halo))
    east, north = _scatter(psf, rng, energy)
    east += major * cosine - minor * sine
    north += major * sine + minor * cosine
    longitude, latitude = _offset(haloes.longitude, haloes.latitude, halo, east, north)
    kept = _survivors(longitude, latitude, exposure, most[halo], rng)
    return Photons(longitude[kept], latitude[kept], energy[kept], source_ids[halo[kept]])


def background_photons(
    background: Background, exposure: ExposureMap, particle_exposure: ExposureMap, rng: np.random.Generator
) -> Photons:
    """Draw the photons of the smooth background: sky through the mirrors, particles past them."""
    parts = []
    for spectrum, seen in ((background.sky, exposure), (background.particle, particle_exposure)):
        longitude, latitude = seen.draw(float(spectrum.rate[0]), rng)
        number = len(longitude)
        energy = spectrum.draw_energy(rng, 0, number)
        parts.append(Photons(longitude, latitude, energy, np.zeros(number, dtype=np.int32)))
    return Photons.join(parts)


def _scatter(psf: KingPsf, rng: np.random.Generator, energy_ev: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Offsets by the PSF to the East and to the North, arcsec."""
    radius = psf.draw_radius(rng, energy_ev)
    phase = np.float32(2 * np.pi) * rng.random(len(radius), dtype=np.float32)
    return (radius * np.cos(phase)).astype(float), (radius * np.sin(phase)).astype(float)


def _offset(
    longitude: FloatArray, latitude: FloatArray, source: IdArray, east_arcsec: FloatArray, north_arcsec: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Positions of sources, moved by small offsets, one for each row number in `source`."""
    scale = 1 / 3600 / np.cos(np.radians(latitude))
    return longitude[source] + east_arcsec * scale[source], latitude[source] + north_arcsec / 3600


def _survivors(
    longitude: FloatArray,
    latitude: FloatArray,
    exposure: ExposureMap,
    most_s: NDArray[np.float32] | np.float32,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Keep each photon with the probability of its local exposure over that with which it was drawn."""
    return rng.random(len(longitude), dtype=np.float32) * most_s < exposure.at_native(longitude, latitude)
