"""Reading of FITS tables whose cells astropy would change: tables of text, and missing cells of scaled integers."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.units import Unit
from numpy.typing import NDArray

from clustermass.errors import InputError

#: bytes that may stand between columns: nothing, a blank or a bar
_BETWEEN = np.frombuffer(b"\0 |", dtype=np.uint8)


def table_with_nulls(hdu: Any, path: Path) -> Table:
    """Return the table in an HDU of the file `path`. Cells that hold TNULL are masked.

    In a table of text, blank cells are masked, too, and columns of numbers that hold other texts become columns of
    texts. InputError if a row of such a table holds anything between or beyond its columns.
    """
    if isinstance(hdu, fits.TableHDU):
        return _of_text(hdu, path)
    # TNULL is a stored number, but astropy compares it with scaled ones
    nulls = {column: column.null for column in hdu.columns if isinstance(column.null, int) and is_scaled(column)}
    missing = {column.name: hdu.data.view(np.ndarray)[column.name] == null for column, null in nulls.items()}
    try:
        for column in nulls:
            column.null = None
        table = Table.read(hdu)
    finally:
        for column, null in nulls.items():
            column.null = null
    for name, mask in missing.items():
        table[name] = MaskedColumn(table[name], mask=mask.reshape(table[name].shape))
    return table


def is_scaled(column: fits.Column) -> bool:
    """Return whether a column has a factor or an offset, by which its numbers differ from the stored ones."""
    return column.bscale not in (None, "", 1) or column.bzero not in (None, "", 0)


def _of_text(hdu: fits.TableHDU, path: Path) -> Table:
    rows = hdu.data.view(np.ndarray)
    signs = rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)
    outside, table = np.ones(signs.shape[1], dtype=bool), Table()
    table.meta.update(hdu.header)
    for column in hdu.columns:
        place = slice(column.start - 1, column.start - 1 + column.format.width)
        outside[place] = False
        texts = np.char.strip(np.ascontiguousarray(signs[:, place]).view(f"S{column.format.width}")[:, 0], b" \0")
        missing = (texts == b"") | (texts == str(column.null or "").strip().encode())
        cells = texts if column.format.format == "A" else _numbers(texts, missing, column)
        unit = Unit(column.unit, format="fits", parse_strict="silent") if column.unit else None
        table[column.name] = MaskedColumn(cells, mask=missing, unit=unit)
    wrong = np.flatnonzero(~np.isin(signs[:, outside], _BETWEEN).all(axis=1))
    if wrong.size:
        raise InputError(f"{path}: row {wrong[0] + 1} holds text outside of all columns. Correct TBCOL and TFORM.")
    return table


def _numbers(texts: NDArray[np.bytes_], missing: NDArray[np.bool_], column: fits.Column) -> NDArray[Any]:
    """Return texts as numbers. If any text is neither `missing` nor a number, the texts are returned unchanged."""
    if (np.char.find(texts, b"_") >= 0).any():  # numpy reads 1_2 as 12
        return texts
    kind = np.int64 if column.format.format == "I" else np.float64
    try:
        values = np.where(missing, b"0", np.char.replace(np.char.upper(texts), b"D", b"E")).astype(kind)
    except (ValueError, OverflowError):
        return texts
    return values * (column.bscale or 1) + (column.bzero or 0) if is_scaled(column) else values
