"""Draw the detected photons of clusters, point sources and background, and make an event list of them.

The smooth background consists of thermal emission of the Galaxy, unresolved AGN and particles. The configuration sets
their shares of the counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from clustermass.arrays import Float32Array, FloatArray, IdArray, Rows, Streams
from clustermass.errors import InputError
from clustermass.events.eventlist import MODULES, EventList
from clustermass.io.products import ANGLE_STEP
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.gas import EmittingHaloes
from clustermass.simulate.sources import Haloes, PointSources, agn_spectrum
from clustermass.simulate.spectra import ClusterSpectra, CountSpectra, plasma_power, power_law, transmission
from clustermass.simulate.telescope import KingPsf, Response, response_to

if TYPE_CHECKING:
    from clustermass.config.sky_models import Background as BackgroundBlock
    from clustermass.config.sky_models import Sky

#: temperatures in keV, close to those that Ponti et al. 2023 (A&A 674, A195) found in the eFEDS field
LOCAL_BUBBLE_KEV, GALACTIC_HALO_KEV = 0.10, 0.22
#: photon index of the extragalactic background (De Luca & Molendi 2004)
EXTRAGALACTIC_INDEX = 1.45

#: if all photons of a halo land within this radius, arcsec, they are drawn with the largest exposure inside the radius
_NEAR_ARCSEC = 2400.0
#: start and end of the eFEDS observations (Brunner et al. 2022), 2019-11-03 and four days later; s since MJD 51543.875
TIME_START_S, TIME_STOP_S = 626_065_200.0, 626_410_800.0
#: numbers of singles, doubles, triples, quadruples among 40,127 valid events of a SIXTE simulation of eROSITA
PATTERN_COUNTS = (31503, 6730, 1091, 803)


@dataclass(frozen=True)
class Background:
    """Count spectra of the smooth background. Their `rate` over all detector energies is in count / (s arcmin2)."""

    sky: CountSpectra  #: photons through the mirrors, per second of vignetting-corrected exposure
    particle: CountSpectra  #: events that bypass the mirrors, per second of the exposure without vignetting

    @classmethod
    def from_config(cls, parameters: BackgroundBlock, nh_cm2: float, response: Response) -> Background:
        """Return the spectra for the config block `background` and a hydrogen column.

        InputError if all shares are 0.
        """
        levels = _levels(parameters)
        counts = {name: response.fold(part) for name, part in sky_components(response.photon_kev, nh_cm2).items()}
        counts["particle"] = np.ones_like(counts["extragalactic"])
        for name, part in counts.items():
            one = part / (part.sum() * response.detection_band_fraction(part))  # one count in the detection band
            counts[name] = np.atleast_2d(levels[name] * one)
        particle = counts.pop("particle")
        return cls(
            CountSpectra.from_counts(np.sum(list(counts.values()), axis=0), response),
            CountSpectra.from_counts(particle, response),
        )


def _levels(parameters: BackgroundBlock) -> dict[str, float]:
    """Return the count rates of the components of the background, as a dict from the component's name.

    The rates are those in the detection band, in count / (s arcmin2). InputError if all shares are 0.
    """
    shares = cast("dict[str, float]", parameters["shares"])
    total = sum(shares.values())
    if total <= 0:
        raise InputError("background.shares: all are 0. Give at least one a positive value.")
    level = parameters["rate_per_arcmin2_ks"] / 1000 / total
    return {name: level * share for name, share in shares.items()}


def sky_components(energy_kev: FloatArray, nh_cm2: float) -> dict[str, FloatArray]:
    """Return the photon spectrum of each component of the sky background at `energy_kev`, in arbitrary units.

    All components are absorbed except the local bubble, which lies in front of the absorbing hydrogen.
    """
    absorbed = transmission(energy_kev, nh_cm2)
    return {
        "local_bubble": plasma_power(energy_kev, LOCAL_BUBBLE_KEV) / energy_kev,
        "galactic_halo": plasma_power(energy_kev, GALACTIC_HALO_KEV) / energy_kev * absorbed,
        "extragalactic": power_law(energy_kev, EXTRAGALACTIC_INDEX) * absorbed,
    }


def sky_background(parameters: BackgroundBlock, nh_cm2: float, energy_kev: FloatArray) -> FloatArray:
    """Return the spectrum of the sky background without particles at `energy_kev`, in photon / (s cm2 keV arcmin2)."""
    levels, arriving = _levels(parameters), sky_components(energy_kev, nh_cm2)
    density = np.zeros(energy_kev.shape)
    response = response_to(Response.pi_max_ev)
    for name, spectrum in sky_components(response.photon_kev, nh_cm2).items():
        counts = response.fold(spectrum)
        density += levels[name] / (counts.sum() * response.detection_band_fraction(counts)) * arriving[name]
    return density


@dataclass(frozen=True)
class Photons(Rows):
    """Detected photons: native position (deg), detector energy (eV), and number of the source. Arrays are (photon,)."""

    longitude: FloatArray
    latitude: FloatArray
    energy_ev: Float32Array
    source: IdArray  #: > 0 for a halo, < 0 for an AGN, 0 for the background


def point_source_photons(
    sources: PointSources, spectrum: CountSpectra, exposure: ExposureMap, psf: KingPsf, rng: np.random.Generator
) -> Photons:
    """Return random detected photons of AGN with the same `spectrum`. The AGN have the numbers -1, -2, ..."""
    most = exposure.widened(psf.radius_max_arcsec).at_native(sources.longitude, sources.latitude)
    number = rng.poisson(sources.flux * spectrum.rate[0] * most)
    source = np.repeat(np.arange(len(number), dtype=np.int32), number)
    energy = spectrum.draw_energy(rng, 0, len(source))
    return _detected(sources, source, (0.0, 0.0), energy, -(source + 1), exposure, most, psf, rng)


def cluster_photons(
    clusters: EmittingHaloes, spectra: ClusterSpectra, exposure: ExposureMap, psf: KingPsf, rng: np.random.Generator
) -> Photons:
    """Return random detected photons of haloes. The haloes have the numbers 1, 2, ..."""
    haloes, gas = clusters.haloes, clusters.gas
    farthest = 60 * gas.profiles.nodes[-1] * gas.scale_arcmin / np.sqrt(gas.axis_ratio) + psf.radius_max_arcsec
    near = exposure.widened(_NEAR_ARCSEC).at_native(haloes.longitude, haloes.latitude)
    most = np.where(farthest < _NEAR_ARCSEC, near, exposure.image_s.max())
    number = rng.poisson(clusters.rate * most)
    halo = np.repeat(np.arange(len(number), dtype=np.int32), number)
    radius = gas.profiles.draw_radius(rng, halo) * gas.scale_arcmin[halo] * 60
    phase = 2 * np.pi * rng.random(len(halo))
    # The stretch keeps the area, and thus the profile as a function of the geometric mean radius.
    stretch = np.sqrt(gas.axis_ratio[halo])
    major, minor = radius * np.cos(phase) / stretch, radius * np.sin(phase) * stretch
    cosine, sine = np.cos(gas.position_angle)[halo], np.sin(gas.position_angle)[halo]
    spectrum = spectra.choose(rng, gas.kt_kev[halo], haloes.redshift[halo])
    energy = spectra.spectra.draw_energy(rng, spectrum, len(halo))
    offset = major * cosine - minor * sine, major * sine + minor * cosine
    return _detected(haloes, halo, offset, energy, halo + 1, exposure, most, psf, rng)


def background_photons(
    background: Background, exposure: ExposureMap, particle_exposure: ExposureMap, rng: np.random.Generator
) -> Photons:
    """Return random events of the smooth background: photons, which passed the mirrors, and particles, which didn't."""
    parts = []
    for spectrum, seen in ((background.sky, exposure), (background.particle, particle_exposure)):
        longitude, latitude = seen.draw(float(spectrum.rate[0]), rng)
        number = len(longitude)
        energy = spectrum.draw_energy(rng, 0, number)
        parts.append(Photons(longitude, latitude, energy, np.zeros(number, dtype=np.int32)))
    return Photons.join(*parts)


def _detected(
    sources: Haloes | PointSources,
    source: IdArray,
    offset_arcsec: tuple[FloatArray | float, FloatArray | float],
    energy_ev: Float32Array,
    label: IdArray,
    exposure: ExposureMap,
    most_s: Float32Array,
    psf: KingPsf,
    rng: np.random.Generator,
) -> Photons:
    """Scatter photons by the PSF, and keep a random part of them according to the exposure where they land.

    `source` holds the row of each photon's source in `sources`, and `label` holds the number of this source. Before the
    scatter, a photon is `offset_arcsec` to the East and North of its source. `most_s` holds, for each source, the
    largest exposure (s) at any place that its photons can reach. The given photons are as many as this exposure would
    collect. Therefore a photon is kept with the probability (exposure where it lands) / `most_s`.
    """
    radius = psf.draw_radius(rng, energy_ev)
    phase = np.float32(2 * np.pi) * rng.random(len(radius), dtype=np.float32)
    east = (radius * np.cos(phase)).astype(float) + offset_arcsec[0]
    north = (radius * np.sin(phase)).astype(float) + offset_arcsec[1]
    scale = 1 / 3600 / np.cos(np.radians(sources.latitude))
    longitude = sources.longitude[source] + east * scale[source]
    latitude = sources.latitude[source] + north / 3600
    local = exposure.at_native(longitude, latitude)
    kept = rng.random(len(longitude), dtype=np.float32) * most_s[source] < local
    return Photons(longitude[kept], latitude[kept], energy_ev[kept], label[kept])


def draw_photons(
    sky: Sky, clusters: EmittingHaloes, agn: PointSources, spectra: ClusterSpectra, exposure: ExposureMap, rng: Streams
) -> Photons:
    """Return random detected photons of haloes, AGN and background."""
    psf, nh_cm2 = KingPsf(**sky["psf"]), sky["absorption"]["nh_cm2"]
    response = response_to(sky["telescope"]["pi_max_ev"])
    background = Background.from_config(sky["background"], nh_cm2, response)
    particles = ExposureMap.from_config(exposure.field, sky["exposure"], vignetted=False)
    spectrum = agn_spectrum(sky["agn"]["photon_index"], nh_cm2, response)
    return Photons.join(
        cluster_photons(clusters, spectra, exposure, psf, rng["cluster_photons"]),
        point_source_photons(agn, spectrum, exposure, psf, rng["agn_photons"]),
        background_photons(background, exposure, particles, rng["background"]),
    )


def event_list(photons: Photons, field: Field, name: str, rng: np.random.Generator) -> tuple[EventList, IdArray]:
    """Return an event list of the photons, and the source number of each event.

    The photons are in random order and get random times.
    """
    number = len(photons)
    order = rng.permutation(number)
    steps = rng.standard_exponential(number + 1)  # their partial sums are sorted uniform times
    np.cumsum(steps, out=steps)
    time = TIME_START_S + (TIME_STOP_S - TIME_START_S) * (steps[:-1] / steps[-1])
    sky = field.to_sky(photons.longitude, photons.latitude)  # rounded to 1e-6 deg, as files keep them
    ra, dec = (np.rint(angle / ANGLE_STEP)[order] * ANGLE_STEP for angle in sky)
    edges = np.cumsum(PATTERN_COUNTS) / sum(PATTERN_COUNTS) * 65536
    pattern = (1 + np.searchsorted(edges, np.arange(65536) + 0.5)).astype(np.int16)  # of each 16-bit random number
    events = EventList(
        ra=ra,
        dec=dec,
        pi_ev=photons.energy_ev[order],
        tm_nr=rng.integers(1, MODULES + 1, number, dtype=np.uint8),
        pat_typ=pattern[rng.integers(0, 65536, number, dtype=np.uint16)],
        flag=np.zeros(number, dtype=np.uint32),
        time=time,
        dialect="clustermass",
        name=name,
        gti={module: np.array([[TIME_START_S, TIME_STOP_S]]) for module in range(1, MODULES + 1)},
        simulated=True,
    )
    return events, photons.source[order]
