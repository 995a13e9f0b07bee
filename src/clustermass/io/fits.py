"""Writing of FITS files, with the same bytes for the same content, and reading, with checks for damage."""

import bz2
import contextlib
import gzip
import lzma
import math
import re
import tempfile
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.utils import iers
from astropy.utils.exceptions import AstropyUserWarning, AstropyWarning
from numpy.typing import DTypeLike, NDArray

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.files import atomic, reason
from clustermass.io.fits_cells import is_scaled, table_with_nulls
from clustermass.io.fits_structure import BYTES, check_structure
from clustermass.io.fpack import unpacked_image
from clustermass.io.room import check_memory
from clustermass.io.text_tables import check_unit
from clustermass.io.yaml_headers import check_comments

# no file makes astropy fetch the Earth's rotation, which coordinates in frames fixed to the Earth need
iers.conf.auto_download = False

#: comment of the checksum cards; astropy's own comment would hold the time
CHECKSUM_COMMENT = "FITS checksum convention"
#: exceptions that only a damaged or truncated file raises, even if our own code reads it
_OF_FILES = (
    *(OSError, EOFError, MemoryError, zlib.error, lzma.LZMAError),
    *(AstropyUserWarning, fits.VerifyError),
)
#: what astropy and numpy raise on a file that is cut short, damaged or of another kind
UNREADABLE = (
    *_OF_FILES,
    *(TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, AssertionError, ArithmeticError),
    RecursionError,
)
_CUT_SHORT = "File may have been truncated|Error validating header"
#: astropy's warnings if CHECKSUM or DATASUM of a file doesn't fit its bytes
_CHANGED = "Checksum verification failed|Datasum verification failed"
#: packed files with a larger content are unpacked to the disk
_IN_MEMORY_BYTES = 1 << 26
_PIECE_BYTES = 1 << 24
#: most memory that the first block of an .xz file may ask for; "xz -9" asks for 64 MiB
_DICTIONARY_BYTES = 1 << 28
#: length of any FITS file is a multiple of this
_BLOCK_BYTES = 2880
#: ones' complement sum of a header and its data if CHECKSUM is right
_MINUS_ZERO = 0xFFFFFFFF
#: TFORM of a column whose cells have any number of elements
_VARIABLE = re.compile(r"\d*[PQ]([A-Z])")
#: TDISP by which cells would be shown with a thousand digits or more
_WIDE = re.compile(r"\d{4}")
#: first bytes of a file, by the ending of its name
_BEGINNINGS = {".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".fits": b"SIMPLE"}
#: first bytes of packed files, and what unpacks them here
_PACKED: dict[bytes, Callable[[BinaryIO], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
#: first bytes of packed files that nothing here unpacks, and the program that does
_FOREIGN = {b"PK\3\4": "unzip", b"\x28\xb5\x2f\xfd": "unzstd", b"\x1f\x9d": "uncompress", b"7z": "7z x"}


def write_fits(hdus: fits.HDUList, path: str | Path, checksum: bool = False) -> None:
    """Write an HDU list atomically. The same content gives the same bytes.

    If `checksum` is true, CHECKSUM and DATASUM are added.
    """
    for hdu in hdus if checksum else ():
        hdu.add_datasum(when=CHECKSUM_COMMENT)
        hdu.add_checksum(when=CHECKSUM_COMMENT, override_datasum=True)
    with atomic(path) as temporary:
        hdus.writeto(temporary, overwrite=True, output_verify="exception")


@contextmanager
def opened_fits(path: Path, advice: str = "Was another file meant?", whole: bool = True) -> Iterator[fits.HDUList]:
    """Open a FITS file, which may be packed by gzip, bzip2 or xz, for a `with` block.

    If an HDU states CHECKSUM or DATASUM, its bytes are compared with these sums. For this, the whole file is read, but
    only a small part of it at a time is in memory. If `whole` is False, no sums are compared, and only the parts that
    the caller asks for are read, such as headers.

    InputError if there is no such file, or if the file is truncated or damaged. Some damage is noticed only while the
    `with` block reads data. InputError also if `path` is a folder or isn't a FITS file; the message then ends with
    `advice`.
    """
    path = Path(path)
    check_file(path, advice)
    try:
        with warnings.catch_warnings():
            # of all that astropy warns about (odd keywords, odd units), only a file cut short matters here
            warnings.simplefilter("ignore", AstropyWarning)
            warnings.filterwarnings("error", f"{_CUT_SHORT}|{_CHANGED}", AstropyUserWarning)
            # astropy leaves a file open that it fails to open
            with _stream(path, advice, whole) as stream, fits.open(stream, memmap=False) as hdus:
                if whole:
                    _compare_sums(hdus, stream)
                    _check_end(hdus, stream)
                    _refuse_fpacked(hdus, path)
                yield hdus
    except InputError:
        raise
    except Exception as error:
        # astropy's readers raise exceptions of many types, one of them their own, for compressed images
        if _raised_by_us(error) and not isinstance(error, _OF_FILES):
            raise
        why = "not enough memory" if isinstance(error, MemoryError) else reason(error)
        meant = " If it was changed on purpose: fitscheck --write, on a copy, brings CHECKSUM up to date."
        message = f"{path}: truncated or damaged FITS file ({why}). Copy or download it again."
        raise InputError(message + (meant if re.match(_CHANGED, why) else "")) from error


def image_of(hdu: Any, path: Path, dtype: DTypeLike, pixel_bytes: int) -> NDArray[Any]:
    """Return a copy of the image in an HDU of the file `path`, as numbers of the type `dtype`.

    `pixel_bytes` is how many bytes of memory the caller needs for each pixel. InputError if the image doesn't fit into
    memory. InputError also if the image is packed by fpack and a compressed tile is larger than `limits.TILE`, because
    such a tile could unpack to more bytes than the header states. OSError if the HDU holds no image.
    """
    if not hdu.is_image:
        raise OSError(f"HDU {hdu.name} is no image")
    check_memory(math.prod(hdu.shape) * pixel_bytes, path)
    if isinstance(hdu, fits.CompImageHDU):
        table = hdu._bintable
        for column in table.columns:
            if _VARIABLE.match(str(column.format)):
                limits.TILE.check(table.data.view(np.ndarray)[column.name][:, 0].max(initial=0), path)
        return unpacked_image(hdu, path).astype(dtype)
    return np.array(hdu.data, dtype=dtype)


def table_of(hdu: Any, path: Path) -> Table:
    """Return the table in an HDU of the file `path`. Missing cells are masked.

    OSError if the HDU holds no table, or if cells of variable length state more bytes than the file holds. InputError
    if the table doesn't fit into memory, if a unit isn't safe (see `check_unit`), if a column has TSCAL = 0, if a table
    of text holds anything between its columns, or if the header describes columns in unsafe YAML (see
    `check_comments`).
    """
    if not isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
        raise OSError(f"HDU {hdu.name} is no table")
    check_comments(hdu.header, path)
    cells = sum(_cell_bytes(column) for column in hdu.columns)
    check_memory(2 * (hdu.header["NAXIS2"] * cells + hdu.header.get("PCOUNT", 0)), path)
    for column in hdu.columns:
        check_unit(column.unit, path)
        check_scale(column, path)
        if _WIDE.search(str(column.disp or "")):
            column.disp = None
        if kind := _VARIABLE.match(str(column.format)):
            lengths = np.maximum(hdu.data.view(np.ndarray)[column.name][:, 0].astype(np.float64), 0)
            if lengths.sum() * BYTES.get(kind[1], 1 / 8) > hdu.header["PCOUNT"]:
                raise OSError(f"the cells of column {column.name} hold more bytes than the file")
    return table_with_nulls(hdu, path)


def check_scale(column: fits.Column, path: Path) -> None:
    """Raise InputError if a column has TSCAL = 0, because all its cells would then be equal."""
    if column.bscale == 0:
        raise InputError(
            f"{path}: column {column.name} has TSCAL = 0, by which all its cells are equal. Correct TSCAL."
        )


def _cell_bytes(column: fits.Column) -> int:
    """Return how many bytes of memory a column's cell takes. Scaled and variable-length cells take more than others."""
    return int(np.dtype(column.dtype).itemsize) * (8 if is_scaled(column) else 1) + 128 * bool(
        _VARIABLE.match(str(column.format))
    )


def check_file(path: Path, advice: str = "Check its path.") -> None:
    """Raise InputError unless `path` is a file. If it is a folder, the message ends with `advice`."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder. Name the file in it. {advice}")
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check its path.")


def unpacked(stream: BinaryIO) -> BinaryIO:
    """Return a stream of the content of an open file, from its start.

    If the file is packed by gzip, bzip2 or xz, its content is unpacked while it is read.
    """
    begin = stream.read(6)
    stream.seek(0)
    for first, unpack in _PACKED.items():
        if begin.startswith(first):
            if unpack is lzma.open:
                lzma.LZMADecompressor(memlimit=_DICTIONARY_BYTES).decompress(stream.read(1 << 11), 1)
                stream.seek(0)
            return cast(BinaryIO, unpack(stream))
    return stream


def is_fits(path: Path) -> bool:
    """Return whether the first bytes of a file are those of FITS. A packed file is unpacked for this."""
    with path.open("rb") as stream, contextlib.suppress(*UNREADABLE):
        return unpacked(stream).read(6) == _BEGINNINGS[".fits"]
    return False


def _refuse_fpacked(hdus: Iterable[Any], path: Path) -> None:
    for hdu in hdus:
        if hdu.header.get("ZTABLE"):
            unpacked_name = path.name.removesuffix(".fz")
            raise InputError(
                f"{path}: table {hdu.name} is compressed by fpack. Unpack it first: funpack -O {unpacked_name} {path}"
            )


def _raised_by_us(error: BaseException) -> bool:
    """Return whether an exception was raised by this package's own code, and not by a library that it calls."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("clustermass.")


@contextmanager
def _stream(path: Path, advice: str, whole: bool) -> Iterator[BinaryIO]:
    """Yield a stream of the content of a FITS file, after a check of its structure.

    If `whole` is true, a packed file is first unpacked completely, because astropy reads truncated packed files without
    an error. InputError if `path` isn't a FITS file; the message ends with `advice`.
    """
    with path.open("rb") as stream:
        source = unpacked(stream)
        begin = source.read(64)
        if begin and not begin.startswith(_BEGINNINGS[".fits"]):
            raise InputError(f"{path}: not a FITS file ({_described(begin)}). {advice}")
        if source is stream or not whole:
            check_structure(source, path)
            source.seek(0)
            yield source
            return
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as content:
            check_structure(source, path, cast(BinaryIO, content))
            content.seek(0)
            yield cast(BinaryIO, content)


def _described(begin: bytes) -> str:
    """Return why a file that begins with the bytes `begin` isn't read, or which program unpacks it."""
    if tools := [tool for first, tool in _FOREIGN.items() if begin.startswith(first)]:
        return f"it is packed; unpack it first, by {tools[0]}"
    text = begin.partition(b"\n")[0].strip().decode("ascii", errors="replace")
    return f"it begins with {text[:40]!r}, not with SIMPLE"


def _compare_sums(hdus: Iterable[Any], stream: BinaryIO) -> None:
    """Raise AstropyUserWarning, in astropy's own words, if an HDU doesn't agree with its CHECKSUM or DATASUM.

    This is done here because astropy's own verification reads a whole HDU into memory.
    """
    for number, hdu in enumerate(hdus):
        if not hasattr(hdu, "fileinfo"):  # what astropy makes of a header that it can't read
            raise AstropyUserWarning(f"the header of HDU {number} can't be read")
        place, header_cards = hdu.fileinfo(), hdu.header
        if isinstance(hdu, fits.CompImageHDU):  # astropy shows the header that the image had before it was compressed
            stream.seek(place["hdrLoc"])
            header_cards = fits.Header.fromfile(stream)
        stated = {key: str(header_cards.get(key, "")).strip() for key in ("DATASUM", "CHECKSUM")}
        if not any(stated.values()):
            continue
        data = _sum_of(stream, place["datLoc"], place["datSpan"])
        if stated["DATASUM"] and stated["DATASUM"] != str(data):
            raise AstropyUserWarning(f"Datasum verification failed for HDU {hdu.name, number}.")
        header = _sum_of(stream, place["hdrLoc"], place["datLoc"] - place["hdrLoc"])
        if stated["CHECKSUM"] and _folded(header + data) != _MINUS_ZERO:
            raise AstropyUserWarning(f"Checksum verification failed for HDU {hdu.name, number}.")


def _check_end(hdus: fits.HDUList, stream: BinaryIO) -> None:
    """Raise AstropyUserWarning if bytes that aren't whole blocks follow the last HDU, as after a faulty download."""
    place = hdus[-1].fileinfo()
    surplus = stream.seek(0, 2) - place["datLoc"] - place["datSpan"]
    if surplus % _BLOCK_BYTES:  # whole blocks are the "special records" of older files
        raise AstropyUserWarning(f"{surplus} bytes follow its last HDU")


def _sum_of(stream: BinaryIO, start: int, length: int) -> int:
    """Return the 32-bit ones' complement sum of a part of a file, as FITS defines it for DATASUM."""
    stream.seek(start)
    total = 0
    while length > 0:
        piece = stream.read(min(length, _PIECE_BYTES))
        if not piece or len(piece) % 4:
            raise AstropyUserWarning("File may have been truncated")
        length -= len(piece)
        total += int(np.frombuffer(piece, dtype=">u4").sum(dtype=np.uint64))
    return _folded(total)


def _folded(total: int) -> int:
    return total and (total - 1) % _MINUS_ZERO + 1


def wrong_content(path: Path, name: str, size: int | None, rows: int | None) -> str:
    """Return a text that says what is wrong with a downloaded file, or "" if nothing is.

    `path` is where the file is now, and `name` is the name that it is to get. The file must have `size` bytes, and its
    table `rows` rows, unless these are None. The ending of `name` says what the file should be: a FITS table (.fits,
    .fits.gz), a table of VizieR (.tsv) or an archive (.tar.gz, .tgz). What is inside an archive is checked only when it
    is unpacked.
    """
    length = path.stat().st_size
    with path.open("rb") as stream:
        begin = stream.read(64)
    if begin.lstrip().startswith(b"<"):
        return f"a web page, not the file (it begins with {begin.strip()[:15].decode(errors='replace')!r})"
    if not begin.startswith(_BEGINNINGS.get(Path(name).suffix, b"")):
        return f"no {Path(name).suffix} file (it begins with {begin[:6]!r})"
    if size is not None and length != size:
        return f"{length} bytes, but {size} are expected"
    if not name.endswith((".tsv", ".fits", ".fits.gz")):
        return ""
    if name.endswith(".tsv"):
        counted = _vizier_rows(path)
    else:
        try:
            with opened_fits(path) as hdus:
                tables = [hdu.header["NAXIS2"] for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        except InputError as error:
            return f"truncated or damaged FITS file ({error.__cause__ or error})"
        counted = tables[0] if tables else None
    if rows is None or counted == rows:
        return ""
    return "no table in it" if counted is None else f"{counted} rows, but {rows} are expected"


def _vizier_rows(path: Path) -> int | None:
    """Return the number of rows below the line of dashes in a table of VizieR; None if there is no such line."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    dashes = [number for number, line in enumerate(lines) if line.strip() and not line.strip("-\t ")]
    return sum(bool(line.strip()) and not line.startswith("#") for line in lines[dashes[0] + 1 :]) if dashes else None
