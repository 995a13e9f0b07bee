"""Find a cluster of a mass catalogue by id or name."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from clustermass.errors import InputError

#: columns with names or ids, the user's own before ours
IDENTIFIERS = ("NAME", "NAME_CAT", "ID_CAT", "ID_SRC", "REALIZATION")
#: largest number of names in a message
LISTED = 5


def find_cluster(columns: Mapping[str, Sequence[str]], wanted: str | int, where: object) -> int:
    """Return the row of the cluster whose name or id is `wanted`, or whose name contains `wanted`.

    `columns` holds NAME, ID_SRC and, if the catalogue has them, the other columns of `IDENTIFIERS`, all as texts. Case,
    spaces and underscores don't matter. If `wanted` consists of digits, it is compared only with whole ids and names.

    InputError if no cluster or more than one cluster fits. The message begins with `where` (the catalogue) and lists
    some names: those that fit, or else names similar to `wanted`, or else the first names of the catalogue.
    """
    rows, word = rows_called(columns, wanted), _plain(wanted)
    if len(rows) > 1:
        listed = short_list(_with_realization(columns)[row] for row in rows)
        raise InputError(f"{where}: {len(rows)} clusters have the id or name {wanted!r}. Write {listed}")
    names = [columns[name] for name in IDENTIFIERS[:3] if name in columns]
    if not rows and word and not word.isdigit():  # digits alone are an unknown id
        rows = sorted({row for texts in names for row, text in enumerate(texts) if word in _plain(text)})
    if len(rows) > 1:
        listed = short_list(columns["NAME"][row] for row in rows)
        raise InputError(f"{where}: {wanted!r} is a part of {len(rows)} names: {listed}")
    if not rows:
        known = {_plain(text): text for texts in (*names, columns["ID_SRC"]) for text in texts if text}
        similar = [] if word.isdigit() else difflib.get_close_matches(word, known, n=3, cutoff=0.6)
        near = [known[text] for text in similar]
        hint = f"Did you mean {' or '.join(near)}?" if near else f"It holds {short_list(columns['NAME'])}"
        raise InputError(f"{where}: no cluster has the id or name {wanted!r}. {hint}")
    return rows[0]


def rows_called(columns: Mapping[str, Sequence[str]], wanted: str | int) -> list[int]:
    """Return the rows whose name or id is exactly `wanted`.

    The columns of `IDENTIFIERS` are searched in order, until one of them contains `wanted`.
    """
    searched = [columns[name] for name in IDENTIFIERS[:-1] if name in columns]
    for texts in (*searched, _with_realization(columns)):
        if rows := [row for row, text in enumerate(texts) if text and _plain(text) == _plain(wanted)]:
            return rows
    return []


def short_list(texts: Iterable[str]) -> str:
    """Return the first `LISTED` texts, separated by commas. The end is ", ..." if there are more, otherwise "."."""
    names = list(texts)
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else ".")


def _with_realization(columns: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return ids such as 01_123, unique in a catalogue of several realizations."""
    ids = columns["ID_SRC"]
    return [f"{one}_{number}" for one, number in zip(columns.get("REALIZATION", ids), ids, strict=True)]


def _plain(text: str | int) -> str:
    return str(text).casefold().replace("_", "").replace(" ", "")
