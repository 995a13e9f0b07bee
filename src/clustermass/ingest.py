"""A user's own field (event lists, catalogue, perhaps exposure map and truth) into the pipeline's standard files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from clustermass.catalogues.matching import match_by_photons, match_by_position
from clustermass.catalogues.sample_cuts import select_clusters
from clustermass.catalogues.truth import read_truth, write_matches, write_truth
from clustermass.catalogues.user import read_catalogue, write_catalogue
from clustermass.config.resolve import input_files, realization_files
from clustermass.errors import InputError
from clustermass.events.gti import mean_exposure_s
from clustermass.events.selection import EventList, read_many, select, write_events, write_labels
from clustermass.images.band_images import ImagePhotons, are_images, photons_of_images
from clustermass.images.exposure_maps import (
    POINTING_DEG2,
    area_deg2,
    exposure_at,
    mean_position,
    occupied_cells,
    read_exposure,
    write_exposure,
)
from clustermass.progress import LOGGER
from clustermass.provenance import provenance

DEFAULT_MATCH_ARCSEC = 60.0
#: band of ML_CTS in eV, in which a halo's photons are counted
_ML_BAND_EV = (200.0, 2300.0)


def ingest_field(
    sky: Mapping[str, Any],
    realization: str,
    events_block: Mapping[str, Any],
    *,
    bands: Mapping[str, int] | None = None,
    events: Path,
    exposure: Path,
    catalogue: Path,
    truth: Path | None = None,
    matches: Path | None = None,
    labels: Path | None = None,
) -> None:
    """Turn one realization of a sky with `source: files` into the standard files; nothing after knows whence they came.

    The events are selected by flag, pattern and good time. The exposure map is the user's, or else flat over the cells
    of the sky that hold photons (`clustermass.images.exposure_maps`), at `exposure_s`, else the catalogue's median
    ML_EXP, else (one pointing only) the mean good time of the modules. In place of event lists there may be images in
    energy bands (`clustermass.images.band_images`).

    Parameters
    ----------
    sky
        Block `skies.<name>`: `observed`, `realizations.<label>.{events, catalogue, joined_catalogues, exposure,
        exposure_s, truth}`, `catalogue_columns`, `catalogue_selection`, `truth_columns`, `match_arcsec`.
    realization
        Label, "01", "02", ...
    events_block
        Block `events`: `flag_mask`, `pattern`.
    bands
        Block `images.bands`, which images in energy bands must have; None = only event lists are taken.
    events, exposure, catalogue, truth, matches, labels
        Files to write; the last three of simulated skies only (`observed: false`). Where the photons have no truth
        labels `labels` has no rows.

    Raises
    ------
    InputError
        A file is missing or faulty, no event survives the selection, no exposure is known, no detection lies in the
        field, or a simulated sky has no table of truth.
    """
    files = realization_files(sky, realization)
    observed = bool(sky.get("observed", False))
    if not observed and not files.get("truth"):
        raise InputError(
            f"skies: realization {realization!r} has no 'truth', the table of haloes with their masses. Name one, or "
            "set observed: true if the masses are to be found out."
        )
    photons, shown = _photons(files["events"], events_block, bands)
    further = [Path(path) for path in files.get("joined_catalogues") or ()]
    detections = read_catalogue(Path(files["catalogue"]), sky.get("catalogue_columns"), further=further)
    detections = select_clusters(detections, Path(files["catalogue"]), sky.get("catalogue_selection"))
    image, wcs = _exposure(files, photons, detections, shown)
    _check_overlap(detections, image, wcs, files)
    haloes, pairs = (None, None) if observed else _truth(sky, realization, files, photons, detections)
    facts = _provenance(sky, realization, files, events_block)
    # a field with a table of its truth is simulated, whatever wrote its events
    photons = replace(photons, simulated=photons.simulated or not observed)
    write_events(photons, events, facts, centre=mean_position(photons.ra, photons.dec))
    write_exposure(image, wcs, exposure, facts)
    write_catalogue(detections, catalogue, facts)
    if haloes is not None and truth is not None:
        write_truth(haloes, truth, facts)
    if pairs is not None and matches is not None:
        write_matches(pairs, matches, facts)
    if labels is not None and not observed:
        write_labels(photons.src_id, labels, facts)


def _photons(
    paths: Sequence[str], events_block: Mapping[str, Any], bands: Mapping[str, int] | None
) -> tuple[EventList, ImagePhotons | None]:
    """Read selected photons of event lists, or those of band images with the part of the sky that these show."""
    pattern = events_block.get("pattern", 15)
    if bands is not None and are_images(paths):
        start, width = int(bands["start_ev"]), int(bands["width_ev"])
        edges = [start + width * number for number in range(int(bands["number"]) + 1)]
        shown = photons_of_images(paths, edges, pattern)
        return shown.events, shown
    return select(read_many(paths), events_block.get("flag_mask", "auto"), pattern), None


def _truth(
    sky: Mapping[str, Any], realization: str, files: Mapping[str, Any], photons: EventList, detections: Table
) -> tuple[Table, Table]:
    haloes = read_truth(Path(files["truth"]), sky.get("truth_columns"), realization)
    radius = float(sky.get("match_arcsec", DEFAULT_MATCH_ARCSEC))
    labels = _labels(photons, haloes)
    if labels is None:
        haloes["COUNTS"] = np.full(len(haloes), -1, dtype=np.int32)
        return haloes, match_by_position(detections, haloes, radius)
    soft = (photons.pi_ev >= _ML_BAND_EV[0]) & (photons.pi_ev < _ML_BAND_EV[1])
    number = dict(zip(*(found.tolist() for found in np.unique(labels[soft], return_counts=True)), strict=True))
    haloes["COUNTS"] = np.array([number.get(halo, 0) for halo in haloes["SRC_ID"].tolist()], dtype=np.int32)
    return haloes, match_by_photons(detections, haloes, (photons.ra[soft], photons.dec[soft], labels[soft]), radius)


def _labels(photons: EventList, haloes: Table) -> NDArray[np.int32] | None:
    """SRC_ID of the photons, or None if it says nothing of these haloes."""
    if photons.src_id is None:
        LOGGER.warning("%s: no SRC_ID; how many photons a halo has is unknown (COUNTS = -1)", photons.name)
        return None
    if not np.isin(photons.src_id, np.asarray(haloes["SRC_ID"])).any():
        LOGGER.warning(
            "%s: no photon's SRC_ID is that of a halo in the truth; taken as unknown (COUNTS = -1). Should the truth's "
            "SRC_ID be another column? Name it under truth_columns.",
            photons.name,
        )
        return None
    return photons.src_id


def _exposure(
    files: Mapping[str, Any], photons: EventList, detections: Table, shown: ImagePhotons | None
) -> tuple[NDArray[np.float32], WCS]:
    if files.get("exposure"):
        image, wcs = read_exposure(Path(files["exposure"]))
        return (shown.within(image, wcs) if shown else image), wcs
    if shown:
        (cells, area), wcs = shown.occupied(), shown.wcs
    else:
        cells, wcs = occupied_cells(photons.ra, photons.dec)
        area = area_deg2(cells)
    seconds, origin = _flat_exposure_s(files, photons, detections, area)
    LOGGER.warning(
        "%s: no exposure map; taken as flat, %.0f s (%s), over the %.2f deg2 that hold photons",
        photons.name, seconds, origin, area,
    )  # fmt: skip
    return np.where(cells, seconds, 0).astype(np.float32), wcs


def _flat_exposure_s(files: Mapping[str, Any], photons: EventList, detections: Table, area: float) -> tuple[float, str]:
    if files.get("exposure_s"):
        return float(files["exposure_s"]), "exposure_s"
    known = np.asarray(detections["ML_EXP"])
    known = known[np.isfinite(known) & (known > 0)]
    if known.size:
        return float(np.median(known)), "median ML_EXP of the catalogue"
    good_time = mean_exposure_s(photons)
    # a scanning telescope spends only a small share of its good time on any one place
    if good_time is None or area > POINTING_DEG2:
        why = (
            "it has no good time intervals" if good_time is None else f"its {area:.1f} deg2 are more than one pointing"
        )
        raise InputError(
            f"{photons.name}: the exposure is unknown ({why}). Name an exposure map or exposure_s for the realization, "
            "or give the catalogue a column ML_EXP."
        )
    return good_time, "mean good time of the modules, vignetting left out"


def _check_overlap(detections: Table, image: NDArray[np.float32], wcs: WCS, files: Mapping[str, Any]) -> None:
    exposed = exposure_at(image, wcs, np.asarray(detections["RA"]), np.asarray(detections["DEC"])) > 0
    if not exposed.any():
        raise InputError(
            f"{files['catalogue']}: none of its {len(detections)} rows lies in the field of {files['events'][0]}. "
            "Do the two belong together, and are the positions ICRS in deg?"
        )
    LOGGER.info("%s: %d of %d rows lie in the exposed field", files["catalogue"], exposed.sum(), exposed.size)


def _provenance(
    sky: Mapping[str, Any], realization: str, files: Mapping[str, Any], events_block: Mapping[str, Any]
) -> dict[str, Any]:
    kept = ("observed", "catalogue_columns", "catalogue_selection", "truth_columns", "match_arcsec")
    parameters = {key: sky[key] for key in kept if key in sky} | {"events": dict(events_block)}
    parameters |= {"realization": realization, "exposure_s": files.get("exposure_s")}
    facts = provenance("ingest_field", parameters, input_files(sky, realization))
    # JSON escapes what a FITS header can't hold, such as accents in file names
    return {key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in facts.items()}
