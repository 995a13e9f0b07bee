"""Join several event lists of one field in bounded memory, so that each photon is counted once."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList, inside, modules_of, union
from clustermass.events.read import EventTable, event_tables
from clustermass.events.write import Buckets, StoredEvents
from clustermass.io.log import LOGGER, abridged
from clustermass.io.provenance import file_sha256
from clustermass.io.room import check_disk

#: times of the first and the last photon of each telescope module of a list, s
TimeSpans: TypeAlias = dict[int, tuple[float, float]]

#: photons that are compared at once, on average; some 100 MB
_BUCKET_ROWS = 1_000_000
#: bytes on disk for each photon: in the list that is written, and in addition while several lists are joined
_STORED_BYTES, _JOINED_BYTES = 35, 70
#: two rows with the same keys are the same photon; `first` and `second` are the detector pixel or the position
_KEYS = ("time", "tm_nr", "first", "second")
#: odd factor that spreads the bits in a hash (the golden ratio's fraction in 64 bits)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
#: columns that are kept in the joined list only if all lists have them
_OPTIONAL = ("rawx", "rawy", "src_id")


def stream_many(paths: Sequence[str | Path], folder: Path) -> Iterator[EventList]:
    """Yield the event lists of one field joined into one list, piece by piece, so that each photon is counted once.

    The lists may belong to single telescope modules or to overlapping observations. A file may hold several lists, each
    as a table EVENTS.

    - **Repeated photons.** A row that agrees with a row of an earlier list in TIME, TM_NR, RAWX and RAWY is the same
      photon. If any list has no detector pixels, RA and DEC are compared instead of RAWX and RAWY. The repeated row is
      dropped, and the number of dropped rows is logged.
    - **Columns.** Sky pixels are kept only if there is a single list. Other optional columns are kept only if all lists
      have them.

    To join several lists, `folder` needs some 40 bytes of disk space for each photon, and further space for
    `find_repeated`. InputError in the cases of `EventTable.stream` and `event_tables`. InputError also if there is no
    path, if there isn't enough disk space, if a list occurs twice, or if the lists have different dialects (see
    `recognise`).
    """
    if not paths:
        raise InputError("No event list is given. Name at least one under `events`.")
    seen: dict[str, Path] = {}
    for path in map(Path, paths) if len(paths) > 1 else ():
        digest = file_sha256(path) if path.is_file() else str(path)
        if digest in seen:
            raise _twice(seen[digest], path)
        seen[digest] = path
    tables = [table for path in paths for table in event_tables(path)]
    rows = sum(table.table.header["NAXIS2"] for table in tables)
    check_disk(rows * (_STORED_BYTES + (_JOINED_BYTES if len(tables) > 1 else 0)), folder, tables[0].path)
    if len(tables) == 1:
        yield from tables[0].stream()
        return
    with ExitStack() as stack:
        lists = [stack.enter_context(closing(StoredEvents(folder, without=("x", "y")))) for _ in tables]
        spans = [_store(table, stored) for table, stored in zip(tables, lists, strict=True)]
        heads = [stored.head for stored in lists]
        if len(dialects := sorted({head.dialect for head in heads})) > 1:
            raise InputError(
                f"The event lists ({abridged(head.name for head in heads)}) are of different kinds "
                f"({', '.join(dialects)}), whose FLAGs differ in meaning. Give lists of one kind for one field."
            )
        missing = {name for name in _OPTIONAL if any(getattr(head, name) is None for head in heads)}
        starts = list(accumulate(map(len, lists), initial=0))
        place = ("ra", "dec") if missing & {"rawx", "rawy"} else ("rawx", "rawy")
        repeated = find_repeated(lists, starts, spans, place, folder)
        _log_repeated(lists, [repeated[start:stop] for start, stop in pairwise(starts)])
        name, gti = abridged(head.name for head in heads), _merged_gti(heads, spans)
        marks = {mark: any(getattr(head, mark) for head in heads) for mark in ("scan", "simulated")}
        head = {"name": name, "gti": gti, **marks, "shared": bool(repeated.any())}
        start = 0
        for piece in chain.from_iterable(lists):
            joined = replace(piece, **dict[str, Any](head), sky_reference=None, exposure_s=None)
            yield joined.with_columns(dict.fromkeys(missing)).take(~repeated[start : start + len(piece)])
            start += len(piece)


def _twice(first: str | Path, second: str | Path) -> InputError:
    return InputError(f"{second}: holds the same event list as {first}, so every photon would count twice. Remove one.")


def _store(table: EventTable, stored: StoredEvents) -> TimeSpans:
    spans: TimeSpans = {}
    for piece in table.stream():
        stored.add(piece)
        for module in modules_of(piece):
            times = piece.time[piece.tm_nr == module]
            low, high = spans.get(module, (np.inf, -np.inf))
            spans[module] = (min(low, float(times.min())), max(high, float(times.max())))
    return spans


def _merged_gti(heads: Sequence[EventList], spans: Sequence[TimeSpans]) -> dict[int, FloatArray]:
    """Return the good time intervals of each module, joined from all lists.

    Without intervals of a module, the time between its first and last photon in the list (`spans`) counts as good.
    """
    parts: dict[int, list[FloatArray]] = {}
    for head, modules in zip(heads, spans, strict=True):
        for module in sorted(modules):
            intervals = head.intervals(module)
            if intervals is None:
                intervals = np.array([modules[module]])
                LOGGER.warning("%s: no GTI for TM%d; its events are all kept", head.name, module)
            parts.setdefault(module, []).append(intervals)
    return {module: union(np.concatenate(intervals)) for module, intervals in sorted(parts.items())}


def _log_repeated(lists: Sequence[StoredEvents], repeated: Sequence[NDArray[np.bool_]]) -> None:
    """Log how many photons of each list are also in earlier lists. InputError if all photons of a list are repeated."""
    dropped = [int(marks.sum()) for marks in repeated]
    for number, (stored, repeats) in enumerate(zip(lists, dropped, strict=True)):
        if repeats == len(stored):
            raise _twice(abridged(earlier.head.name for earlier in lists[:number]), stored.head.name)
        LOGGER.info("%s: %d photons, %d of them in an earlier list and dropped", stored.head.name, len(stored), repeats)
    total = sum(map(len, lists))
    LOGGER.info("%d event lists joined: %d photons, %d repeated ones dropped", len(lists), total, sum(dropped))


def find_repeated(
    lists: Sequence[Iterable[EventList]],
    starts: Sequence[int],
    spans: Sequence[TimeSpans],
    place: tuple[str, str],
    folder: Path,
) -> NDArray[np.bool_]:
    """Return whether each photon is also in an earlier list, bool (photons,).

    Photons are the same if they agree in TIME, TM_NR and the two columns `place`. A photon is compared only if its time
    is in the time span of its module in another list.

    - `lists` holds the pieces of each list. The photons of all lists are numbered from 0 on.
    - `starts` holds the number of each list's first photon and, as its last entry, the total number of photons.
    - `spans` holds the time spans of each list's modules.

    The photons to compare are written to a temporary file in `folder`, divided into buckets. Equal photons are in the
    same bucket, so that each bucket can be processed alone. A photon in a bucket takes 21 to 33 bytes. The result is a
    memory-mapped file in `folder`, with one byte for each photon of all lists.
    """
    buckets = starts[-1] // _BUCKET_ROWS + 1
    first, second = (np.int16 if name.startswith("raw") else np.float64 for name in place)
    layout = np.dtype(list(zip((*_KEYS, "row"), (np.float64, np.uint8, first, second, np.int64), strict=True)))
    with closing(Buckets(folder)) as keyed, tempfile.TemporaryFile(dir=folder) as marks:
        start = 0
        for origin, pieces in enumerate(lists):
            others = [*spans[:origin], *spans[origin + 1 :]]
            for piece in pieces:
                rows = np.flatnonzero(_shared(piece, others))
                keys = np.empty(rows.size, dtype=layout)
                for key, name in zip(_KEYS, ("time", "tm_nr", *place), strict=True):
                    keys[key] = getattr(piece, name)[rows]
                keys["row"] = start + rows
                keyed.add(keys, _bucket(keys, buckets))
                start += len(piece)
        repeated = np.memmap(marks, dtype=np.bool_, mode="w+", shape=(starts[-1],))
        for rows_of_bucket in keyed:
            repeated[_repeated_rows(rows_of_bucket, starts)] = True
    return repeated


def _shared(piece: EventList, others: Sequence[TimeSpans]) -> NDArray[np.bool_]:
    shared = np.zeros(len(piece), dtype=bool)
    for module in modules_of(piece):
        spans = [other[module] for other in others if module in other]
        if spans:
            rows = piece.tm_nr == module
            shared[rows] = inside(piece.time[rows], union(np.array(spans)))
    return shared


def _bucket(keys: NDArray[Any], buckets: int) -> NDArray[np.int64]:
    """Return the number of the bucket for each row of `keys`, int64 in [0, buckets). Equal rows get one number."""
    mixed = np.zeros(keys.size, dtype=np.uint64)
    for name in _KEYS:
        values = keys[name] + 0.0  # float64, and -0 becomes the 0 that it equals
        mixed = (mixed ^ values.view(np.uint64)) * _SPREAD
        mixed ^= mixed >> np.uint64(32)
    return (mixed % np.uint64(buckets)).astype(np.int64)


def _repeated_rows(keys: NDArray[Any], starts: Sequence[int]) -> NDArray[np.int64]:
    """Return the field `row` of photons that equal one of an earlier list (see `find_repeated`), in arbitrary order."""
    # only rows that share their time with another one can be repeated, and they are few in most lists
    _, place, photons = np.unique(keys["time"], return_inverse=True, return_counts=True)
    keys = keys[photons[place] > 1]
    keys = keys[np.lexsort([keys[name] for name in ("row", *reversed(_KEYS))])]
    same = np.all([keys[name][1:] == keys[name][:-1] for name in _KEYS], axis=0)
    leads = np.concatenate([np.ones(min(keys.size, 1), dtype=bool), ~same])
    first = np.maximum.accumulate(np.where(leads, np.arange(keys.size), 0))
    # two rows of the same list are two photons, even if they are equal
    origin = np.searchsorted(np.array(starts), keys["row"], side="right")
    return np.asarray(keys["row"][origin > origin[first]])
