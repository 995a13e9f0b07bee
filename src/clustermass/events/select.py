"""Which photons of an event list count: cuts by flag, pattern, good time and energy."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.events.eventlist import FLAG_MASKS, SIXTE_FLAG, EventList, modules_of
from clustermass.io.log import LOGGER


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


class Selection:
    """Cuts on an event list that comes in pieces: `keep` each of them, then `conclude`.

    A photon whose FLAG shares a bit with `flag_mask` is dropped; 'auto' = 0xC000F000 for eSASS lists, 0 for SIXTE's and
    our own, otherwise a number or its text, such as '0xC00FFF30'. `pattern_mask` has the bits of the patterns to keep,
    as evtool's `pattern`: 1 single, 2 double, 4 triple, 8 quadruple; InputError unless it is between 1 and 15. Other
    values of PAT_TYP (0 and below, 5 and above) are invalid and always dropped. `energy_ev` are a lower edge (included)
    and an upper edge (excluded) in eV; None = all.
    """

    def __init__(
        self, flag_mask: int | str = "auto", pattern_mask: int = 15, energy_ev: Sequence[float] | None = None
    ) -> None:
        if isinstance(pattern_mask, bool) or not 1 <= pattern_mask <= 15:
            raise InputError(
                f"events.pattern is {pattern_mask!r}, but must be a bit mask from 1 to 15 (15 = all valid)."
            )
        self._flag_mask, self._pattern_mask, self._energy_ev = flag_mask, pattern_mask, energy_ev
        self._name, self._dialect, self._total = "", "", 0
        self._common_flags = 0xFFFFFFFF
        self._dropped: Counter[str] = Counter()
        self._without_gti: Counter[int] = Counter()

    def keep(self, events: EventList) -> EventList:
        """Return the photons of a piece that pass all cuts, perhaps none; InputError if `flag_mask` is no mask."""
        self._name, self._dialect = events.name, events.dialect
        self._total += len(events)
        self._common_flags &= int(np.bitwise_and.reduce(events.flag, initial=np.uint32(0xFFFFFFFF)))
        rows = np.ones(len(events), dtype=bool)
        for name, passes in self._cuts(events).items():
            before = int(rows.sum())
            rows &= passes
            self._dropped[name] += before - int(rows.sum())
        return events if rows.all() else events.take(rows)

    def _cuts(self, events: EventList) -> dict[str, NDArray[np.bool_]]:
        mask = flag_mask_of(events, self._flag_mask)
        patterns = [pattern for pattern in range(1, 5) if self._pattern_mask & (1 << (pattern - 1))]
        cuts = {
            f"flag mask 0x{mask:08X}": (events.flag & np.uint32(mask)) == 0,
            f"pattern {self._pattern_mask}": np.isin(events.pat_typ, patterns),
            "GTI": self._in_good_time(events),
        }
        if self._energy_ev is not None:
            low, high = np.float32(self._energy_ev[0]), np.float32(self._energy_ev[1])
            cuts[f"{low:g}-{high:g} eV"] = (events.pi_ev >= low) & (events.pi_ev < high)
        return cuts

    def _in_good_time(self, events: EventList) -> NDArray[np.bool_]:
        """Return which photons fall in a good time interval of their module; all of a module without intervals do."""
        good = np.ones(len(events), dtype=bool)
        for module in modules_of(events):
            rows, intervals = events.tm_nr == module, events.intervals(module)
            if intervals is None:
                self._without_gti[module] += int(rows.sum())
            else:
                good[rows] = inside(events.time[rows], intervals)
        return good

    def conclude(self) -> None:
        """Log how many photons of all pieces each cut dropped; InputError, with what to set, if one dropped all."""
        if without := self._without_gti:
            listed = ", ".join(f"TM{module}" for module in sorted(without))
            LOGGER.warning("%s: no GTI for %s; all their %d events are kept", self._name, listed, without.total())
        left = self._total
        for name, dropped in self._dropped.items():
            if dropped == left:
                removed = f"{name} removes every one of the {left} events it is applied to"
                raise InputError(f"{self._name}: {removed}. {self._advice(name)}")
            left -= dropped
        listed = ", ".join(f"{name}: {dropped}" for name, dropped in self._dropped.items())
        LOGGER.info("%s: %d events; dropped by %s; left: %d", self._name, self._total, listed, left)

    def _advice(self, cut: str) -> str:
        if cut.startswith("pattern"):
            return "Set events.pattern to 15 for all patterns."
        if cut == "GTI":
            return "No photon lies in a good time interval: see whether TIME and GTI match."
        if not cut.startswith("flag"):
            return "See whether the list's energies are in eV, and images.bands."
        if self._dialect.startswith("sixte") or self._common_flags == SIXTE_FLAG:
            return (
                f"SIXTE's ero_calevents gives every event FLAG 0x{SIXTE_FLAG:08X}, which every usual mask rejects. Set "
                "events.flag_mask to auto or 0."
            )
        shared = self._common_flags & int(cut.rpartition(" ")[2], 0)
        return f"All of them share the bits 0x{shared:08X}. Set events.flag_mask to auto, or to 0 for no selection."


def flag_mask_of(events: EventList, flag_mask: int | str) -> int:
    """Return the mask as a number in [0, 2^32), 'auto' resolved by the dialect; InputError if it is neither."""
    if flag_mask == "auto":
        return FLAG_MASKS[events.dialect]
    try:
        number = int(flag_mask, 0) if isinstance(flag_mask, str) else flag_mask
    except ValueError:
        number = True
    # FLAGSEL in eSASS headers is a signed number: those are understood too
    if isinstance(number, bool) or not isinstance(number, int) or not -(2**31) <= number < 2**32:
        raise InputError(
            f"events.flag_mask is {flag_mask!r}, but must be auto or a number of 32 bits such as 0xC000F000 (0 = no "
            "selection)."
        )
    return number & 0xFFFFFFFF
