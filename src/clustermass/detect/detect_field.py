"""Make the catalogue of a simulated field: detect sources, match them to haloes, add redshifts as a follow-up would."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from clustermass.arrays import FloatArray, random_streams
from clustermass.detect.detect import Candidates, detect
from clustermass.errors import InputError
from clustermass.events.read import stream_events
from clustermass.io.fits import opened_fits
from clustermass.io.products import CATALOGUE, MATCHES, write_table
from clustermass.io.provenance import CATALOGUE_BLOCKS, blocks, config_hash, provenance
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.telescope import KingPsf

if TYPE_CHECKING:
    from clustermass.config.sky_models import Redshifts, Sky

#: cards of the event list that the catalogue repeats
_CARDS = ("OBJECT", "SIMULATE", "REALIZ", "SEED", "H0", "OMEGA_M")


def detect_sources(
    sky: Sky,
    name: str,
    realization: str,
    events: Path,
    exposure: Path,
    labels: Path,
    sources: Path,
    catalogue: Path,
    matches: Path | None = None,
) -> None:
    """Detect the sources of a simulated field; write them to `catalogue`, and their matches to haloes to `matches`.

    `events`, `exposure`, `labels` and `sources` are files that `simulate.realization.simulate_realization` wrote. The
    seed of the sky, `name` and `realization` determine all random numbers. InputError if the numbers of labels and
    events differ, or if values of the config block `detection` contradict each other.
    """
    generators = random_streams(sky["seed"], name, realization)
    exposure_map = ExposureMap.read(exposure, Field.from_config(sky["field"]))
    psf, true = KingPsf(**sky["psf"]), _columns(sources, "SOURCES")
    candidates = Candidates(true["RA"], true["DEC"], true["SRC_ID"], true["EXPECTED"])
    seed = int(generators["detection"].integers(2**31))
    columns, matched = detect(_photons(events, labels), candidates, exposure_map.at, psf, sky["detection"], seed)
    redshift, order = np.full(len(columns["ID_SRC"]), np.nan), np.argsort(true["SRC_ID"], kind="stable")
    halo = order[np.searchsorted(true["SRC_ID"], matched["SRC_ID"], sorter=order)]
    redshift[np.searchsorted(columns["ID_SRC"], matched["ID_SRC"])] = true["Z"][halo]
    columns |= redshift_columns(redshift, sky["redshifts"], generators["redshifts"])
    parameters = blocks(sky, CATALOGUE_BLOCKS)
    inputs = [events, exposure] if matches is None else [events, exposure, labels, sources]
    made = provenance("detect_sources", parameters, inputs)
    header = fits.getheader(events, "EVENTS")
    cards: dict[str, Any] = {card: (header[card], header.comments[card]) for card in _CARDS}
    settings = {"photons": header["CFGHASH"], "catalogue": config_hash(parameters)}
    cards["CFGHASH"] = (config_hash(settings), "of the sky")
    write_table(catalogue, "CATALOGUE", CATALOGUE, columns, cards, made)
    if matches is not None:
        write_table(matches, "MATCHES", MATCHES, matched, cards, made)


def _columns(path: Path, name: str) -> dict[str, NDArray[Any]]:
    """Return the columns of the table `name` of a FITS file, in the machine's byte order."""
    with opened_fits(path) as hdus:
        table = hdus[name]
        columns = {column: np.asarray(table.data[column]) for column in table.columns.names}
        return {column: values.astype(values.dtype.newbyteorder("=")) for column, values in columns.items()}


def _photons(events: Path, labels: Path) -> dict[str, NDArray[Any]]:
    """Return the position (deg), energy (eV) and source of each photon in an event list and its labels."""
    pieces = [(piece.ra, piece.dec, piece.pi_ev) for piece in stream_events(events)]
    ra, dec, pi_ev = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    src_id = _columns(labels, "LABELS")["SRC_ID"]
    if len(src_id) != len(ra):
        raise InputError(
            f"{labels}: {len(src_id)} labels, but {events} holds {len(ra)} photons. Delete both, run again."
        )
    return {"ra": ra, "dec": dec, "pi_ev": pi_ev, "src_id": src_id}


def redshift_columns(redshift: FloatArray, parameters: Redshifts, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return the columns Z, Z_ERR and Z_TYPE of detections as a follow-up survey would measure them.

    Spectroscopic redshifts are exact. Photometric redshifts have Gaussian errors, truncated so that Z exceeds
    `redshift_min`. Their Z_ERR is (1 + Z) times `photometric_error`. `redshift` is the true redshift of each
    detection's halo, (detection,); it is NaN if the detection has no halo.
    """
    has_halo, width = np.isfinite(redshift), parameters["photometric_error"]
    spectroscopic = has_halo & (rng.random(len(redshift)) < parameters["spectroscopic_fraction"])
    photometric, uniform = has_halo & ~spectroscopic, rng.random(len(redshift))
    z, error = redshift.copy(), np.where(has_halo, 0.0, np.nan)
    if width > 0 and photometric.any():
        true = redshift[photometric]
        sigma = width * (1 + true)
        lowest = ndtr((np.nextafter(np.float32(parameters["redshift_min"]), np.float32(1)) - true) / sigma)
        z[photometric] = true + sigma * ndtri(lowest + uniform[photometric] * (1 - lowest))
        error[photometric] = width * (1 + z[photometric])
    kind = np.where(spectroscopic, "spec", np.where(photometric, "photo", "none"))
    return {"Z": z, "Z_ERR": error, "Z_TYPE": kind}
