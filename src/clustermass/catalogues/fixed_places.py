"""Reading of text tables whose columns have fixed places in the line, as those of the CDS and of IPAC."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from astropy.io import ascii as ascii_tables
from astropy.table import Table


def read_fixed_places(lines: list[str], kind: str) -> Table:
    """Return the table in `lines`, whose format `kind` is "cds" or "ipac" of astropy. Blank lines aren't rows.

    ValueError if a line holds a tab, or if it holds anything but blanks and bars between or beyond the columns, which
    astropy would cut off. ValueError also if two columns have one name, or if a number holds "_", which Python would
    leave out.
    """
    converters = {"*": [_strict(int), _strict(float), ascii_tables.convert_numpy(str)]}
    return ascii_tables.read(lines, format=kind, guess=False, data_splitter_cls=_WholeCells, converters=converters)


class _WholeCells(ascii_tables.FixedWidthSplitter):
    """Divides lines at the places of columns, and refuses lines that hold anything outside of the columns."""

    def __call__(self, lines: Iterable[str]) -> Iterator[list[str]]:
        rows = [line.rstrip() for line in lines if line.strip()]
        names = [column.name for column in self.cols]
        if twins := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several columns are called {twins[0][:40]}")
        gaps = list(_between([(column.start, column.end) for column in self.cols]))
        for row, line in enumerate(rows, 1):
            if "\t" in line:
                raise ValueError(f"row {row} holds a tab, so that the places of its cells are unknown")
            if outside := [cut for start, end in gaps if (cut := line[start:end].strip(" |"))]:
                raise ValueError(f"row {row} holds {outside[0][:20]!r} outside of all columns")
        yield from super().__call__(rows)


def _between(places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int | None]]:
    """Yield start and end of each gap before, between and after `places`. The last gap has no end."""
    covered = 0
    for start, end in sorted(places):
        if start > covered:
            yield covered, start
        covered = max(covered, end)
    yield covered, None


def _strict(kind: type) -> tuple[Callable[[Sequence[str]], Any], type]:
    """Return astropy's converter of texts to numbers, changed so that it refuses texts such as 1_2."""
    convert, column_type = ascii_tables.convert_numpy(kind)

    def converted(cells: Sequence[str]) -> Any:
        if wrong := [cell for cell in cells if "_" in str(cell)]:
            raise ValueError(f"{wrong[0]!r} is not a number")
        return convert(cells)

    return converted, column_type
