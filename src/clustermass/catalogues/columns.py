"""A user's table under our column names: find its columns by their usual names, and join further tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray, unit_vectors
from clustermass.catalogues import tables
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: our name -> the usual names, best first
Synonyms: TypeAlias = Mapping[str, Sequence[str]]
#: our name (one of those that the configuration allows) -> the user's name
Renamed: TypeAlias = Mapping[Any, str]

#: usual names, best first (eSASS, eFEDS: Brunner, Liu, Klein et al. 2022; eRASS1: Bulbul et al. 2024)
SYNONYMS: dict[str, tuple[str, ...]] = {
    "ID_SRC": ("ID_SRC", "ID-SRC", "IDSRC"),
    "RA": ("RA_CORR", "RA", "RAdeg", "RAJ2000", "RA_ICRS"),
    "DEC": ("DEC_CORR", "DEC", "DEdeg", "DEJ2000", "DE_ICRS"),
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
    # no ID: that of Liu et al. (2022) differs from the names of all other eFEDS tables by rounding
    "NAME_CAT": ("NAME_CAT", "Name"),
}
#: no cluster is farther: larger numbers are velocities, percent or a mark for "unknown"
MAX_REDSHIFT = 10.0


@dataclass(frozen=True)
class UserTable:
    """A user's table (missing cells masked), its file (for messages) and its names for our columns.

    `numbers`, `texts`, `whole_numbers` and `positions` take our names and raise InputError as the functions of
    `clustermass.catalogues.tables` do.
    """

    table: Table
    path: Path
    names: dict[str, str]  #: our name -> the table's column, for those that it has
    #: name of each joined table with redshifts -> these, (rows,), NaN = none
    other_redshifts: Mapping[str, FloatArray] = field(default_factory=dict)
    luminosity_file: str = ""  #: name of the joined table with LX500; "" = the table itself, or none

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.table)

    def __contains__(self, name: str) -> bool:
        """Whether there is a column for our name."""
        return name in self.names

    def numbers(self, name: str) -> FloatArray:
        """Return a column as float64 (rows,), missing cells as NaN."""
        return tables.numbers(self.table, self.path, self.names[name])

    def texts(self, name: str) -> list[str]:
        """Return a column as stripped text, missing cells as ''."""
        return tables.texts_of(self.table, self.names[name])

    def whole_numbers(self, name: str) -> NDArray[np.int64]:
        """Return a column of unique whole numbers, int64 (rows,)."""
        return tables.whole_numbers(self.table, self.path, self.names[name])

    def positions(self, rows: slice | NDArray[np.generic] = slice(None)) -> tuple[FloatArray, FloatArray]:
        """Return RA in [0, 360) and DEC in deg of some rows, float64 (rows,) each."""
        return tables.positions(self.table[rows], self.path, self.names["RA"], self.names["DEC"])

    def single(self, values: FloatArray, name: str) -> NDArray[np.float32]:
        """Return numbers of a column in single precision."""
        return tables.single(values, self.path, self.names.get(name, name))

    def check(self, good: NDArray[np.bool_], values: NDArray[np.generic], name: str, complaint: str) -> None:
        """Raise InputError with the first row whose value isn't good, "<value> is <complaint>"."""
        bad = np.flatnonzero(~np.asarray(good))
        if bad.size:
            where = f"{self.path}: column {self.names[name]}, row {bad[0] + 1}"
            raise InputError(f"{where}: {values[bad[0]]:g} is {complaint}.")

    def warn(self, rows: NDArray[np.bool_], what: str) -> None:
        """Log how many rows, and which first, are `what`; nothing if none is."""
        tables.warn_of_rows(self.path, rows, what)

    def require(self, needed: Mapping[str, str], setting: str, option: str = "") -> None:
        """Raise InputError unless there is a column for every name in `needed` (name -> the quantity in words).

        The message names the config key `setting` and the command line's `option` that can name the column.
        """
        missing = [ours for ours in needed if ours not in self.names]
        if not missing:
            return
        wanted = ", ".join(f"{ours} ({needed[ours]})" for ours in missing)
        map_of = ", ".join(f"{ours}: <your column>" for ours in missing)
        options = " ".join(f"{option} {ours}=<your column>" for ours in missing)
        by_option = f" (on the command line: {options})" if option else ""
        names = "If it goes by another name" if len(missing) == 1 else "If they go by other names"
        raise InputError(
            f"{self.path}: has no column for {wanted}.{_meant(missing, self.table.colnames)} Its columns: "
            f"{_list(self.table.colnames)}. "
            f"{names}, say so under {setting}: {{{map_of}}}{by_option}."
        )


def find_columns(table: Table, path: Path, synonyms: Synonyms, given: Renamed | None = None) -> UserTable:
    """Find which column of a user's table stands for which of ours; names compare without regard to case.

    `synonyms` holds the usual names of each of our columns, best first; `given`, the user's own map, goes before them.
    InputError if `given` has a name that isn't ours or names a column that the table lacks.
    """
    given = given or {}
    if unknown := [ours for ours in given if ours not in synonyms]:
        which = f"{unknown[0]!r} is no column" if len(unknown) == 1 else f"{_list(map(repr, unknown))} are no columns"
        raise InputError(f"columns: {which} of ours.{_meant(unknown, synonyms)} Known: {_list(synonyms)}.")
    matches = {ours: _match(theirs, table.colnames) for ours, theirs in given.items()}
    absent = {ours: given[ours] for ours, column in matches.items() if column is None}
    if absent:
        wanted = _list(f"no column {theirs!r} (wanted for {ours})" for ours, theirs in absent.items())
        raise InputError(
            f"{path}: has {wanted}.{_meant(absent.values(), table.colnames)} Its columns: {_list(table.colnames)}."
        )
    names = {ours: column for ours, column in matches.items() if column is not None}
    for ours, usual in synonyms.items():
        columns = [column for name in usual if (column := _match(name, table.colnames))]
        if ours not in names and columns:
            names[ours] = columns[0]
    return UserTable(table, path, names)


def _match(name: str, columns: Sequence[str]) -> str | None:
    if name in columns:
        return name
    return next((column for column in columns if column.lower() == name.lower()), None)


def _meant(words: Collection[str], names: Collection[str]) -> str:
    """Return the nearest of the names to each word, which is repeated if there are several."""
    meant = {word: tables.nearest(word, names) for word in words}
    return "".join(text if len(words) == 1 else text.replace("?", f" for {word}?") for word, text in meant.items())


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


#: a redshift goes with its own error and kind: all from one table
REDSHIFT = ("Z", "Z_ERR", "Z_TYPE", "Z_SPEC")
_OWN = ("ID_SRC", "RA", "DEC")
#: two tables of the same detections give the same positions; far more than this is another numbering
MAX_SEPARATION_ARCSEC = 10.0


def join_tables(catalogue: UserTable, paths: Sequence[Path], synonyms: Synonyms) -> UserTable:
    """Return a catalogue with the columns that it lacks filled in from further tables, the first one first.

    Rows are joined by ID_SRC. Names of clusters are never compared: those of two eFEDS tables differ in the last digit
    for three of four. Columns taken over are called "<column> of <file>", and masked where that file lacks the row.
    InputError as of `clustermass.catalogues.tables`, or if a further table has no ID_SRC, has none of the catalogue's,
    or other positions for them.
    """
    joined, names = catalogue.table.copy(copy_data=False), dict(catalogue.names)
    redshifts: dict[str, FloatArray] = {}
    luminosity_file = ""
    for path in paths:
        other, rows = _further(catalogue, path, synonyms)
        taken = [ours for ours in other.names if ours not in names and ours not in (*_OWN, *REDSHIFT)]
        taken += [ours for ours in REDSHIFT if ours in other and "Z" in other and "Z" not in names]
        for ours in taken:
            names[ours] = f"{other.names[ours]} of {path.name}"
            column = other.table[other.names[ours]]
            cells = np.ma.asarray(column)[np.maximum(rows, 0)]
            missing = np.ma.getmaskarray(cells) | (rows < 0)
            joined[names[ours]] = MaskedColumn(np.ma.getdata(cells), mask=missing, unit=column.unit)
        luminosity_file = path.name if "LX500" in taken else luminosity_file
        if "Z" in other:
            values = other.numbers("Z")[np.maximum(rows, 0)]
            redshifts[path.name] = np.where((rows >= 0) & (values > 0), values, np.nan)
        LOGGER.info(
            "%s: joined by %s, %d of %d rows; taken from it: %s",
            path, other.names["ID_SRC"], (rows >= 0).sum(), rows.size,
            ", ".join(f"{ours} = {other.names[ours]}" for ours in taken) or "nothing that the catalogue lacks",
        )  # fmt: skip
    return UserTable(joined, catalogue.path, names, redshifts, luminosity_file)


def _further(catalogue: UserTable, path: Path, synonyms: Synonyms) -> tuple[UserTable, NDArray[np.int64]]:
    """Read a further table, and find its row of each row of the catalogue, (rows,), -1 = none."""
    other = find_columns(tables.read_survey_table(path), path, synonyms)
    other.require({"ID_SRC": "to join it by"}, "the table itself")
    row_of = {number: row for row, number in enumerate(other.whole_numbers("ID_SRC").tolist())}
    ids = catalogue.whole_numbers("ID_SRC").tolist()
    rows = np.array([row_of.get(number, -1) for number in ids], dtype=np.int64)
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
