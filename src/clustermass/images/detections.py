"""Detections that get an image, and, in simulated fields, the haloes they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.catalogues.tables import CheckedTable, nearest
from clustermass.errors import InputError
from clustermass.io.fits import opened_fits
from clustermass.io.log import LOGGER

if TYPE_CHECKING:
    from clustermass.config.models import Images

#: column of catalogue.fits -> variable of images.nc
MEASURED = {"Z": "redshift", "Z_ERR": "redshift_err"} | {
    name: name.lower() for name in ("DET_LIKE", "EXT_LIKE", "EXT", "ML_RATE", "ML_CTS", "ML_BKG")
}


class Detections(NamedTuple):
    """Detections that get an image, in the order of the catalogue; arrays of shape (clusters,)."""

    id_src: NDArray[np.int64]
    ra: FloatArray
    dec: FloatArray
    measured: dict[str, FloatArray]


class Labels(NamedTuple):
    """True mass, identity and position of the halo of each detection, (clusters,); no halo: NaN, `halo_id` -1."""

    log10_m500c: FloatArray
    halo_id: NDArray[np.int64]
    ra: FloatArray
    dec: FloatArray


def read_detections(path: Path, det_like_min: float, ext_like_min: float) -> Detections:
    """Read `catalogue.fits` and keep the detections above both likelihoods.

    InputError if the file is missing or damaged or lacks a column, two rows have one ID_SRC, a position is no position,
    or no detection is above both likelihoods.
    """
    table = _read(path, "CATALOGUE", ("ID_SRC", "RA", "DEC", *MEASURED))
    id_src = table.whole_numbers("ID_SRC")
    ra, dec = table.positions()
    measured = {name: table.numbers(column) for column, name in MEASURED.items()}
    det, ext = measured["det_like"], measured["ext_like"]
    # a NaN likelihood is above nothing
    detected, extended = det > det_like_min, ext > ext_like_min
    keep = detected & extended
    LOGGER.info(
        "%s: %d detections; dropped: %d with DET_LIKE <= %g, %d of the others with EXT_LIKE <= %g; left: %d",
        path, keep.size, (~detected).sum(), det_like_min, (detected & ~extended).sum(), ext_like_min, keep.sum(),
    )  # fmt: skip
    if not keep.any():
        raise InputError(
            f"{path}: none of {keep.size} detections has DET_LIKE > {det_like_min:g} and EXT_LIKE > {ext_like_min:g} "
            f"(highest DET_LIKE: {_highest(det)}; highest EXT_LIKE: {_highest(ext)}). Lower images.det_like_min or "
            "images.ext_like_min, or give a deeper catalogue."
        )
    return Detections(id_src[keep], ra[keep], dec[keep], {name: values[keep] for name, values in measured.items()})


def _highest(values: FloatArray) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.max():.4g}" if finite.size else "none"


def read_labels(truth: Path, matches: Path, id_src: NDArray[np.int64]) -> Labels:
    """Return the halo of each detection `id_src` (clusters,) by the realization's `truth.fits` and `matches.fits`.

    InputError if a file is missing or damaged or lacks a column, a detection is matched twice, or a matched halo isn't
    in `truth`.
    """
    haloes = _read(truth, "TRUTH", ("SRC_ID", "HALO_ID", "RA", "DEC", "LOG10_M500C"))
    pairs = _read(matches, "MATCHES", ("ID_SRC", "SRC_ID"))
    halo_rows = {int(number): row for row, number in enumerate(haloes.whole_numbers("SRC_ID"))}
    halo_of = dict(zip(pairs.whole_numbers("ID_SRC").tolist(), np.asarray(pairs.table["SRC_ID"]).tolist(), strict=True))
    absent = sorted(set(halo_of.values()) - set(halo_rows))
    if absent:
        raise InputError(f"{matches}: SRC_ID {absent[0]} is no halo of {truth}. Make both files anew together.")
    rows = np.array([halo_rows.get(halo_of.get(number, -1), -1) for number in id_src.tolist()], dtype=np.int64)
    matched = rows >= 0
    LOGGER.info("%s: %d of %d detections have a halo", matches, matched.sum(), matched.size)
    halo_id = np.full(rows.size, -1, dtype=np.int64)
    halo_id[matched] = np.asarray(haloes.table["HALO_ID"], dtype=np.int64)[rows[matched]]
    mass, ra, dec = np.full((3, rows.size), np.nan)
    for values, name in ((mass, "LOG10_M500C"), (ra, "RA"), (dec, "DEC")):
        values[matched] = haloes.numbers(name)[rows[matched]]
    return Labels(mass, halo_id, ra, dec)


def _read(path: Path, name: str, columns: Sequence[str]) -> CheckedTable:
    """Read one table of a FITS file of the pipeline; it may have no rows."""
    with opened_fits(path) as hdus:
        table = next((Table.read(hdu) for hdu in hdus if hdu.name == name), None)
    if table is None:
        raise InputError(f"{path}: has no table {name}. Delete it and run again.")
    missing = [column for column in columns if column not in table.colnames]
    if missing:
        raise InputError(
            f"{path}: table {name} lacks column {', '.join(missing)}.{nearest(missing[0], table.colnames)} Its "
            f"columns: {', '.join(table.colnames)}."
        )
    return CheckedTable(table, path)


def image_centres(detections: Detections, labels: Labels | None, images: Images) -> tuple[FloatArray, FloatArray]:
    """Return right ascension and declination of the image centres in deg, float64 (clusters,) each.

    `images.centre` decides: 'detected' = position of the catalogue; 'halo' = true position of the halo, or the detected
    one where there is none. InputError for 'halo' where the sky has no truth, or an unknown word.
    """
    centre = images["centre"]
    if centre == "detected":
        return detections.ra, detections.dec
    if centre != "halo":
        raise InputError(f"images.centre is {centre!r}, but must be detected or halo.")
    if labels is None:
        raise InputError(
            "images.centre is halo, but an observed sky has no true positions. Set images.centre to detected."
        )
    unmatched = labels.halo_id < 0
    LOGGER.info("images.centre halo: %d detections without a halo keep their detected centre", unmatched.sum())
    return np.where(unmatched, detections.ra, labels.ra), np.where(unmatched, detections.dec, labels.dec)
