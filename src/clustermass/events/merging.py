"""Several event lists of one field made one, no photon counted twice."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.events.eventlist import EventList, FloatArray
from clustermass.events.gti import modules_of, union
from clustermass.events.reading import read_events
from clustermass.progress import LOGGER
from clustermass.provenance import file_sha256

#: columns that two lists of one field must both have for the merged one to have them
_OPTIONAL = ("x", "y", "rawx", "rawy", "src_id")


def read_many(paths: Sequence[str | Path]) -> EventList:
    """Read event lists of one field (one each telescope module, or overlapping observations) as one.

    Rows that equal one of an earlier list in TIME, TM_NR, RAWX and RAWY (without detector pixels: RA and DEC) are the
    same photon; they are dropped, and the log says how many.

    Raises
    ------
    InputError
        No path; the same list given twice; lists of different dialects; and all that `read_events` raises.
    """
    if not paths:
        raise InputError("No event list is given. Name at least one under `events`.")
    seen: dict[str, Path] = {}
    for path in map(Path, paths):
        digest = file_sha256(path) if path.is_file() else str(path)
        if digest in seen:
            raise _twice(seen[digest], path)
        seen[digest] = path
    lists = [read_events(path) for path in paths]
    dialects = sorted({events.dialect for events in lists})
    if len(dialects) > 1:
        raise InputError(
            f"The event lists {', '.join(events.name for events in lists)} are of different kinds "
            f"({', '.join(dialects)}), whose FLAGs differ in meaning. Give lists of one kind for one field."
        )
    return lists[0] if len(lists) == 1 else merge(lists)


def _twice(first: str | Path, second: str | Path) -> InputError:
    return InputError(f"{second}: holds the same event list as {first}, so every photon would count twice. Remove one.")


def merge(lists: Sequence[EventList]) -> EventList:
    """Join event lists of one dialect in their order, leaving out repeated photons.

    Sky pixels are kept only where all lists have them about one reference, other optional columns where all have them.

    Raises
    ------
    InputError
        All photons of a list are in earlier ones.
    """
    one_sky = all(events.sky_reference == lists[0].sky_reference for events in lists)
    names = [name for name in lists[0].columns() if all(name in events.columns() for events in lists)]
    if not one_sky:
        names = [name for name in names if name not in ("x", "y")]
    columns: dict[str, Any] = dict.fromkeys(_OPTIONAL)
    columns |= {name: np.concatenate([events.columns()[name] for events in lists]) for name in names}
    merged = replace(
        lists[0],
        **columns,
        name=" + ".join(events.name for events in lists),
        gti=_merged_gti(lists),
        sky_reference=lists[0].sky_reference if one_sky else None,
        exposure_s=None,
        simulated=any(events.simulated for events in lists),
    )
    origin = np.repeat(np.arange(len(lists)), [len(events) for events in lists])
    repeated = _repeated(merged, origin)
    _check_contributions(lists, origin, repeated)
    for events, dropped in zip(lists, np.bincount(origin[repeated], minlength=len(lists)).tolist(), strict=True):
        LOGGER.info("%s: %d photons, %d of them in an earlier list and dropped", events.name, len(events), dropped)
    LOGGER.info("%d event lists joined: %d photons, %d repeated ones dropped", len(lists), len(merged), repeated.sum())
    return merged.take(~repeated) if repeated.any() else merged


def _merged_gti(lists: Sequence[EventList]) -> dict[int, FloatArray]:
    """Intervals of each module that has photons: a list's own, or its first to last photon where it has none."""
    parts: dict[int, list[FloatArray]] = {}
    for events in lists:
        for module in modules_of(events):
            intervals = events.gti.get(module, events.gti.get(0))
            if intervals is None:
                times = events.time[events.tm_nr == module]
                intervals = np.array([[times.min(), times.max()]])
                LOGGER.warning("%s: no GTI for TM%d; its events are all kept", events.name, module)
            parts.setdefault(module, []).append(intervals)
    return {module: union(np.concatenate(intervals)) for module, intervals in sorted(parts.items())}


def _repeated(events: EventList, origin: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark photons that an earlier list holds too, bool (events,)."""
    repeated = np.zeros(len(events), dtype=bool)
    rows = _simultaneous(events.time)
    pixel = (events.ra, events.dec) if events.rawx is None or events.rawy is None else (events.rawx, events.rawy)
    keys = [key[rows] for key in (events.time, events.tm_nr, *pixel)]
    order = np.lexsort((origin[rows], *reversed(keys)))
    same = np.all([key[order][1:] == key[order][:-1] for key in keys], axis=0)
    starts = np.concatenate([np.ones(min(order.size, 1), dtype=bool), ~same])
    first = np.maximum.accumulate(np.where(starts, np.arange(order.size), 0))
    # two rows of the same list are two photons, whatever they look like
    sorted_origin = origin[rows][order]
    repeated[rows[order]] = sorted_origin > sorted_origin[first]
    return repeated


def _simultaneous(time: FloatArray) -> NDArray[np.int64]:
    """Return rows that share their time with another one: the only ones that can be repeated, and few in most lists."""
    order = np.argsort(time)
    same = np.diff(time[order]) == 0
    return order[np.concatenate([same, [False]]) | np.concatenate([[False], same])]


def _check_contributions(lists: Sequence[EventList], origin: NDArray[np.int64], repeated: NDArray[np.bool_]) -> None:
    left = np.bincount(origin[~repeated], minlength=len(lists))
    for number in np.flatnonzero(left == 0).tolist():
        raise _twice(" and ".join(events.name for events in lists[:number]), lists[number].name)
