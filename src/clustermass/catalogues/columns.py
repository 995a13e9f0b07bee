"""Which column of a user's table stands for which of ours."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from clustermass.catalogues.surveys import read_survey_table
from clustermass.catalogues.tables import nearest, numbers, positions, whole_numbers
from clustermass.errors import InputError
from clustermass.images.geometry import unit_vectors
from clustermass.io.log import LOGGER


def find_columns(
    table: Table, path: Path, synonyms: Mapping[str, Sequence[str]], given: Mapping[str, str]
) -> dict[str, str]:
    """Find which column of a user's table stands for which of ours; names compare without regard to case.

    Parameters
    ----------
    table, path
        The table and its file (for messages).
    synonyms
        For each of our names the usual names, best first.
    given
        The user's own map, our name -> their name; goes before the synonyms.

    Returns
    -------
    dict
        Our name -> the table's exact column name, for those that were found.

    Raises
    ------
    InputError
        `given` has a name that we don't know or names a column that the table lacks.
    """
    unknown = [ours for ours in given if ours not in synonyms]
    if unknown:
        which = f"{unknown[0]!r} is no column" if len(unknown) == 1 else f"{_list(map(repr, unknown))} are no columns"
        raise InputError(f"columns: {which} of ours.{_meant(unknown, synonyms)} Known: {_list(synonyms)}.")
    matches = {ours: _match(theirs, table.colnames) for ours, theirs in given.items()}
    absent = {ours: given[ours] for ours, column in matches.items() if column is None}
    if absent:
        wanted = _list(f"no column {theirs!r} (wanted for {ours})" for ours, theirs in absent.items())
        raise InputError(f"{path}: has {wanted}.{_meant(absent.values(), table.colnames)}{_available(table)}")
    found = {ours: column for ours, column in matches.items() if column is not None}
    for ours, names in synonyms.items():
        columns = [column for name in names if (column := _match(name, table.colnames))]
        if ours not in found and columns:
            found[ours] = columns[0]
    return found


def require_columns(
    table: Table, path: Path, found: Mapping[str, str], needed: Mapping[str, str], setting: str, option: str = ""
) -> None:
    """Raise InputError unless every column in `needed` was found.

    Parameters
    ----------
    table, path
        The table and its file (for messages).
    found
        What `find_columns` returns.
    needed
        Our name -> the quantity in words.
    setting
        Config key that can name the column.
    option
        Option of the command line that can do so; empty = none.
    """
    missing = [ours for ours in needed if ours not in found]
    if not missing:
        return
    wanted = _list(f"{ours} ({needed[ours]})" for ours in missing)
    map_of = _list(f"{ours}: <your column>" for ours in missing)
    by_option = " ".join(f"{option} {ours}=<your column>" for ours in missing)
    by_option = f" (on the command line: {by_option})" if option else ""
    names = "If it goes by another name" if len(missing) == 1 else "If they go by other names"
    raise InputError(
        f"{path}: has no column for {wanted}.{_meant(missing, table.colnames)}{_available(table)} {names}, say so "
        f"under {setting}: {{{map_of}}}{by_option}."
    )


def _match(name: str, columns: Sequence[str]) -> str | None:
    if name in columns:
        return name
    return next((column for column in columns if column.lower() == name.lower()), None)


def _meant(words: Iterable[str], known: Sequence[str] | Mapping[str, object]) -> str:
    """Return the nearest known word to each, named if there are several."""
    words = list(words)
    if len(words) == 1:
        return nearest(words[0], known)
    return "".join(nearest(word, known).replace("?", f" for {word}?") for word in words)


def _available(table: Table) -> str:
    return f" Its columns: {_list(table.colnames)}."


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


#: a redshift goes with its own error and kind: all from one table
REDSHIFT = ("Z", "Z_ERR", "Z_TYPE", "Z_SPEC")
_OWN = ("ID_SRC", "RA", "DEC")
#: two tables of the same detections give the same positions; far more than this is another numbering
MAX_SEPARATION_ARCSEC = 10.0


class Joined(NamedTuple):
    """A catalogue and what further tables add to it.

    Attributes
    ----------
    table
        The catalogue with further columns, named "<column> of <file>", masked where that file lacks the row.
    found
        Our name -> column of `table`.
    source
        Our name -> name of the further file that it was taken from.
    redshift
        Name of a further file -> its own redshifts, (rows,), NaN where it has none; without files that give none.
    """

    table: Table
    found: dict[str, str]
    source: dict[str, str]
    redshift: dict[str, NDArray[np.float64]]


def join_tables(
    table: Table, path: Path, found: Mapping[str, str], paths: Sequence[Path], synonyms: Mapping[str, Sequence[str]]
) -> Joined:
    """Fill in from further tables, the first one first, the columns that a catalogue lacks.

    Names of clusters are never compared: those of two eFEDS tables differ in the last digit for three of four.

    Parameters
    ----------
    table, path
        The catalogue and its file.
    found
        Our name -> column, for those that it has.
    paths
        Further tables.
    synonyms
        For each of our names the usual ones.

    Raises
    ------
    InputError
        See `clustermass.catalogues.tables`; or a further table has no ID_SRC, has none of the catalogue's, or other
        positions for them.
    """
    joined, columns = table.copy(copy_data=False), dict(found)
    source: dict[str, str] = {}
    redshift: dict[str, NDArray[np.float64]] = {}
    ids = whole_numbers(table, path, found["ID_SRC"])
    for other_path in paths:
        other = read_survey_table(other_path)
        of_other = find_columns(other, other_path, synonyms, {})
        require_columns(other, other_path, of_other, {"ID_SRC": "to join it by"}, "the table itself")
        rows = _rows(ids, whole_numbers(other, other_path, of_other["ID_SRC"]))
        _check_same((table, path, found), (other, other_path, of_other), rows)
        taken = [ours for ours in of_other if ours not in columns and ours not in (*_OWN, *REDSHIFT)]
        taken += [ours for ours in REDSHIFT if ours in of_other and "Z" in of_other and "Z" not in columns]
        for ours in taken:
            name = f"{of_other[ours]} of {other_path.name}"
            joined[name] = _aligned(other, of_other[ours], rows)
            columns[ours], source[ours] = name, other_path.name
        if "Z" in of_other:
            values = numbers(other, other_path, of_other["Z"])[np.maximum(rows, 0)]
            redshift[other_path.name] = np.where((rows >= 0) & (values > 0), values, np.nan)
        LOGGER.info(
            "%s: joined by %s, %d of %d rows; taken from it: %s",
            other_path, of_other["ID_SRC"], (rows >= 0).sum(), rows.size,
            ", ".join(f"{ours} = {of_other[ours]}" for ours in taken) or "nothing that the catalogue lacks",
        )  # fmt: skip
    return Joined(joined, columns, source, redshift)


def _rows(ids: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of each id in the other table, -1 = it isn't there."""
    row_of = {number: row for row, number in enumerate(others.tolist())}
    return np.array([row_of.get(number, -1) for number in ids.tolist()], dtype=np.int64)


def _check_same(
    mine: tuple[Table, Path, Mapping[str, str]], other: tuple[Table, Path, Mapping[str, str]], rows: NDArray[np.int64]
) -> None:
    there = rows >= 0
    if not there.any():
        raise InputError(
            f"{other[1]}: has none of the {rows.size} ID_SRC of {mine[1]}. Do both tables belong to one survey?"
        )
    if not all(name in columns for _, _, columns in (mine, other) for name in ("RA", "DEC")):
        return
    here = unit_vectors(*positions(mine[0][there], mine[1], mine[2]["RA"], mine[2]["DEC"]))
    same = unit_vectors(*positions(other[0][rows[there]], other[1], other[2]["RA"], other[2]["DEC"]))
    apart = np.degrees(np.linalg.norm(here - same, axis=1)) * 3600
    if np.median(apart) > MAX_SEPARATION_ARCSEC:
        raise InputError(
            f"{other[1]}: rows of the same ID_SRC lie {np.median(apart):.0f} arcsec (median) from those of {mine[1]}. "
            "The two tables number their detections differently: leave one out."
        )


def _aligned(other: Table, column: str, rows: NDArray[np.int64]) -> MaskedColumn:
    cells = np.ma.asarray(other[column])[np.maximum(rows, 0)]
    missing = np.ma.getmaskarray(cells) | (rows < 0)
    return MaskedColumn(np.ma.getdata(cells), mask=missing, unit=other[column].unit)
