"""Tables of published surveys: their usual column names, values that mean "not measured", and joins by ID_SRC."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray, unit_vectors
from clustermass.catalogues.formats import read_table
from clustermass.catalogues.identity import identified, repeated
from clustermass.catalogues.soft_band import in_soft_band
from clustermass.catalogues.tables import CheckedTable, Synonyms, find_columns, find_rows
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: our name -> usual names, best first (eSASS, eFEDS: Brunner, Liu, Klein et al. 2022; eRASS1: Bulbul et al. 2024)
SYNONYMS: dict[str, tuple[str, ...]] = {
    # in eRASS1, ID_SRC begins anew in every tile of the sky; where it repeats, DETUID is used
    "ID_SRC": ("ID_CAT", "ID_SRC", "ID-SRC", "IDSRC", "DETUID", "UID", "ID", "SRCID", "SOURCE_ID"),
    "RA": ("RA_CORR", "RA", "RAdeg", "RAJ2000", "RA_ICRS", "_RAJ2000"),
    "DEC": ("DEC_CORR", "DEC", "DEdeg", "DEJ2000", "DE_ICRS", "_DEJ2000"),
    "DET_LIKE": ("DET_LIKE", "DetLike", "DET_LIKE_0"),
    "EXT_LIKE": ("EXT_LIKE", "ExtLike"),
    "EXT": ("EXT",),
    "ML_RATE": ("ML_RATE", "ML_RATE_0", "ML_RATE_1"),
    "ML_CTS": ("ML_CTS", "ML_CTS_0", "ML_CTS_1"),
    "ML_EXP": ("ML_EXP", "ML_EXP_0", "ML_EXP_1"),
    "ML_BKG": ("ML_BKG", "ML_BKG_0", "ML_BKG_1"),
    "Z": ("Z", "Z_BEST_COMB", "BEST_Z", "REDSHIFT"),
    "Z_ERR": ("Z_ERR", "SIGMA_Z_BEST_COMB", "BEST_ZERR", "REDSHIFT_ERR", "E_Z"),
    "Z_TYPE": ("Z_TYPE", "BEST_Z_TYPE"),
    "LOGM500_REF": ("LOGM500_REF",),
    "LOGM500_REF_ERR": ("LOGM500_REF_ERR",),
    "LX500": ("LX500", "L_500KPC"),
    "F_CONT": ("F_CONT", "F_CONT_BEST_COMB", "PCONT"),
    "IN_AREA90": ("IN_AREA90", "inArea90"),
    "NH": ("NH", "N_H", "NH_CM2"),
    # not ID: the IDs of Liu et al. (2022) differ by rounding from the names in all other eFEDS tables
    "NAME_CAT": ("NAME_CAT", "Name", "IAUNAME"),
}
#: no cluster has a larger redshift: larger numbers are velocities, percentages or stand for "unknown"
MAX_REDSHIFT = 10.0


class Survey(NamedTuple):
    """A published catalogue: a title, the columns by which the catalogue is recognised, and its number of rows."""

    title: str
    marks: tuple[str, ...]  #: columns by which it is recognised: no other of `SURVEYS` has them all
    rows: int  #: number of rows as published


SURVEYS = (
    Survey("eFEDS clusters (Liu et al. 2022)", ("ID_SRC", "L_500KPC", "SNR_MAX"), 542),
    Survey("eFEDS optical counterparts (Klein et al. 2022)", ("ID_SRC", "Z_BEST_COMB", "F_CONT_BEST_COMB"), 542),
    Survey("eFEDS X-ray sources (Brunner et al. 2022)", ("ID_SRC", "ID_HARD", "RA_CORR", "ML_RATE"), 27910),
    Survey("eRASS1 clusters (Bulbul et al. 2024)", ("DETUID", "BEST_Z", "EXT_LIKE"), 12247),
)
_POSITIVE, _ANY = float(np.nextafter(0, 1)), np.inf
#: names of columns; lowest and highest value that is a measurement. A -1 in L, T or F means that only a limit is known;
#: an error far below zero marks a failed fit. An infinite SIGMA_Z is kept: it says that the redshift is unknown
_MEASUREMENTS = (
    (re.compile(r"(T|L|LBOL|F)_\d+KPC(_[LU])?"), _POSITIVE, _ANY),
    (re.compile(r"(SPEC_)?Z_\d?BEST_COMB|BEST_Z|[MRL]500(_[LH])?|KT(_[LH])?"), _POSITIVE, _ANY),
    (re.compile(r"(ML_\w+|EXT|RADEC)_ERR(_\w+)?|ML_(RATE|CTS|FLUX|EXP|BKG)(_\d)?"), 0.0, np.finfo(float).max),
    (re.compile(r"RA(_\w+)?"), 0.0, 360.0),
    (re.compile(r"DEC(_\w+)?"), -90.0, 90.0),
)


def read_survey_table(path: Path, edges_ev: Sequence[float] | None = None, named: Collection[str] = ()) -> Table:
    """Return a table read by `read_table`. If it is a published catalogue, values that mean "not measured" are masked.

    Columns keep their names and units. `in_soft_band` may add columns; it also describes `edges_ev` and `named`.
    """
    table = in_soft_band(read_table(path), path, edges_ev, named)
    survey = recognise(table)
    if survey is None:
        return table
    whole = "" if len(table) == survey.rows else f" of {survey.rows} as published"
    LOGGER.info("%s: %s, %d rows%s", path, survey.title, len(table), whole)
    return mask_sentinels(table, path)


def recognise(table: Table) -> Survey | None:
    """Return the published catalogue whose columns a table has (in upper or lower case), or None."""
    names = {name.upper() for name in table.colnames}
    return next((survey for survey in SURVEYS if names.issuperset(survey.marks)), None)


def mask_sentinels(table: Table, path: Path) -> Table:
    """Return the table after masking values that mean "not measured" (`_MEASUREMENTS`), and log their number."""
    checked, masked, counts = CheckedTable(table, path), table.copy(copy_data=False), {}
    for name in table.colnames:
        limits = next(((low, high) for rule, low, high in _MEASUREMENTS if rule.fullmatch(name.upper())), None)
        if limits is None or table[name].ndim != 1:
            continue
        values = checked.numbers(name)
        missing = ~((values >= limits[0]) & (values <= limits[1]))
        masked[name] = MaskedColumn(values, mask=missing, unit=table[name].unit)
        counts[name] = int(missing.sum())
    listed = ", ".join(f"{name} {number}" for name, number in counts.items() if number)
    LOGGER.info("%s: values that are no measurements, masked: %s", path, listed or "none")
    return masked


#: redshift, error and kind belong together and are taken from one table
REDSHIFT = ("Z", "Z_ERR", "Z_TYPE", "Z_SPEC")
_OWN = ("ID_SRC", "RA", "DEC")
#: two tables of the same detections agree in position; a larger median distance means another numbering
MAX_SEPARATION_ARCSEC = 10.0


def join_tables(
    catalogue: CheckedTable, paths: Sequence[Path], synonyms: Synonyms, edges_ev: Sequence[float] | None = None
) -> tuple[CheckedTable, dict[str, FloatArray]]:
    """Return a catalogue with its missing columns taken from further tables, and the redshifts in these tables.

    Earlier tables take precedence. Rows are joined by ID_SRC, never by name, because the names of three out of four
    clusters differ in the last digit between two eFEDS tables. A column from a further table is called "<column> of
    <file>". The column is masked for clusters that the further table doesn't contain.

    The second result maps the file name of each further table with redshifts to the redshifts of the catalogue's rows
    in this table, (rows,). NaN means none. InputError for a missing column or a bad cell. InputError also if a further
    table has no ID_SRC, has no row in common with the catalogue, or gives other positions for the same ID_SRC.
    """
    joined, names = catalogue.table.copy(copy_data=False), dict(catalogue.names)
    redshifts: dict[str, FloatArray] = {}
    for path in paths:
        other, rows = _further(catalogue, path, synonyms, edges_ev)
        taken = [ours for ours in other.names if ours not in names and ours not in (*_OWN, *REDSHIFT)]
        taken += [ours for ours in REDSHIFT if ours in other and "Z" in other and "Z" not in names]
        for ours in taken:
            names[ours] = f"{other.names[ours]} of {path.name}"
            column = other.table[other.names[ours]]
            cells = np.ma.asarray(column)[np.maximum(rows, 0)]
            missing = np.ma.getmaskarray(cells) | (rows < 0)
            joined[names[ours]] = MaskedColumn(np.ma.getdata(cells), mask=missing, unit=column.unit)
        if "Z" in other:
            values = other.numbers("Z")[np.maximum(rows, 0)]
            redshifts[path.name] = np.where((rows >= 0) & (values > 0), values, np.nan)
        listed = ", ".join(f"{ours} = {other.names[ours]}" for ours in taken) or "nothing that the catalogue lacks"
        text = "%s: joined by %s, %d of %d rows; taken from it: %s"
        LOGGER.info(text, path, other.names["ID_SRC"], (rows >= 0).sum(), rows.size, listed)
    return CheckedTable(joined, catalogue.path, names), redshifts


def _further(
    catalogue: CheckedTable, path: Path, synonyms: Synonyms, edges_ev: Sequence[float] | None
) -> tuple[CheckedTable, NDArray[np.int64]]:
    """Return a further table and, for each row of the catalogue, the row there with the same ID_SRC (-1 = none)."""
    catalogue.require({"ID_SRC": "to join further tables by"}, "catalogue_columns")
    other = find_columns(read_survey_table(path, edges_ev), path, synonyms)
    other = identified(other, (catalogue.names["ID_SRC"], *synonyms["ID_SRC"]))
    other.require({"ID_SRC": "to join it by"}, "the table itself")
    for one in (catalogue, other):
        if fault := repeated(one.ids("ID_SRC")):
            raise InputError(
                f"{one.path}: column {one.names['ID_SRC']}, by which tables are joined, doesn't tell the rows apart "
                f"({fault}). Correct it, or name another under catalogue_columns."
            )
    rows = find_rows(catalogue.ids("ID_SRC"), other.ids("ID_SRC"))
    there = rows >= 0
    if not there.any():
        raise InputError(
            f"{path}: has none of the {rows.size} ID_SRC of {catalogue.path}. Do both tables belong to one survey?"
        )
    if all(name in one for one in (catalogue, other) for name in ("RA", "DEC")):
        here, same = unit_vectors(*catalogue.positions(there)), unit_vectors(*other.positions(rows[there]))
        apart = np.degrees(np.linalg.norm(here - same, axis=1)) * 3600
        if np.median(apart) > MAX_SEPARATION_ARCSEC:
            raise InputError(
                f"{path}: rows of the same ID_SRC lie {np.median(apart):.0f} arcsec (median) from those of "
                f"{catalogue.path}. The two tables number their detections differently: leave one out."
            )
    return other, rows
