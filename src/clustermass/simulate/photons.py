"""Photons of clusters, point sources and background, thinned by the exposure map, and the event list made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import Float32Array, FloatArray, IdArray, Rows
from clustermass.events.eventlist import MODULES, EventList
from clustermass.io.products import ANGLE_STEP
from clustermass.simulate.agn import PointSources
from clustermass.simulate.background import Background
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.gas import Gas
from clustermass.simulate.haloes import Haloes
from clustermass.simulate.spectra import ClusterSpectra, CountSpectra
from clustermass.simulate.telescope import KingPsf

#: photons of haloes that send none farther than this are drawn with the exposure near by, arcsec
_NEAR_ARCSEC = 2400.0
#: mission time (s since MJD 51543.875) of 2019-11-03 and four days later: the eFEDS observations (Brunner et al. 2022)
TIME_START_S, TIME_STOP_S = 626_065_200.0, 626_410_800.0
#: singles, doubles, triples, quadruples among 40,127 valid events of a SIXTE simulation of eROSITA
PATTERN_COUNTS = (31503, 6730, 1091, 803)


@dataclass(frozen=True)
class Photons(Rows):
    """Detected photons.

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
    energy_ev: Float32Array
    source: IdArray

    @classmethod
    def join(cls, parts: Sequence[Photons]) -> Photons:
        """Put several lists after one another."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def point_source_photons(
    sources: PointSources, spectrum: CountSpectra, exposure: ExposureMap, psf: KingPsf, rng: np.random.Generator
) -> Photons:
    """Draw the photons of AGN, which share one spectrum, scattered by the PSF; labels are -1, -2, ..."""
    most = exposure.widened(psf.radius_max_arcsec).at_native(sources.longitude, sources.latitude)
    number = rng.poisson(sources.flux * spectrum.rate[0] * most)
    source = np.repeat(np.arange(len(number), dtype=np.int32), number)
    energy = spectrum.draw_energy(rng, 0, len(source))
    east, north = _scatter(psf, rng, energy)
    return _detected(sources, source, (east, north), energy, -(source + 1), exposure, most, rng)


def cluster_photons(
    haloes: Haloes,
    gas: Gas,
    rate: FloatArray,
    spectra: ClusterSpectra,
    exposure: ExposureMap,
    psf: KingPsf,
    rng: np.random.Generator,
) -> Photons:
    """Draw the photons of haloes; labels are 1, 2, ...

    Parameters
    ----------
    haloes, gas
        The haloes that emit.
    rate
        Count rate of each whole halo over all detector energies, count/s, shape (halo,).
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
    return _detected(haloes, halo, (east, north), energy, halo + 1, exposure, most, rng)


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


def _scatter(psf: KingPsf, rng: np.random.Generator, energy_ev: Float32Array) -> tuple[FloatArray, FloatArray]:
    """Offsets by the PSF to the East and to the North, arcsec."""
    radius = psf.draw_radius(rng, energy_ev)
    phase = np.float32(2 * np.pi) * rng.random(len(radius), dtype=np.float32)
    return (radius * np.cos(phase)).astype(float), (radius * np.sin(phase)).astype(float)


def _detected(
    sources: Haloes | PointSources,
    source: IdArray,
    offset_arcsec: tuple[FloatArray, FloatArray],
    energy_ev: Float32Array,
    label: IdArray,
    exposure: ExposureMap,
    most_s: Float32Array,
    rng: np.random.Generator,
) -> Photons:
    """Return the photons that are detected where they land, offset to the East and to the North of their sources.

    Each was drawn with the exposure `most_s` of its source, whose row is in `source`. It is kept with the probability
    of its local exposure over that.
    """
    scale = 1 / 3600 / np.cos(np.radians(sources.latitude))
    longitude = sources.longitude[source] + offset_arcsec[0] * scale[source]
    latitude = sources.latitude[source] + offset_arcsec[1] / 3600
    local = exposure.at_native(longitude, latitude)
    kept = rng.random(len(longitude), dtype=np.float32) * most_s[source] < local
    return Photons(longitude[kept], latitude[kept], energy_ev[kept], label[kept])


def event_list(photons: Photons, field: Field, name: str, rng: np.random.Generator) -> tuple[EventList, IdArray]:
    """Turn photons into an event list, in a random order along TIME, and the truth label of each event.

    Parameters
    ----------
    photons
        All photons of the field, in any order.
    field
        The field, for RA and Dec; they are rounded to 1e-6 deg, as files keep them.
    name
        Name of the list for messages.
    rng
        Generator of this component's stream.
    """
    number = len(photons)
    order = rng.permutation(number)
    time = _sorted_times(rng, number)
    sky = field.to_sky(photons.longitude, photons.latitude)
    ra, dec = (np.rint(angle / ANGLE_STEP)[order] * ANGLE_STEP for angle in sky)
    events = EventList(
        ra=ra,
        dec=dec,
        pi_ev=photons.energy_ev[order],
        tm_nr=rng.integers(1, MODULES + 1, number, dtype=np.uint8),
        pat_typ=_patterns()[rng.integers(0, 65536, number, dtype=np.uint16)],
        flag=np.zeros(number, dtype=np.uint32),
        time=time,
        dialect="clustermass",
        name=name,
        gti={module: np.array([[TIME_START_S, TIME_STOP_S]]) for module in range(1, MODULES + 1)},
        simulated=True,
    )
    return events, photons.source[order]


def _sorted_times(rng: np.random.Generator, number: int) -> FloatArray:
    """Sorted uniform times, as partial sums of exponential steps (no sort needed)."""
    steps = rng.standard_exponential(number + 1)
    np.cumsum(steps, out=steps)
    return TIME_START_S + (TIME_STOP_S - TIME_START_S) * (steps[:-1] / steps[-1])


def _patterns() -> NDArray[np.int16]:
    """Pattern of each of 65536 equally likely numbers."""
    edges = np.cumsum(PATTERN_COUNTS) / sum(PATTERN_COUNTS) * 65536
    return (1 + np.searchsorted(edges, np.arange(65536) + 0.5)).astype(np.int16)
