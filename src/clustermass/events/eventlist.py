"""Event lists in memory, and cuts on their photons by flag, pattern, good time and energy."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

#: number of eROSITA telescope modules
MODULES = 7
ALL_MODULES = range(1, MODULES + 1)
#: a module can lack photons by chance in lists with fewer photons than this for each module
_FEW_PHOTONS = 20
#: FLAG of every event that ero_calevents writes; it holds the bits of corrupt events and frames
SIXTE_FLAG = 0xC00001C0
#: dialect (kind of event list) -> bits of FLAG that drop an event by default
FLAG_MASKS = {
    "esass": 0xC000F000,  # evtool: corrupt, bad pixel, outside the field of view; as for the published eFEDS lists
    "sixte_calibrated": 0,  # SIXTE after ero_calevents, whose FLAG means nothing
    "sixte_events": 0,  # SIXTE's erosim, runsixt and sixtesim: a channel in PI, no FLAG
    "clustermass": 0,  # ours, selected when they were made
}


@dataclass(frozen=True, eq=False)
class EventList:
    """An event list: its photons in the order of the file, as columns (events,), and its metadata."""

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
    #: truth label of simulated photons: SRC_ID of the source that sent the photon
    src_id: NDArray[np.int32] | None = None
    exposure_s: float | None = None  # exposure of each module in the header; used only for modules without `gti`
    scan: bool = False  # OBS_MODE says that the telescope moved, so each place was seen for little of the good time
    simulated: bool = False  # whether it isn't an observation, but SIXTE's photons or ours with SIMULATE in the header
    shared: bool = True  # True for one list, and for several that have photons in common (parts of one observation)

    def __len__(self) -> int:
        return int(self.ra.size)

    def take(self, rows: NDArray[Any] | slice) -> "EventList":
        """Return the photons at `rows` (booleans, numbers or a slice), with the same metadata."""
        return self.with_columns({name: column[rows] for name, column in self.columns().items()})

    def with_columns(self, columns: Mapping[str, NDArray[Any] | None]) -> "EventList":
        """Return a copy of this list with the columns in the dict `columns` replaced. None removes a column."""
        return replace(self, **dict[str, Any](columns))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns that this list has, as a dict by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def intervals(self, module: int) -> FloatArray | None:
        """Return the good time intervals of a module, (intervals, 2), in s, or None if they are unknown."""
        return self.gti.get(module, self.gti.get(0))


def modules_of(events: EventList) -> list[int]:
    """Return the numbers of the telescope modules that have photons, in ascending order. 0 = photons without module."""
    return [module for module in range(int(events.tm_nr.max(initial=0)) + 1) if (events.tm_nr == module).any()]


def mean_exposure_s(events: EventList, modules: Iterable[int] | None = None) -> float | None:
    """Return the exposure in s without vignetting: the sum of the modules' good times, divided by seven.

    Exposures in the maps of eSASS are defined in the same way. The good times are those of the modules that have
    photons, or of `modules`. For a module without good time intervals, the exposure in the header is used. The result
    is None if no module has intervals or an exposure.
    """
    total = 0.0
    for module in modules_of(events) if modules is None else modules:
        total += _good_time_s(events, module)
    return total / MODULES if total > 0 else None


def _good_time_s(events: EventList, module: int) -> float:
    """Return the good time of a module in s: from its intervals or, without them, from the header. Without both, 0."""
    intervals = events.intervals(module)
    return (events.exposure_s or 0.0) if intervals is None else float((intervals[:, 1] - intervals[:, 0]).sum())


def named_modules(modules: Iterable[int]) -> str:
    """Return the names of telescope modules as a text such as "TM5, TM7"."""
    return ", ".join(f"TM{module}" for module in sorted(modules))


def union(intervals: FloatArray) -> FloatArray:
    """Return sorted intervals that cover the same times as `intervals`, but don't touch or overlap, (intervals, 2)."""
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    if len(intervals) < 2:
        return intervals
    reach = np.maximum.accumulate(intervals[:, 1])
    first = np.flatnonzero(np.concatenate([[True], intervals[1:, 0] > reach[:-1]]))
    last = np.concatenate([first[1:] - 1, [len(intervals) - 1]])
    return np.stack([intervals[first, 0], reach[last]], axis=1)


def inside(time: FloatArray, intervals: FloatArray) -> NDArray[np.bool_]:
    """Return whether each time lies in one of the sorted intervals (ends included), with the shape of `time`."""
    number = np.searchsorted(intervals[:, 0], time, side="right") - 1
    stops = np.concatenate([intervals[:, 1], [-np.inf]])  # number -1 (before the first START) gives -inf, the last
    return np.asarray(time <= stops[number])


class Selection:
    """Cuts on an event list that comes in pieces. Call `keep` for each piece, then `conclude`.

    These photons are dropped:

    - photons whose FLAG has a bit in common with `flag_mask`, which is a number, a text such as '0xC00FFF30', or 'auto'
      for the default in `FLAG_MASKS`
    - photons whose pattern isn't in `pattern_mask`, a sum of 1 (singles), 2 (doubles), 4 (triples) and 8 (quadruples)
      as in the parameter `pattern` of evtool. Photons with a PAT_TYP other than 1 to 4 are always dropped
    - photons with energies outside `energy_ev`, a lower edge (included) and an upper edge (excluded) in eV. If it is
      None, all energies are kept
    - photons of telescope modules that aren't in `modules`. Photons without a module (TM_NR 0) are kept
    - photons outside the good time intervals of their module

    InputError if `pattern_mask` isn't between 1 and 15.
    """

    def __init__(
        self,
        flag_mask: int | str = "auto",
        pattern_mask: int = 15,
        energy_ev: Sequence[float] | None = None,
        modules: Collection[int] = ALL_MODULES,
    ) -> None:
        if isinstance(pattern_mask, bool) or not 1 <= pattern_mask <= 15:
            raise InputError(f"events.pattern is {pattern_mask!r}, but must be a bit mask from 1 to 15 (15 = all).")
        self._flag_mask, self._pattern_mask, self._energy_ev = flag_mask, pattern_mask, energy_ev
        self._name, self._dialect, self._total, self._common_flags = "", "", 0, 0xFFFFFFFF
        self._dropped: Counter[str] = Counter()
        self._without_gti: Counter[int] = Counter()
        self._modules = frozenset(modules)
        self._good_time_s: dict[int, float] = {}  # of the modules that have photons, before any cut

    def keep(self, events: EventList) -> EventList:
        """Return the photons of a piece that pass all cuts, perhaps none. InputError if `flag_mask` is invalid."""
        self._name, self._dialect = events.name, events.dialect
        self._total += len(events)
        self._common_flags &= int(np.bitwise_and.reduce(events.flag, initial=np.uint32(0xFFFFFFFF)))
        self._good_time_s |= {module: _good_time_s(events, module) for module in modules_of(events)}
        rows = np.ones(len(events), dtype=bool)
        for name, passes in self._cuts(events).items():
            self._dropped[name] += int((rows & ~passes).sum())
            rows &= passes
        return events if rows.all() else events.take(rows)

    def _cuts(self, events: EventList) -> dict[str, NDArray[np.bool_]]:
        mask = flag_mask_of(events, self._flag_mask)
        patterns = [pattern for pattern in range(1, 5) if self._pattern_mask & (1 << (pattern - 1))]
        cuts = {
            f"flag mask 0x{mask:08X}": (events.flag & np.uint32(mask)) == 0,
            f"pattern {self._pattern_mask}": np.isin(events.pat_typ, patterns),
            "GTI": self._in_good_time(events),
        }
        if len(self._modules) < MODULES:
            cuts = {f"modules but {named_modules(self._modules)}": np.isin(events.tm_nr, [0, *self._modules])} | cuts
        if self._energy_ev is not None:
            low, high = np.float32(self._energy_ev[0]), np.float32(self._energy_ev[1])
            cuts[f"{low:g}-{high:g} eV"] = (events.pi_ev >= low) & (events.pi_ev < high)
        return cuts

    def _in_good_time(self, events: EventList) -> NDArray[np.bool_]:
        """Return whether each photon is in a good time interval of its module. True if the module has no intervals."""
        good = np.ones(len(events), dtype=bool)
        for module in modules_of(events):
            rows, intervals = events.tm_nr == module, events.intervals(module)
            if intervals is None:
                self._without_gti[module] += int(rows.sum())
            else:
                good[rows] = inside(events.time[rows], intervals)
        return good

    def share(self) -> float:
        """Return the share of the list's exposure that belongs to the chosen modules (the argument `modules`).

        The share is the good time of the chosen modules, divided by the good time of all modules that have photons. If
        the good time of a module is unknown, the share is the number of chosen modules with photons, divided by the
        number of all modules with photons.
        """
        listed = {module: seconds for module, seconds in self._good_time_s.items() if module}
        chosen = self._modules & listed.keys()
        if len(chosen) == len(listed):
            return 1.0
        if not all(listed.values()):
            return len(chosen) / len(listed)
        return sum(listed[module] for module in sorted(chosen)) / sum(listed.values())

    def warn_of_modules(self) -> None:
        """Log a warning if a chosen module has no photon in the list, or if photons have no module."""
        listed = self._good_time_s.keys() - {0}
        absent = self._modules - listed
        if listed and absent and self._total >= _FEW_PHOTONS * MODULES:
            LOGGER.warning(
                "%s: no photon of %s, though those of %s should count: the networks were or will be trained so. Masses "
                "are right only as far as the exposure allows for it. Better train without these modules: "
                "events.modules: %s",
                self._name, named_modules(absent), named_modules(self._modules), sorted(self._modules - absent),
            )  # fmt: skip
        if 0 in self._good_time_s and len(self._modules) < MODULES:
            LOGGER.warning("%s: photons without a module (TM_NR 0) are kept, whatever events.modules is", self._name)

    def conclude(self) -> None:
        """Log how many photons of all pieces each cut dropped. InputError if a cut dropped all photons."""
        # our own lists were selected, with this warning, when they were made
        if (without := self._without_gti) and self._dialect != "clustermass":
            listed = named_modules(without)
            LOGGER.warning("%s: no GTI for %s; all their %d events are kept", self._name, listed, without.total())
        left = self._total
        for name, dropped in self._dropped.items():
            if dropped == left:
                raise InputError(f"{self._name}: {name} removes every one of the {left} events. {self._advice(name)}")
            left -= dropped
        listed = ", ".join(f"{name}: {dropped}" for name, dropped in self._dropped.items())
        LOGGER.info("%s: %d events; dropped by %s; left: %d", self._name, self._total, listed, left)

    def _advice(self, cut: str) -> str:
        if cut.startswith("pattern"):
            return "Set events.pattern to 15 for all patterns."
        if cut.startswith("modules"):
            return f"Set events.modules to those of the list: {named_modules(self._good_time_s)}."
        if cut == "GTI":
            return "No photon lies in a good time interval: see whether TIME and GTI match."
        if not cut.startswith("flag"):
            return "See whether the list's energies are in eV, and images.bands."
        if self._dialect.startswith("sixte") or self._common_flags == SIXTE_FLAG:
            why = f"SIXTE's ero_calevents gives every event FLAG 0x{SIXTE_FLAG:08X}, which every usual mask rejects"
        else:
            why = f"All of them share the bits 0x{self._common_flags & int(cut.rpartition(' ')[2], 0):08X}"
        return f"{why}. Set events.flag_mask to auto or 0 (no selection)."


def flag_mask_of(events: EventList, flag_mask: int | str) -> int:
    """Return `flag_mask` as a number in [0, 2^32); 'auto' is looked up in `FLAG_MASKS`. InputError if it is invalid."""
    if flag_mask == "auto":
        return FLAG_MASKS[events.dialect]
    try:
        number = int(str(flag_mask), 0)
    except ValueError:
        number = 2**32
    # FLAGSEL in eSASS headers is a signed number, so negative masks are accepted
    if not -(2**31) <= number < 2**32:
        raise InputError(
            f"events.flag_mask is {flag_mask!r}, but must be auto or a number of 32 bits such as 0xC000F000 (0 = no "
            "selection)."
        )
    return number & 0xFFFFFFFF
