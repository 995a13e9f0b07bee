"""Tables with plain columns: sky coordinates become RA and DEC, and names and texts become ASCII."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import ConvertError, SkyCoord
from astropy.table import Column, MaskedColumn, Table
from astropy.units import Quantity, UnitsError

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.files import reason
from clustermass.io.fits import UNREADABLE
from clustermass.io.log import LOGGER, printable

#: names, in lower case, of columns of Galactic longitude and latitude, and of any column of right ascension
_GALACTIC = (("glon", "glat"), ("_glon", "_glat"), ("lii", "bii"))
_RIGHT_ASCENSION = re.compile(r"_?ra(_corr|_icrs|deg|j2000)?")
#: largest number of ASCII characters that replace one character; some ligatures would need a hundred
_LONGEST_PLAIN = 12
#: kinds of characters that are escaped: 0.3 with a raised e and 1 isn't 0.3e1
_ESCAPED = ("<circle>", "<super>", "<sub>")
#: characters outside ASCII -> similar ones in ASCII; accents are removed by Unicode's own rules
_LIKENESS = str.maketrans(
    {**dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d", "-"), "\u2032": "'", "\u2019": "'"}
    | {"\u2033": '"', "\u201d": '"', "\u00b0": "d", "\u00df": "ss", "\ufeff": ""}
)
#: texts, in lower case, that stand for a missing number
EMPTY = {"", "nan", "null", "none", "--"}
#: mark -> runs of raised or lowered digits and signs
_RUNS = {
    "^": re.compile("[\u00b2\u00b3\u00b9\u2070\u2074-\u207e]+"),
    "_": re.compile("[\u2080-\u208e]+"),
}


def plain_table(table: Table, path: Path) -> Table:
    """Return a table with plain columns, ASCII texts, and RA and DEC, as described in `read_table`.

    `path` is the name of the table in messages.
    """
    return _in_ascii(_with_ra_dec(_without_mixins(table, path), path))


def _without_mixins(table: Table, path: Path) -> Table:
    """Return the table with RA and DEC (ICRS, deg) for columns of sky coordinates, and plain columns for `Quantity`."""
    plain = Table(meta=table.meta)
    for name in table.colnames:
        cells = table[name]
        if isinstance(cells, SkyCoord):
            free = not {"ra", "dec"} & {one.lower() for one in table.colnames}
            place = _icrs(cells, f"{path}: column {name}")
            for part, angle in (("RA", place.lon), ("DEC", place.lat)):
                plain[part if free and part not in plain.colnames else f"{name}_{part}"] = Column(angle.deg, unit="deg")
            LOGGER.info("%s: RA and DEC are the ICRS position of column %s (%s)", path, name, cells.frame.name)
        elif isinstance(cells, Quantity):
            plain[name] = Column(np.asarray(cells.value), unit=cells.unit)
        elif isinstance(cells, Column):
            plain[name] = cells
    return plain


def _icrs(cells: SkyCoord, what: str) -> Any:
    try:
        return cells.icrs.spherical
    except (*UNREADABLE, ConvertError, UnitsError) as error:
        why = f"its frame {cells.frame.name} can't be converted to ICRS ({reason(error)})"
        raise InputError(f"{what}: {why}. Give RA and DEC in ICRS.") from error


def _with_ra_dec(table: Table, path: Path) -> Table:
    """Return the table, with RA and DEC (ICRS, deg) added if it has only Galactic longitude and latitude."""
    names = {name.lower(): name for name in table.colnames}
    here = next((axes for axes in _GALACTIC if names.keys() >= {*axes}), None)
    if here is None or any(map(_RIGHT_ASCENSION.fullmatch, names)):
        return table
    columns = [table[names[axis]] for axis in here]
    if any(np.ma.asarray(column).dtype.kind not in "iuf" for column in columns):
        return table
    degrees = [np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan) for column in columns]
    for values, column, limit in zip(degrees, columns, (360.0, 90.0), strict=True):
        values *= column.unit.to("deg") if column.unit and column.unit.physical_type == "angle" else 1.0
        values[~(np.abs(values) <= limit)] = np.nan  # reported as no position when RA and DEC are read
    place = SkyCoord(*degrees, unit="deg", frame="galactic").icrs
    table["RA"], table["DEC"] = place.ra.deg, place.dec.deg
    LOGGER.info("%s: RA and DEC are the ICRS position of %s and %s", path, *(column.name for column in columns))
    return table


def _in_ascii(table: Table) -> Table:
    for name in list(table.colnames):
        cells = np.ma.asarray(table[name])
        if cells.dtype.kind in "SUO" and cells.ndim == 1:
            raw = np.asarray(np.ma.getdata(cells)).tolist()
            texts = [_text(cell) for cell in raw]
            marked = any(isinstance(cell, bytes) and not cell.isascii() for cell in raw)  # by a byte order mark
            if marked or not all(text.isascii() and text.isprintable() for text in texts):
                plain = [printable(plain_text(text)) for text in texts]
                # an array of texts takes as much memory for each text as for the longest
                kind = str if max(map(len, plain)) <= limits.TEXT.most else object
                mask, unit = np.ma.getmaskarray(cells), table[name].unit
                table[name] = MaskedColumn(np.array(plain, dtype=kind), mask=mask, unit=unit)
        if not (name.isascii() and name.isprintable()):
            table.rename_column(name, printable(plain_text(name)))
    return table


def _text(cell: object) -> str:
    return decoded(cell) if isinstance(cell, bytes) else str(cell)


def plain_text(text: str) -> str:
    """Return a text in ASCII. A minus sign becomes "-", accents are left out, and other characters are escaped.

    "^" is put before superscripts and "_" before subscripts, so that 0.3 with the footnote 2 doesn't become 0.32.
    """
    for mark, run in _RUNS.items():
        for found in {*run.findall(text)}:
            text = text.replace(found, mark + unicodedata.normalize("NFKD", found))
    return text.translate({ord(sign): plain_sign(sign) for sign in {*text} if not sign.isascii()})


@cache
def plain_sign(sign: str) -> str:
    """Return ASCII characters that look like a character outside ASCII, or its escaped code if there are none."""
    parts = unicodedata.normalize("NFKD", sign.translate(_LIKENESS)).translate(_LIKENESS)
    kept = "".join(part for part in parts if not unicodedata.combining(part))
    kept = sign if unicodedata.decomposition(sign).startswith(_ESCAPED) else kept
    plain, code = (one.encode("ascii", "backslashreplace").decode() for one in (kept, sign))
    return plain if len(plain) <= _LONGEST_PLAIN else code


def number(text: str) -> float:
    """Return the number in a text, or NaN if the text isn't a number. 1_2, which Python reads as 12, isn't a number."""
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan


def check_underscores(cells: Collection[str], table: Table, path: Path) -> None:
    """Raise InputError if astropy has read one of `cells`, such as 1_2, as a number, such as 12.

    This is the case if the cell isn't in any text of the table.
    """
    if cells:
        texts = repr([np.asarray(table[name]).tolist() for name in table.colnames if table[name].dtype.kind in "SUO"])
        if wrong := sorted(cell for cell in cells if cell not in texts):
            raise InputError(f"{path}: {wrong[0]!r} is not a number. Correct the cell, or leave it empty.")


def warn_of_twins(names: Sequence[str], path: Path) -> None:
    """Log a warning about columns of equal name."""
    if twins := sorted(name for name, number in Counter(names).items() if number > 1):
        LOGGER.warning("%s: has several columns %s; the first one counts", path, printable(", ".join(twins)))


def decoded(raw: bytes) -> str:
    """Return bytes as text, decoded as UTF-16 (if they have its byte order mark), UTF-8 (if valid) or Windows-1252."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
