"""Detect the sources of a simulated field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import random_streams
from clustermass.detect.blind import detect as search_field
from clustermass.detect.detect import Candidates, detect
from clustermass.errors import InputError
from clustermass.events.read import stream_events
from clustermass.io.fits import opened_fits, write_fits
from clustermass.io.products import DETECTIONS, SHARES, primary_hdu, table_hdu
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.telescope import KingPsf

if TYPE_CHECKING:
    from clustermass.config.sky_models import Sky


def detect_sources(
    sky: Sky,
    name: str,
    realization: str,
    events: Path,
    exposure: Path,
    detections: Path,
    labels: Path | None = None,
    sources: Path | None = None,
) -> None:
    """Detect the sources of a simulated field, and write them and their photons to `detections`.

    `events`, `exposure`, `labels` and `sources` are files that `simulate.realization.simulate_realization` wrote. The
    key `method` of the config block `detection` is the way in which sources are found. The method "truth" needs
    `labels` and `sources`; "search" reads neither, and writes no photons of sources. All random numbers depend only on
    the sky's seed, `name` and `realization`. InputError if a file that the method needs isn't given, if the numbers of
    labels and events differ, or if values of the config block `detection` contradict each other.
    """
    exposure_map = ExposureMap.read(exposure, Field.from_config(sky["field"]))
    psf, block = KingPsf(**sky["psf"]), sky["detection"]
    if block["method"] == "search":
        tables = [table_hdu("DETECTIONS", DETECTIONS, search_field(read_events(events), exposure_map.at, psf, block))]
    else:
        true = read_columns(needed(sources, "sources", "detection.method truth"), "SOURCES")
        photons = read_photons(events, needed(labels, "labels", "detection.method truth"))
        seed = int(random_streams(sky["seed"], name, realization)["detection"].integers(2**31))
        candidates = Candidates(true["RA"], true["DEC"], true["SRC_ID"], true["EXPECTED"])
        found, shares = detect(photons, candidates, exposure_map.at, psf, block, seed)
        tables = [table_hdu("DETECTIONS", DETECTIONS, found), table_hdu("SHARES", SHARES, shares)]
    write_fits(fits.HDUList([primary_hdu(), *tables]), detections)


def needed(path: Path | None, name: str, setting: str) -> Path:
    """Return `path`; InputError if it is None, though a `setting` of the sky needs the file `name` of a simulation."""
    if path is None:
        raise InputError(f"{setting} needs the file {name}.fits of the simulation. Give it, too.")
    return path


def read_columns(path: Path, name: str) -> dict[str, NDArray[Any]]:
    """Return the columns of the table `name` of a FITS file, in the machine's byte order."""
    with opened_fits(path) as hdus:
        table = hdus[name]
        columns = {column: np.asarray(table.data[column]) for column in table.columns.names}
        return {column: values.astype(values.dtype.newbyteorder("=")) for column, values in columns.items()}


def read_photons(events: Path, labels: Path) -> dict[str, NDArray[Any]]:
    """Return the position (deg), the energy (eV) and, from `labels`, the source of each photon in an event list."""
    photons, src_id = read_events(events), read_columns(labels, "LABELS")["SRC_ID"]
    if len(src_id) != len(photons["ra"]):
        raise InputError(
            f"{labels}: {len(src_id)} labels, but {events} holds {len(photons['ra'])} photons. Delete both, run again."
        )
    return photons | {"src_id": src_id}


def read_events(events: Path) -> dict[str, NDArray[Any]]:
    """Return the position (deg) and energy (eV) of each photon in an event list."""
    pieces = [(piece.ra, piece.dec, piece.pi_ev) for piece in stream_events(events)]
    ra, dec, pi_ev = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return {"ra": ra, "dec": dec, "pi_ev": pi_ev}
