"""The mass catalogue of a field: its header, the names of its clusters, and its files in four formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import CooSys, Info
from astropy.table import Column, Table
from numpy.typing import NDArray

from clustermass.apply.mass_prior import FLOOR, MassPrior
from clustermass.apply.physics import TABLE, Physics
from clustermass.arrays import FloatArray
from clustermass.ensemble.calibration import LEVELS, coverage_error
from clustermass.ensemble.out_of_distribution import FALSE_ALARMS, sample_p
from clustermass.io.files import atomic
from clustermass.io.netcdf import VARIABLES, write_netcdf
from clustermass.io.products import MASSES, MEMBERS, UNDEFINED, write_table
from clustermass.io.provenance import config_hash, history

if TYPE_CHECKING:
    from clustermass.config.models import Cosmology
    from clustermass.ensemble.aggregate import Training
    from clustermass.ensemble.calibration import Calibration
    from clustermass.ensemble.out_of_distribution import OodModel

TITLE = "Masses of galaxy clusters from eROSITA images, by an ensemble of neural networks"
_DTYPES = {"J": np.int32, "I": np.int16, "E": np.float32, "D": np.float64, "A": str}
#: rows that are turned into text at once
_ROWS = 10_000
#: column -> values (cluster,)
Columns: TypeAlias = dict[str, NDArray[Any]]
#: header: keyword of at most 8 characters -> (value, comment)
Cards: TypeAlias = dict[str, tuple[str | float, str]]


class CataloguePaths(NamedTuple):
    """Paths of the four files of a mass catalogue, of its regions for DS9, and of its field's coverage map."""

    fits: Path
    votable: Path
    ecsv: Path
    netcdf: Path
    regions: Path
    moc: Path

    @classmethod
    def beside(cls, fits: Path) -> CataloguePaths:
        """Return paths that differ from `fits` only in their endings."""
        return cls(*map(fits.with_suffix, (".fits", ".vot", ".ecsv", ".nc", ".reg", ".moc.fits")))


def iau_names(acronym: str, ra: FloatArray, dec: FloatArray) -> NDArray[np.str_]:
    """Return names `<acronym> JHHMMSS.s+DDMMSS` of ICRS positions in deg, (cluster,).

    Coordinates aren't rounded: the digits that the name doesn't show are cut off.
    """
    # a millionth of the last digit is added, because a binary number may be slightly below the decimal one
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


def header_cards(
    simulated: bool,
    cosmology: Cosmology,
    members: int,
    training: Training,
    calibration: Calibration,
    ood_model: OodModel,
    p: FloatArray,
    prior: MassPrior | None,
) -> Cards:
    """Return the FITS header cards of a mass catalogue: origin, definition of mass, training sample, calibration.

    `members` is the number of networks. `p` holds the column OOD_P, (cluster,), from which the card OODSAMP is
    computed. `prior` is the mass distribution of the training sample. If the catalogue has no columns LOGM500_FLAT*,
    `prior` is None and the card FLATFLR is left out.
    """
    sample = sample_p(p, ood_model.number)
    return {
        "ORIGIN": ("clustermass", "software that made this catalogue"),
        "REFERENC": ("2024A&A...682A.132K", "method: Krippendorf, Baron Perez et al."),
        "SIMULATE": (simulated, "T: a simulated field, no observation"),
        "RADESYS": ("ICRS", "frame of RA and DEC"),
        "MASSDEF": ("M500c", "mass inside 500 times the critical density"),
        "MASSUNIT": ("Msun", "masses are log10(M500c / Msun), no h"),
        "H0": (float(cosmology["h0_km_s_mpc"]), "[km/s/Mpc] of the training sky"),
        "OMEGA_M": (float(cosmology["omega_m"]), "of the training sky, flat LCDM"),
        "NMEMBER": (members, "networks in the ensemble"),
        "NTRAIN": (training.number, "simulated clusters in training"),
        **_range_cards("TRAINZ", training.ranges["redshift"], "redshift in training"),
        "TRAINZER": (training.redshift_error, "rms of redshift error / (1 + z) in training"),
        **_range_cards("TRAINM", training.ranges["log10_m500c"], "log10 mass in training"),
        **_range_cards("TRAINC", training.ranges["ml_cts"], "ML_CTS in training"),
        **_range_cards("TRAINE", training.ranges["exposure_s"], "[s] exposure in training"),
        "NCALIB": (calibration.number, "simulated clusters that calibrated the errors"),
        "RECALIB": (calibration.form, "errors: none, scale or scale_and_floor"),
        "RECALSCL": (calibration.recalibration.scale, "sigma of the networks times this"),
        "RECALFLR": (calibration.recalibration.floor_dex, "[dex] and this added in quadrature"),
        **_conformal_cards(calibration),
        **({"FLATFLR": (FLOOR, "least training density divided out, of its peak")} if prior else {}),
        "NOOD": (ood_model.number, "simulated clusters that OOD_P ranks among"),
        "OODRATE": (FALSE_ALARMS, "share of such clusters with FLAG_OOD, at most"),
        **({"OODSAMP": (sample, "p-value: all clusters together are like those")} if sample is not None else {}),
    }


def _conformal_cards(calibration: Calibration) -> Cards:
    """Return header cards with the standard errors (in %) of the conformal intervals' coverages."""
    errors = {level: coverage_error(level, calibration.number) for level in LEVELS}
    what = "error of the level of LOGM500_CONF"
    return {f"CONF{k}ER": (round(100 * error, 1), f"[%] {what}{k}") for k, error in errors.items() if error}


def _range_cards(key: str, ends: tuple[float, float], what: str) -> Cards:
    """Return two header cards with the ends of a training range, or none if they are NaN: FITS can't hold NaN."""
    low, high = ends
    return {f"{key}LO": (low, f"smallest {what}"), f"{key}HI": (high, f"largest {what}")} if low <= high else {}


def write_catalogue(
    columns: Columns,
    cluster: NDArray[np.str_],
    header: Cards,
    made_by: Mapping[str, Any],
    paths: CataloguePaths,
    physics: Physics | None = None,
) -> Table:
    """Write the mass catalogue in four formats, and return it as a table. Missing numbers are NaN.

    `columns` holds the columns of `clustermass.io.products.MASSES`, each (cluster,), of which only optional ones may
    be missing. `columns` also holds the columns of `MEMBERS`, each (cluster, member), which are written only to FITS
    and netCDF. `cluster` holds the clusters' ids, (cluster,). They are the coordinate `cluster` of the netCDF file.
    `header` is a result of `header_cards`, and `made_by` a result of `clustermass.io.provenance.provenance`.

    If the networks are conditioned, `physics` describes the parameters of the physics. `columns` then holds their
    responses, and the table PHI_COV is written, too: as an HDU, as a second table of the VOTable, in the header of the
    ECSV file, and as variables of the netCDF file.
    """
    inputs = made_by.get("input_sha256", {}).values()
    cards = {
        **header,
        "CREATOR": (made_by["source"], "and its version"),
        "CONFHASH": (made_by["config_hash"], "hash of the settings of the last step"),
        "INPTHASH": (config_hash({"sha256": list(inputs)}), "hash of the SHA-256 of all input files"),
    }
    table, described_columns = Table(), [*MASSES, *(physics.columns() if physics else ())]
    for one in described_columns:
        if one.name in columns or not one.optional:
            values = np.asarray(columns[one.name], dtype=_DTYPES[one.format])
            table[one.name] = Column(values, unit=one.unit, description=one.description, meta={"ucd": one.ucd})
    members = {name: np.asarray(columns[name], dtype=np.float32) for name in MEMBERS}
    further = [*(_image(name, values) for name, values in members.items()), *([physics.hdu()] if physics else [])]
    write_table(paths.fits, "MASSES", described_columns, table, cards, made_by, checksum=True, further=further)
    _write_votable(table, cards, history(made_by), paths.votable, physics)
    table.meta = {key: value for key, (value, _) in cards.items()}
    table.meta["HISTORY"] = [f"{name} = {text}" for name, text in history(made_by)]
    table.meta |= {TABLE: physics.meta()} if physics else {}
    _write_ecsv(table, paths.ecsv)
    dataset = xr.Dataset({name: ("cluster", np.asarray(table[name])) for name in table.colnames}, {"cluster": cluster})
    dataset = dataset.assign({name: (("cluster", "member"), values) for name, values in members.items()})
    described = dict(MEMBERS)
    if physics:
        phi = {"phi0": ("parameter", physics.phi0), "phi_cov": (("parameter", "other_parameter"), physics.covariance)}
        dataset = dataset.assign(phi).assign_coords(parameter=physics.names, other_parameter=physics.names)
        described |= {one.name: (one.unit or "1", one.description) for one in physics.columns()}
    described |= {name: VARIABLES[name.lower()] for name in map(str, dataset.variables) if name not in described}
    attributes = {key: value for key, (value, _) in cards.items()}
    write_netcdf(dataset, paths.netcdf, TITLE, {**attributes, **made_by}, described)
    return table


def _image(name: str, values: NDArray[np.float32]) -> fits.ImageHDU:
    image = fits.ImageHDU(values, name=name)
    image.header["COMMENT"] = f"{MEMBERS[name][1]}; one row for each row of the table"
    return image


def _write_ecsv(table: Table, path: Path) -> None:
    """Write a table in ECSV, some rows at a time, because astropy needs 4 kB of memory for each row."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for start in range(0, max(len(table), 1), _ROWS):
            text = StringIO()
            table[start : start + _ROWS].write(text, format="ascii.ecsv")
            text.seek(0)
            lines = text.readlines()
            head = 0 if start == 0 else 1 + sum(line.startswith("#") for line in lines)
            stream.writelines(lines[head:])


def _write_votable(
    table: Table, cards: Cards, made_by: list[tuple[str, str]], path: Path, physics: Physics | None
) -> None:
    """Write a VOTable. Header and provenance become INFO elements. All digits of the numbers are kept."""
    plain = table.copy()
    # bytes get the VOTable datatype char; str would get unicodeChar, which not every reader understands
    plain.convert_unicode_to_bytestring()
    for name in [one.name for one in MASSES if one.unit == UNDEFINED and one.name in plain.colnames]:
        plain[name].unit = None
    votable = from_table(plain, table_id="MASSES")
    resource, written = votable.resources[0], votable.get_first_table()
    resource.coordinate_systems.append(CooSys(ID="ICRS", system="ICRS"))
    written.name, written.description = "MASSES", TITLE
    for name in ("RA", "DEC"):
        written.get_field_by_id_or_name(name).ref = "ICRS"
    for key, (value, comment) in cards.items():
        written.infos.append(_info(key, value if isinstance(value, str) else json.dumps(value), comment))
    written.infos.extend(_info(name, text) for name, text in made_by)
    if physics:
        plain = physics.table()
        plain.convert_unicode_to_bytestring()
        resource.tables.append(from_table(plain, table_id=TABLE).get_first_table())
        resource.tables[-1].name = TABLE
    with atomic(path) as temporary:
        votable.to_xml(str(temporary))


def _info(name: str, value: str, comment: str | None = None) -> Info:
    info = Info(name=name, value=value)
    info.ID = None  # astropy would set it to the name, but ids must be unique, and several elements may have one name
    info.content = comment
    return info
