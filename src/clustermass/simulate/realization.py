"""One realization of the embedded sky: haloes, AGN and background become photons."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.cosmology import luminosity_distance_cm
from clustermass.io.fits import write_fits
from clustermass.io.log import LOGGER
from clustermass.io.provenance import simulation_hash
from clustermass.simulate.agn import PointSources, agn_spectrum, draw_agn
from clustermass.simulate.background import Background
from clustermass.simulate.event_table import event_hdus, event_table
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.gas import Gas, draw_gas
from clustermass.simulate.haloes import Haloes, draw_haloes
from clustermass.simulate.photons import Photons, background_photons, cluster_photons, point_source_photons
from clustermass.simulate.random_streams import random_streams
from clustermass.simulate.sky_tables import (
    LABELS,
    SOURCES,
    TRUTH,
    exposure_hdus,
    table_hdus,
)
from clustermass.simulate.spectra import ClusterSpectra, CountSpectra
from clustermass.simulate.telescope import KingPsf

#: a halo's HALO_ID is this times the realization's number plus its SRC_ID
HALO_ID_FACTOR = 10_000_000


@dataclass(frozen=True)
class Clusters:
    """Haloes that emit: each with gas, flux, count rate and truth label (arrays of one length).

    Attributes
    ----------
    haloes, gas
        The haloes and their gas.
    flux
        Inside R500c, 0.5-2 keV observed, unabsorbed, erg/s/cm2.
    rate
        Count rate of the whole profile over all detector energies, count/s.
    detection_rate
        The same in the detection band, 0.2-2.3 keV.
    source_ids
        1, 2, ...
    """

    haloes: Haloes
    gas: Gas
    flux: FloatArray
    rate: FloatArray
    detection_rate: FloatArray
    source_ids: NDArray[np.int32]


@dataclass(frozen=True)
class Agn:
    """AGN with their common spectrum and truth labels -1, -2, ..."""

    sources: PointSources
    spectrum: CountSpectra
    source_ids: NDArray[np.int32]


def simulate_realization(
    sky: Mapping[str, Any],
    cosmology: Mapping[str, float],
    name: str,
    realization: str,
    events: Path,
    exposure: Path,
    labels: Path,
    sources: Path,
    truth: Path | None = None,
) -> None:
    """Simulate one realization and write its files.

    Parameters
    ----------
    sky
        Block of a sky in the config: seed, field, exposure, absorption, psf, clusters, agn, background.
    cosmology
        Config block `cosmology`.
    name, realization
        Name of the sky and label of the realization, digits such as "01"; with the seed they fix every draw.
    events, exposure
        Files to write: event list and exposure map, all that an observer has.
    labels, sources
        Files to write for the source detection: the source of every photon; haloes and AGN with their true positions.
    truth
        File to write: the haloes with their masses; None for a field that counts as observed.

    Raises
    ------
    InputError
        `realization` is no number, or a config value can't be simulated.
    """
    generators = random_streams(sky["seed"], name, realization)
    facts = header_facts(sky, cosmology, name, realization)
    field = Field.from_config(sky["field"])
    exposure_map = ExposureMap.from_config(field, sky["exposure"])
    psf = KingPsf.from_config(sky["psf"])
    spectra = ClusterSpectra.build(sky["clusters"]["redshift_max"], sky["absorption"]["nh_cm2"])
    clusters = emitting_clusters(sky, cosmology, field, spectra, generators)
    agn = active_nuclei(sky, field, clusters, generators)
    photons = _photons(sky, clusters, agn, spectra, exposure_map, psf, generators)
    table = event_table(photons, field, generators["events"])
    del photons
    LOGGER.info(
        "%s/%s: %d haloes, %d AGN, %d events", name, realization, len(clusters.flux), len(agn.source_ids), len(table)
    )
    write_fits(event_hdus(table, field, facts), events)
    write_fits(exposure_hdus(exposure_map, facts), exposure)
    write_fits(table_hdus("LABELS", LABELS, {"SRC_ID": table["SRC_ID"]}, facts), labels)
    write_fits(table_hdus("SOURCES", SOURCES, sources_table(clusters, agn, exposure_map), facts), sources)
    if truth is not None:
        counts = np.bincount(np.maximum(table["SRC_ID"], 0), minlength=len(clusters.flux) + 1)[1:]
        values = _truth(clusters, field, counts, int(realization))
        write_fits(table_hdus("TRUTH", TRUTH, values, facts), truth)


def header_facts(sky: Mapping[str, Any], cosmology: Mapping[str, float], name: str, realization: str) -> dict[str, Any]:
    """Header cards that say what made the file; no clock, no path."""
    return {
        "OBJECT": (f"SIM {name}", "simulated field"),
        "SIMULATE": (True, "these photons were simulated"),
        "REALIZ": (realization, "realization"),
        "SEED": (sky["seed"], "root of the random numbers"),
        "CFGHASH": (simulation_hash(sky, cosmology), "of the sky"),
        "H0": (cosmology["h0_km_s_mpc"], "km/s/Mpc"),
        "OMEGA_M": (cosmology["omega_m"], "flat LCDM"),
    }


def emitting_clusters(
    sky: Mapping[str, Any],
    cosmology: Mapping[str, float],
    field: Field,
    spectra: ClusterSpectra,
    generators: Mapping[str, np.random.Generator],
) -> Clusters:
    """Draw haloes and gas and keep those above the flux limit."""
    parameters = sky["clusters"]
    haloes = draw_haloes(field, parameters, cosmology, generators["haloes"])
    gas = draw_gas(haloes, parameters, cosmology, generators["gas"])
    correction = spectra.interpolate(spectra.k_correction, gas.kt_kev, haloes.redshift)
    flux = gas.luminosity * correction / (4 * np.pi * luminosity_distance_cm(haloes.redshift, cosmology) ** 2)
    bright = flux >= parameters["flux_min_cgs"]
    haloes, gas, flux = haloes.take(bright), gas.take(bright), flux[bright]
    unit_rate = spectra.interpolate(spectra.spectra.rate, gas.kt_kev, haloes.redshift)
    fraction = spectra.interpolate(spectra.spectra.detection_fraction, gas.kt_kev, haloes.redshift)
    rate = flux * gas.total_over_inside * unit_rate
    return Clusters(haloes, gas, flux, rate, rate * fraction, np.arange(1, len(flux) + 1, dtype=np.int32))


def active_nuclei(
    sky: Mapping[str, Any], field: Field, clusters: Clusters, generators: Mapping[str, np.random.Generator]
) -> Agn:
    """Draw the AGN."""
    sources = draw_agn(field, sky["agn"], clusters.haloes, clusters.gas.r500_arcmin, generators["agn"])
    spectrum = agn_spectrum(sky["agn"]["photon_index"], sky["absorption"]["nh_cm2"])
    return Agn(sources, spectrum, -np.arange(1, len(sources.flux) + 1, dtype=np.int32))


def _photons(
    sky: Mapping[str, Any],
    clusters: Clusters,
    agn: Agn,
    spectra: ClusterSpectra,
    exposure: ExposureMap,
    psf: KingPsf,
    generators: Mapping[str, np.random.Generator],
) -> Photons:
    background = Background.from_config(sky["background"], sky["absorption"]["nh_cm2"])
    particles = ExposureMap.from_config(exposure.field, sky["exposure"], vignetted=False)
    haloes, gas, rate, ids = clusters.haloes, clusters.gas, clusters.rate, clusters.source_ids
    return Photons.join(
        [
            cluster_photons(haloes, gas, rate, ids, spectra, exposure, psf, generators["cluster_photons"]),
            point_source_photons(agn.sources, agn.source_ids, agn.spectrum, exposure, psf, generators["agn_photons"]),
            background_photons(background, exposure, particles, generators["background"]),
        ]
    )


def sources_table(clusters: Clusters, agn: Agn, exposure: ExposureMap) -> dict[str, NDArray[Any]]:
    """Columns of `sources.fits`: haloes, then AGN."""
    longitude = np.concatenate([clusters.haloes.longitude, agn.sources.longitude])
    latitude = np.concatenate([clusters.haloes.latitude, agn.sources.latitude])
    ra, dec = exposure.field.to_sky(longitude, latitude)
    agn_rate = agn.sources.flux * agn.spectrum.rate[0] * agn.spectrum.detection_fraction[0]
    rate = np.concatenate([clusters.detection_rate, agn_rate])
    return {
        "SRC_ID": np.concatenate([clusters.source_ids, agn.source_ids]),
        "RA": ra,
        "DEC": dec,
        "Z": np.concatenate([clusters.haloes.redshift, np.full(len(agn_rate), np.nan)]),
        "EXPECTED": rate * exposure.at_native(longitude, latitude),
    }


def _truth(clusters: Clusters, field: Field, counts: NDArray[np.intp], realization: int) -> dict[str, NDArray[Any]]:
    ra, dec = field.to_sky(clusters.haloes.longitude, clusters.haloes.latitude)
    return {
        "SRC_ID": clusters.source_ids,
        "HALO_ID": realization * HALO_ID_FACTOR + clusters.source_ids.astype(np.int64),
        "RA": ra,
        "DEC": dec,
        "Z": clusters.haloes.redshift,
        "LOG10_M500C": clusters.haloes.log10_m500c,
        "KT": clusters.gas.kt_kev,
        "L500": clusters.gas.luminosity,
        "FLUX": clusters.flux,
        "R500_ARCMIN": clusters.gas.r500_arcmin,
        "COUNTS": counts,
    }
