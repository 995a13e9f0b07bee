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
    found: dict[str, str] = {}
    for ours, theirs in given.items():
        if ours not in synonyms:
            raise InputError(
                f"columns: {ours!r} is no column of ours.{nearest(ours, synonyms)} Known: {_list(synonyms)}."
            )
        column = _match(theirs, table.colnames)
        if column is None:
            raise InputError(f"{path}: has no column {theirs!r} (wanted for {ours}).{_available(theirs, table)}")
        found[ours] = column
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
    for ours, quantity in needed.items():
        if ours not in found:
            by_option = f" (on the command line: {option} {ours}=<your column>)" if option else ""
            hint = f" If it goes by another name, say so under {setting}: {{{ours}: <your column>}}{by_option}."
            raise InputError(f"{path}: has no column for {ours} ({quantity}).{_available(ours, table)}{hint}")


def _match(name: str, columns: Sequence[str]) -> str | None:
    if name in columns:
        return name
    return next((column for column in columns if column.lower() == name.lower()), None)


def _available(name: str, table: Table) -> str:
    return f"{nearest(name, table.colnames)} Its columns: {_list(table.colnames)}."


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
