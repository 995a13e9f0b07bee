"""Reading of lines of text whose cells are separated by commas, semicolons, tabs, bars or blanks."""

import csv
import io
import re
from pathlib import Path

import numpy as np
from astropy.io import ascii as ascii_tables
from astropy.table import Column, MaskedColumn, Table
from astropy.units import Unit

from clustermass.catalogues.plain import EMPTY, warn_of_twins
from clustermass.errors import InputError
from clustermass.io.log import LOGGER, printable
from clustermass.io.text_tables import check_lines, check_unit

#: separators of cells, best first; in a line without any of them, blanks separate the cells
_SEPARATORS = ",;\t|"
_IDENTIFIER = re.compile(r".*(id|name)|id[_-]?src", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


def read_separated(path: Path, lines: list[str]) -> Table:
    """Return the table in lines of text.

    The first line holds the column names. Lines with units and dashes follow if VizieR wrote the file, then the rows.
    InputError if the units aren't as many as the columns, or if rows are lost inside quotation marks.
    """
    filled = [line for line in lines if line.strip()]
    rows = [line for line in filled if not _is_comment(line)]
    if not rows:
        return Table()
    below = filled[filled.index(rows[0]) + 1 :]
    names = _cells(rows[0], separator := _separator(rows[0]))
    if units := _units(rows, separator):
        rows = rows[3:]
        if len(units) != len(names):
            raise InputError(f"{path}: has {len(units)} units for {len(names)} columns. Correct the line of units.")
    elif _numbers(names):
        names, separator = _names_above(path, filled, rows[0])
    else:
        rows = rows[1:]
    if not rows:
        return Table()
    _warn_of_comments(path, [line for line in below if _is_comment(line)], len(names), separator)
    names = [name.strip() for name in names]
    warn_of_twins(names, path)
    if separator == " ":
        rows = [row.replace("\t", " ") for row in rows]
    check_lines(rows, len(names), separator, path)
    header = io.StringIO()
    csv.writer(header, delimiter=separator, lineterminator="").writerow(names)
    # "csv" allows rows that are too short; "tab" takes blanks between tabs for an empty cell
    kind = {"\t": "tab", " ": "basic"}.get(separator, "csv")
    if kind == "csv":
        _warn_of_short(path, rows, len(names), separator)
    table = ascii_tables.read([header.getvalue(), *rows], format=kind, delimiter=separator, guess=False, comment="#")
    _check_quotes(path, table, len(rows), separator)
    for place, name in enumerate(table.colnames):
        # an id such as 007 must stay a text
        if _IDENTIFIER.fullmatch(name) and table[name].dtype.kind in "if":
            texts = [cells[place] for cells in csv.reader(rows, delimiter=separator, skipinitialspace=True)]
            if any(re.match(r"[+-]?0[\dxX]", text) for text in texts):
                table[name] = texts
    for name, unit in zip(table.colnames, units, strict=False):
        check_unit(unit, path)
        table[name].unit = Unit(unit.strip(), parse_strict="silent") if unit.strip() else None
    return _with_points(table, path)


def _units(rows: list[str], separator: str) -> list[str]:
    """Return the units in the second of `rows`, after which VizieR writes dashes; [] if there are none."""
    dashes = len(rows) > 2 and set(rows[2]) <= set("-;\t ") and "--" in rows[2]
    cells = _cells(rows[1], separator) if dashes else []
    return [] if _numbers(cells) else cells


def _is_comment(line: str) -> bool:
    return line.lstrip(" ").startswith("#")


def _warn_of_comments(path: Path, comments: list[str], columns: int, separator: str) -> None:
    """Warn of comments with as many cells as there are columns. They may be meant as rows."""
    if rows := [line for line in comments if len(_cells(line, separator)) == columns]:
        text = "%s: %d lines that begin with # are comments, not rows, such as %s"
        LOGGER.warning(text, path, len(rows), printable(rows[0][:60]))


def _check_quotes(path: Path, table: Table, lines: int, separator: str) -> None:
    """Raise InputError if a quotation mark made some of the `lines` lines of a table parts of a cell."""
    if len(table) == lines:
        return
    broken = [cell for name in _of_kind(table, "U") for cell in _texts(table[name]) if "\n" in cell]
    rows = [cell for cell in broken if cell.count(separator) >= len(table.colnames) - 1]
    if rows or len(table) + sum(cell.count("\n") for cell in broken) < lines:
        where = f" ({printable(rows[0][:60])})" if rows else ""
        raise InputError(f"{path}: a quotation mark lacks its partner, so that rows would be lost{where}. Correct it.")


def _warn_of_short(path: Path, rows: list[str], columns: int, separator: str) -> None:
    """Warn of rows with too few cells. astropy adds empty cells at their ends, but other cells may be missing."""
    numbers = [len(cells) for cells in csv.reader(rows, delimiter=separator, skipinitialspace=True) if cells]
    if short := [row for row, number in enumerate(numbers, 1) if number < columns]:
        text = "%s: row %d (and %d more) has %d cells for %d columns. Empty cells are added at its end"
        LOGGER.warning(text, path, short[0], len(short) - 1, numbers[short[0] - 1], columns)


def _names_above(path: Path, lines: list[str], row: str) -> tuple[list[str], str]:
    """Return the column names in the comment directly above the first row `row`, and the separator of cells."""
    place = lines.index(row)
    above = lines[place - 1].lstrip("# ") if place else ""
    names, own = _cells(above, _separator(above)), _separator(above)
    # a tab is tried before the separator of the names: a cell may hold a decimal comma, but never a tab
    separators = [one for one in ("\t", own, *_SEPARATORS, " ") if len(_cells(row, one)) == len(names)]
    if not separators or _numbers(names):
        raise InputError(f"{path}: its first line holds numbers ({row[:60]}). Write the columns' names above.")
    return names, separators[0]


def _separator(line: str) -> str:
    return next((mark for mark in _SEPARATORS if mark in line), " ")


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        line = " ".join(line.split())
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])


def _numbers(cells: list[str]) -> bool:
    """Return whether any of the cells is a number. A line of column names has no numbers."""
    return any(re.fullmatch(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*", cell) for cell in cells)


def _with_points(table: Table, path: Path) -> Table:
    """Return the table with numbers for texts with decimal commas, unless there are decimal points, too."""
    found = [name for name in _of_kind(table, "U") if _has_decimal_commas(_texts(table[name]))]
    floats = [np.ma.compressed(np.ma.masked_invalid(table[name])) for name in _of_kind(table, "f")]
    if any((values % 1 > 0).any() for values in floats) or any(
        "." in one for name in found for one in _texts(table[name])
    ):
        return table
    for name in found:
        values = [np.nan if one.lower() in EMPTY else float(one.replace(",", ".")) for one in _texts(table[name])]
        table[name] = MaskedColumn(values, mask=np.isnan(values), unit=table[name].unit)
    if found:
        LOGGER.warning("%s: commas in %s are taken for decimal points", path, ", ".join(found))
    return table


def _has_decimal_commas(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell.lower() not in EMPTY]
    return any(map(_DECIMAL_COMMA.fullmatch, filled)) and all(_numbers([cell]) for cell in filled)


def _texts(column: Column) -> list[str]:
    return list(np.ma.filled(np.ma.asarray(column), "").tolist())


def _of_kind(table: Table, kind: str) -> list[str]:
    return [name for name in table.colnames if table[name].dtype.kind == kind]
