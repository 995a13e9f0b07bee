"""Check of a VOTable before astropy reads it: whether it fits into memory, and whether its binary data are complete."""

import base64
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.room import check_memory, memory_left
from clustermass.io.text_tables import CHARACTER, check_unit

#: bytes of a number in memory
_NUMBER = 16
#: astropy takes memory for so many rows of binary data before it reads the first
_FIRST_ROWS = 512
#: most digits of the width with which the cells of a column are shown
_DIGITS = 3
#: bytes of the number before an array of any length in binary data
_LENGTH = 4
#: bytes of a value in binary data, by datatype
_BYTES = {
    **dict.fromkeys(("boolean", "unsignedByte", "char"), 1),
    **dict.fromkeys(("short", "unicodeChar"), 2),
    **dict.fromkeys(("int", "float"), 4),
    **dict.fromkeys(("long", "double", "floatComplex"), 8),
    "doubleComplex": 16,
    "bit": 1 / 8,
}
#: names of datatypes in old tables -> those of the standard, as astropy translates them
_OLD = {
    **{"string": "char", "unicodeString": "unicodeChar", "int16": "short", "int32": "int", "int64": "long"},
    **{"float32": "float", "float64": "double", "unsignedInt": "long", "unsignedShort": "int"},
}


def check_votable(content: bytes, path: Path) -> None:
    """Raise InputError if a VOTable can't be read safely, or if its binary data end within a row.

    It is unsafe if it refers to other files, if it states tables that don't fit into memory, or if its elements are too
    many or nested too deeply. Other faults are left to astropy.
    """
    parser = expat.ParserCreate()
    sizes = _Sizes(path, parser)
    parser.StartElementHandler, parser.EndElementHandler = sizes.start, sizes.end
    check_declarations(parser, path)
    with suppress(expat.ExpatError, LookupError):
        parser.Parse(content, True)


def check_declarations(parser: expat.XMLParserType, path: Path) -> None:
    """Make an XML parser raise InputError for declared entities and default attributes, and for long namespaces.

    Each of them is repeated wherever it is used, so that a small file can take much memory.
    """

    def refuse(*_: object) -> None:
        raise InputError(f"{path}: a DOCTYPE declares entities or attributes, which no table needs. Remove them.")

    def check_namespace(_: str | None, uri: str | None) -> None:
        limits.NAMESPACE.check(len(uri or ""), path)

    parser.AttlistDeclHandler = parser.EntityDeclHandler = refuse
    parser.StartNamespaceDeclHandler = check_namespace


class _Column(NamedTuple):
    """A column in binary data, whose cells consist of items of `width` bytes.

    `varies` says whether the cells may hold different numbers of items. If not, each cell is one item. Otherwise each
    cell begins with the number of its items. Astropy reads the values of some types one by one; `readings` is the
    number of these readings for each item.
    """

    varies: bool
    width: float
    readings: int


class _Sizes:
    """The sizes of the tables in a VOTable, which are added up while its elements are read."""

    def __init__(self, path: Path, parser: expat.XMLParserType) -> None:
        self._path, self._parser, self._left = path, parser, memory_left()
        #: levels of open elements, elements of all kinds, those besides rows and cells, and bytes for all tables
        self._level, self._elements, self._others, self._needed = 0, 0, 0, 0
        self._begin_table({})

    def _begin_table(self, attributes: Mapping[str, str]) -> None:
        #: bytes of a row in memory, rows stated, and columns of the table
        self._row, self._stated, self._fields = 0, _whole(attributes.get("nrows", "")), 0
        #: columns in binary data, whether flags are before a row, and pieces of the data in base64
        self._columns, self._flags, self._pieces = list[_Column](), False, list[str]()

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Take note of an element; InputError if it refers to another file, or if its data don't fit into memory."""
        self._level += 1
        self._elements += 1
        limits.LEVELS.check(self._level, self._path)
        limits.ELEMENTS.check(self._elements, self._path)
        if name == "TD":
            return
        element = name.rpartition(":")[2]
        if element == "TR":
            self._add(self._row)
            return
        self._others += 1
        limits.OTHER_ELEMENTS.check(self._others, self._path)
        if element in ("FITS", "PARQUET") or (element == "STREAM" and "href" in attributes):
            raise InputError(f"{self._path}: refers to another file, which isn't read. Give the table itself.")
        if element == "TABLE":
            if "ref" in attributes:
                raise InputError(f"{self._path}: a table takes its columns from another one (ref). Write them in it.")
            self._begin_table(attributes)
        elif element in ("FIELD", "PARAM"):
            self._add_column(attributes, element == "FIELD")
        elif element == "DATA":
            self._add(self._stated * self._row)
        elif element in ("BINARY", "BINARY2"):
            self._flags = element == "BINARY2"
            self._add(_FIRST_ROWS * self._row)
        elif element == "STREAM":  # astropy takes its text for base64 in any case
            self._pieces = []
            self._parser.CharacterDataHandler = self._pieces.append

    def end(self, name: str) -> None:
        """Take note of the end of an element; InputError if binary data end here within a row."""
        self._level -= 1
        if not name.endswith("STREAM"):
            return
        self._parser.CharacterDataHandler = None
        try:
            data = base64.b64decode("".join(self._pieces))
        except ValueError:
            return  # astropy says so
        self._check_rows(data)

    def _check_rows(self, data: bytes) -> None:
        """Raise InputError if the rows of binary data are too many or empty, or if the data end within a row."""
        flags, place, elements = math.ceil(len(self._columns) / 8) if self._flags else 0, 0, 0
        if any(math.isnan(column.width) for column in self._columns):
            return
        if flags + sum(column.varies or column.width for column in self._columns) == 0:
            raise InputError(f"{self._path}: the rows of its binary data hold nothing. Copy or download it again.")
        alike = not any(column.varies for column in self._columns)
        while place < len(data):
            place, elements = place + flags, elements + 1
            for column in self._columns:
                number = 1
                if column.varies:
                    number = int.from_bytes(data[place : place + _LENGTH])
                    place += _LENGTH
                place += number * int(column.width)
                elements += 1 + number * column.readings
            if alike:  # the first row stands for all
                rows = math.ceil(len(data) / place)
                place, elements = rows * place, rows * elements
            limits.ELEMENTS.check(elements, self._path)
        if place > len(data):
            raise InputError(f"{self._path}: its binary data end within a row. Copy or download it again.")

    def _add_column(self, attributes: Mapping[str, str], stored: bool) -> None:
        if max(len(attributes.get(name, "").strip()) for name in ("width", "precision")) > _DIGITS:
            raise InputError(f"{self._path}: the width or precision of a column has more than {_DIGITS} digits.")
        check_unit(attributes.get("unit", ""), self._path)
        self._fields += 1
        limits.COLUMNS.check(self._fields, self._path)
        stated, kind = attributes.get("arraysize", "").strip(), attributes.get("datatype", "")
        kind = _OLD.get(kind, kind)
        limits.ARRAY.check(len(stated), self._path)
        if re.search(r"(^|x)\s*0+\s*x", stated):  # astropy would read nothing, as often as the file asks for
            raise InputError(f"{self._path}: a column has arraysize {stated[:40]}, arrays of nothing.")
        text, varies = "char" in kind.lower(), stated.endswith("*")
        size = math.prod(map(int, re.findall(r"\d{1,18}", stated)))
        self._row += size * (CHARACTER if text else _NUMBER)
        self._add(self._row)
        if stored:
            # the last number of 2x3* is only a limit of the number of items
            items = math.prod(map(int, re.findall(r"\d{1,18}", stated.rpartition("x")[0]))) if varies else size
            width = math.ceil(items * _BYTES[kind]) if kind in _BYTES else math.nan
            one_by_one = items if kind in ("boolean", "bit") else int(varies and not text)
            self._columns.append(_Column(varies, width, one_by_one))

    def _add(self, number: int) -> None:
        self._needed += number
        if self._needed > self._left:
            check_memory(self._needed, self._path)


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"\s*\d{1,18}\s*", text) else 0
