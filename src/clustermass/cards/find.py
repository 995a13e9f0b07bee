"""Find the mass catalogue of a field, and a cluster in it by id or name."""

import difflib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from clustermass.cards.field import FieldCards
from clustermass.errors import InputError

#: where catalogues are searched below a folder
_PATTERNS = ("masses.fits", "observed/*/masses.fits", "*/observed/*/masses.fits", "results/*/*/observed/*/masses.fits")
#: columns with names, and largest number of names in a message
_NAMES, _LISTED = ("NAME", "NAME_CAT", "ID_CAT"), 5


def find_masses(path: Path) -> Path:
    """Return the path of a mass catalogue (.fits): `path` itself, the file beside it, or one below the folder `path`.

    A file beside `path` has the same name and the ending .fits. A catalogue directly in the folder comes before those
    in folders below. InputError if there is no catalogue, or if there are several below the folder.
    """
    if path.is_dir():
        found = [one for pattern in _PATTERNS for one in sorted(path.glob(pattern))]
        if len(found) == 1 or (found and found[0].parent == path):
            return found[0]
        if found:
            raise InputError(f"{path}: holds several mass catalogues. Name one by --field: {_listed(map(str, found))}")
    elif (beside := path.with_suffix(".fits")).is_file():
        return beside
    raise InputError(f"{path}: no mass catalogue there. Name the output of `clustermass masses`, or a field's folder.")


def find_cluster(field: FieldCards, wanted: str) -> int:
    """Return the row of the cluster with this ID_SRC, id or name of the user's table, NAME, or unique part of a name.

    Case, spaces and underscores don't matter. InputError, with suggestions, if no cluster or several are meant.
    """
    ids = field.columns["ID_SRC"].astype(str)
    names = [field.columns[name] for name in _NAMES if name in field.columns]
    by_realization = np.char.add(np.char.add(field.columns["REALIZATION"].astype(str), "_"), ids)
    word = _plain(wanted)
    for texts in (*names, ids, by_realization):
        rows = [row for row, text in enumerate(texts.tolist()) if word and _plain(text) == word]
        if len(rows) == 1:
            return rows[0]
        if rows:
            meant = [by_realization[row] for row in rows]
            raise InputError(f"{wanted}: {len(rows)} clusters of {field.path} have it. Write {_listed(meant)}")
    rows = sorted({row for texts in names for row, text in enumerate(texts.tolist()) if word in _plain(text)})
    if word and len(rows) == 1:
        return rows[0]
    if word and rows:
        meant = [str(field.columns["NAME"][row]) for row in rows]
        raise InputError(f"{wanted}: a part of {len(rows)} names of {field.path}: {_listed(meant)}")
    known = {_plain(text): text for texts in (*names, ids) for text in texts.tolist() if text}
    near = [known[text] for text in difflib.get_close_matches(word, known, n=3, cutoff=0.6)]
    hint = f" Did you mean {' or '.join(near)}?" if near else " `clustermass show` alone lists the strangest clusters."
    raise InputError(f"{wanted}: no cluster of {field.path} has this id or name.{hint}")


def _plain(text: str) -> str:
    return str(text).casefold().replace("_", "").replace(" ", "")


def _listed(texts: Iterable[str]) -> str:
    names = list(texts)
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else ".")
