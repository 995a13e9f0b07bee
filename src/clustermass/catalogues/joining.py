"""Further tables of the same detections, joined to a catalogue by ID_SRC."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from clustermass.catalogues.columns import find_columns, require_columns
from clustermass.catalogues.surveys import read_survey_table
from clustermass.catalogues.tables import numbers, positions, whole_numbers
from clustermass.errors import InputError
from clustermass.progress import LOGGER
from clustermass.sphere import unit_vectors

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
