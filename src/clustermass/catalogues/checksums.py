"""CHECKSUM and DATASUM of FITS files, compared without holding the data in memory."""

from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning

_PIECE_BYTES = 1 << 24
#: sum of a header and its data, in one's complement, where CHECKSUM is right
_MINUS_ZERO = 0xFFFFFFFF


def compare_sums(hdus: Iterable[Any], stream: BinaryIO) -> None:
    """Compare the sums of those HDUs that state them.

    Parameters
    ----------
    hdus
        As astropy opened them.
    stream
        The file that they were opened from, unpacked.

    Raises
    ------
    AstropyUserWarning
        In astropy's own words, which it would only warn with: the bytes aren't those that the sum was made of.
    """
    for number, hdu in enumerate(hdus):
        stated = {key: str(hdu.header.get(key, "")).strip() for key in ("DATASUM", "CHECKSUM")}
        if not any(stated.values()):
            continue
        place = hdu.fileinfo()
        data = _sum_of(stream, place["datLoc"], place["datSpan"])
        if stated["DATASUM"] and stated["DATASUM"] != str(data):
            raise AstropyUserWarning(f"Datasum verification failed for HDU {hdu.name, number}.")
        header = _sum_of(stream, place["hdrLoc"], place["datLoc"] - place["hdrLoc"])
        if stated["CHECKSUM"] and _folded(header + data) != _MINUS_ZERO:
            raise AstropyUserWarning(f"Checksum verification failed for HDU {hdu.name, number}.")


def _sum_of(stream: BinaryIO, start: int, length: int) -> int:
    """Add up a part of a file as whole numbers of 32 bits, in one's complement."""
    stream.seek(start)
    total = 0
    while length > 0:
        piece = stream.read(min(length, _PIECE_BYTES))
        if not piece or len(piece) % 4:
            raise AstropyUserWarning("File may have been truncated")
        length -= len(piece)
        total = _folded(total + int(np.frombuffer(piece, dtype=">u4").sum(dtype=np.uint64)))
    return total


def _folded(total: int) -> int:
    while total > _MINUS_ZERO:
        total = (total & _MINUS_ZERO) + (total >> 32)
    return total
