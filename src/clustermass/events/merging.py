"""Several event lists of one field made one, no photon counted twice, in bounded memory."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustermass.errors import InputError
from clustermass.events.eventlist import EventList, FloatArray
from clustermass.events.gti import modules_of, union
from clustermass.events.reading import stream_events
from clustermass.events.repeated import Repeated, TimeSpans
from clustermass.events.stored import StoredEvents
from clustermass.progress import LOGGER
from clustermass.provenance import file_sha256

#: columns that two lists of one field must both have for the joined one to have them
_OPTIONAL = ("rawx", "rawy", "src_id")


def stream_many(paths: Sequence[str | Path], folder: Path) -> Iterator[EventList]:
    """Read event lists of one field (one each telescope module, or overlapping observations) as one, piece by piece.

    Rows that equal one of an earlier list in TIME, TM_NR, RAWX and RAWY (without detector pixels: RA and DEC) are the
    same photon; they are dropped, and the log says how many. Sky pixels are kept of a single list only, other optional
    columns where all lists have them.

    Parameters
    ----------
    paths
        Event files.
    folder
        Where several lists lie on disk until they are joined, some 40 bytes a photon.

    Raises
    ------
    InputError
        No path; the same list given twice; lists of different dialects; and all that `stream_events` raises.
    """
    if not paths:
        raise InputError("No event list is given. Name at least one under `events`.")
    if len(paths) == 1:
        yield from stream_events(paths[0])
        return
    _check_files(list(map(Path, paths)))
    with ExitStack() as stack:
        lists = [stack.enter_context(closing(StoredEvents(folder, without=("x", "y")))) for _ in paths]
        spans = [_store(path, stored) for path, stored in zip(paths, lists, strict=True)]
        _check_dialects([stored.head for stored in lists])
        starts = list(accumulate((len(stored) for stored in lists), initial=0))
        repeated = stack.enter_context(closing(Repeated(folder, starts)))
        yield from _joined(lists, spans, starts, repeated)


def _check_files(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        digest = file_sha256(path) if path.is_file() else str(path)
        if digest in seen:
            raise _twice(str(seen[digest]), path)
        seen[digest] = path


def _check_dialects(heads: Sequence[EventList]) -> None:
    dialects = sorted({head.dialect for head in heads})
    if len(dialects) > 1:
        raise InputError(
            f"The event lists {', '.join(head.name for head in heads)} are of different kinds "
            f"({', '.join(dialects)}), whose FLAGs differ in meaning. Give lists of one kind for one field."
        )


def _twice(first: str, second: str | Path) -> InputError:
    return InputError(f"{second}: holds the same event list as {first}, so every photon would count twice. Remove one.")


def _store(path: str | Path, stored: StoredEvents) -> TimeSpans:
    """Read a list to the disk; return from when to when each module has photons."""
    spans: TimeSpans = {}
    for piece in stream_events(path):
        stored.add(piece)
        for module in modules_of(piece):
            times = piece.time[piece.tm_nr == module]
            low, high = spans.get(module, (np.inf, -np.inf))
            spans[module] = (min(low, float(times.min())), max(high, float(times.max())))
    return spans


def _joined(
    lists: Sequence[StoredEvents], spans: Sequence[TimeSpans], starts: Sequence[int], repeated: Repeated
) -> Iterator[EventList]:
    """Yield the photons of lists of one dialect in their order, but for repeated ones."""
    heads = [stored.head for stored in lists]
    missing = {name for name in _OPTIONAL if any(getattr(head, name) is None for head in heads)}
    facts: dict[str, Any] = dict.fromkeys(missing) | {
        "name": " + ".join(head.name for head in heads),
        "gti": _merged_gti(heads, spans),
        "sky_reference": None,
        "exposure_s": None,
        "simulated": any(head.simulated for head in heads),
    }
    repeated.find(lists, spans, ("ra", "dec") if missing & {"rawx", "rawy"} else ("rawx", "rawy"))
    _report(lists, repeated.number)
    for stored, start in zip(lists, starts, strict=False):
        for piece in stored:
            yield replace(piece, **facts).take(~repeated.among(start, len(piece)))
            start += len(piece)


def _report(lists: Sequence[StoredEvents], repeated: NDArray[np.int64]) -> None:
    """Log what each list repeats.

    Raises
    ------
    InputError
        All photons of a list are in earlier ones.
    """
    for number, (stored, dropped) in enumerate(zip(lists, repeated.tolist(), strict=True)):
        if dropped == len(stored):
            raise _twice(" and ".join(earlier.head.name for earlier in lists[:number]), stored.head.name)
    for stored, dropped in zip(lists, repeated.tolist(), strict=True):
        LOGGER.info("%s: %d photons, %d of them in an earlier list and dropped", stored.head.name, len(stored), dropped)
    total = sum(len(stored) for stored in lists)
    LOGGER.info("%d event lists joined: %d photons, %d repeated ones dropped", len(lists), total, repeated.sum())


def _merged_gti(heads: Sequence[EventList], spans: Sequence[TimeSpans]) -> dict[int, FloatArray]:
    """Intervals of each module that has photons: a list's own, or its first to last photon where it has none."""
    parts: dict[int, list[FloatArray]] = {}
    for head, modules in zip(heads, spans, strict=True):
        for module in sorted(modules):
            intervals = head.gti.get(module, head.gti.get(0))
            if intervals is None:
                intervals = np.array([modules[module]])
                LOGGER.warning("%s: no GTI for TM%d; its events are all kept", head.name, module)
            parts.setdefault(module, []).append(intervals)
    return {module: union(np.concatenate(intervals)) for module, intervals in sorted(parts.items())}
