"""Reading of users' tables. The format is recognised from the content of a file. Names and texts become ASCII."""

import csv
import io
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
from astropy.io import ascii as ascii_tables
from astropy.io import fits, votable
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from clustermass import limits
from clustermass.catalogues.fixed_places import read_fixed_places
from clustermass.catalogues.plain import (
    EMPTY,
    check_underscores,
    decoded,
    plain_sign,
    plain_table,
    plain_text,
    warn_of_twins,
)
from clustermass.catalogues.separated_cells import read_separated
from clustermass.errors import InputError
from clustermass.io.bounds import bounded
from clustermass.io.files import reason
from clustermass.io.fits import UNREADABLE, opened_fits, table_of, unpacked
from clustermass.io.frames import check_frame, other_frames
from clustermass.io.log import LOGGER, printable
from clustermass.io.room import check_memory
from clustermass.io.text_tables import cds_columns, check_lines, check_unit, read_whole
from clustermass.io.votables import check_votable
from clustermass.io.yaml_headers import ecsv_header

_UNREADABLE = (
    *UNREADABLE,
    csv.Error,
    LookupError,
    ImportError,  # of astropy: a class of columns that it doesn't have
    ascii_tables.InconsistentTableError,
    votable.exceptions.VOTableSpecError,
    votable.exceptions.VOWarning,
    ExpatError,
    RuntimeError,  # of the reader of XML: too many elements in a row
    NameError,  # of astropy: binary data without STREAM
)
#: first bytes of files that can't be read here -> what these files are
_OTHERS = {
    b"PK": "a spreadsheet or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"\x89HDF": "a netCDF or HDF5 file",
    b"CDF": "a netCDF file",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF file",
    b"\x80": "a Python pickle",
}
_GIVE = "Give the table as FITS, VOTable, ECSV or CSV."
#: line breaks; `splitlines` would also divide at other control characters, which a cell may hold
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
#: keyword and value in the header of an IPAC table
_KEYWORD = re.compile(r"\\(?:\w+\s+)?(\w+)\s*=\s*['\"]?([^'\"]*)")

#: number with "_" between digits, which Python reads without "_": in a row of text, and in a cell of a VOTable
_UNDERSCORE = re.compile(r"(?<![\w.])[+-]?[\d.]*\d_\d[\d_.]*(?![\w.])")
_UNDERSCORE_CELL = re.compile(rb">\s*([+-]?[\d.]*\d_\d[\d_.]*)\s*<")


def read_table(path: Path) -> Table:
    """Return the first table in a file with all rows and columns. Missing cells are masked.

    The format is recognised from the content. It may be FITS, VOTable, ECSV, a table of the CDS or of IPAC, or lines of
    text whose cells are separated by commas, semicolons, tabs, bars or blanks. Such lines may have the form that VizieR
    or TOPCAT writes, and may hold decimal commas. The file may be packed by gzip, bzip2 or xz.

    A column that can't be read is left out with a warning. Column names and the texts in cells are turned into
    printable ASCII. A column of sky coordinates becomes two columns, RA and DEC. If a table has only Galactic
    coordinates, RA and DEC are added. InputError if the file is missing, truncated, damaged or of another kind, or if
    the table has no rows.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Name the file of the table.")
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path in the configuration.")
    with bounded(path):
        table = plain_table(_read(path), path)
    if len(table) == 0:
        raise InputError(f"{path}: the table has no rows. Give a table with at least one.")
    return table


def _read(path: Path) -> Table:
    begin = _unpacked(path, 4096)
    # a FITS header has no line breaks
    if begin.startswith(b"SIMPLE") or (".fit" in path.name.lower() and b"\n" not in begin):
        return _read_fits(path)
    if re.search(rb"<([\w]+:)?VOTABLE", begin):
        return _read_votable(path)
    return _read_text(path, begin)


def _unpacked(path: Path, size: int | None = None) -> bytes:
    """Return the first `size` unpacked bytes of a file, or all. InputError if it is damaged or too large."""
    try:
        with path.open("rb") as stream:
            source = unpacked(stream)
            return read_whole(source, path, source is not stream) if size is None else source.read(size)
    except InputError:
        raise
    except UNREADABLE as error:
        # the message names the kind of file that the ending states
        kind = "FITS file" if ".fit" in path.name.lower() else "compressed file"
        raise InputError(
            f"{path}: truncated or damaged {kind} ({reason(error)}). Copy or download it again."
        ) from error


def _read_fits(path: Path) -> Table:
    with opened_fits(path) as hdus:
        try:
            return table_of(_first_table(hdus, path), path)
        except InputError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
            fault = error
    # a file that is opened anew, because astropy wouldn't scale columns that it has read before
    with opened_fits(path) as hdus:
        return _read_columns(_first_table(hdus, path), path, fault)


def _first_table(hdus: fits.HDUList, path: Path) -> fits.BinTableHDU | fits.TableHDU:
    hdu = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
    if hdu is None:
        raise InputError(f"{path}: holds no table: an image, or cut short. Give the whole file with the table.")
    for header in (hdu.header, *(one.header for one in hdus[:1] if not one.header["NAXIS"])):
        check_frame(header, path)
    if twins := sorted(name for name, number in Counter(hdu.columns.names).items() if number > 1):
        raise InputError(f"{path}: several columns are called {', '.join(map(printable, twins))}. Rename all but one.")
    for column in hdu.columns if isinstance(hdu, fits.BinTableHDU) else ():
        stored = hdu.columns.dtype.fields.get(column.name)
        if stored and column.null is not None and not _holds(stored[0], column.null):
            column.null = None  # no cell can have a TNULL that the column's type can't hold
    return hdu


def _holds(dtype: np.dtype[Any], value: Any) -> bool:
    """Return whether a column of type `dtype` can hold the number `value`. Only integer types have limits."""
    ends = np.iinfo(dtype) if dtype.kind in "iu" else None
    return ends is None or ends.min <= value <= ends.max


def _read_columns(hdu: Any, path: Path, fault: Exception) -> Table:
    """Return a table without the columns that can't be read. Raise `fault` if no column can be read."""
    read, lost = Table(), []
    for column in hdu.columns:
        try:
            read[column.name] = table_of(fits.BinTableHDU.from_columns([column]), path)[column.name]
        except (*UNREADABLE, KeyError):
            lost.append(column.name)
    if not read.colnames:
        raise fault
    read.meta.update(hdu.header)
    if lost:
        LOGGER.warning("%s: left out, since they can't be read (%s): columns %s", path, reason(fault), ", ".join(lost))
    return read


def _read_votable(path: Path) -> Table:
    try:
        with warnings.catch_warnings(record=True) as spoken:
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", votable.exceptions.W18)  # other rows of text than nrows states
            warnings.simplefilter("error", votable.exceptions.W46)  # a text that is cut at its arraysize
            warnings.simplefilter("error", votable.exceptions.W51)  # a number that is cut at the end of its datatype
            warnings.simplefilter("always", votable.exceptions.W30)  # a text in a column of numbers
            check_votable(content := _unpacked(path), path)
            file = votable.parse(io.BytesIO(content), verify="warn")
            tables = list(file.iter_tables())
            table = next((one for one in tables if len(one.array)), tables[0] if tables else None)
            if table is not None:
                if table.nrows not in (None, len(table.array)):
                    raise votable.exceptions.W18((table.nrows, len(table.array)))
                _warn_of_texts([str(one.message) for one in spoken], path)
                warn_of_twins([field.name for field in table.fields], path)
                read = _in_usual_frames(table, file, path)
                check_underscores({cell.decode() for cell in _UNDERSCORE_CELL.findall(content)}, read, path)
                return read
    except InputError:
        raise
    except votable.exceptions.W18 as error:
        raise InputError(f"{path}: its rows aren't as many as nrows states. Copy or download it again.") from error
    except votable.exceptions.W46 as error:
        raise InputError(f"{path}: texts are longer than their arraysize. Write the table anew.") from error
    except votable.exceptions.W51 as error:
        raise InputError(f"{path}: a number is beyond its datatype ({reason(error)}). Write the table anew.") from error
    except _UNREADABLE as error:
        raise InputError(f"{path}: not a readable VOTable ({reason(error)}). Copy or download it again.") from error
    raise InputError(f"{path}: a VOTable without a table. Was it the answer to a faulty query?")


def _warn_of_texts(spoken: list[str], path: Path) -> None:
    """Warn of texts in columns of numbers. astropy reads them as missing, and its own warnings `spoken` name them."""
    found = [re.search(r"float '(.*?)'\..*?(\(in row .*\))?$", text) for text in spoken]
    texts = [f"{one[1]} {one[2] or ''}".strip() for one in found if one and one[1].strip().lower() not in EMPTY | {"-"}]
    if texts:
        LOGGER.warning("%s: cells that are no numbers are read as missing: %s", path, printable("; ".join(texts[:3])))


def _in_usual_frames(table: Any, file: Any, path: Path) -> Table:
    """Return `table` of a VOTable `file` without RA and Dec columns whose frame is neither ICRS nor FK5 J2000."""
    others = other_frames(table.fields, table.groups, file.iter_coosys())
    read = table.to_table(use_names_over_ids=True)
    if others:
        listed = ", ".join(f"{printable(name)} ({frame})" for name, frame in others.items())
        LOGGER.warning("%s: left out, because their frame is neither ICRS nor FK5 J2000: columns %s", path, listed)
        read.remove_columns([name for name in others if name in read.colnames])
    return read


def _read_text(path: Path, begin: bytes) -> Table:
    if other := next((what for magic, what in _OTHERS.items() if begin.startswith(magic)), ""):
        raise InputError(f"{path}: is {other}. {_GIVE}")
    if begin.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise InputError(f"{path}: a web page, no table. Download the table itself.")
    text = decoded(_unpacked(path))
    if "\0" in text[:4096]:
        raise InputError(f"{path}: no table in a known format. {_GIVE}")
    if not text.isascii():
        check_memory(len(text) * max(len(plain_sign(sign)) for sign in {*text}), path)
    lines, kind = _LINE_BREAK.split(plain_text(text)), "text"
    limits.LINE.check(max(map(len, lines)), path)
    try:
        with warnings.catch_warnings():
            # astropy warns that it reads a number beyond 64 bits as text
            warnings.simplefilter("ignore", AstropyWarning)
            if lines and lines[0].startswith("# %ECSV"):
                kind = "ECSV"
                header = ecsv_header(lines, path)
                rows = [line for line in lines if not line.startswith("#")]
                check_lines(rows, len(header.get("datatype", ())), str(header.get("delimiter", " ")), path)
                read = ascii_tables.read(lines, format="ecsv", guess=False)
                check_frame(read.meta, path)
                check_underscores({cell for row in rows for cell in _UNDERSCORE.findall(row)}, read, path)
                return read
            if any("Byte-by-byte Description" in line for line in lines[:1000]):
                kind = "CDS"
                check_lines(lines, cds_columns(lines, path), "", path)
                return read_fixed_places(lines, "cds")
            if lines and lines[0].startswith(("\\", "|")):
                kind = "IPAC"
                check_frame({match[1].upper(): match[2] for match in map(_KEYWORD.match, lines) if match}, path)
                described = [line.split("|") for line in lines if line.startswith("|")]
                for unit in (part for parts in described for part in parts):
                    check_unit(unit, path)
                if len({len(parts) for parts in described}) > 1:
                    raise InputError(f"{path}: the lines of its header have different numbers of bars. Correct them.")
                check_lines(lines, 1, "", path)
                return read_fixed_places(lines, "ipac")
            return read_separated(path, lines)
    except InputError:
        raise
    except _UNREADABLE as error:
        fixed = "Correct its rows, or the places of its columns."
        quoted = "If cells hold the separator (a name with blanks), quote them."
        remedy = fixed if kind in ("CDS", "IPAC") else quoted
        raise InputError(f"{path}: not a readable {kind} table ({reason(error)}). {remedy}") from error
