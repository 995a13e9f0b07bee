"""Reading event files: three dialects and our own in, one form out, every fault told with file and row."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.catalogues.tables import opened_fits
from clustermass.errors import InputError
from clustermass.events.dialects import find_table, module_of, recognise, unsigned_flags
from clustermass.events.eventlist import EventList
from clustermass.events.gti import read_gti
from clustermass.progress import LOGGER

#: values that a photon can have: column of EventList, name for messages, lowest, highest, unit
_LIMITS = (
    ("ra", "RA", 0, 360, "deg"),
    ("dec", "DEC", -90, 90, "deg"),
    ("pi_ev", "energy", 0, 1e6, "eV"),
    ("time", "TIME", -1e12, 1e12, "s"),
)


def read_events(path: str | Path) -> EventList:
    """Read an event list of eSASS (evtool), SIXTE (event file or ero_calevents) or our own.

    Rows with PI < 0 (the split partners of SIXTE's calibrated lists) are no photons and are dropped with a log line.
    Nothing else is: see `clustermass.events.selection.select`.

    Parameters
    ----------
    path
        FITS file, also gzipped.

    Returns
    -------
    EventList
        All photons. SIXTE event files: energy from SIGNAL, pattern from NPIXELS (0 where TYPE is invalid), module
        from INSTRUME, FLAG 0.

    Raises
    ------
    InputError
        No such file; truncated or damaged; not an event list; a column is missing; no rows; an energy, time or
        coordinate is not finite or out of range (the first bad row, counted from 1, is named).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such event file. Check the path in the configuration.")
    with opened_fits(path) as hdus:
        columns, facts = _extract(hdus, path)
    return _checked(columns, facts, path)


def _extract(hdus: Any, path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Copy what counts out of the file: columns by the names of EventList, and the facts of the header."""
    whole = list(hdus)  # every header is read, so that a file cut short anywhere is noticed
    table = find_table(whole, path)
    header = table.header
    creator = header.get("CREATOR") or hdus[0].header.get("CREATOR") or ""
    dialect = recognise(table, str(creator), path)
    module = module_of(header)
    columns = _sixte_columns(table, module) if dialect == "sixte_events" else _calibrated_columns(table)
    facts: dict[str, Any] = {
        "dialect": dialect,
        "gti": read_gti(whole, module, path),
        "exposure_s": _exposure_s(header),
        "sky_reference": _sky_reference(table),
        "simulated": dialect.startswith("sixte") or bool(header.get("SIMULATED", False)),
    }
    return columns, facts


def _calibrated_columns(table: Any) -> dict[str, NDArray[Any]]:
    data = table.data
    return _common_columns(table) | {
        "pi_ev": np.array(data["PI"], dtype=np.float32),
        "tm_nr": np.array(data["TM_NR"], dtype=np.uint8),
        "pat_typ": np.array(data["PAT_TYP"], dtype=np.int16),
        "flag": unsigned_flags(data["FLAG"]),
    }


def _sixte_columns(table: Any, module: int) -> dict[str, NDArray[Any]]:
    data = table.data
    rows = len(data)
    valid = np.asarray(data["TYPE"]) >= 0
    return _common_columns(table) | {
        # PI is a channel here; the energy is SIGNAL, in keV
        "pi_ev": (np.array(data["SIGNAL"], dtype=np.float64) * 1000.0).astype(np.float32),
        "tm_nr": np.full(rows, module, dtype=np.uint8),
        "pat_typ": np.where(valid, data["NPIXELS"], 0).astype(np.int16),
        "flag": np.zeros(rows, dtype=np.uint32),
    }


def _common_columns(table: Any) -> dict[str, NDArray[Any]]:
    data = table.data
    names = {name.upper() for name in table.columns.names}
    columns: dict[str, NDArray[Any]] = {
        name: np.array(data[name.upper()], dtype=np.float64) for name in ("time", "ra", "dec")
    }
    if {"X", "Y"} <= names:
        columns |= {name: np.array(data[name.upper()], dtype=np.float64) for name in ("x", "y")}
    if {"RAWX", "RAWY"} <= names:
        columns |= {name: np.array(data[name.upper()], dtype=np.int16) for name in ("rawx", "rawy")}
    if "SRC_ID" in names:
        labels = np.array(data["SRC_ID"], dtype=np.int32)
        columns["src_id"] = labels if labels.ndim == 1 else np.ascontiguousarray(labels[:, 0])
    return columns


def _exposure_s(header: Any) -> float | None:
    try:
        stated = float(header.get("EXPOSURE") or header["TSTOP"] - header["TSTART"])
    except (KeyError, TypeError, ValueError):
        return None
    return stated if np.isfinite(stated) and stated > 0 else None


def _sky_reference(table: Any) -> tuple[float, float] | None:
    """RA, DEC of sky pixel (0, 0): TCRVL of the columns X and Y (RA_PNT and RA_OBJ can't be relied on)."""
    numbers = {name.upper(): number for number, name in enumerate(table.columns.names, start=1)}
    keys = [f"TCRVL{numbers.get(axis, 0)}" for axis in ("X", "Y")]
    if not all(key in table.header for key in keys):
        return None
    return float(table.header[keys[0]]), float(table.header[keys[1]])


def _checked(columns: dict[str, NDArray[Any]], facts: Mapping[str, Any], path: Path) -> EventList:
    total = columns["pi_ev"].size
    if total == 0:
        raise InputError(f"{path}: the event list has no rows. Give a list with photons.")
    photons = ~(columns["pi_ev"] < 0)
    for name, column, *limits in _LIMITS:
        _check_range(columns[name], photons, column, limits, path)
    partners = total - int(photons.sum())
    if partners == total:
        raise InputError(f"{path}: every one of {total} rows has PI < 0, so none is a photon. Remake the event list.")
    if partners:
        LOGGER.info("%s: %d rows, of which %d with PI < 0 (split partners) dropped", path, total, partners)
        columns = {name: column[photons] for name, column in columns.items()}
    columns["ra"] %= 360.0
    LOGGER.info("%s: %d photons, read as %s", path, columns["ra"].size, facts["dialect"])
    fields: dict[str, Any] = {**columns, **facts}
    return EventList(**fields, name=str(path))


def _check_range(
    values: NDArray[Any], photons: NDArray[np.bool_], column: str, limits: Sequence[Any], path: Path
) -> None:
    low, high, unit = limits
    bad = np.flatnonzero(photons & ~((values >= low) & (values <= high)))
    if bad.size:
        raise InputError(
            f"{path}: row {bad[0] + 1}: {column} is {values[bad[0]]}, but must be between {low:g} and {high:g} {unit} "
            f"({bad.size} of {values.size} rows are so). Remove or repair {'it' if bad.size == 1 else 'them'}."
        )
