"""The mass catalogue in the formats that astronomers' tools read: FITS, VOTable and ECSV."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import CooSys, Info
from astropy.table import Column, Table
from numpy.typing import NDArray

from clustermass.datasets import atomic, write_fits
from clustermass.observed.columns import COLUMNS, description, unit

TITLE = "Masses of galaxy clusters from eROSITA images, by an ensemble of neural networks"
#: comment of the checksum cards, in which astropy would write the time
CHECKSUM_COMMENT = "FITS checksum convention"

Columns = Mapping[str, NDArray[Any]]


class Header(NamedTuple):
    """What goes before the rows.

    Attributes
    ----------
    facts
        Keyword (of more than 8 characters: a HIERARCH card in FITS) -> (value, comment).
    made_by
        What `provenance` returns.
    """

    facts: Mapping[str, tuple[Any, str]]
    made_by: Mapping[str, Any]

    def history(self) -> list[tuple[str, str]]:
        """Provenance as pairs of a name and a text in printable ASCII, as FITS wants it; one pair an input file."""
        inputs = self.made_by.get("input_sha256", {})
        pairs = [(key, _text(value)) for key, value in self.made_by.items() if key != "input_sha256"]
        pairs += [("input", f"{name} sha256 {digest}") for name, digest in inputs.items()]
        return [(name, text.encode("unicode_escape").decode("ascii")) for name, text in pairs]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def write_fits_table(columns: Columns, header: Header, path: Path) -> None:
    """Write a binary table with TTYPE, TUNIT, TCOMM and TUCD of every column, and checksums.

    TCOMM and TUCD are what TOPCAT shows as description and UCD.

    Parameters
    ----------
    columns
        As `columns.typed` returns them, (cluster,) each.
    header
        Facts become keywords, the provenance HISTORY.
    path
        File to write.
    """
    hdus = fits.HDUList([fits.PrimaryHDU(), _bintable(columns, header)])
    for hdu in hdus:
        hdu.add_datasum(when=CHECKSUM_COMMENT)
        hdu.add_checksum(when=CHECKSUM_COMMENT, override_datasum=True)
    write_fits(hdus, path)


def _bintable(columns: Columns, header: Header) -> fits.BinTableHDU:
    made = []
    for name, values in columns.items():
        letter = COLUMNS[name].format
        width = f"{max(1, values.dtype.itemsize // 4)}A" if letter == "A" else letter
        made.append(fits.Column(name=name, format=width, unit=unit(name), array=values))
    table = fits.BinTableHDU.from_columns(made, name="MASSES")
    for number, name in enumerate(columns, start=1):
        table.header[f"TCOMM{number}"] = description(name)
        table.header[f"TUCD{number}"] = COLUMNS[name].ucd
    for key, value in header.facts.items():
        table.header[f"HIERARCH {key}" if len(key) > 8 else key] = value
    for name, text in header.history():
        table.header.add_history(f"{name} = {text}")
    return table


def write_votable(columns: Columns, header: Header, path: Path) -> None:
    """Write a VOTable with units, descriptions and UCDs; numbers as the shortest text that gives back the same bits.

    Parameters
    ----------
    columns
        As `columns.typed` returns them, (cluster,) each.
    header
        Facts and provenance become INFO elements of the table.
    path
        File to write.
    """
    # as bytes, text gets the datatype char; str would get unicodeChar, which not every reader takes
    plain = {name: np.char.encode(v, "ascii") if v.dtype.kind == "U" else v for name, v in columns.items()}
    votable = from_table(Table(_described(plain)), table_id="MASSES")
    resource, table = votable.resources[0], votable.get_first_table()
    resource.coordinate_systems.append(CooSys(ID="ICRS", system="ICRS"))
    table.name, table.description = "MASSES", TITLE
    for field in table.fields:
        if field.name in ("RA", "DEC"):
            field.ref = "ICRS"
    for key, (value, comment) in header.facts.items():
        table.infos.append(_info(key, _text(value), comment))
    table.infos.extend(_info(name, text) for name, text in header.history())
    with atomic(path) as temporary:
        votable.to_xml(str(temporary))


def _info(name: str, value: str, comment: str | None = None) -> Info:
    info = Info(name=name, value=value)
    info.ID = None  # astropy's would be the name, which several input files share
    info.content = comment
    return info


def write_ecsv(columns: Columns, header: Header, path: Path) -> None:
    """Write ECSV: text with a header of units, descriptions, UCDs (`meta` of each column), facts and HISTORY.

    Parameters
    ----------
    columns
        As `columns.typed` returns them, (cluster,) each.
    header
        Facts and provenance.
    path
        File to write.
    """
    meta = {key: value for key, (value, _) in header.facts.items()}
    meta["HISTORY"] = [f"{name} = {text}" for name, text in header.history()]
    with atomic(path) as temporary:
        Table(_described(columns), meta=meta).write(temporary, format="ascii.ecsv", overwrite=True)


def _described(columns: Columns) -> list[Column]:
    return [
        Column(values, name, unit=unit(name), description=description(name), meta={"ucd": COLUMNS[name].ucd})
        for name, values in columns.items()
    ]
