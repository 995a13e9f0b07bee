"""Check of the sizes of text tables before they are read, because even small files may need much memory."""

import csv
import re
from collections.abc import Sequence
from heapq import nlargest
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.room import check_memory, check_unpacked, memory_left

_PIECE_BYTES = 1 << 24
#: memory in bytes that reading takes: for each byte of the file, for each line, and for each cell
_BYTE, _LINE, _CELL = 5, 100, 60
#: bytes of a character in a table
CHARACTER = 4
#: power in a unit with an exponent of three digits or more, in any way of writing, or power of a power of a power
_POWER = re.compile(r"(\*\*|\^|10\s*(?=[(+-]))[(\s]*([+-]\s*)?\d{3}|\)[\s*^]*[\s(+-]*\d+[\s)]*\)\s*(\*\*|\^)")
#: line that describes a column in a table of the CDS: its bytes, its format and its unit
_CDS_COLUMN = re.compile(r"\s*(?:\d+\s*-\s*)?\d+\s+[AEFI]\d\S*\s+(\S+)")
#: blanks at the start of a line with which astropy's reader of such tables takes minutes
_BLANKS = " " * 100


def check_unit(unit: object, path: Path) -> None:
    """Raise InputError if a unit is too long, or holds an exponent that is too large for a unit.

    astropy would compute such a power, however large it is.
    """
    limits.UNIT.check(len(str(unit)), path)
    if _POWER.search(str(unit)):
        raise InputError(f"{path}: the unit {str(unit)[:40]} holds an impossible power. Correct it, or leave it out.")


def read_whole(stream: BinaryIO, path: Path, packed: bool) -> bytes:
    """Return the whole content of a text table or VOTable; InputError if it doesn't fit into memory.

    `stream` is the open file `path`. If the file is `packed`, the stream yields the unpacked content.
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
    """Raise InputError if a text table, given by its `lines`, is too large for memory or has too many columns.

    All cells of a column take as much memory as the widest one. `columns` is the number of columns. `separator` is the
    text between cells, or "" if cells are found by their places in the line.
    """
    limits.COLUMNS.check(columns, path)
    longest = nlargest(columns if separator else 1, map(len, lines))
    # the widest cells of the columns are in different lines, at worst
    if len(lines) * CHARACTER * sum(longest) > memory_left() / 2:
        check_memory(len(lines) * CHARACTER * (_widths(lines, separator) if separator else sum(longest)), path)


def cds_columns(lines: Sequence[str], path: Path) -> int:
    """Return the number of columns that the description in a table of the CDS lists.

    InputError if the description is too long, or if astropy would need minutes to read one of its lines or units.
    """
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
    """Return the sum of the widths of all columns, each as wide as its widest cell."""
    widths: list[int] = []
    for cells in csv.reader(lines, delimiter=separator, skipinitialspace=True):
        widths = [max(pair) for pair in zip_longest(widths, map(len, cells), fillvalue=0)]
    return sum(widths)
