"""Columns of the mass catalogue: their order, FITS formats, units, descriptions and UCDs; and the clusters' names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import CooSys, Info
from astropy.table import Column, Table
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.io.files import atomic
from clustermass.io.fits import write_fits
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import config_hash
from clustermass.io.variables import VARIABLES

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
    "LOGM500_FLAT": Kind("E", MASS),
    "LOGM500_FLAT_ERR": Kind("E", MASS_ERROR),
    "LOGM500_FLAT_Q16": Kind("E", f"{MASS};stat.value"),
    "LOGM500_FLAT_Q50": Kind("E", f"{MASS};stat.median"),
    "LOGM500_FLAT_Q84": Kind("E", f"{MASS};stat.value"),
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
    "FLAG_NOCAT": Kind("I", "meta.code.qual"),
    "OOD_P": Kind("E", "stat.probability"),
    "OOD_WHY": Kind("A", "meta.note"),
    "LOGM500_REF": Kind("E", MASS),
    "LOGM500_REF_ERR": Kind("E", MASS_ERROR),
    "REALIZATION": Kind("A", "meta.id;obs.field"),
}
#: columns that a catalogue holds only if they were asked for, by `observed.mass_prior`
FLAT = tuple(name for name in COLUMNS if name.startswith("LOGM500_FLAT"))
_DTYPES = {"J": np.int32, "I": np.int16, "E": np.float32, "D": np.float64}


def typed(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Every column of `COLUMNS`, in that order and as the type that its format says; text as str, (cluster,) each.

    Those of `FLAT` may be missing.
    """
    return {name: _typed(name, columns[name]) for name in COLUMNS if name in columns or name not in FLAT}


def _typed(name: str, values: NDArray[Any]) -> NDArray[Any]:
    kind = COLUMNS[name].format
    return np.asarray(values, dtype=str) if kind == "A" else np.asarray(values, dtype=_DTYPES[kind])


def unit(name: str) -> str | None:
    """Return the unit of a column, as FITS and VOTable spell it; None where it has none."""
    return FITS_UNITS[VARIABLES[name.lower()][0]]


def description(name: str) -> str:
    """Return one line on what a column holds."""
    return VARIABLES[name.lower()][1]


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


#: suffix of each format's file
SUFFIXES = {"fits": ".fits", "votable": ".vot", "ecsv": ".ecsv", "netcdf": ".nc"}


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


def write_catalogue(
    columns: Mapping[str, NDArray[Any]],
    cluster: NDArray[np.str_],
    facts: Mapping[str, tuple[Any, str]],
    made_by: Mapping[str, Any],
    paths: CataloguePaths,
) -> None:
    """Write the same catalogue in four formats. Missing numbers are NaN, never a sentinel.

    Parameters
    ----------
    columns
        Every column of `columns.COLUMNS`, (cluster,); those of `columns.FLAT` may be missing.
    cluster
        Ids, (cluster,): the coordinate of the netCDF file.
    facts
        Keyword (of more than 8 characters: a HIERARCH card) -> (value, comment): mass definition, cosmology, ...
    made_by
        What `provenance` returns.
    paths
        Files to write.
    """
    inputs = made_by.get("input_sha256", {}).values()
    facts = {
        **facts,
        "CREATOR": (made_by["source"], "and its version"),
        "CONFHASH": (made_by["config_hash"], "hash of the settings of the last step"),
        "INPTHASH": (config_hash({"sha256": list(inputs)}), "hash of the SHA-256 of all input files"),
    }
    table, header = typed(columns), Header(facts, made_by)
    write_fits_table(table, header, paths.fits)
    write_votable(table, header, paths.votable)
    write_ecsv(table, header, paths.ecsv)
    dataset = xr.Dataset({name.lower(): ("cluster", values) for name, values in table.items()}, {"cluster": cluster})
    write_netcdf(dataset, paths.netcdf, TITLE, {**{key.lower(): v for key, (v, _) in facts.items()}, **made_by})
