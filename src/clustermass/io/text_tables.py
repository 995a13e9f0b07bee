"""Check of the sizes of VOTables and text tables before they are read, since small files may need much memory."""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from heapq import nlargest
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.room import check_memory, check_unpacked, memory_left

_PIECE_BYTES = 1 << 24
#: memory in bytes that reading takes: for each byte of the file, for each line, and for each cell
_BYTE, _LINE, _CELL = 5, 100, 60
#: bytes of a character in a table, and of a number
_CHARACTER, _NUMBER = 4, 16
#: power in a unit that has five digits or more, in any way of writing
_POWER = re.compile(r"(\*\*|\^|10\s*(?=[(+-]))[(\s]*([+-]\s*)?\d{5}")
#: line that describes a column in a table of the CDS: its bytes, its format and its unit
_CDS_COLUMN = re.compile(r"\s*(?:\d+\s*-\s*)?\d+\s+[AEFI]\d\S*\s+(\S+)")
#: blanks at the start of a line with which astropy's reader of such tables takes minutes
_BLANKS = " " * 100
#: astropy takes memory for so many rows of a binary VOTable before it reads the first
_FIRST_ROWS = 512
#: most digits of the width with which the cells of a column are shown
_DIGITS = 3


def check_unit(unit: object, path: Path) -> None:
    """Raise InputError if a unit is long, or holds a power of five digits or more, which astropy would compute."""
    limits.UNIT.check(len(str(unit)), path)
    if _POWER.search(str(unit)):
        raise InputError(f"{path}: the unit {str(unit)[:40]} holds an impossible power. Correct it, or leave it out.")


def read_whole(stream: BinaryIO, path: Path, packed: bool) -> bytes:
    """Return the whole content of an open text table or VOTable; InputError if memory has no room to read it.

    `stream` gives the content after unpacking, if the file `path` is packed.
    """
    pieces, size, needed = [], 0, 0
    while piece := stream.read(_PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        cells = max(map(piece.count, (b",", b";", b"\t", b"|", b" ", b"<")))
        needed += _BYTE * len(piece) + _LINE * piece.count(b"\n") + _CELL * cells
        if packed:
            check_unpacked(size, path)
        check_memory(needed, path)
    return b"".join(pieces)


def check_lines(lines: Sequence[str], columns: int, separator: str, path: Path) -> None:
    """Raise InputError if a table in lines of text is too large for memory, or has too many columns.

    In memory, all cells of a column get the width of the widest. `columns` is the number of columns. `separator` is
    what separates cells; it is "" if cells are found by their places in the line.
    """
    limits.COLUMNS.check(columns, path)
    longest = nlargest(columns if separator else 1, map(len, lines))
    # the widest cells of the columns are in different lines, at worst
    if len(lines) * _CHARACTER * sum(longest) > memory_left() / 2:
        check_memory(len(lines) * _CHARACTER * (_widths(lines, separator) if separator else sum(longest)), path)


def cds_columns(lines: Sequence[str], path: Path) -> int:
    """Return the number of columns that a table of the CDS describes; InputError if the description isn't like any."""
    begin = next(number for number, line in enumerate(lines) if "byte-by-byte description" in line.lower())
    last = max((number for number, line in enumerate(lines) if line.startswith(("------", "======"))), default=0)
    described = lines[begin:last]
    limits.DESCRIPTION.check(len(described), path)
    if any(line.startswith(_BLANKS) for line in described):
        raise InputError(f"{path}: a line of its description begins with {len(_BLANKS)} blanks. Remove them.")
    columns = [found for found in map(_CDS_COLUMN.match, described) if found]
    for found in columns:
        check_unit(found[1], path)
    return len(columns)


def _widths(lines: Sequence[str], separator: str) -> int:
    """Return the sum of the widths of the widest cells of all columns."""
    widths: list[int] = []
    for cells in csv.reader(lines, delimiter=separator, skipinitialspace=True):
        widths = [max(pair) for pair in zip_longest(widths, map(len, cells), fillvalue=0)]
    return sum(widths)


class _Sizes:
    """The memory that the tables of a VOTable take, added up while its elements are read."""

    def __init__(self, path: Path) -> None:
        self._path, self._row, self._stated, self._needed, self._left = path, 0, 0, 0, memory_left()
        self._fields = self._level = 0

    def end(self, _: str) -> None:
        """Count the end of an element."""
        self._level -= 1

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Count an element; InputError if it refers to another file, or states more than memory has room for."""
        self._level += 1
        limits.LEVELS.check(self._level, self._path)
        if name == "TD":
            return
        element = name.rpartition(":")[2]
        if element in ("FITS", "PARQUET") or (element == "STREAM" and "href" in attributes):
            raise InputError(f"{self._path}: refers to another file, which isn't read. Give the table itself.")
        if element == "TABLE":
            self._row, self._fields, self._stated = 0, 0, _whole(attributes.get("nrows", ""))
        elif element in ("FIELD", "PARAM"):
            if max(len(attributes.get(name, "").strip()) for name in ("width", "precision")) > _DIGITS:
                raise InputError(f"{self._path}: the width or precision of a column has more than {_DIGITS} digits.")
            check_unit(attributes.get("unit", ""), self._path)
            self._fields += 1
            limits.COLUMNS.check(self._fields, self._path)
            stated = attributes.get("arraysize", "").strip()
            limits.ARRAY.check(len(stated), self._path)
            if re.search(r"(^|x)\s*0+\s*x", stated):  # astropy would read nothing, as often as the file asks for
                raise InputError(f"{self._path}: a column has arraysize {stated[:40]}, arrays of nothing.")
            size = math.prod(map(int, re.findall(r"\d{1,18}", stated)))
            self._row += size * (_CHARACTER if "char" in attributes.get("datatype", "").lower() else _NUMBER)
            self._add(self._row)
        elif element == "DATA":
            self._add(self._stated * self._row)
        elif element in ("BINARY", "BINARY2"):
            self._add(_FIRST_ROWS * self._row)
        elif element == "TR":
            self._add(self._row)

    def _add(self, number: int) -> None:
        self._needed += number
        if self._needed > self._left:
            check_memory(self._needed, self._path)


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"\s*\d{1,18}\s*", text) else 0


def check_votable(content: bytes, path: Path) -> None:
    """Raise InputError if a VOTable can't be read safely.

    It may refer to other files, state tables that memory has no room for, or have elements that are nested too deeply.
    Faults of its XML are left to astropy.
    """
    parser = expat.ParserCreate()
    sizes = _Sizes(path)
    parser.StartElementHandler, parser.EndElementHandler = sizes.start, sizes.end
    with suppress(expat.ExpatError, LookupError):
        parser.Parse(content, True)
