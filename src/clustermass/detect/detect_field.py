"""Detect the sources of a simulated field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import random_streams
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
    sky: Sky, name: str, realization: str, events: Path, exposure: Path, labels: Path, sources: Path, detections: Path
) -> None:
    """Detect the sources of a simulated field, and write them and their photons to `detections`.

    `events`, `exposure`, `labels` and `sources` are files that `simulate.realization.simulate_realization` wrote. All
    random numbers depend only on the sky's seed, `name` and `realization`. InputError if the numbers of labels and
    events differ, or if values of the config block `detection` contradict each other.
    """
    generators = random_streams(sky["seed"], name, realization)
    exposure_map = ExposureMap.read(exposure, Field.from_config(sky["field"]))
    psf, true = KingPsf(**sky["psf"]), read_columns(sources, "SOURCES")
    candidates = Candidates(true["RA"], true["DEC"], true["SRC_ID"], true["EXPECTED"])
    seed = int(generators["detection"].integers(2**31))
    photons = read_photons(events, labels)
    found, shares = detect(photons, candidates, exposure_map.at, psf, sky["detection"], seed)
    tables = [table_hdu("DETECTIONS", DETECTIONS, found), table_hdu("SHARES", SHARES, shares)]
    write_fits(fits.HDUList([primary_hdu(), *tables]), detections)


def read_columns(path: Path, name: str) -> dict[str, NDArray[Any]]:
    """Return the columns of the table `name` of a FITS file, in the machine's byte order."""
    with opened_fits(path) as hdus:
        table = hdus[name]
        columns = {column: np.asarray(table.data[column]) for column in table.columns.names}
        return {column: values.astype(values.dtype.newbyteorder("=")) for column, values in columns.items()}


def read_photons(events: Path, labels: Path) -> dict[str, NDArray[Any]]:
    """Return the position (deg), the energy (eV) and, from `labels`, the source of each photon in an event list."""
    pieces = [(piece.ra, piece.dec, piece.pi_ev) for piece in stream_events(events)]
    ra, dec, pi_ev = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    src_id = read_columns(labels, "LABELS")["SRC_ID"]
    if len(src_id) != len(ra):
        raise InputError(
            f"{labels}: {len(src_id)} labels, but {events} holds {len(ra)} photons. Delete both, run again."
        )
    return {"ra": ra, "dec": dec, "pi_ev": pi_ev, "src_id": src_id}
