"""Access to a table's columns by the pipeline's names. Errors name the file, column and row of a bad cell."""

import difflib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from clustermass import limits
from clustermass.arrays import FloatArray
from clustermass.catalogues.plain import EMPTY, number, plain_text
from clustermass.catalogues.units import angle, in_our_units
from clustermass.errors import InputError
from clustermass.io.fits import opened_fits, table_of
from clustermass.io.log import LOGGER

#: our name -> the usual names, best first
Synonyms: TypeAlias = Mapping[str, Sequence[str]]
#: our name (one of those that the configuration allows) -> the user's name
Renamed: TypeAlias = Mapping[Any, str]


def nearest(word: str, names: Iterable[str]) -> str:
    """Return " Did you mean ...?" with the name in `names` that is most similar to `word`, or "" if none is similar."""
    by_lower = {name.lower(): name for name in names}
    match = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[match[0]]}?" if match else ""


@dataclass(frozen=True)
class CheckedTable:
    """A table whose columns are read by the pipeline's names. InputErrors name file, column and row of a bad cell."""

    table: Table  #: missing cells masked
    path: Path  #: its file, for messages
    names: Mapping[str, str] = field(default_factory=dict)  #: our name -> the table's column

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def _cells(self, name: str) -> Any:
        return self.table[self.names.get(name, name)]

    def numbers(self, name: str) -> FloatArray:
        """Return a column as float64 (rows,). Missing cells become NaN.

        InputError if any other cell doesn't hold exactly one number.
        """
        return self._parsed(name, number, "not a number")

    def _parsed(self, name: str, number_of: Callable[[str], float], complaint: str) -> FloatArray:
        """Return a column as numbers. `number_of` converts the text of a cell to a number, or to NaN if it can't."""
        values = np.ma.asarray(self._cells(name))
        if values.ndim != 1:
            column = self.names.get(name, name)
            raise InputError(f"{self.path}: column {column} holds {values.shape[1:]} values a row, but one is wanted.")
        if values.dtype.kind == "b":
            raise InputError(
                f"{self.path}: column {self.names.get(name, name)} holds truth values, but numbers are wanted."
            )
        if values.dtype.kind in "iuf":
            return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
        texts = self.texts(name)
        parsed = np.array([np.nan if text.lower() in EMPTY else number_of(text) for text in texts])
        good = [text.lower() in EMPTY for text in texts] | ~np.isnan(parsed)
        self.check(good, [*map(repr, texts)], name, complaint)
        return parsed

    def texts(self, name: str) -> list[str]:
        """Return a column as texts without blanks at the start and end. Missing cells become ''."""
        values = np.ma.asarray(self._cells(name))
        if values.ndim != 1:
            raise InputError(f"{self.path}: column {self.names.get(name, name)} must have one value a row.")
        mask = np.ma.getmaskarray(values)
        cells = ["" if hidden else value for value, hidden in zip(np.ma.getdata(values).tolist(), mask, strict=True)]
        texts = [(cell.decode() if isinstance(cell, bytes) else str(cell)).strip() for cell in cells]
        limits.TEXT.check(max(map(len, texts), default=0), self.path)
        return texts

    def ids(self, name: str) -> list[str]:
        """Return a column as texts. Whole numbers have no decimal point: 7, 7.0 and "7" become '7'."""
        values = np.ma.asarray(self._cells(name))
        if values.dtype.kind != "f":
            return self.texts(name)
        return ["" if np.isnan(cell) else f"{cell:.0f}" if cell == np.rint(cell) else repr(cell)
                for cell in self.numbers(name).tolist()]  # fmt: skip

    def single(self, values: FloatArray, name: str) -> NDArray[np.float32]:
        """Return `values` of the column `name` as float32. InputError if a number is too large for this type."""
        fits_in = ~(np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max))
        self.check(fits_in, values, name, "too large to be measured. Correct the cell, or leave it empty")
        return values.astype(np.float32)

    def whole_numbers(self, name: str) -> NDArray[np.int64]:
        """Return a column of unique whole numbers as int64 (rows,).

        InputError if a cell is missing or isn't a whole number below 2^31, or if a number occurs twice.
        """
        values = self.numbers(name)
        whole = (values == np.rint(values)) & (np.abs(values) < 2**31)
        cells = values if whole.all() else [text or "nothing" for text in self.texts(name)]
        self.check(whole, cells, name, "no whole number below 2^31")
        ids = values.astype(np.int64)
        order = np.argsort(ids, kind="stable")
        twice = np.flatnonzero(np.diff(ids[order]) == 0)
        if twice.size:
            first, second = order[twice[0]], order[twice[0] + 1]
            raise InputError(
                f"{self.path}: rows {first + 1} and {second + 1} have one {self.names.get(name, name)}, {ids[first]}. "
                "Every row needs its own: remove one or number them anew."
            )
        return ids

    def positions(self, rows: slice | NDArray[np.bool_ | np.int64] = slice(None)) -> tuple[FloatArray, FloatArray]:
        """Return RA in [0, 360) and DEC of the chosen `rows` in deg, each float64 (rows,).

        In texts such as 08:26:26.5 or 08h26m26.5s, RA is in hours and DEC in degrees. InputError if a coordinate is
        missing, not finite, or outside [0, 360] or [-90, 90] deg.
        """
        some, degrees = replace(self, table=self.table[rows]), []
        for name, unit, low, high in (("RA", "hourangle", 0, 360), ("DEC", "deg", -90, 90)):
            values = some._parsed(name, partial(angle, unit=unit), "neither deg nor an angle such as 08:26:26.5")
            complaint = f"no position between {low} and {high} deg. Correct or remove the row, or exchange RA and DEC"
            self.check((values >= low) & (values <= high), values, name, complaint)
            degrees.append(values)
        return degrees[0] % 360.0, degrees[1]

    def check(self, good: Sequence[bool] | NDArray[np.bool_], cells: Any, name: str, complaint: str) -> None:
        """Raise InputError if an entry of `good` is False. It says "<cell> is <complaint>" of the first such cell."""
        bad = np.flatnonzero(~np.asarray(good, dtype=bool))
        if bad.size:
            cell, more = cells[bad[0]], f" (and {bad.size - 1} more)" if bad.size > 1 else ""
            where = f"{self.path}: column {self.names.get(name, name)}, row {bad[0] + 1}{more}"
            raise InputError(f"{where}: {cell if isinstance(cell, str) else f'{cell:g}'} is {complaint}.")

    def require(self, needed: Mapping[str, str], setting: str, option: str = "") -> None:
        """Raise InputError unless there is a column for every name in `needed`, a dict from our names to descriptions.

        The message says that the user's name of a column can be given under the config key `setting`. If an `option` of
        the command line also does this, the message names the option and Python's argument `columns`.
        """
        if missing := [ours for ours in needed if ours not in self.names]:
            wanted = ", ".join(f"{ours} ({needed[ours]})" for ours in missing)
            map_of = ", ".join(f"{ours}: <your column>" for ours in missing)
            options = " ".join(f"{option} {ours}=<your column>" for ours in missing)
            in_python = ", ".join(f'"{ours}": "<your column>"' for ours in missing)
            by_option = f" (on the command line: {options}; in Python: columns={{{in_python}}})" if option else ""
            names = "If it goes by another name" if len(missing) == 1 else "If they go by other names"
            raise InputError(
                f"{self.path}: has no column for {wanted}.{_hint(missing, 'Its columns', self.table.colnames)} "
                f"{names}, say so under {setting}: {{{map_of}}}{by_option}."
            )


def read_product(path: Path, name: str, columns: Sequence[str]) -> CheckedTable:
    """Return the table `name` of a FITS file of the pipeline. InputError if it or one of its `columns` is missing."""
    with opened_fits(path) as hdus:
        table = next((table_of(hdu, path) for hdu in hdus if hdu.name == name), None)
    if table is None:
        raise InputError(f"{path}: has no table {name}. Delete it and run again.")
    missing = [column for column in columns if column not in table.colnames]
    if missing:
        raise InputError(
            f"{path}: table {name} lacks column {', '.join(missing)}.{nearest(missing[0], table.colnames)} Its "
            f"columns: {', '.join(table.colnames)}."
        )
    return CheckedTable(table, path)


def find_columns(table: Table, path: Path, synonyms: Synonyms, given: Renamed | None = None) -> CheckedTable:
    """Return a user's table whose columns can be found by our names, and whose numbers are in our units.

    `synonyms` maps our names to the usual names of such columns, best first. `given` maps our names to the user's names
    and takes precedence. Case doesn't matter. InputError if `given` contains a name that isn't one of ours, or a column
    that the table doesn't have. InputError also if two columns that could be one of ours differ only in case (such as
    Dec and DEC), unless `given` names one of them exactly.
    """
    given = given or {}
    if unknown := [ours for ours in given if ours not in synonyms]:
        which = f"{', '.join(map(repr, unknown))} {'is no column' if len(unknown) == 1 else 'are no columns'}"
        turned = [f"{theirs.upper()}={ours}" for ours, theirs in given.items() if ours in table.colnames]
        order = f" Our name comes first: {', '.join(turned)}." if turned else _hint(unknown, "Known", synonyms)
        raise InputError(f"columns: {which} of ours.{order}")
    usual = {**synonyms, **{ours: (plain_text(theirs),) for ours, theirs in given.items()}}
    by_lower: dict[str, list[str]] = {}
    for column in table.colnames:
        by_lower.setdefault(column.lower(), []).append(column)
    names = {}
    for ours, wanted in usual.items():
        if here := [name for name in wanted if name.lower() in by_lower]:
            alike = by_lower[here[0].lower()]
            exact = ours in given and here[0] in alike
            if len(alike) > 1 and not exact:
                remedy = f"Rename one, or say which is {ours} (--column {ours}={alike[0]}, or catalogue_columns)."
                raise InputError(f"{path}: columns {' and '.join(alike)} differ only in upper and lower case. {remedy}")
            names[ours] = here[0] if exact else alike[0]
    if absent := {ours: theirs for ours, theirs in given.items() if ours not in names}:
        listed = ", ".join(f"no column {theirs!r} (wanted for {ours})" for ours, theirs in absent.items())
        raise InputError(f"{path}: has {listed}.{_hint(absent.values(), 'Its columns', table.colnames)}")
    return in_our_units(CheckedTable(table, path, names))


def _hint(words: Collection[str], label: str, names: Iterable[str]) -> str:
    """Return a text on unknown `words`: which of `names` are similar, and `label` with a list of `names`."""
    meant = {word: nearest(word, names) for word in words}
    near = "".join(text if len(words) == 1 else text.replace("?", f" for {word}?") for word, text in meant.items())
    return f"{near} {label}: {', '.join(names)}."


def warn_of_rows(path: Path, rows: NDArray[np.bool_], what: str, level: int = logging.WARNING) -> None:
    """Log a line about `rows` (bool): how many there are, the numbers of the first five (from 1), and `what`."""
    if rows.any():
        first = np.flatnonzero(rows)[:5] + 1
        listed = ", ".join(map(str, first)) + (", ..." if rows.sum() > 5 else "")
        LOGGER.log(level, "%s: %d of %d rows (%s) %s", path, rows.sum(), rows.size, listed, what)


def find_rows(wanted: Iterable[Any], keys: Iterable[Any]) -> NDArray[np.int64]:
    """Return the index of each wanted key in `keys`, which are unique, or -1 if it isn't there, int64 (wanted,)."""
    row_of = {key: row for row, key in enumerate(keys)}
    return np.array([row_of.get(key, -1) for key in wanted], dtype=np.int64)
