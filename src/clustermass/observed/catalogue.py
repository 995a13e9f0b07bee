"""The mass catalogue as a product: columns with units, descriptions and UCDs, in FITS, ECSV and netCDF."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.table import Column, Table
from numpy.typing import NDArray

from clustermass.cosmology import FloatArray
from clustermass.datasets import VARIABLES, atomic, write_fits, write_netcdf

TITLE = "Masses of galaxy clusters from eROSITA images, by an ensemble of neural networks"
#: units of `datasets.VARIABLES` as FITS spells them; a log10 mass has none (TOPCAT shows the description)
FITS_UNITS = {"1": None, "degree": "deg", "count": "count", "s": "s"}


class Kind(NamedTuple):
    """FITS format and UCD of a column."""

    format: str
    ucd: str


MASS, MASS_ERROR = "phys.mass", "stat.error;phys.mass"
#: columns in their order; unit and description stand in `datasets.VARIABLES` under the lower-case name
COLUMNS: dict[str, Kind] = {
    "ID_SRC": Kind("J", "meta.id;meta.main"),
    "NAME": Kind("A", "meta.id"),
    "RA": Kind("D", "pos.eq.ra;meta.main"),
    "DEC": Kind("D", "pos.eq.dec;meta.main"),
    "Z": Kind("E", "src.redshift"),
    "Z_ERR": Kind("E", "stat.error;src.redshift"),
    "LOGM500": Kind("E", MASS),
    "LOGM500_ERR": Kind("E", MASS_ERROR),
    "LOGM500_ERR_ALEATORIC": Kind("E", MASS_ERROR),
    "LOGM500_ERR_EPISTEMIC": Kind("E", MASS_ERROR),
    "LOGM500_ERR_Z": Kind("E", MASS_ERROR),
    "LOGM500_Q16": Kind("E", f"{MASS};stat.value"),
    "LOGM500_Q50": Kind("E", f"{MASS};stat.median"),
    "LOGM500_Q84": Kind("E", f"{MASS};stat.value"),
    "LOGM500_CONF68_LO": Kind("E", f"{MASS};stat.min"),
    "LOGM500_CONF68_HI": Kind("E", f"{MASS};stat.max"),
    "LOGM500_CONF90_LO": Kind("E", f"{MASS};stat.min"),
    "LOGM500_CONF90_HI": Kind("E", f"{MASS};stat.max"),
    "LOGM500_CONF95_LO": Kind("E", f"{MASS};stat.min"),
    "LOGM500_CONF95_HI": Kind("E", f"{MASS};stat.max"),
    "N_MEMBER": Kind("I", "meta.number"),
    "DET_LIKE": Kind("E", "stat.likelihood"),
    "EXT_LIKE": Kind("E", "stat.likelihood;phys.angSize"),
    "N_PHOT": Kind("J", "phot.count;em.X-ray"),
    "EXPOSURE": Kind("E", "time.duration;obs.exposure"),
    "COVERED_FRACTION": Kind("E", "stat.value;obs.field"),
    "FLAG_RANGE": Kind("I", "meta.code.qual"),
    "FLAG_OOD": Kind("I", "meta.code.qual"),
    "FLAG_EDGE": Kind("I", "meta.code.qual"),
    "FLAG_NOZ": Kind("I", "meta.code.qual"),
    "LOGM500_REF": Kind("E", MASS),
    "LOGM500_REF_ERR": Kind("E", MASS_ERROR),
    "REALIZATION": Kind("A", "meta.id;obs.field"),
}
_DTYPES = {"J": np.int32, "I": np.int16, "E": np.float32, "D": np.float64}


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
    facts: Mapping[str, Any],
    made_by: Mapping[str, Any],
    paths: Mapping[str, Path],
) -> None:
    """Write the same catalogue as FITS, ECSV and netCDF. Missing numbers are NaN, never a sentinel.

    Parameters
    ----------
    columns
        Every column of `COLUMNS`, (cluster,).
    cluster
        Ids, (cluster,): the coordinate of the netCDF file.
    facts
        FITS keyword (8 characters or `HIERARCH`) -> (value, comment): mass definition, cosmology, training sample, ...
    made_by
        What `provenance` returns.
    paths
        Where to write `fits`, `ecsv` and `netcdf`.
    """
    facts = {
        **facts,
        "CREATOR": (made_by["source"], "and its version"),
        "CONFHASH": (made_by["config_hash"], "hash of the settings of the last step"),
    }
    typed = {name: _typed(name, columns[name]) for name in COLUMNS}
    write_fits(fits.HDUList([fits.PrimaryHDU(), _bintable(typed, facts, made_by)]), paths["fits"])
    with atomic(paths["ecsv"]) as temporary:
        _table(typed, facts, made_by).write(temporary, format="ascii.ecsv", overwrite=True)
    dataset = xr.Dataset(
        {name.lower(): ("cluster", values) for name, values in typed.items()}, coords={"cluster": cluster}
    )
    write_netcdf(dataset, paths["netcdf"], TITLE, {**{key.lower(): v for key, (v, _) in facts.items()}, **made_by})


def _typed(name: str, values: NDArray[Any]) -> NDArray[Any]:
    kind = COLUMNS[name].format
    return np.asarray(values, dtype=str) if kind == "A" else np.asarray(values, dtype=_DTYPES[kind])


def _unit(name: str) -> str | None:
    return FITS_UNITS[VARIABLES[name.lower()][0]]


def _bintable(
    columns: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], made_by: Mapping[str, Any]
) -> fits.BinTableHDU:
    """Table with TTYPE, TUNIT, TCOMM and TUCD of every column; the last two are what TOPCAT shows."""
    made = []
    for name, values in columns.items():
        letter = COLUMNS[name].format
        width = f"{max(1, values.dtype.itemsize // 4)}A" if letter == "A" else letter
        made.append(fits.Column(name=name, format=width, unit=_unit(name), array=values))
    table = fits.BinTableHDU.from_columns(made, name="MASSES")
    for number, name in enumerate(columns, start=1):
        table.header[f"TCOMM{number}"] = VARIABLES[name.lower()][1]
        table.header[f"TUCD{number}"] = COLUMNS[name].ucd
    for key, value in facts.items():
        table.header[f"HIERARCH {key}" if len(key) > 8 else key] = value
    for line in _history(made_by):
        table.header.add_history(line)
    return table


def _table(columns: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], made_by: Mapping[str, Any]) -> Table:
    described = [
        Column(values, name, unit=_unit(name), description=VARIABLES[name.lower()][1], meta={"ucd": COLUMNS[name].ucd})
        for name, values in columns.items()
    ]
    return Table(described, meta={**{key: value for key, (value, _) in facts.items()}, "HISTORY": _history(made_by)})


def _history(made_by: Mapping[str, Any]) -> list[str]:
    """Return the provenance as lines of text, one an entry; other than printable ASCII is escaped, as FITS wants it."""
    inputs = made_by.get("input_sha256", {})
    plain = {key: value for key, value in made_by.items() if key != "input_sha256"}
    lines = [f"{key} = {v if isinstance(v, str) else json.dumps(v, sort_keys=True)}" for key, v in plain.items()]
    lines += [f"input {name} sha256 {digest}" for name, digest in inputs.items()]
    return [line.encode("unicode_escape").decode("ascii") for line in lines]
