"""Which photons of an event list count: flag mask, pattern, good time, energy. The door to all on event lists."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.events.dialects import AUTO_FLAG_MASK, SIXTE_FLAG
from clustermass.events.eventlist import EventList
from clustermass.events.gti import good_rows
from clustermass.events.merging import read_many
from clustermass.events.reading import read_events
from clustermass.events.writing import write_events, write_labels
from clustermass.progress import LOGGER

__all__ = ["EventList", "flag_mask_of", "read_events", "read_many", "select", "write_events", "write_labels"]


def select(
    events: EventList,
    flag_mask: int | str = "auto",
    pattern_mask: int = 15,
    energy_ev: Sequence[float] | None = None,
) -> EventList:
    """Keep the photons that count, and log how many each cut drops.

    Parameters
    ----------
    events
        From `read_events` or `read_many`.
    flag_mask
        A photon whose FLAG shares a bit with the mask is dropped. 'auto' = 0xC000F000 for eSASS lists, 0 for SIXTE's
        and our own; otherwise a number or its text, such as '0xC00FFF30'.
    pattern_mask
        Bits of the patterns to keep, as evtool's `pattern`: 1 single, 2 double, 4 triple, 8 quadruple. Other values of
        PAT_TYP (0 and below, 5 and above) are invalid and always dropped.
    energy_ev
        Lower edge (included) and upper edge (excluded) in eV; None = all.

    Returns
    -------
    EventList
        At least one photon.

    Raises
    ------
    InputError
        A mask makes no sense, or a cut removes every photon (the message says which, and what to set).
    """
    mask = flag_mask_of(events, flag_mask)
    if isinstance(pattern_mask, bool) or not 1 <= pattern_mask <= 15:
        raise InputError(f"events.pattern is {pattern_mask!r}, but must be a bit mask from 1 to 15 (15 = all valid).")
    cuts = [
        (f"flag mask 0x{mask:08X}", (events.flag & np.uint32(mask)) == 0, _flag_advice(events, mask)),
        (f"pattern {pattern_mask}", _pattern_rows(events, pattern_mask), "Set events.pattern to 15 for all patterns."),
        ("GTI", good_rows(events), "No photon lies in a good time interval: see whether TIME and GTI match."),
    ]
    if energy_ev is not None:
        low, high = np.float32(energy_ev[0]), np.float32(energy_ev[1])
        within = (events.pi_ev >= low) & (events.pi_ev < high)
        cuts.append((f"{low:g}-{high:g} eV", within, "See whether the list's energies are in eV, and images.bands."))
    return events.take(_apply(events, cuts))


def _apply(events: EventList, cuts: list[tuple[str, NDArray[np.bool_], str]]) -> NDArray[np.bool_]:
    keep = np.ones(len(events), dtype=bool)
    said = []
    for name, passes, advice in cuts:
        before = int(keep.sum())
        keep &= passes
        left = int(keep.sum())
        said.append(f"{name}: {before - left}")
        if left == 0:
            raise InputError(
                f"{events.name}: {name} removes every one of the {before} events it is applied to. {advice}"
            )
    LOGGER.info("%s: %d events; dropped by %s; left: %d", events.name, len(events), ", ".join(said), left)
    return keep


def _flag_advice(events: EventList, mask: int) -> str:
    common = int(np.bitwise_and.reduce(events.flag)) if len(events) else 0
    if events.dialect.startswith("sixte") or common == SIXTE_FLAG:
        return (
            f"SIXTE's ero_calevents gives every event FLAG 0x{SIXTE_FLAG:08X}, which every usual mask rejects. Set "
            "events.flag_mask to auto or 0."
        )
    return f"All of them share the bits 0x{common & mask:08X}. Set events.flag_mask to auto, or to 0 for no selection."


def _pattern_rows(events: EventList, pattern_mask: int) -> NDArray[np.bool_]:
    patterns = [pattern for pattern in range(1, 5) if pattern_mask & (1 << (pattern - 1))]
    return np.isin(events.pat_typ, patterns)


def flag_mask_of(events: EventList, flag_mask: int | str) -> int:
    """Return the mask as a number in [0, 2^32), 'auto' resolved by the dialect of the list.

    Raises
    ------
    InputError
        Neither 'auto' nor a number of 32 bits.
    """
    if flag_mask == "auto":
        return AUTO_FLAG_MASK[events.dialect]
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
