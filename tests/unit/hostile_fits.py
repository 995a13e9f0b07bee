"""Hostile FITS files: tables, event lists, exposure maps and images with wrong sizes, texts, scales and projections."""

import numpy as np
from astropy.io import fits
from hostile_inputs import TEXTS, hostile

BLOCK = 2880


def card(key, value):
    """Return a card; a text is written as it is, so that it can be anything."""
    shown = f"{value:>20}" if isinstance(value, int | float) else value
    return f"{key:8}= {shown}"[:80].ljust(80)


def header(cards):
    text = "".join(one if isinstance(one, str) else card(*one) for one in cards) + "END".ljust(80)
    return text.encode("latin-1", "replace").ljust(-(-len(text) // BLOCK) * BLOCK)


def padded(content):
    return content.ljust(-(-len(content) // BLOCK) * BLOCK, b"\0")


PRIMARY = header([card("SIMPLE", "                   T"), ("BITPIX", 8), ("NAXIS", 0)])


def changed(path, number, changes, extra=()):
    """Return the bytes of a FITS file whose HDU `number` has other cards; `extra` are whole cards before its end.

    A card of `changes` is replaced where the header has its key, and added otherwise. None removes it.
    """
    content = path.read_bytes()
    with fits.open(path) as hdus:
        place = hdus[number].fileinfo()
    old = content[place["hdrLoc"] : place["datLoc"]].decode("latin-1")
    cards = [old[start : start + 80] for start in range(0, len(old), 80)]
    cards = cards[: cards.index("END".ljust(80))]
    given = dict(changes)
    new = []
    for one in cards:
        key = one[:8].strip()
        value = given.pop(key, one) if key in given else one
        new += [] if value is None else [one if value is one else card(key, value)]
    new += [card(*one) for one in given.items()]
    return content[: place["hdrLoc"]] + header([*new, *extra]) + content[place["datLoc"] :]


#: cards of a table that its data contradict, or that ask for a lot
SIZES = {
    "PCOUNT": {"PCOUNT": -5280},
    "PCOUNT huge": {"PCOUNT": 10**15},
    "GCOUNT": {"GCOUNT": -1},
    "GCOUNT huge": {"GCOUNT": 10**15},
    "rows": {"NAXIS2": 10**12},
    "negative rows": {"NAXIS2": -1},
    "width": {"NAXIS1": 10**9},
    "no width": {"NAXIS1": 0},
    "axes": {"NAXIS": 999},
    "no axis": {"NAXIS": 0},
    "BITPIX": {"BITPIX": 7},
    "fields": {"TFIELDS": 999_999_999},
    "few fields": {"TFIELDS": 1},
    "negative fields": {"TFIELDS": -1},
    "heap": {"THEAP": -100, "TFORM1": "'QD      '"},
    "heap far": {"THEAP": 10**15, "TFORM1": "'1PD(9)  '"},
    "extension": {"XTENSION": "'BINTABLE\x1b[2J'"},
    "foreign": {"XTENSION": "'FOREIGN '"},
    "image": {"XTENSION": "'IMAGE   '"},
    "compressed": {"ZIMAGE": "                   T", "ZNAXIS": 2, "ZNAXIS1": 10**6, "ZNAXIS2": 10**6, "ZBITPIX": -64},
    "tiles": {
        "ZIMAGE": "                   T",
        "ZNAXIS": 1,
        "ZNAXIS1": 100,
        "ZBITPIX": 8,
        "ZTILE1": 0,
        "ZCMPTYPE": "'GZIP_1'",
    },
    "compressed table": {"ZTABLE": "                   T", "ZNAXIS1": 10**9},
    "float": {"NAXIS2": "              1.0E+12"},
    "text": {"NAXIS2": "'6       '"},
    "number text": {"NAXIS2": "                  6 6"},
    "TNULL": {"TNULL1": 10**30, "TSCAL1": "                 NAN"},
    "scale": {"TSCAL1": "              1.0E+308", "TZERO1": "             -1.0E+308"},
    "no scale": {"TSCAL1": 0, "TSCAL2": 0, "TSCAL3": 0},
    "infinite scale": {"TSCAL1": "                 1E999"},
    "dimension": {"TDIM1": "'(999999999,999999999)'"},
    "dimension text": {"TDIM1": "'(\x1b)'"},
    "display": {"TDISP1": "'F999999999.999999999'"},
    "unit": {"TUNIT1": "'" + "(" * 30 + "m" + ")" * 30 + "'"},
    "powers": {"TUNIT1": "'m**999999999**999999999'"},
}
FORMS = (
    "999999999D",
    "0D",
    "1PD(999999999)",
    "1QJ(1)",
    "-1D",
    "D999999",
    "99999999X",
    "1A999999999",
    "1M",
    "0A",
    "1L",
    "rD",
    "",
)
for form in FORMS:
    SIZES[f"form {form}"] = {"TFORM1": f"'{form:8}'"}


@hostile("catalogue", variants=SIZES)
def fits_table(place, changes):
    return place.write("t.fits", changed(place.harmless / "clusters.fits", 1, changes))


@hostile("events", variants=SIZES)
def event_table(place, changes):
    return place.write("t.fits", changed(place.harmless / "events.fits", 1, changes))


@hostile("truth", "published_catalogue", variants=("rows", "PCOUNT", "fields", "width", "dimension"))
def other_table(place, variant):
    original = place.harmless / "truth.fits"
    return place.write("t.fits", changed(original, 1, SIZES[variant]))


@hostile("catalogue", "masses of clusters", variants=TEXTS)
def fits_names(place, text):
    names = np.array([text.encode("utf-8", "surrogatepass")[:40]] * 6, dtype="S40")
    with fits.open(place.harmless / "clusters.fits") as hdus:
        columns = fits.ColDefs([*hdus[1].columns, fits.Column("NAME", "40A", array=names)])
        path = place.work / "t.fits"
        fits.BinTableHDU.from_columns(columns).writeto(path)
    return path


@hostile(
    "events",
    variants={
        "times": {"TIME": 1e300},
        "infinite": {"TIME": np.inf},
        "positions": {"RA": 1e18},
        "no number": {"RA": np.nan, "DEC": np.nan},
        "energies": {"PI": -1e30},
        "modules": {"TM_NR": 255},
        "flags": {"FLAG": -(2**31)},
        "pixels": {"RAWX": -32768, "RAWY": 32767},
    },
)
def event_values(place, values):
    path = place.work / "t.fits"
    with fits.open(place.harmless / "events.fits") as hdus:
        for name, value in values.items():
            hdus[1].data[name][:: int(place.rng.integers(1, 40))] = value
        hdus.writeto(path)
    return path


@hostile(
    "events",
    "masses of events",
    variants={
        "creator": {"CREATOR": "'\x1b[2J'"},
        "scan": {"TSTART": -(10**17), "TSTOP": 10**17},
        "not a number": {"TSTART": "                 NAN"},
        "reference": {"TCRVL4": "              1.0E+300", "TCRVL5": "              1.0E+300"},
        "no reference": {"TCRVL4": None, "TCRVL5": None, "TCDLT4": 0, "TCDLT5": 0},
        "projection": {"TCTYP4": "'RA---TAB'", "TCTYP5": "'DEC--TAB'"},
        "name": {"EXTNAME": "'EVENTS\x1b'"},
        "long name": {"TTYPE18": "'" + "x" * 60 + "'"},
        "same name": {"TTYPE1": "'RA      '"},
        "instrument": {"INSTRUME": "'TM" + "9" * 60 + "'"},
    },
)
def event_header(place, changes):
    return place.write("t.fits", changed(place.harmless / "events.fits", 1, changes))


@hostile("events", "masses of events", variants=("many", "backwards", "infinite", "number", "name", "overlap", "huge"))
def good_times(place, variant):
    start, stop = {
        "many": (np.arange(2e6), np.arange(2e6) + 0.5),
        "backwards": ([9.0], [1.0]),
        "infinite": ([-np.inf], [np.inf]),
        "number": ([np.nan], [np.nan]),
        "huge": ([-1e300], [1e300]),
    }.get(variant, ([6e8, 6e8], [6e8 + 1600, 6e8 + 1600]))
    columns = [fits.Column(name, "D", array=np.asarray(times)) for name, times in (("START", start), ("STOP", stop))]
    path = place.work / "t.fits"
    with fits.open(place.harmless / "events.fits") as hdus:
        name = "GTI99999999999" if variant == "name" else "GTI1"
        kept = [hdu for hdu in hdus if not hdu.name.startswith("GTI")]
        fits.HDUList([*kept, fits.BinTableHDU.from_columns(columns, name=name)]).writeto(path)
    return path


#: cards of the projection of an image
PROJECTIONS = {
    "axes": {"WCSAXES": 99},
    "many axes": {"WCSAXES": 10**9},
    "table": {"CTYPE1": "'RA---TAB'", "CTYPE2": "'DEC--TAB'", "PS1_0": "'WCS-TAB '", "PS1_1": "'COORDS  '"},
    "table in a file": {
        "CTYPE1": "'RA---TAB'",
        "PS1_0": "'../../canary/secret.txt'",
        "PV1_1": 1,
        "PV1_2": 1,
        "PV1_3": 1,
    },
    "distortion": {
        "CTYPE1": "'RA---TAN-SIP'",
        "CTYPE2": "'DEC--TAN-SIP'",
        "A_ORDER": 100_000,
        "B_ORDER": 100_000,
        "A_0_2": 1,
    },
    "negative order": {"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_ORDER": -5, "B_ORDER": -5},
    "orders": {"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_ORDER": 2, "B_ORDER": 2, "A_99999_99999": 1},
    "parameters": {"CTYPE1": "'RA---TPV'", "CTYPE2": "'DEC--TPV'", "PV1_999999": 1, "PV2_39": 1},
    "lookup": {"CPDIS1": "'LOOKUP'", "DP1": "'EXTVER: 1'", "CPERR1": 1},
    "detector": {"D2IMDIS1": "'LOOKUP'", "D2IM1": "'EXTVER: 1'", "D2IMERR1": 1},
    "polynomial": {"CTYPE1": "'RA---SIN'", "CPDIS1": "'TPD'", "DP1": "'NAXES: 999999999'"},
    "zenithal": {"CTYPE1": "'RA---ZPN'", "CTYPE2": "'DEC--ZPN'", "PV2_0": 0, "PV2_29": "1E300"},
    "conic": {"CTYPE1": "'RA---COE'", "CTYPE2": "'DEC--COE'", "PV2_1": 0},
    "healpix": {"CTYPE1": "'RA---HPX'", "CTYPE2": "'DEC--HPX'", "PV2_1": -(10**9), "PV2_2": 0},
    "cube": {"CTYPE1": "'RA---QSC'", "CTYPE2": "'DEC--QSC'"},
    "celestial": {"CTYPE1": "'RA---XYZ'"},
    "singular": {"CD1_1": 0, "CD1_2": 0, "CD2_1": 0, "CD2_2": 0},
    "no step": {"CDELT1": 0, "CDELT2": 0},
    "steps": {"CDELT1": "1E-300", "CDELT2": "1E300"},
    "nan": {"CRPIX1": "NAN", "CRVAL1": "INF"},
    "pixel": {"CRPIX1": "1E300"},
    "unit": {"CUNIT1": "'" + "(" * 30 + "deg" + ")" * 30 + "'"},
    "unit text": {"CUNIT1": "'m**999999999**999999'"},
    "frame": {"RADESYS": "'\x1b[2J'"},
    "date": {"DATE-OBS": "'99999-99-99T99:99:99'", "MJD-OBS": "1E300"},
    "galactic": {"CTYPE1": "'GLON-SIN'", "CTYPE2": "'DEC--SIN'"},
    "spectral": {"CTYPE1": "'WAVE-F2W'", "CTYPE2": "'FREQ-LOG'"},
    "alternatives": {f"CTYPE1{chr(65 + n)}": "'RA---SIN'" for n in range(26)},
    "pole": {"LONPOLE": "1E300", "LATPOLE": "NAN"},
}
#: cards of the pixels of an image
PIXELS = {
    "size": {"NAXIS1": 10**6, "NAXIS2": 10**6},
    "product": {"NAXIS1": 2**32, "NAXIS2": 2**32},
    "negative": {"NAXIS1": -100},
    "none": {"NAXIS1": 0},
    "planes": {"NAXIS": 3, "NAXIS3": 10**9},
    "axes": {"NAXIS": 999},
    "scale": {"BSCALE": "1E308", "BZERO": "-1E308"},
    "no scale": {"BSCALE": 0},
    "nan scale": {"BSCALE": "NAN"},
    "blank": {"BLANK": 10**30},
    "bits": {"BITPIX": 65},
    "wide": {"BITPIX": 64},
    "unit": {"BUNIT": "'" + "(" * 30 + "s" + ")" * 30 + "'"},
    "unit power": {"BUNIT": "'s**99999999**9999999'"},
    "unit text": {"BUNIT": "'\x1b[2J'"},
    "groups": {"GROUPS": "                   T", "PCOUNT": 10**12, "GCOUNT": 10**12},
    "band": {"EMIN1": "1E300", "EMAX1": "-1E300"},
    "band nan": {"EMIN1": "NAN"},
    "band text": {"EMIN1": "'\x1b'"},
}


@hostile("exposure", "band_images", variants=PROJECTIONS | PIXELS)
def image(place, changes):
    name = "band0.fits" if place.rng.random() < 0.5 else "exposure.fits"
    content = changed(place.harmless / name, 0, changes)
    return place.write("band0.fits", content)


@hostile("band_images", variants=("full", "huge", "negative", "nan", "infinite", "many"))
def pixels(place, variant):
    """Images whose pixels stand for more photons than fit in memory, or for none."""
    with fits.open(place.harmless / "band0.fits") as hdus:
        form = np.uint16 if variant == "full" else np.float64
        value = {"full": 65535, "huge": 1e30, "negative": -5, "nan": np.nan, "infinite": np.inf, "many": 4e9}[variant]
        hdus[0].data = np.full((1024, 1024) if variant == "full" else (100, 100), value, form)
        hdus.writeto(place.work / "band0.fits", overwrite=True)
    return place.work / "band0.fits"


@hostile("exposure", "band_images")
def compressed_image(place, _):
    """Write a compressed image that states 10^12 pixels, or tiles of no pixel."""
    path = place.work / "band0.fits"
    with fits.open(place.harmless / "exposure.fits") as hdus:
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(hdus[0].data, hdus[0].header)]).writeto(path, overwrite=True)
    options = [
        {"ZNAXIS1": 10**6, "ZNAXIS2": 10**6, "ZTILE1": 10**6},
        {"ZTILE1": 0},
        {"ZTILE1": -1},
        {"ZCMPTYPE": "'\x1b'"},
    ]
    options += [{"ZBLOCK": 10**9, "ZVAL1": 10**9}, {"ZNAXIS": 999}, {"ZNAXIS1": -5}, {"ZBITPIX": 7}, {"NAXIS1": 10**9}]
    with fits.open(path, disable_image_compression=True) as hdus:
        hdus.writeto(place.work / "plain.fits")
    content = changed(place.work / "plain.fits", 1, options[place.rng.integers(len(options))])
    return place.write("band0.fits", content)
