"""Good time intervals, each telescope module its own."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.events.eventlist import MODULES, EventList

#: GTI1 to GTI7 of eSASS and ero_calevents, STDGTI of SIXTE's event files; FLAREGTI is something else
_NAME = re.compile(r"(?:STD)?GTI(\d*)")


def read_gti(hdus: Iterable[Any], module: int, path: Path) -> dict[int, FloatArray]:
    """Collect the good time intervals of an event file.

    Parameters
    ----------
    hdus
        All HDUs of the file.
    module
        Which module a table without a number is for; 0 = every module that has no table of its own.
    path
        The file, for messages.

    Returns
    -------
    dict
        Module -> float64 (intervals, 2), START and STOP in s, sorted and without overlap.

    Raises
    ------
    InputError
        A table lacks START or STOP, or an interval is not finite or ends before it starts.
    """
    found: dict[int, list[FloatArray]] = {}
    for hdu in hdus:
        match = _NAME.fullmatch(hdu.name.upper()) if isinstance(hdu, fits.BinTableHDU) else None
        if match:
            found.setdefault(int(match[1] or module), []).append(_intervals(hdu, path))
    return {number: union(np.concatenate(tables)) for number, tables in found.items()}


def _intervals(hdu: Any, path: Path) -> FloatArray:
    missing = {"START", "STOP"} - {str(name).upper() for name in hdu.columns.names}
    if missing:
        raise InputError(f"{path}: table {hdu.name} lacks column {' and '.join(sorted(missing))}. Remake the file.")
    intervals = np.stack([np.array(hdu.data[name], dtype=np.float64) for name in ("START", "STOP")], axis=1)
    bad = np.flatnonzero(~np.isfinite(intervals).all(axis=1) | (intervals[:, 1] < intervals[:, 0]))
    if bad.size:
        raise InputError(f"{path}: table {hdu.name}, row {bad[0] + 1}: {intervals[bad[0]]} is no time interval.")
    return intervals


def union(intervals: FloatArray) -> FloatArray:
    """Return the same times as sorted intervals that neither touch nor overlap, float64 (intervals, 2)."""
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    if len(intervals) < 2:
        return intervals
    reach = np.maximum.accumulate(intervals[:, 1])
    first = np.flatnonzero(np.concatenate([[True], intervals[1:, 0] > reach[:-1]]))
    last = np.concatenate([first[1:] - 1, [len(intervals) - 1]])
    return np.stack([intervals[first, 0], reach[last]], axis=1)


def inside(time: FloatArray, intervals: FloatArray) -> NDArray[np.bool_]:
    """Return which times lie in one of the intervals, both ends included, bool of the shape of `time`."""
    number = np.searchsorted(intervals[:, 0], time, side="right") - 1
    stops = np.concatenate([intervals[:, 1], [-np.inf]])  # number -1 (before the first START) takes the last
    return np.asarray(time <= stops[number])


def good_rows(events: EventList) -> tuple[NDArray[np.bool_], Counter[int]]:
    """Return which photons fall in a good time interval of their own module, bool (events,).

    Photons of a module without intervals are judged by those for all modules (key 0); where there are none either,
    they are kept, and counted in the second value: module -> photons.
    """
    good = np.ones(len(events), dtype=bool)
    without: Counter[int] = Counter()
    for module in modules_of(events):
        rows = events.tm_nr == module
        intervals = events.gti.get(module, events.gti.get(0))
        if intervals is None:
            without[module] = int(rows.sum())
        else:
            good[rows] = inside(events.time[rows], intervals)
    return good, without


def modules_of(events: EventList) -> list[int]:
    """Return the telescope modules that have photons, ascending."""
    return [module for module in range(int(events.tm_nr.max(initial=0)) + 1) if (events.tm_nr == module).any()]


def mean_exposure_s(events: EventList, modules: Iterable[int] | None = None) -> float | None:
    """Exposure in s of the seven modules on average: the scale of eSASS exposure maps, but without vignetting.

    From the good time intervals of the modules that have photons (or are given), otherwise from the header; None =
    neither.
    """
    modules = modules_of(events) if modules is None else modules
    total = sum(_length(events.gti, module, events.exposure_s or 0.0) for module in modules)
    return total / MODULES if total > 0 else None


def _length(gti: Mapping[int, FloatArray], module: int, otherwise: float) -> float:
    intervals = gti.get(module, gti.get(0))
    return otherwise if intervals is None else float((intervals[:, 1] - intervals[:, 0]).sum())
