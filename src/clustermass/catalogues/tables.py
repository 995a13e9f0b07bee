"""A user's tables: read whole, with errors that name file, column and row; sentinels of published catalogues masked."""

import difflib
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import ascii as ascii_tables
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.units import degree
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.io.fits import UNREADABLE, opened_fits
from clustermass.io.log import LOGGER

_FITS_ENDINGS = (".fits", ".fit", ".fits.gz", ".fit.gz")
_TEXT_FORMATS = {".csv": "csv", ".tsv": "csv", ".ecsv": "ecsv"}
#: what may separate the cells of a CSV file, the first that its header holds; spreadsheets may write the second
_SEPARATORS = ",;\t"


def read_table(path: Path) -> Table:
    """Read the first table of a FITS, CSV, TSV or ECSV file: all rows and columns, missing cells masked.

    The file ends in .fits, .fit (also .gz), .csv, .tsv (also as VizieR writes it) or .ecsv; cells of text files may be
    separated by commas, semicolons or tabs. InputError if there is no such file, its ending is unknown, or it is
    truncated, damaged, or without a table or a row.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path in the configuration.")
    name = path.name.lower()
    text_format = _TEXT_FORMATS.get(path.suffix.lower())
    if not name.endswith(_FITS_ENDINGS) and text_format is None:
        endings = ", ".join([*_FITS_ENDINGS, *_TEXT_FORMATS])
        raise InputError(f"{path}: a table must end in one of {endings}, so that its format is known.")
    table = _read_fits(path) if text_format is None else _read_text(path, text_format)
    if len(table) == 0:
        raise InputError(f"{path}: the table has no rows. Give a table with at least one.")
    return table


def _read_fits(path: Path) -> Table:
    with opened_fits(path) as hdus:
        table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
        if table is None:
            raise InputError(f"{path}: holds no table: an image, or cut short. Give the whole file with the table.")
        return Table.read(table)


def _read_text(path: Path, text_format: str) -> Table:
    try:
        # utf-8-sig swallows the mark that spreadsheets put in front of the first column's name
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        if text_format == "ecsv":
            return ascii_tables.read(lines, format="ecsv", guess=False)
        lines = _without_frills(lines)
        separator = next((mark for mark in _SEPARATORS if lines and mark in lines[0]), ",")
        # as CSV, blanks between two tabs would be no cell at all
        text_format = "tab" if separator == "\t" else "csv"
        with warnings.catch_warnings():
            # a number beyond 64 bits is read as text, and reported where a number is needed
            warnings.simplefilter("ignore", AstropyWarning)
            return ascii_tables.read(lines, format=text_format, delimiter=separator, guess=False)
    except (*UNREADABLE, ascii_tables.InconsistentTableError) as error:
        raise InputError(f"{path}: not a readable {text_format.upper()} table ({error}).") from error


def _without_frills(lines: list[str]) -> list[str]:
    """Leave out empty lines and what VizieR adds: comments, and a line of units and one of dashes below the names."""
    rows = [line for line in lines if line.strip() and not line.startswith("#")]
    dashed = len(rows) > 2 and set(rows[2]) <= {"-", "\t", ";", " "} and "--" in rows[2]
    return rows[:1] + rows[3:] if dashed else rows


def nearest(word: str, names: Iterable[str]) -> str:
    """Return " Did you mean ...?" with the nearest of `names`, or nothing when none is near."""
    by_lower = {name.lower(): name for name in names}
    match = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f" Did you mean {by_lower[match[0]]}?" if match else ""


#: texts of a missing number
_EMPTY = {"", "nan", "null", "none", "--"}


def numbers(table: Table, path: Path, column: str) -> NDArray[np.float64]:
    """Return a column as float64 (rows,), missing cells as NaN; InputError if a cell isn't one number."""
    values = np.ma.asarray(table[column])
    if values.ndim != 1:
        raise InputError(f"{path}: column {column} holds {values.shape[1:]} values a row, but one is wanted.")
    if values.dtype.kind in "biuf":
        return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
    texts = texts_of(table, column)
    parsed = np.array([_number(text) for text in texts])
    bad = [row for row, text in enumerate(texts) if np.isnan(parsed[row]) and text.lower() not in _EMPTY]
    if bad:
        raise InputError(f"{path}: column {column}, row {bad[0] + 1}: {texts[bad[0]]!r} is not a number.")
    return parsed


def single(values: NDArray[np.float64], path: Path, column: str) -> NDArray[np.float32]:
    """Return numbers of a column in single precision; InputError for a finite one that is too large for it."""
    bad = np.flatnonzero(np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max))
    if bad.size:
        raise InputError(
            f"{path}: column {column}, row {bad[0] + 1}: {values[bad[0]]:g} is too large to be measured. Correct the "
            "cell, or leave it empty."
        )
    return values.astype(np.float32)


def texts_of(table: Table, column: str) -> list[str]:
    """Return a column as stripped text, missing cells as ''."""
    values = np.ma.asarray(table[column])
    mask = np.ma.getmaskarray(values)
    cells = ["" if hidden else value for value, hidden in zip(np.ma.getdata(values).tolist(), mask, strict=True)]
    return [(cell.decode() if isinstance(cell, bytes) else str(cell)).strip() for cell in cells]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def whole_numbers(table: Table, path: Path, column: str) -> NDArray[np.int64]:
    """Return a column of unique whole numbers as int64 (rows,).

    InputError if a cell is missing or no whole number of 32 bits, or two rows hold the same one (both are named).
    """
    values = numbers(table, path, column)
    bad = np.flatnonzero(~((values == np.rint(values)) & (np.abs(values) < 2**31)))
    if bad.size:
        cell = texts_of(table, column)[bad[0]] or "nothing"
        raise InputError(f"{path}: column {column}, row {bad[0] + 1}: {cell} is no whole number below 2^31.")
    ids = values.astype(np.int64)
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(np.diff(ids[order]) == 0)
    if twice.size:
        first, second = order[twice[0]], order[twice[0] + 1]
        raise InputError(
            f"{path}: rows {first + 1} and {second + 1} have one {column}, {ids[first]}. Every row needs its own: "
            "remove one or number them anew."
        )
    return ids


def positions(table: Table, path: Path, ra: str, dec: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension in [0, 360) and declination in deg, float64 (rows,) each.

    InputError if a coordinate is missing, not finite, or outside [0, 360] or [-90, 90] deg.
    """
    degrees = []
    for column, low, high in ((ra, 0, 360), (dec, -90, 90)):
        unit = table[column].unit
        is_angle = getattr(unit, "physical_type", None) == "angle"
        values = numbers(table, path, column) * (unit.to(degree) if is_angle else 1.0)
        bad = np.flatnonzero(~((values >= low) & (values <= high)))
        if bad.size:
            rows = f"row {bad[0] + 1}" + (f" (and {bad.size - 1} more)" if bad.size > 1 else "")
            raise InputError(
                f"{path}: column {column}, {rows}: {values[bad[0]]:g} is no position between {low} and {high} deg. "
                "Correct or remove the row."
            )
        degrees.append(values)
    return degrees[0] % 360.0, degrees[1]


def warn_of_rows(path: Path, rows: NDArray[np.bool_], what: str) -> None:
    """Log how many rows of a table, and which first (counted from 1), are `what`; nothing if none is."""
    if rows.any():
        first = np.flatnonzero(rows)[:5] + 1
        listed = ", ".join(map(str, first)) + (", ..." if rows.sum() > 5 else "")
        LOGGER.warning("%s: %d of %d rows (%s) %s", path, rows.sum(), rows.size, listed, what)


class Survey(NamedTuple):
    """A published catalogue: its content and paper, and how it is recognised."""

    title: str
    marks: tuple[str, ...]  #: columns that no other of `SURVEYS` has all of
    rows: int  #: as published
    numbered: bool = True  #: whether ID_SRC is unique; in eRASS1 it begins anew with every tile of the sky


SURVEYS = (
    Survey("eFEDS clusters (Liu et al. 2022)", ("ID_SRC", "L_500KPC", "SNR_MAX"), 542),
    Survey("eFEDS optical counterparts (Klein et al. 2022)", ("ID_SRC", "Z_BEST_COMB", "F_CONT_BEST_COMB"), 542),
    Survey("eFEDS X-ray sources (Brunner et al. 2022)", ("ID_SRC", "ID_HARD", "RA_CORR", "ML_RATE"), 27910),
    Survey("eRASS1 clusters (Bulbul et al. 2024)", ("DETUID", "BEST_Z", "EXT_LIKE"), 12247, numbered=False),
)
_POSITIVE, _ANY = float(np.nextafter(0, 1)), np.inf
#: columns -> lowest and highest value that is a measurement. Of L, T and F a -1 says that only an upper limit is known;
#: errors far below zero stand for fits that failed; an infinite SIGMA_Z stays: it says that the redshift is unknown
_MEASUREMENTS = (
    (re.compile(r"(T|L|LBOL|F)_\d+KPC(_[LU])?"), _POSITIVE, _ANY),
    (re.compile(r"(SPEC_)?Z_\d?BEST_COMB|BEST_Z|[MRL]500(_[LH])?|KT(_[LH])?"), _POSITIVE, _ANY),
    (re.compile(r"(ML_\w+|EXT|RADEC)_ERR(_\w+)?|ML_(RATE|CTS|FLUX|EXP|BKG)(_\d)?"), 0.0, np.finfo(float).max),
    (re.compile(r"RA(_\w+)?"), 0.0, 360.0),
    (re.compile(r"DEC(_\w+)?"), -90.0, 90.0),
)


def read_survey_table(path: Path) -> Table:
    """Read a table as `read_table` does; in a published catalogue mask the values that stand for "not measured".

    Names and units are the table's own. Where ID_SRC isn't unique, it becomes the row's number in the file, from 1.
    """
    table = read_table(path)
    survey = recognise(table)
    if survey is None:
        return table
    whole = "" if len(table) == survey.rows else f" of {survey.rows} as published"
    LOGGER.info("%s: %s, %d rows%s", path, survey.title, len(table), whole)
    if not survey.numbered:
        LOGGER.info("%s: ID_SRC = number of the row in this file, from 1; NAME_CAT keeps the published name", path)
        table["ID_SRC"] = np.arange(1, len(table) + 1)
    return mask_sentinels(table, path)


def recognise(table: Table) -> Survey | None:
    """Return the published catalogue that has this table's columns (case doesn't matter), or None."""
    names = {name.upper() for name in table.colnames}
    return next((survey for survey in SURVEYS if names.issuperset(survey.marks)), None)


def mask_sentinels(table: Table, path: Path) -> Table:
    """Mask all values that are no measurements in the columns of `_MEASUREMENTS`, and log their numbers."""
    masked, counts = table.copy(copy_data=False), {}
    for name in table.colnames:
        limits = next(((low, high) for rule, low, high in _MEASUREMENTS if rule.fullmatch(name.upper())), None)
        if limits is None or table[name].ndim != 1:
            continue
        values = numbers(table, path, name)
        missing = ~((values >= limits[0]) & (values <= limits[1]))
        masked[name] = MaskedColumn(values, mask=missing, unit=table[name].unit)
        counts[name] = int(missing.sum())
    listed = ", ".join(f"{name} {number}" for name, number in counts.items() if number)
    LOGGER.info("%s: values that are no measurements, masked: %s", path, listed or "none")
    return masked
