"""Make the catalogue of a simulated field: match detections to haloes, and add redshifts as in a follow-up survey.

In a sky with a `population`, nothing is detected, and the catalogue lists the clusters of the population.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from clustermass.arrays import FloatArray, IntArray, random_streams
from clustermass.catalogues.confirm import OpticalHaloes, Positions, confirm
from clustermass.catalogues.truth import LabelledPhotons, match_by_photons
from clustermass.errors import InputError
from clustermass.events.read import stream_events
from clustermass.io.fits import opened_fits
from clustermass.io.log import LOGGER
from clustermass.io.products import CATALOGUE, MATCHES, VOUCHED_LIKELIHOOD, write_table
from clustermass.io.provenance import CATALOGUE_BLOCKS, blocks, config_hash, provenance
from clustermass.simulate.field import ExposureMap, Field
from clustermass.simulate.prior import measured_sky

if TYPE_CHECKING:
    from clustermass.config.sky_models import Detection, Matching, Redshifts, Sky

#: cards of the event list that the catalogue repeats
_CARDS = ("OBJECT", "SIMULATE", "REALIZ", "SEED", "H0", "OMEGA_M")


class _Matched(NamedTuple):
    """Columns of the catalogue except redshifts, columns of the matches, and the true redshift of each detection."""

    catalogue: dict[str, NDArray[Any]]
    matches: dict[str, NDArray[Any]]
    redshift: FloatArray  #: NaN = no halo, (detection,)


def match_sources(
    sky: Sky,
    name: str,
    realization: str,
    events: Path,
    exposure: Path,
    truth: Path,
    catalogue: Path,
    detections: Path | None = None,
    labels: Path | None = None,
    matches: Path | None = None,
) -> None:
    """Match the detections of a simulated field to haloes, and write the catalogue and the matches.

    `detections` is a file that `ingest.detect_field.detect_field` wrote; a sky with a `population` needs none. How
    detections are matched is set by the key `matching.rule` of the sky. The rule "photons" needs the file `labels`,
    too. All random numbers depend only on the sky's seed, `name` and `realization`. InputError if a file that is needed
    isn't given, or if the numbers of labels and events differ. In a sky with a prior, the card NH_CM2 of the catalogue
    is the measured hydrogen column density.
    """
    generators, haloes = random_streams(sky["seed"], name, realization), read_columns(truth, "TRUTH")
    measured = measured_sky(sky, name, realization)
    exposure_map = ExposureMap.read(exposure, Field.from_config(measured["field"]))
    rule, secret = sky["matching"]["rule"], [truth]
    if "population" in sky:
        matched = _population(haloes, sky["population"]["number"], exposure_map)
    else:
        found = read_columns(_needed(detections, "detections", "the matching of detections"), "CATALOGUE")
        if rule == "photons":
            secret += [_needed(labels, "labels", f"matching.rule {rule}")]
            matched = _by_photons(found, haloes, _labelled(events, secret[-1], sky["detection"]), sky["matching"])
        else:
            matched = match_by_confirmation(found, haloes, exposure_map, sky["matching"], generators["followup"])
    columns = matched.catalogue | redshift_columns(matched.redshift, sky["redshifts"], generators["redshifts"])
    if "prior" in sky:
        columns["NH"] = np.full(len(columns["RA"]), measured["absorption"]["nh_cm2"])
    parameters = blocks(sky, CATALOGUE_BLOCKS)
    made = provenance("match_sources", parameters, [events, exposure, *(secret if matches else [])])
    header = fits.getheader(events, "EVENTS")
    cards: dict[str, Any] = {card: (header[card], header.comments[card]) for card in _CARDS}
    settings = {"photons": header["CFGHASH"], "catalogue": config_hash(parameters)}
    cards["CFGHASH"] = (config_hash(settings), "of the sky")
    write_table(catalogue, "CATALOGUE", CATALOGUE, columns, cards, made)
    if matches is not None:
        write_table(matches, "MATCHES", MATCHES, matched.matches, cards, made)


def _population(truth: dict[str, NDArray[Any]], number: int, exposure: ExposureMap) -> _Matched:
    """Return a population: the first `number` haloes in `truth`, each detected at its true position.

    DET_LIKE and EXT_LIKE are above every threshold. Other measurements are NaN.
    """
    src_id, ra, dec, redshift = (truth[name][:number] for name in ("SRC_ID", "RA", "DEC", "Z"))
    nan, vouched = np.full(number, np.nan), np.full(number, VOUCHED_LIKELIHOOD)
    columns = {"ID_SRC": src_id, "RA": ra, "DEC": dec, "DET_LIKE": vouched, "EXT_LIKE": vouched}
    columns |= dict.fromkeys(("EXT", "ML_RATE", "ML_CTS", "ML_BKG"), nan) | {"ML_EXP": exposure.at(ra, dec)}
    matches = {"ID_SRC": src_id, "SRC_ID": src_id, "SEPARATION": np.zeros(number), "PURITY": nan}
    return _Matched(columns, matches, redshift.astype(float))


def _needed(path: Path | None, name: str, setting: str) -> Path:
    """Return `path`; InputError if it is None, though a `setting` needs the file `name` of a realization."""
    if path is None:
        raise InputError(f"{setting} needs the file {name}.fits of the realization. Give it, too.")
    return path


def read_columns(path: Path, name: str) -> dict[str, NDArray[Any]]:
    """Return the columns of the table `name` of a FITS file, in the machine's byte order."""
    with opened_fits(path) as hdus:
        table = hdus[name]
        columns = {column: np.asarray(table.data[column]) for column in table.columns.names}
        return {column: values.astype(values.dtype.newbyteorder("=")) for column, values in columns.items()}


def _labelled(events: Path, labels: Path, band: Detection) -> Iterator[LabelledPhotons]:
    """Yield positions (deg) and labels of the photons in the band of the detection, piece by piece."""
    src_id, start = read_columns(labels, "LABELS")["SRC_ID"], 0
    number = int(fits.getval(events, "NAXIS2", "EVENTS"))
    if len(src_id) != number:
        raise InputError(
            f"{labels}: {len(src_id)} labels, but {events} holds {number} photons. Delete both, run again."
        )
    for piece in stream_events(events):
        of_piece, start = src_id[start : start + len(piece)], start + len(piece)
        rows = (piece.pi_ev >= band["e_min_ev"]) & (piece.pi_ev <= band["e_max_ev"])
        yield piece.ra[rows], piece.dec[rows], of_piece[rows]


def _by_photons(
    found: dict[str, NDArray[Any]],
    truth: dict[str, NDArray[Any]],
    photons: Iterable[LabelledPhotons],
    parameters: Matching,
) -> _Matched:
    """Return the catalogue, matches and redshifts of detections that belong to the halo that sent most photons."""
    names = ("SRC_ID", "RA", "DEC")
    pairs = match_by_photons(
        Table(found), Table({name: truth[name] for name in names}), photons, parameters["photon_radius_arcsec"]
    )
    matches = {name: np.asarray(pairs[name]) for name in pairs.colnames}
    redshift = np.full(len(found["RA"]), np.nan)
    redshift[matches["ID_SRC"] - 1] = truth["Z"][matches["SRC_ID"] - 1]
    return _Matched(found, matches, redshift)


def match_by_confirmation(
    found: dict[str, NDArray[Any]],
    truth: dict[str, NDArray[Any]],
    exposure: ExposureMap,
    parameters: Matching,
    rng: np.random.Generator,
) -> _Matched:
    """Return the catalogue, matches and redshifts of detections, some of which an optical follow-up confirms.

    `found` holds the columns of the detections, and `truth` those of haloes with measured richness. Random positions
    for F_CONT are drawn by `rng` all over the exposed field. A detection matches its counterpart if F_CONT is below
    `f_cont_max`. If several detections have the same counterpart, only the one with the highest DET_LIKE matches it,
    because a catalogue lists each cluster once. In the catalogue, F_CONT and LAMBDA are NaN for detections that aren't
    followed up. PURITY is the number of the halo's photons divided by the fitted counts, and at most 1.
    """
    names = ("RA", "DEC", "Z", "R500_ARCMIN", "LAMBDA_OBS")
    rows = np.flatnonzero(truth["LAMBDA_OBS"] > 0) if "LAMBDA_OBS" in truth else np.zeros(0, dtype=np.intp)
    if not rows.size:
        raise InputError(
            "truth.fits has no haloes with a richness. Set richness.truth_min of the sky, and simulate it."
        )
    haloes = OpticalHaloes(*(truth[name][rows].astype(float) for name in names))
    followed = found["EXT_LIKE"] > parameters["ext_like_min"]
    candidates = np.flatnonzero(followed & (found["DET_LIKE"] > parameters["det_like_min"]))
    longitude, latitude = exposure.field.draw(rng, parameters["random_positions"])
    exposed = exposure.at_native(longitude, latitude) > 0
    random = Positions(*exposure.field.to_sky(longitude[exposed], latitude[exposed]))
    at = Positions(found["RA"][candidates], found["DEC"][candidates])
    counterparts = confirm(at, haloes, random, parameters)
    columns = found | {name: np.full(len(found["RA"]), np.nan) for name in ("F_CONT", "LAMBDA")}
    columns["F_CONT"][candidates], columns["LAMBDA"][candidates] = counterparts.f_cont, counterparts.richness
    confirmed = np.flatnonzero((counterparts.halo >= 0) & (counterparts.f_cont < parameters["f_cont_max"]))
    sure = confirmed[most_likely(counterparts.halo[confirmed], found["DET_LIKE"][candidates[confirmed]])]
    message = "%d of %d candidates confirmed as clusters; %d more share their counterpart with a more likely candidate"
    LOGGER.info(message, sure.size, candidates.size, confirmed.size - sure.size)
    detection, halo = candidates[sure], rows[counterparts.halo[sure]]
    redshift = np.full(len(found["RA"]), np.nan)
    redshift[detection] = truth["Z"][halo]
    matches = {
        "ID_SRC": found["ID_SRC"][detection],
        "SRC_ID": truth["SRC_ID"][halo],
        "SEPARATION": counterparts.separation_arcsec[sure],
        "PURITY": np.minimum(truth["COUNTS"][halo] / found["ML_CTS"][detection], 1.0),
    }
    return _Matched(columns, matches, redshift)


def most_likely(halo: IntArray, det_like: FloatArray) -> IntArray:
    """Return the rows of the detections with the highest DET_LIKE of their halo, (halo,), in ascending order.

    `halo` is the number of each detection's halo. Of equally likely detections, the first one is returned.
    """
    order = np.argsort(-det_like, kind="stable")
    return np.sort(order[np.unique(halo[order], return_index=True)[1]])


def redshift_columns(redshift: FloatArray, parameters: Redshifts, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return the columns Z, Z_ERR and Z_TYPE of detections as a follow-up survey would measure them.

    Spectroscopic redshifts are exact. Photometric redshifts have Gaussian errors, truncated so that Z exceeds
    `redshift_min`; Z_ERR is then (1 + Z) times `photometric_error`. `redshift` is the true redshift of each detection's
    halo, (detection,), or NaN if the detection has no halo.
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
