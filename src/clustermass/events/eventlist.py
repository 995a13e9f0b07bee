"""A list of photons in memory, whatever file it came from, and the good time intervals of each telescope module."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray

#: number of eROSITA telescope modules
MODULES = 7


@dataclass(frozen=True, eq=False)
class EventList:
    """Photons in the order of their file; every column has shape (events,).

    Attributes
    ----------
    ra, dec
        Position in deg, float64, 0 <= ra < 360.
    pi_ev
        Energy in eV, float32.
    tm_nr
        Telescope module, uint8.
    pat_typ
        Number of pixels of the pattern, int16; only 1 to 4 are valid.
    flag
        Bits of the eSASS column FLAG, uint32 (in the files they are a signed int32).
    time
        Time in s, float64.
    dialect
        'esass', 'sixte_events', 'sixte_calibrated' or 'clustermass'.
    name
        The file or files, for messages.
    gti
        Good time intervals of each telescope module, (intervals, 2) START and STOP in s; key 0 = every module without
        intervals of its own.
    x, y
        The file's own sky pixels of 0.05", float64, where it has them, in the SIN projection about `sky_reference`.
    sky_reference
        Right ascension and declination in deg of sky pixel (0, 0).
    rawx, rawy
        Detector pixel, int16, where the file has it.
    src_id
        Truth label of simulated photons, int32: SRC_ID of a halo, or an AGN or background (0 and below).
    exposure_s
        Exposure of each module in s that the header states, used only where there are no `gti`.
    simulated
        The photons are no observation: SIXTE's, or our own with SIMULATE in the header.
    """

    ra: FloatArray
    dec: FloatArray
    pi_ev: NDArray[np.float32]
    tm_nr: NDArray[np.uint8]
    pat_typ: NDArray[np.int16]
    flag: NDArray[np.uint32]
    time: FloatArray
    dialect: str
    name: str
    gti: Mapping[int, FloatArray]
    x: FloatArray | None = None
    y: FloatArray | None = None
    sky_reference: tuple[float, float] | None = None
    rawx: NDArray[np.int16] | None = None
    rawy: NDArray[np.int16] | None = None
    src_id: NDArray[np.int32] | None = None
    exposure_s: float | None = None
    simulated: bool = False

    def __len__(self) -> int:
        """Return the number of photons."""
        return int(self.ra.size)

    def take(self, rows: NDArray[Any] | slice) -> "EventList":
        """Return the photons at `rows` (booleans, numbers or a slice), with the same time intervals."""
        return self.with_columns({name: column[rows] for name, column in self.columns().items()})

    def with_columns(self, columns: Mapping[str, NDArray[Any] | None]) -> "EventList":
        """Return a list with these columns, by name, instead of its own, and the same metadata; None = without it."""
        changed: dict[str, Any] = {**columns}
        return replace(self, **changed)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns that this list has, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


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

    For a module without intervals those for all modules (key 0) count; without these too, its photons are kept, and
    counted in the second value: module -> photons.
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
    """Return the exposure in s of the seven modules on average: the scale of eSASS exposure maps, without vignetting.

    It is that of the good time intervals of the modules that have photons (or are given), or else of the header; None
    without both.
    """
    modules = modules_of(events) if modules is None else modules
    total = sum(_length(events.gti, module, events.exposure_s or 0.0) for module in modules)
    return total / MODULES if total > 0 else None


def _length(gti: Mapping[int, FloatArray], module: int, otherwise: float) -> float:
    intervals = gti.get(module, gti.get(0))
    return otherwise if intervals is None else float((intervals[:, 1] - intervals[:, 0]).sum())
