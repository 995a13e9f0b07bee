"""Conversion of a user's field (event lists, catalogue, perhaps exposure map and truth) to the pipeline's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from clustermass.catalogues.truth import LabelledPhotons, Tally, match_by_photons, match_by_position, read_truth
from clustermass.catalogues.user_catalogue import read_catalogue, select_clusters
from clustermass.config.bands import band_edges
from clustermass.config.resolve import input_files, realization_files
from clustermass.errors import InputError
from clustermass.events.eventlist import ALL_MODULES, Selection
from clustermass.events.merge import stream_many
from clustermass.events.read import ORDER, PIECE_ROWS
from clustermass.events.write import UNUSED, StoredEvents, write_events, write_labels
from clustermass.images.band_images import ImagePhotons, are_images, photons_of_images
from clustermass.images.exposure import UNKNOWN
from clustermass.images.occupied import mean_position
from clustermass.ingest.field_exposure import FieldExposure, field_exposure
from clustermass.io.fits import check_file, is_fits, opened_fits
from clustermass.io.log import LOGGER, track
from clustermass.io.products import CATALOGUE, MATCHES, TRUTH, FieldFiles, write_exposure, write_table
from clustermass.io.provenance import provenance

if TYPE_CHECKING:
    from clustermass.config.bands import BandsKey
    from clustermass.config.models import Events
    from clustermass.config.sky_models import Sky

DEFAULT_MATCH_ARCSEC = 60.0
_ML_BAND_EV = (200.0, 2300.0)  #: band of ML_CTS in eV, in which a halo's photons are counted


def ingest_field(
    sky: Sky,
    realization: str,
    events_block: Events,
    output: FieldFiles,
    bands: BandsKey | None = None,
    with_redshift: bool = True,
) -> None:
    """Convert the user's files of one realization ("01", "02", ...) of a sky to the pipeline's files `output`.

    `sky` is a block `skies.<name>` with `source: files`. The events are selected by flag, pattern, module and good
    time, as the block `events` of the configuration says (`events_block`). `field_exposure` determines the exposure,
    and the column EXP_FROM of the catalogue says where the exposure of each cluster is from. `bands` are the energy
    bands that the networks see. If they are given, images in these bands may replace event lists
    (`clustermass.images.band_images`). If `with_redshift` is False, the catalogue needs no redshifts, and existing ones
    aren't read. Truth, matches and labels are written only for simulated skies (`observed: false`). The file of labels
    has no rows if the photons have no truth labels.

    InputError if a file is missing or faulty, no event survives the selection, the exposure is unknown, no detection
    lies in the field, or a simulated sky has no table of truth.
    """
    files = realization_files(sky, realization)
    observed = sky.get("observed", False)
    truth = files.get("truth")
    if not observed and not truth:
        raise InputError(
            f"skies: realization {realization!r} has no 'truth', the table of haloes with their masses. Name one, or "
            "set observed: true if the masses are to be found out."
        )
    catalogue, further = Path(files["catalogue"]), [Path(path) for path in files.get("joined_catalogues") or ()]
    for path in (catalogue, *further):
        _check_table(path)
    with closing(StoredEvents(output.events.parent, without=UNUSED)) as photons:
        band_images, share = _store(photons, files["events"], events_block, bands)
        columns, edges = sky.get("catalogue_columns"), sky.get("catalogue_bands")
        detections = read_catalogue(catalogue, columns, further, edges, with_redshift)
        detections = select_clusters(detections, catalogue, sky.get("catalogue_selection"))
        centre = mean_position(photons)
        exposure = field_exposure(files, photons, centre, detections, band_images, share)
        detections = detections[exposure.rows]
        _add_exposure(detections, exposure, observed)
        haloes, pairs = None, None
        if truth and not observed:
            haloes, pairs = _truth(sky, realization, Path(truth), photons, detections)
        kept = ["observed", "catalogue_columns", "catalogue_selection", "truth_columns", "match_arcsec"]
        kept += ["catalogue_bands"] if sky.get("catalogue_bands") else []
        parameters: dict[str, Any] = {key: value for key, value in sky.items() if key in kept}
        parameters |= {"events": dict(events_block), "realization": realization, "exposure_s": files.get("exposure_s")}
        made_by = provenance("ingest_field", parameters, input_files(sky, realization))
        # a field with a table of its truth is simulated, whatever wrote its events
        simulated = photons.head.simulated or not observed
        write_events((replace(piece, simulated=simulated) for piece in photons), output.events, made_by, centre)
        if output.labels is not None and not observed:
            labels = (piece.src_id for piece in photons if piece.src_id is not None)
            write_labels(labels, output.labels, made_by)
    (image, cards), *others = ((plane, wcs.to_header()) for plane, wcs in exposure.map.planes)
    added = {"ADDED": (exposure.map.added, "T: where images overlap, exposures are added")} if others else {}
    write_exposure(output.exposure, image, cards, added, made_by, others)
    used = {"COLUMNS": detections.meta["COLUMNS"]}  # texts such as "Z = z_best": our name = the user's name
    write_table(output.catalogue, "CATALOGUE", CATALOGUE, detections, used, made_by)
    if haloes is not None and output.truth is not None:
        write_table(output.truth, "TRUTH", TRUTH, haloes, provenance=made_by)
    if pairs is not None and output.matches is not None:
        write_table(output.matches, "MATCHES", MATCHES, pairs, provenance=made_by)


def _check_table(path: Path) -> None:
    check_file(path, ORDER)
    if not is_fits(path):
        return
    with opened_fits(path, whole=False) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        kind = "" if tables else "an image"
        if any(table.name.upper() == "EVENTS" for table in tables):
            kind = "an event list"
    if kind:
        raise InputError(f"{path}: is {kind}, but is given as the table of clusters. {ORDER}")


def _add_exposure(detections: Table, exposure: FieldExposure, observed: bool) -> None:
    """Add EXP_FROM and, without a map, EXPOSURE. InputError if a cluster of a simulated sky has no exposure."""
    detections["EXP_FROM"] = exposure.origin
    if exposure.seconds is None:
        return
    detections["EXPOSURE"] = exposure.seconds
    unknown = int((exposure.origin == UNKNOWN).sum())
    if unknown and not observed:
        raise InputError(f"{unknown} rows lack ML_EXP, but training clusters need an exposure. Name an exposure map.")


def _store(
    photons: StoredEvents, paths: Sequence[str], events_block: Events, bands: BandsKey | None
) -> tuple[ImagePhotons | None, float]:
    """Add the photons of `paths` to `photons`. Return the band images and the chosen modules' share of exposure."""
    if bands is not None and are_images(paths):
        band_images = photons_of_images(paths, band_edges(bands), events_block["pattern"])
        photons.add(band_images.events)
        return band_images, 1.0
    chosen = events_block.get("modules", ALL_MODULES)
    selection = Selection(events_block["flag_mask"], events_block["pattern"], modules=chosen)
    for piece in track(stream_many(paths, photons.folder), f"{paths[0]}: pieces of {PIECE_ROWS} rows"):
        photons.add(selection.keep(piece))
    selection.conclude()
    selection.warn_of_modules()
    return None, selection.share()


def _truth(sky: Sky, realization: str, path: Path, photons: StoredEvents, detections: Table) -> tuple[Table, Table]:
    """Return the table of haloes, with their numbers of photons as COUNTS, and the matches of detections and haloes.

    The haloes are read from `path`. COUNTS is -1 if the photons have no labels of these haloes.
    """
    haloes = read_truth(path, sky.get("truth_columns"), realization)
    radius = float(sky.get("match_arcsec", DEFAULT_MATCH_ARCSEC))
    if not _are_labelled(photons, haloes):
        haloes["COUNTS"] = np.full(len(haloes), -1, dtype=np.int32)
        return haloes, match_by_position(detections, haloes, radius)
    number = Tally()
    for _, _, labels in _soft(photons):
        number.add(labels[np.isin(labels, haloes["SRC_ID"])].astype(np.int64))
    counts = dict(zip(number.values.tolist(), number.counts.tolist(), strict=True))
    haloes["COUNTS"] = np.array([counts.get(halo, 0) for halo in haloes["SRC_ID"].tolist()], dtype=np.int32)
    return haloes, match_by_photons(detections, haloes, _soft(photons), radius)


def _soft(photons: StoredEvents) -> Iterator[LabelledPhotons]:
    """Yield positions and labels of the photons in the band of ML_CTS, 0.2-2.3 keV, piece by piece."""
    for piece in photons:
        rows = (piece.pi_ev >= _ML_BAND_EV[0]) & (piece.pi_ev < _ML_BAND_EV[1])
        yield piece.ra[rows], piece.dec[rows], piece.columns()["src_id"][rows]


def _are_labelled(photons: StoredEvents, haloes: Table) -> bool:
    why = ""
    if photons.head.src_id is None:
        why = "no SRC_ID; how many photons a halo has is unknown (COUNTS = -1)"
    elif not any(np.isin(piece.columns()["src_id"], haloes["SRC_ID"]).any() for piece in photons):
        why = (
            "no photon's SRC_ID is that of a halo in the truth; taken as unknown (COUNTS = -1). Should the truth's "
            "SRC_ID be another column? Name it under truth_columns."
        )
    if why:
        LOGGER.warning("%s: %s", photons.head.name, why)
    return not why
