"""Rows of a FITS table of events, read piece by piece."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.io.fits import unpacked
from clustermass.io.log import printable


class Rows:
    """Rows of a FITS table, decoded from their bytes and scaled by TSCAL and TZERO. `names` are in upper case.

    astropy's tables are not used, because their circular references delay the release of memory.
    """

    def __init__(self, table: Any, raw: bytes) -> None:
        self.name, self.header, self.columns = str(table.name), table.header, table.columns
        self._bytes = raw
        # a damaged file may have columns without a name
        self._by_name = {str(column.name).upper(): column for column in self.columns}
        self.names = set(self._by_name)

    @cached_property
    def _raw(self) -> NDArray[Any]:
        # not before a value is wanted: the names of the columns are checked first
        # the dtype of all columns together would divide cells by TDIM, which may state other shapes than TFORM
        forms = [np.dtype(column.dtype).newbyteorder(">") for column in self.columns]
        names = self.columns.dtype.names or ()
        return np.frombuffer(self._bytes, dtype=np.dtype(list(zip(names, forms, strict=True))))

    def __len__(self) -> int:
        return int(self._raw.size)

    def __getitem__(self, name: str) -> NDArray[Any]:
        column = self._by_name[name]
        values, scale, zero = self._raw[column.name], column.bscale or 1, column.bzero or 0
        if scale != 1 or zero != 0:
            values = values.astype(np.float64)
            values *= scale
        if zero != 0:
            values += zero
        return values


def check_names(table: Any, path: Path) -> None:
    """Raise InputError if two columns of a `table` have the same name, where upper and lower case don't count."""
    names = [str(column.name) for column in table.columns]
    number = Counter(map(str.upper, names))
    if twins := [name for name in names if number[name.upper()] > 1]:
        listed = ", ".join(map(printable, twins))
        raise InputError(f"{path}: several columns of table {table.name} are called {listed}. Rename all but one.")


def pieces_of(table: Any, path: Path, rows: int) -> Iterator[tuple[int, Rows]]:
    """Yield a `table` in pieces of `rows` rows: the number of each piece's first row (from 0), and the piece."""
    header, offset = table.header, table.fileinfo()["datLoc"]
    with ExitStack() as stack:
        stream = stack.enter_context(unpacked(stack.enter_context(path.open("rb"))))
        stream.seek(offset)
        for start in range(0, header["NAXIS2"], rows):
            number = min(rows, header["NAXIS2"] - start)
            yield start, Rows(table, stream.read(number * header["NAXIS1"]))
