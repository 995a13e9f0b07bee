"""The event list of a realization: the layout of eSASS, written without a second copy in memory."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.arrays import FloatArray
from clustermass.simulate.field import Field
from clustermass.simulate.photons import Photons

#: mission time (s since MJD 51543.875) of 2019-11-03 and four days later: the eFEDS observations (Brunner et al. 2022)
TIME_START_S, TIME_STOP_S = 626_065_200.0, 626_410_800.0
MODULES = 7
#: singles, doubles, triples, quadruples among 40,127 valid events of a SIXTE simulation of eROSITA
PATTERN_COUNTS = (31503, 6730, 1091, 803)
#: degrees per unit of the integer columns RA and DEC, as in eSASS
ANGLE_STEP = 1e-6

_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("TIME", ">f8", "s"),
    ("RA", ">i4", "deg"),
    ("DEC", ">i4", "deg"),
    ("PI", ">f4", "eV"),
    ("TM_NR", "u1", ""),
    ("PAT_TYP", ">i2", ""),
    ("FLAG", ">i4", ""),
)
_LABEL = ("SRC_ID", ">i4", "")


def event_table(photons: Photons, field: Field, rng: np.random.Generator) -> NDArray[np.void]:
    """Turn photons into rows of the event table, in a random order along TIME.

    Parameters
    ----------
    photons
        All photons of the field, in any order.
    field
        The field, for RA and Dec.
    rng
        Generator of this component's stream.

    Returns
    -------
    Structured array, big-endian as in FITS; RA and DEC are integers in units of `ANGLE_STEP` deg; with SRC_ID.
    """
    number = len(photons)
    order = rng.permutation(number)
    table = np.zeros(number, dtype=[(name, kind) for name, kind, _ in (*_COLUMNS, _LABEL)])
    table["TIME"] = _sorted_times(rng, number)
    ra, dec = field.to_sky(photons.longitude, photons.latitude)
    table["RA"] = np.rint(ra / ANGLE_STEP).astype(np.int32)[order]
    table["DEC"] = np.rint(dec / ANGLE_STEP).astype(np.int32)[order]
    table["PI"] = photons.energy_ev[order]
    table["SRC_ID"] = photons.source[order]
    table["TM_NR"] = rng.integers(1, MODULES + 1, number, dtype=np.uint8)
    table["PAT_TYP"] = _patterns()[rng.integers(0, 65536, number, dtype=np.uint16)]
    return table


def _sorted_times(rng: np.random.Generator, number: int) -> FloatArray:
    """Sorted uniform times, as partial sums of exponential steps (no sort needed)."""
    steps = rng.standard_exponential(number + 1)
    np.cumsum(steps, out=steps)
    return TIME_START_S + (TIME_STOP_S - TIME_START_S) * (steps[:-1] / steps[-1])


def _patterns() -> NDArray[np.int16]:
    """Pattern of each of 65536 equally likely numbers."""
    edges = np.cumsum(PATTERN_COUNTS) / sum(PATTERN_COUNTS) * 65536
    return (1 + np.searchsorted(edges, np.arange(65536) + 0.5)).astype(np.int16)


def event_hdus(table: NDArray[np.void], field: Field, facts: Mapping[str, Any]) -> fits.HDUList:
    """Return the HDUs of an event file: EVENTS and GTI1 to GTI7; the truth labels SRC_ID are left out."""
    bare = np.empty(len(table), dtype=[(name, kind) for name, kind, _ in _COLUMNS])
    for name, _, _ in _COLUMNS:
        bare[name] = table[name]
    events = fits.BinTableHDU(bare, name="EVENTS")
    for number, (name, _, unit) in enumerate(_COLUMNS, start=1):
        if unit:
            events.header.set(f"TUNIT{number}", unit, after=f"TFORM{number}")
        if name in ("RA", "DEC"):
            events.header.set(f"TSCAL{number}", ANGLE_STEP, after=f"TUNIT{number}")
            events.header.set(f"TZERO{number}", 0.0, after=f"TSCAL{number}")
    for key, value in _header(field, facts).items():
        events.header[key] = value
    primary = fits.PrimaryHDU()
    primary.header["CREATOR"] = "clustermass"
    return fits.HDUList([primary, events, *(_gti(module) for module in range(1, MODULES + 1))])


def _header(field: Field, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "CREATOR": ("clustermass", "embedded sky: simulated"),
        "SIMULATE": (True, "T: no observation"),
        "TELESCOP": "eROSITA",
        "INSTRUME": "merged",
        "NINST": MODULES,
        "MJDREF": 51543.875,
        "TIMESYS": "TT",
        "RADECSYS": "FK5",
        "TSTART": TIME_START_S,
        "TSTOP": TIME_STOP_S,
        "RA_CEN": (field.ra_deg, "deg, centre of the field"),
        "DEC_CEN": (field.dec_deg, "deg, centre of the field"),
        **facts,
    }


def _gti(module: int) -> fits.BinTableHDU:
    columns = [
        fits.Column("START", "D", unit="s", array=np.array([TIME_START_S])),
        fits.Column("STOP", "D", unit="s", array=np.array([TIME_STOP_S])),
    ]
    return fits.BinTableHDU.from_columns(columns, name=f"GTI{module}")
