"""The form of all event lists in memory, and the dialects of files, whose columns are turned into it."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: number of eROSITA telescope modules
MODULES = 7
#: FLAG of every event that ero_calevents writes; it holds the bits of corrupt events and frames
SIXTE_FLAG = 0xC00001C0
#: dialect -> bits of FLAG that drop an event by default
FLAG_MASKS = {
    "esass": 0xC000F000,  # evtool; corrupt, bad pixels, out of the field of view: these made the published eFEDS lists
    "sixte_calibrated": 0,  # SIXTE after ero_calevents, whose FLAG means nothing
    "sixte_events": 0,  # SIXTE's erosim, runsixt and sixtesim: a channel in PI, no FLAG
    "clustermass": 0,  # ours, selected when they were made
}
_CALIBRATED = ("TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP", "FLAG")
_SIXTE_EVENTS = ("TIME", "RA", "DEC", "SIGNAL", "TYPE", "NPIXELS")
#: further columns of these lists, which are never a renamed one
_OTHERS = {
    "ENERGY", "EV_WEIGHT", "FRAME", "FRAMETIME", "PAT_INF", "PH_ID", "PHA", "PHAS", "PILEUP", "RAWX", "RAWY",
    "RECORDTIME", "SIGNALS", "SRC_ID", "SUBX", "SUBY", "X", "Y",
}  # fmt: skip
#: TFORM of one number a row
_NUMBER = re.compile(r"1?[BIJKED]")


@dataclass(frozen=True, eq=False)
class EventList:
    """Photons in the order of their file, every column (events,), and the metadata of the list."""

    ra: FloatArray  # deg, 0 <= ra < 360
    dec: FloatArray  # deg
    pi_ev: NDArray[np.float32]  # energy
    tm_nr: NDArray[np.uint8]  # telescope module
    pat_typ: NDArray[np.int16]  # number of pixels of the pattern; only 1 to 4 are valid
    flag: NDArray[np.uint32]  # bits of the eSASS column FLAG, a signed int32 in the files
    time: FloatArray  # s
    dialect: str  # a key of FLAG_MASKS
    name: str  # the file or files, for messages
    #: good time intervals of each module, (intervals, 2) START and STOP in s; key 0 = every module without its own
    gti: Mapping[int, FloatArray]
    #: the file's own sky pixels of 0.05", where it has them, in the SIN projection about `sky_reference`
    x: FloatArray | None = None
    y: FloatArray | None = None
    sky_reference: tuple[float, float] | None = None  # right ascension and declination in deg of sky pixel (0, 0)
    rawx: NDArray[np.int16] | None = None  # detector pixel, where the file has it
    rawy: NDArray[np.int16] | None = None
    #: truth label of simulated photons: SRC_ID of a halo, or an AGN or background (0 and below)
    src_id: NDArray[np.int32] | None = None
    exposure_s: float | None = None  # of each module by the header, used only where there are no `gti`
    simulated: bool = False  # no observation: SIXTE's photons, or our own with SIMULATE in the header

    def __len__(self) -> int:
        """Return the number of photons."""
        return int(self.ra.size)

    def take(self, rows: NDArray[Any] | slice) -> "EventList":
        """Return the photons at `rows` (booleans, numbers or a slice), with the same metadata."""
        return self.with_columns({name: column[rows] for name, column in self.columns().items()})

    def with_columns(self, columns: Mapping[str, NDArray[Any] | None]) -> "EventList":
        """Return a list with these columns, by name, instead of its own, and the same metadata; None = without it."""
        return replace(self, **dict[str, Any](columns))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns that this list has, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def intervals(self, module: int) -> FloatArray | None:
        """Return the good time intervals that count for a module, (intervals, 2) in s; None = unknown."""
        return self.gti.get(module, self.gti.get(0))


def modules_of(events: EventList) -> list[int]:
    """Return the telescope modules that have photons, ascending."""
    return [module for module in range(int(events.tm_nr.max(initial=0)) + 1) if (events.tm_nr == module).any()]


def mean_exposure_s(events: EventList, modules: Iterable[int] | None = None) -> float | None:
    """Return the exposure in s of the seven modules on average: the scale of eSASS exposure maps, without vignetting.

    It is that of the good time intervals of the modules that have photons (or are given), or else of the header; None
    without both.
    """
    total = 0.0
    for module in modules_of(events) if modules is None else modules:
        intervals = events.intervals(module)
        stated = events.exposure_s or 0.0
        total += stated if intervals is None else float((intervals[:, 1] - intervals[:, 0]).sum())
    return total / MODULES if total > 0 else None


class Rows:
    """Rows of a FITS table, from its HDU and their bytes, scaled as astropy does, but without circular references.

    Those of astropy's tables occupy memory. `names` are the columns' in upper case.
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
        return np.frombuffer(self._bytes, dtype=self.columns.dtype.newbyteorder(">"))

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._raw.size)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column by its name in upper case, (rows, ...)."""
        column = self._by_name[name]
        values = self._raw[column.name]
        scale, zero = column.bscale or 1, column.bzero or 0
        if scale == 1 and zero == 0:
            return values
        scaled = values.astype(np.float64)
        scaled *= scale
        if zero:
            scaled += zero
        return scaled


def find_table(hdus: Sequence[Any], path: Path) -> Any:
    """Return the table of events: EVENTS, or else the first one with RA and DEC; InputError if there is none."""
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    positions = [table for table in tables if {"RA", "DEC"} <= {str(name).upper() for name in table.columns.names}]
    for table in [*(table for table in tables if table.name.upper() == "EVENTS"), *positions]:
        return table
    listed = ", ".join(table.name or "(nameless)" for table in tables) or "none"
    raise InputError(
        f"{path}: not an event list: it has no table EVENTS (tables: {listed}). Give the event file of eSASS (evtool) "
        "or SIXTE."
    )


def recognise(rows: Rows, creator: str, path: Path) -> str:
    """Return the dialect of an event list, a key of `FLAG_MASKS`, from its columns first and CREATOR second.

    InputError if a column is missing (a similar name is suggested), or doesn't hold one number a row.
    """
    # compared as shares, so that one missing column doesn't turn a file into the other kind
    shares = [sum(name in rows.names for name in needed) / len(needed) for needed in (_SIXTE_EVENTS, _CALIBRATED)]
    if shares[0] > shares[1]:
        _require(rows, _SIXTE_EVENTS, "a SIXTE", path)
        return "sixte_events"
    _require(rows, _CALIBRATED, "an eSASS", path)
    if creator.strip().lower() in ("clustermass", "sixte"):
        return "clustermass" if creator.strip().lower() == "clustermass" else "sixte_calibrated"
    # evtool puts its own CREATOR over SIXTE's when it merges modules
    flags = _unsigned(rows["FLAG"])
    if not flags.size or np.any(flags != SIXTE_FLAG):
        return "esass"
    LOGGER.info("%s: every FLAG is 0x%08X, as SIXTE's ero_calevents writes: read as SIXTE's", path, SIXTE_FLAG)
    return "sixte_calibrated"


def _require(rows: Rows, needed: Sequence[str], kind: str, path: Path) -> None:
    missing = [name for name in needed if name not in rows.names]
    if missing:
        others = sorted(rows.names - set(needed) - _OTHERS)
        near = difflib.get_close_matches(missing[0], others, n=1, cutoff=0.4)
        hint = f" Rename column {near[0]} if that is it." if near else ""
        raise InputError(
            f"{path}: table {rows.name} looks like {kind} event list, but lacks column {', '.join(missing)} "
            f"(columns: {', '.join(map(str, rows.columns.names))}).{hint}"
        )
    for name in needed:
        form = str(rows.columns[name].format)
        if not _NUMBER.fullmatch(form):
            raise InputError(
                f"{path}: column {name} of table {rows.name} has the format {form}, but must hold one number a row. "
                "Remake the event list."
            )


def event_columns(rows: Rows, dialect: str) -> dict[str, NDArray[Any]]:
    """Return copies of the columns that `EventList` has, by its names."""
    columns: dict[str, NDArray[Any]] = {
        name: np.asarray(rows[name.upper()], np.float64) for name in ("time", "ra", "dec")
    }
    columns |= _sixte_columns(rows) if dialect == "sixte_events" else _calibrated_columns(rows)
    if {"X", "Y"} <= rows.names:
        columns |= {name: np.asarray(rows[name.upper()], np.float64) for name in ("x", "y")}
    if {"RAWX", "RAWY"} <= rows.names:
        columns |= {name: np.array(rows[name.upper()], np.int16) for name in ("rawx", "rawy")}
    if "SRC_ID" in rows.names:
        labels = np.array(rows["SRC_ID"], np.int32)
        columns["src_id"] = labels if labels.ndim == 1 else np.ascontiguousarray(labels[:, 0])
    return columns


def _calibrated_columns(rows: Rows) -> dict[str, NDArray[Any]]:
    return {
        "pi_ev": np.array(rows["PI"], dtype=np.float32),
        "tm_nr": np.array(rows["TM_NR"], dtype=np.uint8),
        "pat_typ": np.array(rows["PAT_TYP"], dtype=np.int16),
        "flag": _unsigned(rows["FLAG"]),
    }


def _sixte_columns(rows: Rows) -> dict[str, NDArray[Any]]:
    """Return energy from SIGNAL (keV; PI is a channel), module from INSTRUME, pattern from NPIXELS, FLAG 0."""
    valid = np.asarray(rows["TYPE"]) >= 0
    return {
        "pi_ev": (np.array(rows["SIGNAL"], dtype=np.float64) * 1000.0).astype(np.float32),
        "tm_nr": np.full(len(rows), module_of(rows.header), dtype=np.uint8),
        "pat_typ": np.where(valid, rows["NPIXELS"], 0).astype(np.int16),
        "flag": np.zeros(len(rows), dtype=np.uint32),
    }


def _unsigned(flag: NDArray[Any]) -> NDArray[np.uint32]:
    """Return a FLAG column (signed int32 in the files) as its 32 bits, uint32."""
    return (np.asarray(flag).astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def module_of(header: fits.Header) -> int:
    """Return the telescope module that INSTRUME names (1 to 7); 0 where it names none, or a merged list."""
    match = re.fullmatch(r"TM([1-7])", str(header.get("INSTRUME", "")).strip().upper())
    return int(match[1]) if match else 0
