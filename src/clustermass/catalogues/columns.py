"""Which column of a user's table stands for which of ours."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from astropy.table import Table

from clustermass.catalogues.tables import nearest
from clustermass.errors import InputError


def find_columns(
    table: Table, path: Path, synonyms: Mapping[str, Sequence[str]], given: Mapping[str, str]
) -> dict[str, str]:
    """Find which column of a user's table stands for which of ours; names compare without regard to case.

    Parameters
    ----------
    table, path
        The table and its file (for messages).
    synonyms
        For each of our names the usual names, best first.
    given
        The user's own map, our name -> their name; goes before the synonyms.

    Returns
    -------
    dict
        Our name -> the table's exact column name, for those that were found.

    Raises
    ------
    InputError
        `given` has a name that we don't know or names a column that the table lacks.
    """
    unknown = [ours for ours in given if ours not in synonyms]
    if unknown:
        which = f"{unknown[0]!r} is no column" if len(unknown) == 1 else f"{_list(map(repr, unknown))} are no columns"
        raise InputError(f"columns: {which} of ours.{_meant(unknown, synonyms)} Known: {_list(synonyms)}.")
    matches = {ours: _match(theirs, table.colnames) for ours, theirs in given.items()}
    absent = {ours: given[ours] for ours, column in matches.items() if column is None}
    if absent:
        wanted = _list(f"no column {theirs!r} (wanted for {ours})" for ours, theirs in absent.items())
        raise InputError(f"{path}: has {wanted}.{_meant(absent.values(), table.colnames)}{_available(table)}")
    found = {ours: column for ours, column in matches.items() if column is not None}
    for ours, names in synonyms.items():
        columns = [column for name in names if (column := _match(name, table.colnames))]
        if ours not in found and columns:
            found[ours] = columns[0]
    return found


def require_columns(
    table: Table, path: Path, found: Mapping[str, str], needed: Mapping[str, str], setting: str, option: str = ""
) -> None:
    """Raise InputError unless every column in `needed` was found.

    Parameters
    ----------
    table, path
        The table and its file (for messages).
    found
        What `find_columns` returns.
    needed
        Our name -> the quantity in words.
    setting
        Config key that can name the column.
    option
        Option of the command line that can do so; empty = none.
    """
    missing = [ours for ours in needed if ours not in found]
    if not missing:
        return
    wanted = _list(f"{ours} ({needed[ours]})" for ours in missing)
    map_of = _list(f"{ours}: <your column>" for ours in missing)
    by_option = " ".join(f"{option} {ours}=<your column>" for ours in missing)
    by_option = f" (on the command line: {by_option})" if option else ""
    names = "If it goes by another name" if len(missing) == 1 else "If they go by other names"
    raise InputError(
        f"{path}: has no column for {wanted}.{_meant(missing, table.colnames)}{_available(table)} {names}, say so "
        f"under {setting}: {{{map_of}}}{by_option}."
    )


def _match(name: str, columns: Sequence[str]) -> str | None:
    if name in columns:
        return name
    return next((column for column in columns if column.lower() == name.lower()), None)


def _meant(words: Iterable[str], known: Sequence[str] | Mapping[str, object]) -> str:
    """Return the nearest known word to each, named if there are several."""
    words = list(words)
    if len(words) == 1:
        return nearest(words[0], known)
    return "".join(nearest(word, known).replace("?", f" for {word}?") for word in words)


def _available(table: Table) -> str:
    return f" Its columns: {_list(table.colnames)}."


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
