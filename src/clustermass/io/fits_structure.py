"""Check of the headers of a FITS file before astropy reads it: each size must be possible and within its limit."""

import io
import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.room import check_disk, check_unpacked

_BLOCK, _CARD, _PIECE_BYTES = 2880, 80, 1 << 20
#: keywords of the cards that decide how many bytes the data of an HDU have, and how they are compressed
_DECISIVE = re.compile(
    r"SIMPLE|XTENSION|BITPIX|Z?NAXIS\d*|PCOUNT|GCOUNT|GROUPS|TFIELDS|TFORM\d+|ZIMAGE|ZBITPIX|ZTILE\d+|ZDITHER0|"
    r"ZCMPTYPE|(ZNAME|ZVAL)\d+"
)
#: what astropy accepts as the last card of a header (END); beginning of a card with a long keyword
_LAST_CARD, _HIERARCH = re.compile(r"END([^A-Z0-9_-]|$)"), re.compile("HIERARCH ", re.IGNORECASE)
_VALUE = re.compile(r"\s*(?:'([^']*)'|([^\s/]*))")
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_FORM = re.compile(r"(\d{0,18})([LXBIJKAEDCMPQ])", re.IGNORECASE)
#: TFORM of a column of text; how often the columns of a table of text may use each character of a row, on average
_TEXT_FORM, _MOST_OVERLAP = re.compile(r"[AIFED](\d{1,18})", re.IGNORECASE), 10
#: bytes of one element of a column, by the letter of its TFORM
BYTES = dict(zip("LBAIJEKDCMPQ", (1, 1, 1, 2, 4, 4, 8, 8, 8, 16, 8, 16), strict=True))
_BITPIX = (8, 16, 32, 64, -32, -64)


def check_structure(source: BinaryIO, path: Path, copy: BinaryIO | None = None) -> None:
    """Read all headers of a FITS file; OSError if a header states an impossible size.

    `source` is a stream of the unpacked content of the file `path`. If a temporary file `copy` is given, the content is
    also written to this file. InputError if a limit is exceeded, or if the copy doesn't fit on the disk. A file that is
    cut short gives no error here.
    """
    packed = not isinstance(source, io.BufferedReader)
    source.seek(0)
    headers = 0
    for number in range(1, limits.HDUS.most + 2):
        limits.HDUS.check(number, path)
        begin = source.tell()
        if not (cards := _decisive_cards(source, path, copy)):
            break
        headers += source.tell() - begin
        limits.CARDS.check(headers // _CARD, path)
        size = _data_bytes(cards, path)
        size += -size % _BLOCK
        if packed:
            check_unpacked(source.tell() + size, path)
        if copy is None:
            source.seek(size, 1)
        else:
            check_disk(size, tempfile.gettempdir(), path)
            _copy(source, copy, size)
    if copy is not None:
        limits.TRAILING.check(_copy(source, copy, limits.TRAILING.most + 1), path)


def _copy(source: BinaryIO, copy: BinaryIO, size: int) -> int:
    """Copy `size` bytes of `source`, or fewer if it ends before; return the number of bytes that were copied."""
    left = size
    while left and (piece := source.read(min(left, _PIECE_BYTES))):
        copy.write(piece)
        left -= len(piece)
    return size - left


def _decisive_cards(source: BinaryIO, path: Path, copy: BinaryIO | None) -> dict[str, str]:
    """Return the cards of the next header, copied to `copy`, that decide how many bytes of data follow it.

    The keywords are those in `_DECISIVE`. Without a complete header, there are none. OSError if the next bytes aren't a
    header, or if astropy could read the stated size differently.
    """
    cards: dict[str, str] = {}
    for number in range(limits.CARDS.most):
        block = source.read(_BLOCK)
        limits.CARDS.check(number * _BLOCK // _CARD, path)
        if copy is not None:
            copy.write(block)
        if number == 0 and not block.startswith((b"SIMPLE", b"XTENSION")):
            _check_blank(block, source, path, copy)
            return {}
        for start in range(0, len(block), _CARD):
            card = block[start : start + _CARD].decode("latin-1")
            if _LAST_CARD.match(card):
                if card[3:].strip(" "):
                    raise OSError("characters follow END on its card")
                return cards
            if _HIERARCH.match(card) and _DECISIVE.fullmatch(card[9:].partition("=")[0].strip().upper()):
                raise OSError(f"a size is stated by {card[:40].strip()}")
            keyword, separator, text = card.partition("= ")  # as astropy finds it
            keyword = keyword.upper().strip()
            if separator and len(keyword) <= 8 and _DECISIVE.fullmatch(keyword):
                found = _VALUE.match(text)
                value = (found[1] or found[2] or "").strip() if found else ""
                if cards.setdefault(keyword, value) != value:
                    raise OSError(f"{keyword} is {cards[keyword]} and {value}")
        if len(block) < _BLOCK:
            break
    return {}


def _check_blank(block: bytes, source: BinaryIO, path: Path, copy: BinaryIO | None) -> None:
    """Raise OSError if anything but zeros follows the last HDU.

    Otherwise astropy could find a header there that was not checked. `block` is the first block after the last HDU, and
    `source` yields the rest. What is read is also written to `copy`.
    """
    if len(block) < _BLOCK:
        return  # a file that was cut off is noticed elsewhere
    rest = source.read(limits.TRAILING.most + 1)
    limits.TRAILING.check(len(rest), path)
    if block.strip(b"\0") or rest.strip(b"\0"):
        raise OSError("what follows its last HDU is neither an HDU nor zeros")
    if copy is not None:
        copy.write(rest)


def _data_bytes(cards: Mapping[str, str], path: Path) -> int:
    """Return how many bytes of data follow a header with these cards; OSError if the cards are impossible."""
    axes = [_whole(cards, f"NAXIS{axis}") for axis in range(1, _whole(cards, "NAXIS", most=999) + 1)]
    if _whole(cards, "BITPIX", least=-64) not in _BITPIX:
        raise OSError(f"BITPIX is {cards['BITPIX']}")
    if _whole(cards, "GCOUNT", 1) != 1 or cards.get("GROUPS") == "T":
        raise OSError("GCOUNT or GROUPS states groups, which are no image or table")
    heap, kind = _whole(cards, "PCOUNT", 0), cards.get("XTENSION", "IMAGE")
    if kind not in ("BINTABLE", "TABLE", "A3DTABLE"):
        limits.PIXELS.check(math.prod(axes) if axes else 0, path)
    else:
        if len(axes) != 2:
            raise OSError(f"NAXIS is {len(axes)} for a table")
        limits.ROWS.check(axes[1], path)
        limits.FIELDS.check(fields := _whole(cards, "TFIELDS", 0), path)
        if kind == "TABLE" and (width := _text_width(cards, fields)) > _MOST_OVERLAP * axes[0]:
            raise OSError(f"its columns overlap: they have {width} characters, but a row has {axes[0]}")
        if kind != "TABLE" and (width := sum(_width(cards, number) for number in range(1, fields + 1))) != axes[0]:
            raise OSError(f"NAXIS1 is {axes[0]}, but the columns of the table have {width} bytes")
    if cards.get("ZIMAGE") == "T":
        _check_compressed(cards, path)
    return abs(int(cards["BITPIX"])) // 8 * (heap + math.prod(axes) if axes else 0)


#: compressions of fpack whose readers in astropy stay within their memory, and values of the parameters of RICE_1;
#: the reader of HCOMPRESS_1 writes as many pixels as the compressed data state
_COMPRESSIONS = ("RICE_1", "GZIP_1", "GZIP_2")
_PARAMETERS = {"BLOCKSIZE": (16, 32), "BYTEPIX": (1, 2, 4)}


def _check_compressed(cards: Mapping[str, str], path: Path) -> None:
    """Raise OSError or InputError unless size, tiles and compression of an image in fpack's form are possible."""
    axes = range(1, _whole(cards, "ZNAXIS", most=999) + 1)
    pixels = math.prod(_whole(cards, f"ZNAXIS{axis}") for axis in axes)
    limits.PIXELS.check(pixels, path)
    if _whole(cards, "ZBITPIX", least=-64) not in _BITPIX:
        raise OSError(f"ZBITPIX is {cards['ZBITPIX']}")
    if math.prod(_whole(cards, f"ZTILE{axis}", 1) for axis in axes) > pixels:
        raise OSError("ZTILE states tiles that are larger than the image")
    _whole(cards, "ZDITHER0", otherwise=1, least=1, most=10_000)  # the convention allows no other
    if (kind := cards.get("ZCMPTYPE", "missing").strip()) not in _COMPRESSIONS:
        kinds = ", ".join(_COMPRESSIONS)
        raise InputError(f"{path}: an image in the compression {kind[:20]}. Unpack it, or compress it by {kinds}.")
    for keyword in [keyword for keyword in cards if re.fullmatch(r"ZNAME\d+", keyword)]:
        allowed, value = _PARAMETERS.get(cards[keyword].strip()), keyword.replace("ZNAME", "ZVAL")
        if allowed and _whole(cards, value, least=-1) not in allowed:
            raise OSError(f"{value} is {cards[value][:40]}")


def _whole(
    cards: Mapping[str, str], keyword: str, otherwise: int | None = None, least: int = 0, most: int = 2**62
) -> int:
    """Return the whole number on a card, or `otherwise` without the card. OSError if it isn't in [`least`, `most`]."""
    if keyword not in cards and otherwise is not None:
        return otherwise
    text = cards.get(keyword, "missing")
    if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
        raise OSError(f"{keyword} is {text[:40]}")
    return int(text)


def _text_width(cards: Mapping[str, str], fields: int) -> int:
    """Return how many characters the columns of a table of text have in each row, together."""
    forms = (_TEXT_FORM.match(cards.get(f"TFORM{number}", "")) for number in range(1, fields + 1))
    return sum(int(form[1]) for form in forms if form)


def _width(cards: Mapping[str, str], number: int) -> int:
    """Return how many bytes a column of a binary table has in each row; OSError if its format isn't known."""
    form = _FORM.match(cards.get(f"TFORM{number}", ""))
    if not form:
        raise OSError(f"TFORM{number} is {cards.get(f'TFORM{number}', 'missing')[:40]}")
    repeat, letter = int(form[1] or 1), form[2].upper()
    return -(-repeat // 8) if letter == "X" else repeat * BYTES[letter]
