"""Simulate one realization of a sky and write its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import BoolArray, IdArray, random_streams
from clustermass.cosmology import arcmin_per_mpc
from clustermass.events.eventlist import EventList
from clustermass.events.write import write_events, write_labels
from clustermass.io.log import LOGGER
from clustermass.io.products import PHI, SOURCES, TRUTH, table_hdu, write_table
from clustermass.io.provenance import simulation_hash
from clustermass.simulate.central_agn import all_agn
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.gas import EmittingHaloes
from clustermass.simulate.gas_properties import bolometric_luminosity, concentration, core_class, gas_mass
from clustermass.simulate.photons import TIME_START_S, TIME_STOP_S, draw_photons, event_list
from clustermass.simulate.population import in_own_patch, realization_haloes
from clustermass.simulate.prior import DrawnSky, draw_sky
from clustermass.simulate.richness import draw_richness, measure_richness
from clustermass.simulate.sources import PointSources, agn_spectrum, joined_positions
from clustermass.simulate.spectra import ClusterSpectra
from clustermass.simulate.telescope import response_to

if TYPE_CHECKING:
    from astropy.io import fits

    from clustermass.config.sky_models import Sky
    from clustermass.config.source_models import Richness

#: HALO_ID of a halo = this factor times the number of the realization + SRC_ID of the halo
HALO_ID_FACTOR = 10_000_000
#: number of events that are written at a time
_PIECE = 1_000_000


def simulate_realization(
    sky: Sky,
    cosmology: Mapping[str, float],
    name: str,
    realization: str,
    events: Path,
    exposure: Path,
    labels: Path,
    sources: Path,
    truth: Path,
) -> None:
    """Simulate one realization of the sky `name` and write its files.

    The seed of the sky, `name` and `realization` (digits such as "01") determine all random numbers. The files `events`
    (event list) and `exposure` (exposure map) hold what an observer has. The others hold the truth: `labels` the source
    of every photon, `sources` haloes and AGN at their true positions, and `truth` the haloes with their masses.

    If the sky has a prior, its parameters and conditions are drawn for this realization. Photons come from the true
    values, but the exposure map is the measured one. The table PHI of `truth` holds the drawn parameters.
    InputError if `realization` does not consist of digits, or if a value in the configuration can't be simulated.
    """
    generators = random_streams(sky["seed"], name, realization)
    header = header_cards(sky, cosmology, name, realization)
    drawn_sky = draw_sky(sky, name, realization)
    sky = drawn_sky.true
    field = Field.from_config(sky["field"])
    exposure_map = ExposureMap.from_config(field, sky["exposure"])
    response = response_to(sky["telescope"]["pi_max_ev"])
    spectra = ClusterSpectra.build(sky["clusters"]["redshift_max"], sky["absorption"]["nh_cm2"], response)
    haloes, bright = realization_haloes(sky, cosmology, field, spectra, generators)
    clusters = haloes[bright]
    agn = all_agn(sky, cosmology, field, haloes, bright, generators)
    photons = draw_photons(sky, clusters, agn, spectra, exposure_map, generators)
    if "population" in sky:
        photons = photons[in_own_patch(photons, clusters.haloes, sky)]
    drawn, src_id = event_list(photons, field, f"{name}/{realization}", generators["events"])
    del photons
    LOGGER.info("%s/%s: %d haloes, %d AGN, %d events", name, realization, len(clusters), len(agn), len(drawn))
    write_event_list(events, drawn, field, header)
    write_labels([src_id], labels, header=header)
    ExposureMap.from_config(field, drawn_sky.measured["exposure"]).write(exposure, header)
    write_table(sources, "SOURCES", SOURCES, sources_table(sky, clusters, agn, exposure_map), header)
    listed, richness = listed_haloes(haloes, bright, sky["richness"], generators["richness"])
    columns = truth_columns(listed, field, cosmology, src_id, int(realization)) | richness
    write_table(truth, "TRUTH", TRUTH, columns, header, further=phi_hdus(drawn_sky))


def phi_hdus(drawn: DrawnSky) -> list[fits.BinTableHDU]:
    """Return the table PHI of a sky with a prior, one row for each drawn parameter; no table if nothing is drawn."""
    if not drawn.phi:
        return []
    names, *numbers = zip(*drawn.phi, strict=True)
    values = {"NAME": np.array(names, dtype=str)}
    values |= {name: np.array(column) for name, column in zip(("VALUE", "MEAN", "SD", "UNIFORM"), numbers, strict=True)}
    header = {"UNIVERSE": (drawn.universe, "realizations of a universe share these values")}
    return [table_hdu("PHI", PHI, values, header)]


def header_cards(sky: Sky, cosmology: Mapping[str, float], name: str, realization: str) -> dict[str, Any]:
    """Return FITS keywords and values that identify a realization and its configuration, without times and paths."""
    return {
        "OBJECT": (f"SIM {name}", "simulated field"),
        "SIMULATE": (True, "these photons were simulated"),
        "REALIZ": (realization, "realization"),
        "SEED": (sky["seed"], "root of the random numbers"),
        "CFGHASH": (simulation_hash(sky, cosmology), "of the sky"),
        "H0": (cosmology["h0_km_s_mpc"], "km/s/Mpc"),
        "OMEGA_M": (cosmology["omega_m"], "flat LCDM"),
    }


def write_event_list(path: Path, events: EventList, field: Field, header: Mapping[str, Any]) -> None:
    """Write `events` and the keywords in `header` to the FITS file `path`, a million events at a time."""
    cards = {
        "TELESCOP": "eROSITA", "INSTRUME": "merged", "NINST": len(events.gti), "MJDREF": 51543.875, "TIMESYS": "TT",
        "RADECSYS": "FK5", "TSTART": TIME_START_S, "TSTOP": TIME_STOP_S, **header,
    }  # fmt: skip
    pieces = (events.take(slice(start, start + _PIECE)) for start in range(0, max(len(events), 1), _PIECE))
    write_events(pieces, path, centre=(field.ra_deg, field.dec_deg), header=cards)


def sources_table(
    sky: Sky, clusters: EmittingHaloes, agn: PointSources, exposure: ExposureMap
) -> dict[str, NDArray[Any]]:
    """Return the columns of `sources.fits`. Its rows are the haloes, then the AGN."""
    longitude, latitude = joined_positions(clusters.haloes, agn)
    ra, dec = exposure.field.to_sky(longitude, latitude)
    response = response_to(sky["telescope"]["pi_max_ev"])
    spectrum = agn_spectrum(sky["agn"]["photon_index"], sky["absorption"]["nh_cm2"], response)
    agn_rate = agn.flux * spectrum.rate[0] * spectrum.detection_fraction[0]
    rate = np.concatenate([clusters.detection_rate, agn_rate])
    return {
        "SRC_ID": np.concatenate([clusters.source_ids, agn.source_ids]),
        "RA": ra,
        "DEC": dec,
        "Z": np.concatenate([clusters.haloes.redshift, np.full(len(agn), np.nan)]),
        "EXPECTED": rate * exposure.at_native(longitude, latitude),
    }


def listed_haloes(
    haloes: EmittingHaloes, bright: BoolArray, parameters: Richness, rng: np.random.Generator
) -> tuple[EmittingHaloes, dict[str, NDArray[Any]]]:
    """Return the haloes in `truth.fits`: first those with photons, then those that an optical survey finds.

    The second result holds the columns of their richness. If `truth_min` in the config block `richness` is None, there
    is no optical survey, and the second result is empty. `bright` says which haloes have photons, bool (halo,).
    """
    if parameters["truth_min"] is None:
        return haloes[bright], {}
    mass, redshift = haloes.haloes.log10_m500c, haloes.haloes.redshift
    true = draw_richness(mass, redshift, haloes.gas.luminosity, parameters, rng)
    measured = measure_richness(true, redshift, parameters, rng)
    found = ~bright & (measured >= parameters["truth_min"])
    rows = np.concatenate([np.flatnonzero(bright), np.flatnonzero(found)])
    return haloes[rows], {"LAMBDA": true[rows], "LAMBDA_OBS": measured[rows]}


def truth_columns(
    clusters: EmittingHaloes, field: Field, cosmology: Mapping[str, float], labels: IdArray, realization: int
) -> dict[str, NDArray[Any]]:
    """Return the columns of `truth.fits`, with one row for each halo. COUNTS is the number of events from the halo."""
    ra, dec = field.to_sky(clusters.haloes.longitude, clusters.haloes.latitude)
    half_mpc = 0.5 * arcmin_per_mpc(clusters.haloes.redshift, cosmology)
    concentrated = concentration(clusters.gas, clusters.haloes.redshift, cosmology)
    return {
        "SRC_ID": clusters.source_ids,
        "HALO_ID": realization * HALO_ID_FACTOR + clusters.source_ids.astype(np.int64),
        "RA": ra,
        "DEC": dec,
        "Z": clusters.haloes.redshift,
        "LOG10_M500C": clusters.haloes.log10_m500c,
        "KT": clusters.gas.kt_kev,
        "L500": clusters.gas.luminosity,
        "LBOL500": bolometric_luminosity(clusters.gas),
        "MGAS500": gas_mass(clusters.gas, clusters.haloes.redshift, cosmology),
        "CONCENTRATION": concentrated,
        "CORE": core_class(concentrated),
        "FLUX": clusters.flux,
        "FLUX500KPC": clusters.flux * clusters.gas.flux_over_r500(half_mpc),
        "R500_ARCMIN": clusters.gas.r500_arcmin,
        "COUNTS": np.bincount(np.maximum(labels, 0), minlength=len(clusters) + 1)[1:],
    }
