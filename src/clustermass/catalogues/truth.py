"""The truth of a user's own simulation: haloes with known masses, and which detection belongs to which."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from clustermass.catalogues.tables import find_columns, numbers, positions, read_table, require_columns, whole_numbers
from clustermass.catalogues.user import Field, bintable, primary_hdu
from clustermass.datasets import write_fits
from clustermass.errors import InputError
from clustermass.progress import LOGGER

TRUTH_COLUMNS: dict[str, Field] = {
    "SRC_ID": Field("J", None, "number of the halo in the simulation's source list"),
    "HALO_ID": Field("K", None, "identity of the halo over all realizations"),
    "RA": Field("D", "deg", "right ascension, ICRS"),
    "DEC": Field("D", "deg", "declination, ICRS"),
    "Z": Field("E", None, "redshift"),
    "LOG10_M500C": Field("E", None, "log10(M500c / Msun)"),
    "KT": Field("E", "keV", "temperature"),
    "L500": Field("E", "erg/s", "luminosity inside R500, 0.5-2 keV rest frame"),
    "FLUX": Field("E", "erg/s/cm**2", "observed flux, 0.5-2 keV"),
    "R500_ARCMIN": Field("E", "arcmin", "R500c"),
    "COUNTS": Field("J", None, "photons in the event list, 0.2-2.3 keV; -1 = unknown"),
}
MATCH_COLUMNS: dict[str, Field] = {
    "ID_SRC": Field("J", None, "detection"),
    "SRC_ID": Field("J", None, "halo"),
    "SEPARATION": Field("E", "arcsec", "distance of the detection from the halo"),
    "PURITY": Field("E", None, "share of the fitted counts that the halo's photons can account for"),
}
_SYNONYMS = {name: (name,) for name in (*TRUTH_COLUMNS, "M500C") if name != "COUNTS"}
_OPTIONAL = ("KT", "L500", "FLUX", "R500_ARCMIN")
#: log10(M500c / Msun) outside this is no mass of a halo but one in other units
_MASS_RANGE = (9.0, 17.0)


def read_truth(path: Path, columns: Mapping[str, str] | None, realization: str) -> Table:
    """Read a user's table of simulated haloes and return it under the names of `truth.fits`, but for COUNTS.

    Parameters
    ----------
    path
        FITS, CSV or ECSV file with at least SRC_ID, RA, DEC, Z and one of LOG10_M500C and M500C.
    columns
        Our name -> the table's name, where they differ.
    realization
        Label such as "01". Without a column HALO_ID every realization is taken to have haloes of its own.

    Returns
    -------
    Table
        One row a halo in the order of the file, columns of `TRUTH_COLUMNS`; KT, L500, FLUX, R500_ARCMIN NaN where the
        table lacks them.

    Raises
    ------
    InputError
        See `clustermass.catalogues.tables`; or a redshift or mass that can't be one.
    """
    path = Path(path)
    table = read_table(path)
    found = find_columns(table, path, _SYNONYMS, columns or {})
    mass = "LOG10_M500C" if "LOG10_M500C" in found or "M500C" not in found else "M500C"
    require_columns(table, path, found, ("SRC_ID", "RA", "DEC", "Z", mass), "truth_columns")
    truth = Table()
    truth["SRC_ID"] = whole_numbers(table, path, found["SRC_ID"]).astype(np.int32)
    _check(truth["SRC_ID"] > 0, truth["SRC_ID"], path, found["SRC_ID"], "no SRC_ID of a halo (above 0)")
    truth["HALO_ID"] = _halo_ids(table, path, found.get("HALO_ID"), truth["SRC_ID"], realization)
    truth["RA"], truth["DEC"] = positions(table, path, found["RA"], found["DEC"])
    redshift = numbers(table, path, found["Z"])
    _check(np.isfinite(redshift) & (redshift > 0), redshift, path, found["Z"], "no redshift of a halo")
    truth["Z"] = redshift.astype(np.float32)
    truth["LOG10_M500C"] = _log10_mass(numbers(table, path, found[mass]), path, found[mass], mass)
    for name in _OPTIONAL:
        if name not in found:
            LOGGER.warning("%s: no %s; it is NaN for every halo", path, name)
        values = numbers(table, path, found[name]) if name in found else np.full(len(table), np.nan)
        truth[name] = values.astype(np.float32)
    LOGGER.info("%s: %d haloes; mass from %s", path, len(truth), found[mass])
    return truth


def _halo_ids(
    table: Table, path: Path, column: str | None, src_id: NDArray[np.int32], realization: str
) -> NDArray[np.int64]:
    if column is None:
        return int(realization) * 2**32 + np.asarray(src_id, dtype=np.int64)
    values = numbers(table, path, column)
    exact = (values == np.rint(values)) & (values >= 0) & (values < 2**53)
    _check(exact, values, path, column, "no HALO_ID (whole number from 0 to 2^53)")
    return values.astype(np.int64)


def _log10_mass(values: NDArray[np.float64], path: Path, column: str, kind: str) -> NDArray[np.float32]:
    with np.errstate(divide="ignore", invalid="ignore"):
        masses = np.log10(values) if kind == "M500C" else values
    fits_in = (masses >= _MASS_RANGE[0]) & (masses <= _MASS_RANGE[1])
    unit = "M500c in Msun" if kind == "M500C" else "log10(M500c / Msun)"
    _check(fits_in, values, path, column, f"no {unit}; if it is the other of M500C and LOG10_M500C, name it so")
    return masses.astype(np.float32)


def _check(good: NDArray[np.bool_], values: NDArray[np.generic], path: Path, column: str, complaint: str) -> None:
    bad = np.flatnonzero(~np.asarray(good))
    if bad.size:
        raise InputError(f"{path}: column {column}, row {bad[0] + 1}: {values[bad[0]]:g} is {complaint}.")


def match(detections: Table, truth: Table, match_arcsec: float) -> Table:
    """Match detections to haloes by position: nearest pairs first, each detection and halo at most once.

    Parameters
    ----------
    detections
        `ID_SRC`, `RA`, `DEC` (deg).
    truth
        `SRC_ID`, `RA`, `DEC` (deg).
    match_arcsec
        Largest separation in arcsec.

    Returns
    -------
    Table
        `ID_SRC`, `SRC_ID`, `SEPARATION` (arcsec), sorted by ID_SRC.
    """
    here, there = _unit(detections), _unit(truth)
    chord = 2 * np.sin(np.radians(match_arcsec / 3600) / 2)
    near = cKDTree(here).query_ball_tree(cKDTree(there), chord)
    pairs = np.array([(row, halo) for row, haloes in enumerate(near) for halo in haloes], dtype=int).reshape(-1, 2)
    lengths = np.linalg.norm(here[pairs[:, 0]] - there[pairs[:, 1]], axis=1)
    # ids break ties, so that the order of the tables doesn't matter
    id_src, src_id = np.asarray(detections["ID_SRC"])[pairs[:, 0]], np.asarray(truth["SRC_ID"])[pairs[:, 1]]
    taken: dict[int, tuple[int, float]] = {}
    used: set[int] = set()
    for pair in np.lexsort((src_id, id_src, lengths)).tolist():
        detection, halo = int(id_src[pair]), int(src_id[pair])
        if detection not in taken and halo not in used:
            taken[detection] = (halo, float(np.degrees(2 * np.arcsin(lengths[pair] / 2)) * 3600))
            used.add(halo)
    rows = [(detection, *taken[detection]) for detection in sorted(taken)]
    LOGGER.info(
        "matches: %d of %d detections belong to one of %d haloes within %g arcsec",
        len(rows), len(detections), len(truth), match_arcsec,
    )  # fmt: skip
    return Table(rows=rows or None, names=("ID_SRC", "SRC_ID", "SEPARATION"), dtype=("i4", "i4", "f4"))


def _unit(table: Table) -> NDArray[np.float64]:
    ra, dec = np.radians(np.asarray(table["RA"])), np.radians(np.asarray(table["DEC"]))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def purity(matches: Table, detections: Table, truth: Table) -> NDArray[np.float32]:
    """Share of each match's ML_CTS that the halo's COUNTS can account for, at most 1; 1 where either is unknown."""
    fitted = dict(zip(detections["ID_SRC"].tolist(), detections["ML_CTS"].tolist(), strict=True))
    drawn = dict(zip(truth["SRC_ID"].tolist(), truth["COUNTS"].tolist(), strict=True))
    shares = []
    for detection, halo in zip(matches["ID_SRC"].tolist(), matches["SRC_ID"].tolist(), strict=True):
        known = drawn[halo] >= 0 and fitted[detection] > 0
        shares.append(min(1.0, drawn[halo] / fitted[detection]) if known else 1.0)
    return np.array(shares, dtype=np.float32)


def write_truth(truth: Table, path: Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Write `truth.fits`: bintable TRUTH with the columns of `TRUTH_COLUMNS`."""
    write_fits(fits.HDUList([primary_hdu(provenance), bintable("TRUTH", truth, TRUTH_COLUMNS)]), path)


def write_matches(matches: Table, path: Path, provenance: Mapping[str, Any] | None = None) -> None:
    """Write `matches.fits`: bintable MATCHES with the columns of `MATCH_COLUMNS`."""
    write_fits(fits.HDUList([primary_hdu(provenance), bintable("MATCHES", matches, MATCH_COLUMNS)]), path)
