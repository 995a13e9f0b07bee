"""The mass catalogue: one table in FITS, VOTable, ECSV and netCDF; and the clusters' names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import xarray as xr
from astropy.io.votable import from_table
from astropy.io.votable.tree import CooSys, Info
from astropy.table import Column, Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.io.files import atomic
from clustermass.io.netcdf import write_netcdf
from clustermass.io.products import MASSES, write_table
from clustermass.io.provenance import config_hash, history

TITLE = "Masses of galaxy clusters from eROSITA images, by an ensemble of neural networks"
#: columns that a catalogue holds only if they were asked for, by `observed.mass_prior`
FLAT = tuple(column.name for column in MASSES if column.optional)
_DTYPES = {"J": np.int32, "I": np.int16, "E": np.float32, "D": np.float64, "A": str}
#: suffix of each format's file
SUFFIXES = {"fits": ".fits", "votable": ".vot", "ecsv": ".ecsv", "netcdf": ".nc"}


#: header: keyword of at most 8 characters -> (value, comment)
Cards: TypeAlias = dict[str, tuple[str | float, str]]


class CataloguePaths(NamedTuple):
    """Where the same catalogue is written in each format."""

    fits: Path
    votable: Path
    ecsv: Path
    netcdf: Path

    @classmethod
    def beside(cls, fits: Path) -> "CataloguePaths":
        """`fits` itself, and the others beside it under the same name."""
        return cls(**{name: fits.with_suffix(suffix) for name, suffix in SUFFIXES.items()})


def iau_names(acronym: str, ra: FloatArray, dec: FloatArray) -> NDArray[np.str_]:
    """Names `<acronym> JHHMMSS.s+DDMMSS`, coordinates truncated, not rounded, as the IAU asks.

    Parameters
    ----------
    acronym
        Of the survey; "SIM" for simulated fields.
    ra, dec
        ICRS, degrees, (cluster,).
    """
    # a billionth of the last digit mends what binary fractions of degrees lose
    tenths = np.floor(np.mod(ra, 360) * 2400 + 1e-6).astype(int)
    arcsec = np.floor(np.abs(dec) * 3600 + 1e-6).astype(int)
    return np.array(
        [
            f"{acronym} J{t // 36000:02d}{t // 600 % 60:02d}{t // 10 % 60:02d}.{t % 10}"
            f"{'-' if south else '+'}{a // 3600:02d}{a // 60 % 60:02d}{a % 60:02d}"
            for t, a, south in zip(tenths, arcsec, np.signbit(dec), strict=True)
        ],
        dtype=str,
    )


def write_catalogue(
    columns: Mapping[str, NDArray[Any]],
    cluster: NDArray[np.str_],
    header: Cards,
    made_by: Mapping[str, Any],
    paths: CataloguePaths,
) -> None:
    """Write the same catalogue in four formats. Missing numbers are NaN, never a sentinel.

    Parameters
    ----------
    columns
        Every column of `clustermass.io.products.MASSES`, (cluster,); those of `FLAT` may be missing.
    cluster
        Ids, (cluster,): the coordinate of the netCDF file.
    header
        Mass definition, cosmology, training sample, ...
    made_by
        What `provenance` returns.
    paths
        Files to write.
    """
    inputs = made_by.get("input_sha256", {}).values()
    cards = {
        **header,
        "CREATOR": (made_by["source"], "and its version"),
        "CONFHASH": (made_by["config_hash"], "hash of the settings of the last step"),
        "INPTHASH": (config_hash({"sha256": list(inputs)}), "hash of the SHA-256 of all input files"),
    }
    table = _table(columns)
    write_table(paths.fits, "MASSES", MASSES, table, cards, made_by, checksum=True)
    _write_votable(table, cards, history(made_by), paths.votable)
    table.meta = {key: value for key, (value, _) in cards.items()}
    table.meta["HISTORY"] = [f"{name} = {text}" for name, text in history(made_by)]
    with atomic(paths.ecsv) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)
    variables = {name.lower(): ("cluster", np.asarray(table[name])) for name in table.colnames}
    attributes = {key.lower(): value for key, (value, _) in cards.items()}
    write_netcdf(xr.Dataset(variables, {"cluster": cluster}), paths.netcdf, TITLE, {**attributes, **made_by})


def _table(columns: Mapping[str, NDArray[Any]]) -> Table:
    """Return the columns of `MASSES` in their order and types, with unit, description and UCD."""
    return Table(
        [
            Column(
                np.asarray(columns[one.name], dtype=_DTYPES[one.format]), one.name,
                unit=one.unit, description=one.description, meta={"ucd": one.ucd},
            )
            for one in MASSES
            if one.name in columns or not one.optional
        ]
    )  # fmt: skip


def _write_votable(table: Table, cards: Cards, made_by: list[tuple[str, str]], path: Path) -> None:
    """Write a VOTable: numbers as the shortest text that gives back the same bits, header and provenance as INFO."""
    plain = table.copy()
    # as bytes, text gets the datatype char; str would get unicodeChar, which not every reader takes
    plain.convert_unicode_to_bytestring()
    votable = from_table(plain, table_id="MASSES")
    resource, written = votable.resources[0], votable.get_first_table()
    resource.coordinate_systems.append(CooSys(ID="ICRS", system="ICRS"))
    written.name, written.description = "MASSES", TITLE
    for field in written.fields:
        if field.name in ("RA", "DEC"):
            field.ref = "ICRS"
    for key, (value, comment) in cards.items():
        written.infos.append(_info(key, value if isinstance(value, str) else json.dumps(value), comment))
    written.infos.extend(_info(name, text) for name, text in made_by)
    with atomic(path) as temporary:
        votable.to_xml(str(temporary))


def _info(name: str, value: str, comment: str | None = None) -> Info:
    info = Info(name=name, value=value)
    info.ID = None  # astropy's would be the name, which several input files share
    info.content = comment
    return info
