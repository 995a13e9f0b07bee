"""Small event files in the layouts of eSASS, of SIXTE and of our own, written by the tests themselves."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from clustermass.events.eventlist import Selection
from clustermass.events.merge import stream_many

SHARED = Path(__file__).parents[3] / "shared" / "data" / "sixte"
START, STOP = 6.0e8, 6.0e8 + 1600.0
SIXTE_FLAG = np.uint32(0xC00001C0).astype(np.int32)


def photons(number=200, ra=136.0, dec=1.5, width_deg=0.5, seed=1):
    """Return photons of all modules scattered over a square: dict of column -> array."""
    rng = np.random.default_rng(seed)
    return {
        "RA": (ra + width_deg * (rng.random(number) - 0.5) / np.cos(np.radians(dec))) % 360,
        "DEC": dec + width_deg * (rng.random(number) - 0.5),
        "PI": rng.uniform(200, 2350, number),
        "TM_NR": rng.integers(1, 8, number),
        "PAT_TYP": rng.integers(1, 5, number),
        "FLAG": np.zeros(number, dtype=np.int64),
        "TIME": np.sort(rng.uniform(START, STOP, number)),
        "RAWX": rng.integers(0, 384, number),
        "RAWY": rng.integers(0, 384, number),
    }


def planted(**columns):
    """Return photons that are equal except in the given columns (arrays or scalars)."""
    number = max(np.size(value) for value in columns.values())
    base = {"RA": 136.0, "DEC": 1.5, "PI": 1000.0, "TM_NR": 1, "PAT_TYP": 1, "FLAG": 0, "TIME": START + 1.0}
    base |= {"RAWX": np.arange(number) % 384, "RAWY": np.arange(number) // 384}
    return {name: np.broadcast_to(value, number).copy() for name, value in {**base, **columns}.items()}


def whole(pieces):
    """Return pieces of an event list as one."""
    pieces = list(pieces)
    names = pieces[0].columns()
    return replace(pieces[0], **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names})


def select(events, *cuts, **named):
    """Return the photons of a whole list that pass all cuts."""
    selection = Selection(*cuts, **named)
    kept = selection.keep(events)
    selection.conclude()
    return kept


def read_many(paths):
    """Return event lists joined, whole."""
    with tempfile.TemporaryDirectory() as folder:
        return whole(stream_many(paths, Path(folder)))


def gti_tables(intervals=None):
    """Return GTIn tables: module -> [(START, STOP), ...]; all seven modules by default."""
    intervals = {module: [(START, STOP)] for module in range(1, 8)} if intervals is None else intervals
    return [
        fits.BinTableHDU(Table(np.array(rows), names=("START", "STOP"), units=("s", "s")), name=f"GTI{module or ''}")
        for module, rows in intervals.items()
    ]


def _write(path, table, creator, tables=(), **header):
    for hdu in (primary := fits.PrimaryHDU(), table):
        hdu.header["CREATOR"] = creator
    for key, value in {"TSTART": START, "TSTOP": STOP, **header}.items():
        table.header[key] = value
    fits.HDUList([primary, table, *tables]).writeto(path, overwrite=True)
    return path


def _table(layout, columns):
    number = len(columns["RA"])
    made = (
        fits.Column(name, form, unit=unit, array=columns.get(name, np.zeros(number))) for name, form, unit in layout
    )
    return fits.BinTableHDU.from_columns([*made], name="EVENTS")


def _scale(table, raw):
    for name, (scale, zero) in raw.items():
        number = table.columns.names.index(name) + 1
        table.header[f"TSCAL{number}"], table.header[f"TZERO{number}"] = scale, zero


def _sky_reference(table, reference):
    for name, kind, value, step in (("X", "RA---SIN", reference[0], -1), ("Y", "DEC--SIN", reference[1], 1)):
        number = table.columns.names.index(name) + 1
        cards = {"TCTYP": kind, "TCUNI": "deg", "TCRPX": 0.0, "TCRVL": value, "TCDLT": step / 72000}
        table.header.update({f"{key}{number}": content for key, content in cards.items()})


def sin_projection(centre, pixel_deg=1 / 72000, reference_pixel=(0.0, 0.0)):
    """Return astropy's SIN projection about `centre`, RA growing to the left; pixels of the sky by default."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---SIN", "DEC--SIN"], centre, reference_pixel
    wcs.wcs.cdelt = [-pixel_deg, pixel_deg]
    return wcs


def sky_pixels(ra, dec, reference):
    """Return sky pixels by astropy's own projection, rounded down."""
    return tuple(np.floor(axis) for axis in sin_projection(reference).all_world2pix(ra, dec, 1))


def _raw_positions(columns):
    return {name: columns[name] * 1e6 for name in ("RA", "DEC")}


def write_esass(path, columns, gti=None, creator="EVTOOL", reference=(136.0, 1.5), **header):
    """Write the 18 columns of a real eSASS list, units and scaling as found there."""
    deg = "deg"  # real lists give this unit to nearly everything
    layout = [("TIME", "D", "s"), ("RA", "D", deg), ("DEC", "D", deg), ("X", "D", deg), ("Y", "D", deg)]
    layout += [("PI", "E", deg)]
    layout += [("EV_WEIGHT", "E", deg), ("RAWX", "I", deg), ("RAWY", "I", deg), ("SUBX", "D", deg), ("SUBY", "D", deg)]
    layout += [("PHA", "I", deg), ("PAT_TYP", "I", deg), ("PAT_INF", "B", deg), ("TM_NR", "B", deg), ("FLAG", "J", deg)]
    layout += [("FRAMETIME", "D", "s"), ("RECORDTIME", "D", "s")]
    x, y = sky_pixels(columns["RA"], columns["DEC"], reference)
    flag = np.asarray(columns["FLAG"]).astype(np.uint32).astype(np.int32)
    table = _table(layout, {"X": x, "Y": y, **columns, **_raw_positions(columns), "FLAG": flag})
    _scale(table, {"RA": (1e-6, 0.0), "DEC": (1e-6, 0.0), "SUBX": (6.67e-3, -0.8433), "SUBY": (6.67e-3, -0.8433)})
    _sky_reference(table, reference)
    return _write(path, table, creator, gti_tables(gti), INSTRUME="merged", **header)


def write_sixte_calibrated(path, columns, gti=None, creator="SIXTE", reference=(136.0, 1.5)):
    """Write the 20 columns of ero_calevents: FLAG must be ignored; a row with negative PI follows each double."""
    layout = [("TIME", "D", None), ("RA", "D", None), ("DEC", "D", None), ("X", "D", None), ("Y", "D", None)]
    layout += [("ENERGY", "E", "eV"), ("EV_WEIGHT", "E", None), ("RAWX", "I", None), ("RAWY", "I", None)]
    layout += [("SUBX", "D", None), ("SUBY", "D", None), ("PHA", "I", "adu"), ("PAT_TYP", "I", None)]
    layout += [("PAT_INF", "B", None), ("TM_NR", "B", None), ("FLAG", "J", None), ("FRAME", "J", None)]
    layout += [("RECORDTIME", "D", "s"), ("FRAMETIME", "D", "s"), ("PI", "E", "eV")]
    x, y = sky_pixels(columns["RA"], columns["DEC"], reference)
    full = {"X": x, "Y": y, **columns, **_raw_positions(columns)}
    full["FLAG"] = np.full(len(x), SIXTE_FLAG)
    rows = np.repeat(np.arange(len(x)), np.where(columns["PAT_TYP"] == 2, 2, 1))
    partner = np.concatenate([[False], rows[1:] == rows[:-1]])
    full = {name: np.asarray(values)[rows] for name, values in full.items()}
    full["PI"] = np.where(partner, -full["PI"], full["PI"])
    table = _table(layout, full)
    _scale(table, {"RA": (1e-6, 0.0), "DEC": (1e-6, 0.0)})
    _sky_reference(table, reference)
    # as in the real files, where the pointing keywords mean nothing
    return _write(path, table, creator, gti_tables(gti), INSTRUME="TM1", RA_PNT=0.0, DEC_PNT=0.0)


def write_sixte_events(path, columns, module=1):
    """Write the 16 columns of erosim and runsixt: energies in keV in SIGNAL, PI a channel, labels in pairs."""
    layout = [("TIME", "D", "s"), ("FRAME", "J", None), ("PHA", "J", "ADU"), ("PI", "J", "ADU"), ("SIGNAL", "E", "keV")]
    layout += [("RAWX", "I", "pixel"), ("RAWY", "I", "pixel"), ("RA", "D", "deg"), ("DEC", "D", "deg")]
    layout += [("PH_ID", "2J", None), ("SRC_ID", "2J", None), ("TYPE", "I", None), ("NPIXELS", "J", None)]
    layout += [("PILEUP", "I", None), ("SIGNALS", "9E", "keV"), ("PHAS", "9J", "ADU")]
    number = len(columns["RA"])
    labels = np.stack([np.asarray(columns.get("SRC_ID", np.arange(number))), np.zeros(number)], axis=1)
    pattern = np.asarray(columns["PAT_TYP"])
    full = {**columns, "SIGNAL": columns["PI"] / 1000, "PI": np.full(number, 77), "SRC_ID": labels}
    full |= {"TYPE": np.where(pattern > 0, pattern, -1), "NPIXELS": np.maximum(pattern, 1)}
    full |= {"PH_ID": np.zeros((number, 2)), "SIGNALS": np.zeros((number, 9)), "PHAS": np.zeros((number, 9))}
    table = _table(layout, full)
    gti = gti_tables({0: [(START, STOP)]})[0]
    gti.name = "STDGTI"
    return _write(path, table, "SIXTE", [gti], INSTRUME=f"TM{module}", EXPOSURE=STOP - START)


WRITERS = {"esass": write_esass, "sixte_calibrated": write_sixte_calibrated, "sixte_events": write_sixte_events}
