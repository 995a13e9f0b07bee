"""Columns of the mass catalogue: their order, FITS formats, units, descriptions and UCDs; and the clusters' names."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clustermass.cosmology import FloatArray
from clustermass.datasets import VARIABLES
from clustermass.domain import names as _  # noqa: F401, describes OOD_P, OOD_WHY and FLAG_OOD in VARIABLES

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
# said here and not in `datasets`: training hangs on that module, and no network is to be trained anew for a column
VARIABLES["logm500_err_z"] = ("1", "part of LOGM500_ERR from Z_ERR beyond that of training, dex")
VARIABLES["flag_nocat"] = ("1", "1 = no count rate, extent or background, which networks take")
VARIABLES["logm500_flat"] = ("1", "log10(M500c / Msun) for a flat prior in log10 M500c, not the training sample's")
VARIABLES["logm500_flat_err"] = ("1", "standard deviation of log10(M500c / Msun) for the flat prior, dex")
VARIABLES["logm500_flat_q16"] = ("1", "16th percentile of log10(M500c / Msun) for the flat prior")
VARIABLES["logm500_flat_q50"] = ("1", "median of log10(M500c / Msun) for the flat prior")
VARIABLES["logm500_flat_q84"] = ("1", "84th percentile of log10(M500c / Msun) for the flat prior")
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
