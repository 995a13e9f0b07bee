"""Inputs of the Python interface: files, or tables and exposure maps in memory."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypedDict

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table

from clustermass import limits
from clustermass.catalogues.plain import plain_table
from clustermass.errors import InputError
from clustermass.io.files import check_path, reason
from clustermass.io.fits import write_fits
from clustermass.io.log import renamed

PathLike: TypeAlias = str | os.PathLike[str]
#: files, or tables and exposure maps in memory
Catalogue: TypeAlias = PathLike | Table
Events: TypeAlias = Catalogue | Sequence[Catalogue]
Exposure: TypeAlias = PathLike | CCDData | Sequence[PathLike | CCDData] | None
#: whole numbers of a header are smaller
_LARGEST = 2.0**63
#: most characters of a text on one card
_LONGEST = 68


class FieldOptions(TypedDict, total=False):
    """Those arguments of `Ensemble.masses` that concern the field. They are described there."""

    exposure_s: float | None
    columns: Mapping[str, str] | None
    catalogue_bands: Sequence[int] | None
    acronym: str


class CatalogueOptions(FieldOptions, total=False):
    """Those arguments of `Ensemble.masses` that concern the field or the mass catalogue. They are described there."""

    mass_prior: str
    output: PathLike | None
    overwrite: bool


@contextmanager
def as_files(
    events: Events, catalogue: Catalogue, exposure: Exposure = None
) -> Iterator[tuple[list[Path], Path, list[Path]]]:
    """Yield the paths of event lists, catalogue and exposure maps. Data in memory are written to temporary files.

    InputError if an input is neither a path nor a table or map in memory. InputErrors and log messages in the `with`
    block call the temporary files "events in memory", "catalogue in memory" and "exposure in memory".
    """
    with tempfile.TemporaryDirectory(prefix="clustermass-") as folder, renamed({f"{folder}/": ""}):
        place = Path(folder)
        of_catalogue = _on_disk(catalogue, place / "catalogue in memory", Table)
        lists = [_on_disk(one, path, Table) for one, path in _each(events, place / "events in memory")]
        maps = [_on_disk(one, path, CCDData) for one, path in _each(exposure, place / "exposure in memory")]
        yield lists, of_catalogue, maps


def path_of(source: object, what: str) -> Path:
    """Return the path `source` of a mass catalogue as a Path.

    InputError if `source` isn't a possible path. The message calls `source` by the name `what`.
    """
    if isinstance(source, str | os.PathLike):
        check_path(path := Path(source))
        return path
    kind = type(source).__name__
    raise InputError(
        f'{what}: is a {kind}. Give the path of a mass catalogue; masses(..., output="m.fits") writes one.'
    )


def name_of(cluster: object) -> str:
    """Return a cluster's id or name as text. InputError if it is something else, such as a row of a table."""
    if isinstance(cluster, str | int | np.integer):
        return str(cluster)
    raise InputError(f"cluster: is a {type(cluster).__name__}. Give its id or name; for a row of a table, row['NAME'].")


def _each(sources: object, path: Path) -> list[tuple[object, Path]]:
    """Return pairs of a source and a path for writing it: `path`, then `path` with a blank and 2, 3, ... added."""
    listed = list(sources) if isinstance(sources, list | tuple) else [] if sources is None else [sources]
    return [(one, path if number == 1 else Path(f"{path} {number}")) for number, one in enumerate(listed, start=1)]


def _on_disk(source: object, path: Path, kind: type[Table | CCDData]) -> Path:
    """Return the path of `source`, after writing it to `path` if it is in memory.

    InputError if `source` is of another `kind`, or if FITS can't hold it.
    """
    if isinstance(source, str | os.PathLike):
        check_path(given := Path(source))
        return given
    what = path.name.partition(" ")[0]
    if not isinstance(source, kind):
        raise InputError(f"{what}: is a {type(source).__name__}. Give a path or a {kind.__name__} of astropy.")
    limits.METADATA.check(len(source.meta), what)
    try:
        hdus = source.to_hdu() if isinstance(source, CCDData) else _table_hdus(source, path)
        write_fits(hdus, path)
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError, fits.VerifyError) as error:
        why = f"FITS can't hold it: {reason(error)}"
        raise InputError(f"{what}: {why}. Give plain numbers and texts, or a path.") from error
    return path


def _table_hdus(table: Table, path: Path) -> fits.HDUList:
    """Return a table in memory as the HDUs of a file. Metadata that fit into a FITS header become header cards."""
    plain = plain_table(Table(table, copy=False), path)
    plain.meta = {key: value for key, value in table.meta.items() if _fits_in(key, value)}
    hdu = fits.table_to_hdu(plain)
    hdu.name = path.name.partition(" ")[0].upper()
    return fits.HDUList([fits.PrimaryHDU(), hdu])


def _fits_in(key: object, value: object) -> bool:
    if isinstance(value, str):
        good = value.isascii() and value.isprintable() and len(value) <= _LONGEST
    else:
        good = isinstance(value, int | float) and abs(value) < _LARGEST
    return good and isinstance(key, str) and bool(re.fullmatch(r"[A-Z0-9_-]{1,8}", key, re.ASCII | re.IGNORECASE))
