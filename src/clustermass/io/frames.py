"""Frames in which files state positions. Only ICRS and FK5 J2000, which hardly differ, are used."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clustermass.errors import InputError
from clustermass.io.log import printable

_FRAMES = re.compile(r"(eq_)?(icrs|fk5|j2000)", re.IGNORECASE)
_EQUINOX = re.compile(r"j?2000(\.0*)?", re.IGNORECASE)
_B1950 = re.compile(r"b?1950(\.0*)?", re.IGNORECASE)
#: names of columns with a right ascension or a declination
_EQUATORIAL = re.compile(r"_?(ra|dec?)(j2000|deg|_.*)?|alpha.*|delta.*", re.IGNORECASE)


def check_frame(header: Mapping[str, Any], path: Path) -> None:
    """Raise InputError if the header of a table states a frame or an equinox other than ICRS and FK5 J2000.

    An EPOCH of 1950 is an equinox, under its name in old files. Other values of EPOCH are times of observation.
    """
    frame, equinox = header.get("RADESYS", header.get("RADECSYS", "")), header.get("EQUINOX", 2000.0)
    if "EQUINOX" not in header and _B1950.fullmatch(str(header.get("EPOCH", "")).strip()):
        equinox = header["EPOCH"]
    if not _is_usual(frame, equinox):
        stated = printable(f"{frame} {equinox}".strip())[:60]
        raise InputError(f"{path}: its header states the frame {stated}. Give RA and DEC in ICRS, and its RADESYS.")


def other_frames(fields: Iterable[Any], groups: Iterable[Any], systems: Iterable[Any]) -> dict[str, str]:
    """Return the equatorial columns of a VOTable that aren't in ICRS or FK5 J2000, as a dict from name to frame.

    `fields` are the columns of the table, `groups` its elements GROUP, and `systems` the elements COOSYS of the file. A
    column states its frame itself, or is in a group that does.
    """
    stated = {system.ID: (system.system, system.equinox or 2000.0) for system in systems}
    of_groups = {entry.ref: group.ref for group in groups for entry in group.entries if hasattr(entry, "ref")}
    frames = {field: stated.get(field.ref) or stated.get(of_groups.get(field.ID)) for field in fields}
    return {
        field.name: printable(f"{frame[0]} {frame[1]}")[:60]
        for field, frame in frames.items()
        if frame and _EQUATORIAL.fullmatch(field.name or "") and not _is_usual(*frame)
    }


def _is_usual(frame: object, equinox: object) -> bool:
    text = str(frame or "").strip()
    if text and not _FRAMES.fullmatch(text):
        return False
    return "icrs" in text.lower() or _EQUINOX.fullmatch(str(equinox).strip()) is not None
