"""The truth of a user's own simulation: haloes with their masses, and the halo of each detection."""

import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from clustermass.arrays import FloatArray, neighbours, unit_vectors
from clustermass.catalogues.formats import read_table
from clustermass.catalogues.surveys import MAX_REDSHIFT
from clustermass.catalogues.tables import CheckedTable, Renamed, find_columns
from clustermass.io.log import LOGGER
from clustermass.io.products import TRUTH

_QUANTITIES = {"SRC_ID": "number of the halo", "RA": "right ascension", "DEC": "declination", "Z": "redshift"}
_MASSES = {"LOG10_M500C": "log10 of its mass in Msun, or M500C, the mass itself", "M500C": "mass in Msun"}
_READ = (*(column.name for column in TRUTH if not column.optional and column.name != "COUNTS"), "M500C")
_SYNONYMS = {name: (name,) for name in _READ}
_OPTIONAL = ("KT", "L500", "FLUX", "R500_ARCMIN")
#: a log10(M500c / Msun) outside this range isn't a halo's mass, but a number in another unit
_MASS_RANGE = (9.0, 17.0)
#: realizations whose names aren't numbers get numbers from this one on
_NAMED = 2**30


def read_truth(path: Path, columns: Renamed | None, realization: str) -> Table:
    """Return a user's table of simulated haloes with the columns that every `truth.fits` has, except COUNTS.

    The user's table must have SRC_ID, RA, DEC, Z, and either LOG10_M500C or M500C. `columns` maps these names to the
    names in the table where the two differ. The result has a row for each halo in the order of the file. KT, L500, FLUX
    and R500_ARCMIN are NaN if the table doesn't have them. `realization` is the name of the haloes' realization, such
    as "01". If the table has no HALO_ID, haloes of different realizations count as different. InputError for a missing
    column, a bad cell, an impossible redshift or mass, or a HALO_ID that occurs in two rows.
    """
    table = find_columns(read_table(path), Path(path), _SYNONYMS, columns)
    mass = "LOG10_M500C" if "LOG10_M500C" in table or "M500C" not in table else "M500C"
    table.require(_QUANTITIES | {mass: _MASSES[mass]}, "truth_columns")
    truth = Table()
    truth["SRC_ID"] = table.whole_numbers("SRC_ID").astype(np.int32)
    table.check(truth["SRC_ID"] > 0, truth["SRC_ID"], "SRC_ID", "no SRC_ID of a halo (above 0)")
    truth["HALO_ID"] = _halo_ids(table, truth["SRC_ID"], realization)
    truth["RA"], truth["DEC"] = table.positions()
    redshift = table.numbers("Z")
    table.check((redshift > 0) & (redshift <= MAX_REDSHIFT), redshift, "Z", "no redshift of a halo")
    truth["Z"] = redshift.astype(np.float32)
    masses = table.numbers(mass)
    with np.errstate(divide="ignore", invalid="ignore"):
        log10_mass = np.log10(masses) if mass == "M500C" else masses
    unit = "M500c in Msun" if mass == "M500C" else "log10(M500c / Msun)"
    complaint = f"no {unit}; if it is the other of M500C and LOG10_M500C, name it so"
    table.check((log10_mass >= _MASS_RANGE[0]) & (log10_mass <= _MASS_RANGE[1]), masses, mass, complaint)
    truth["LOG10_M500C"] = log10_mass.astype(np.float32)
    for name in _OPTIONAL:
        if name not in table:
            LOGGER.warning("%s: no %s; it is NaN for every halo", path, name)
        values = table.numbers(name) if name in table else np.full(len(table), np.nan)
        # a luminosity in erg/s is too large for 32 bits
        truth[name] = values if name == "L500" else table.single(values, name)
    LOGGER.info("%s: %d haloes; mass from %s", path, len(truth), table.names[mass])
    return truth


def _halo_ids(table: CheckedTable, src_id: NDArray[np.int32], realization: str) -> NDArray[np.int64]:
    if "HALO_ID" not in table:
        return _number(realization) * 2**32 + np.asarray(src_id, dtype=np.int64)
    values = table.numbers("HALO_ID")
    exact = (values == np.rint(values)) & (values >= 0) & (values < 2**53)
    table.check(exact, values, "HALO_ID", "no HALO_ID (whole number from 0 to 2^53)")
    once = np.isin(np.arange(values.size), np.unique(values, return_index=True)[1])
    table.check(once, values, "HALO_ID", "the HALO_ID of an earlier row too; each row of a realization needs its own")
    return values.astype(np.int64)


def _number(realization: str) -> int:
    """Return a number below 2^31 that identifies a realization: 1 for "01", or a hash of a name that isn't a number."""
    plain = realization.isdigit() and realization == f"{int(realization):02d}" and int(realization) < _NAMED
    return int(realization) if plain else _NAMED + zlib.crc32(realization.encode()) % _NAMED


#: a detection matches a halo only if the halo's photons make up at least this share of the fitted counts
MIN_PURITY = 0.2
#: a label that belongs to no halo is taken for background if less than this share of its photons lies at the detection.
#: Its number doesn't show this: SIXTE labels the particle background -1, but the diffuse sky like any source
MIN_CONCENTRATION = 0.1
#: number that makes a signed label of 32 bits positive when added to it
_LABEL_SHIFT = 1 << 31
_NAMES = ("ID_SRC", "SRC_ID", "SEPARATION", "PURITY")
#: one value for each of `_NAMES`
_Match: TypeAlias = tuple[int, int, float, float]

#: right ascension and declination of photons in deg, and their labels, (photons,) each
LabelledPhotons: TypeAlias = tuple[FloatArray, FloatArray, NDArray[np.int32]]


def match_by_photons(
    detections: Table, truth: Table, photons: Iterable[LabelledPhotons], radius_arcsec: float
) -> Table:
    """Return the table of matches between detections and haloes, found from the labels of photons.

    A label is the number of the source that emitted a photon. The rules are:

    - A photon belongs to the nearest detection within the radius.
    - A detection belongs to the halo or AGN that emitted most of the detection's photons; background is ignored.
    - The detection matches if this source is a halo with at least the share `MIN_PURITY` of the fitted counts.
    - If a halo has several such detections, only the one with most of the halo's photons matches.

    `detections` has the columns `ID_SRC`, `RA`, `DEC` (deg) and `ML_CTS` (NaN = unknown). `truth` has the columns
    `SRC_ID`, `RA` and `DEC` of haloes. `photons` yields the photons in the band of ML_CTS, piece by piece.

    The result has the columns `ID_SRC`, `SRC_ID`, `SEPARATION` (arcsec) and `PURITY`, and is sorted by ID_SRC. PURITY
    is the halo's share of ML_CTS. If ML_CTS is unknown, or is larger than the number of photons within the radius,
    PURITY is the halo's share of these photons instead.
    """
    here, there = _directions(detections), _directions(truth)
    pairs, number, whole = _counted(photons, here, radius_arcsec)
    fitted = np.asarray(detections["ML_CTS"], dtype=float)
    total = np.bincount(pairs[0], weights=number, minlength=len(here))
    total = np.where(fitted > 0, np.minimum(fitted, total), total)
    diffuse = number < MIN_CONCENTRATION * whole
    halo_rows = {int(src_id): row for row, src_id in enumerate(truth["SRC_ID"])}
    taken: dict[int, _Match] = {}
    seen: set[int] = set()
    for place in np.lexsort((pairs[1], pairs[0], -number)).tolist():
        row, src_id = int(pairs[0, place]), int(pairs[1, place])
        if row in seen or (diffuse[place] and src_id not in halo_rows):
            continue
        seen.add(row)
        purity = min(1.0, number[place] / total[row])
        if src_id in halo_rows and src_id not in taken and purity >= MIN_PURITY:
            separation = _arcsec(np.linalg.norm(here[row] - there[halo_rows[src_id]]))
            taken[src_id] = (int(detections["ID_SRC"][row]), src_id, separation, purity)
    return _matches(taken.values(), detections, truth, f"by the labels of the photons within {radius_arcsec:g} arcsec")


def _matches(rows: Collection[_Match], detections: Table, truth: Table, how: str) -> Table:
    LOGGER.info("matches: %d of %d detections are one of %d haloes, %s", len(rows), len(detections), len(truth), how)
    return Table(rows=sorted(rows) or None, names=_NAMES, dtype=("i4", "i4", "f4", "f4"))


def _counted(
    photons: Iterable[LabelledPhotons], here: FloatArray, radius_arcsec: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of a detection (row) and a label, int64 (2, pairs), and two numbers of photons, (pairs,) each.

    The first number counts this label's photons at this detection, the second all photons with this label. `here` holds
    the unit vectors of the detections.
    """
    tree, pairs, labels = cKDTree(here), Tally(), Tally()
    for ra, dec, label in photons:
        owner = np.asarray(tree.query(unit_vectors(ra, dec), distance_upper_bound=_chord(radius_arcsec))[1])
        near = owner < len(here)
        # one number for both: a label has 32 bits with its sign
        pairs.add((owner[near].astype(np.int64) << 32) + (label[near].astype(np.int64) + _LABEL_SHIFT))
        labels.add(label.astype(np.int64))
    row_label = np.stack([pairs.values >> 32, (pairs.values & 0xFFFFFFFF) - _LABEL_SHIFT])
    return row_label, pairs.counts, labels.counts[np.searchsorted(labels.values, row_label[1])]


class Tally:
    """Whole numbers that were added, in ascending order (`values`), and how often each was (`counts`); both int64."""

    def __init__(self) -> None:
        self.values, self.counts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)

    def add(self, values: NDArray[np.int64]) -> None:
        """Add `values` to the counts."""
        new, counts = np.unique(values, return_counts=True)
        self.values, place = np.unique(np.concatenate([self.values, new]), return_inverse=True)
        counts = np.bincount(place, weights=np.concatenate([self.counts, counts]), minlength=self.values.size)
        self.counts = counts.astype(np.int64)


def match_by_position(detections: Table, truth: Table, radius_arcsec: float) -> Table:
    """Return the table of matches between detections and haloes, found from their positions.

    In the order of decreasing brightness, each halo is matched to the nearest detection that isn't matched yet and lies
    within `radius_arcsec`. All tables have the same columns as in `match_by_photons`. Brightness follows from the
    columns `FLUX`, `L500`, `LOG10_M500C` and `Z` of `truth`, as far as they exist. Each detection and each halo occurs
    at most once. PURITY is NaN. InputError if there are so many pairs within the radius that memory can't hold them.
    """
    here, there = _directions(detections), _directions(truth)
    row, halo = neighbours(*_positions(detections), *_positions(truth), radius_arcsec)
    lengths = np.linalg.norm(here[row] - there[halo], axis=1)
    # ids break ties, so that the order of the tables doesn't matter
    id_src, src_id = np.asarray(detections["ID_SRC"])[row], np.asarray(truth["SRC_ID"])[halo]
    taken: dict[int, _Match] = {}
    used: set[int] = set()
    for pair in np.lexsort((src_id, id_src, lengths, -_brightness(truth)[halo])).tolist():
        detection, source = int(id_src[pair]), int(src_id[pair])
        if detection not in taken and source not in used:
            taken[detection] = (detection, source, _arcsec(lengths[pair]), np.nan)
            used.add(source)
    how = f"by position within {radius_arcsec:g} arcsec; PURITY is unknown"
    return _matches(taken.values(), detections, truth, how)


def _brightness(truth: Table) -> FloatArray:
    """Return brightnesses, (haloes,): FLUX, or else L500 / z^2, or else M500c^1.5 / z^2 (for L ~ M^1.5), or else 0."""
    columns = {name: np.asarray(truth[name], dtype=float) for name in truth.colnames}
    for name in ("FLUX", "L500"):
        if name in columns and np.isfinite(columns[name]).all():
            return columns[name] if name == "FLUX" else np.asarray(columns[name] / columns["Z"] ** 2)
    if "LOG10_M500C" in columns:
        return np.asarray(10 ** (1.5 * (columns["LOG10_M500C"] - 14)) / columns["Z"] ** 2)
    return np.zeros(len(truth))


def _directions(table: Table) -> FloatArray:
    return unit_vectors(*_positions(table))


def _positions(table: Table) -> tuple[FloatArray, FloatArray]:
    return np.asarray(table["RA"], dtype=float), np.asarray(table["DEC"], dtype=float)


def _chord(arcsec: float) -> float:
    return float(2 * np.sin(np.radians(arcsec / 3600) / 2))


def _arcsec(chord: np.floating) -> float:
    return float(np.degrees(2 * np.arcsin(chord / 2)) * 3600)
