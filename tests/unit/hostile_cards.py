"""Hostile mass catalogues and data of cards, which `clustermass show` reads."""

import netCDF4
import numpy as np
import xarray as xr
from astropy.io import fits
from hostile_inputs import TEXTS, hostile

#: texts that a FITS table can hold
ASCII = [text for text in TEXTS if text.isascii() and text.isprintable()]
MATHS = ("$\\frac$", "$" + "{" * 60 + "$", "$x^{" * 500 + "}" * 500 + "$", "$\\sqrt" * 3000 + "$", "a-" * 5000)
#: columns of a mass catalogue -> value of another type
OTHER_TYPES = {"ID_SRC": 1.5, "FLAG_OOD": 1.5, "FLAG_RANGE": "x", "GOOD": [1, 2], "NAME": 5, "OOD_WHY": 5.0}
OTHER_TYPES |= {"OOD_P": "x", "Z": [0.1, 0.2], "LOGM500": 5, "REALIZATION": 1, "LOGM500_REF": "x"}
NUMBERS = ("Z", "LOGM500", "LOGM500_Q16", "LOGM500_Q50", "LOGM500_REF", "OOD_P", "EXPOSURE", "R500C_ARCMIN", "ML_CTS")


def catalogue(place, columns=(), header=(), hdus=None):
    """Write the mass catalogue with other columns, cards or HDUs; all checksums are right."""
    with fits.open(place.harmless / "masses.fits") as opened:
        table, given = opened["MASSES"], dict(columns)
        kept = [fits.Column(one.name, one.format, array=table.data[one.name]) for one in table.columns]
        rows = len(table.data)
        made = []
        for name, value in given.items():
            array = np.array([value] * rows)
            width = array.dtype.itemsize // 4 if array.dtype.kind == "U" else array[0].size
            made.append(fits.Column(name, f"{width}{_FORMS.get(array.dtype.str[1:], 'A')}", array=array))
        hdu = fits.BinTableHDU.from_columns([one for one in kept if one.name not in given] + made, name="MASSES")
        for key, value in table.header.items():
            if key not in hdu.header and not key.startswith(("TTYPE", "TFORM", "TCOMM", "TUCD", "TUNIT")):
                hdu.header[key] = value
        hdu.header.update(dict(header))
        whole = [opened[0], hdu, *opened[2:]]
        fits.HDUList(hdus(whole) if hdus else whole).writeto(place.work / "masses.fits", overwrite=True, checksum=True)
    return place.work / "masses.fits"


_FORMS = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "i2": "I"}


@hostile("show", variants=[*ASCII, *MATHS])
def card_texts(place, text):
    """Write texts that Matplotlib, a terminal or a file system would misunderstand."""
    columns = {"OOD_WHY": text, "ID_CAT": text, "NAME_CAT": text, "FLAG_OOD": np.int16(1)}
    return catalogue(place, columns | ({"NAME": text} if place.rng.random() < 0.5 else {}))


@hostile("show", variants={name: (name, value) for name, value in OTHER_TYPES.items()})
def card_types(place, column):
    return catalogue(place, [column])


@hostile("show", variants=[f"{name} {value}" for name in NUMBERS for value in ("inf", "-inf", "3e38", "nan")])
def card_numbers(place, variant):
    name, value = variant.split()
    return catalogue(place, {name: np.float32(value)})


@hostile("show", variants={"text": "x", "true": True, "huge": 1e300})
def card_header(place, value):
    keys = (f"TRAIN{what}{end}" for what in "ZCEM" for end in ("LO", "HI"))
    return catalogue(place, {"FLAG_RANGE": np.int16(15)}, dict.fromkeys(keys, value))


def members(mu, sigma=None):
    return [fits.ImageHDU(mu, name="MEMBER_MU"), fits.ImageHDU(mu if sigma is None else sigma, name="MEMBER_SIGMA")]


def table_of_one(name):
    return fits.BinTableHDU.from_columns([fits.Column("A", "D", array=[1.0])], name=name)


ONES = np.ones((6, 2), np.float32)


@hostile(
    "show",
    variants={
        "image": lambda h: [h[0], h[2], h[1], h[3]],
        "none": lambda h: h[:1],
        "no data": lambda h: [*h[:2], *members(None)],
        "tables": lambda h: [*h[:2], table_of_one("MEMBER_MU"), table_of_one("MEMBER_SIGMA")],
        "few rows": lambda h: [*h[:2], *members(ONES[:2])],
        "no members": lambda h: [*h[:2], *members(ONES[:, :0])],
        "one axis": lambda h: [*h[:2], *members(ONES[:, 0])],
        "unlike": lambda h: [*h[:2], *members(ONES, ONES[:, :1])],
        "zero": lambda h: [*h[:2], *members(ONES, 0 * ONES)],
        "negative": lambda h: [*h[:2], *members(ONES, -ONES)],
        "infinite": lambda h: [*h[:2], *members(ONES, np.inf * ONES)],
        "nan": lambda h: [*h[:2], *members(ONES, np.nan * ONES)],
        "huge": lambda h: [*h[:2], *members(1e38 * ONES)],
    },
)
def card_hdus(place, change):
    return catalogue(place, hdus=change)


def filled(name, value):
    """Return a change of a netCDF file: all values of a variable become `value`."""

    def change(file):
        variable = file[name]
        if variable.dtype is str:
            for number in range(variable.size):
                variable[number] = value
        else:
            variable[:] = value

    return change


def spaced(step):
    return lambda file: file["x"].__setitem__(slice(None), np.arange(file["x"].size) * step)


CHANGES = {
    **{f"{name} {value}": filled(name, value)
       for name in ("score", "given", "seen_arcsec", "near_x", "near_y", "near_cts", "rate_mass", "rate_mass_err")
       for value in (np.nan, np.inf, -1e30)},
    **{f"step {step}": spaced(step) for step in (1e-9, 1e-3, 0, -1, 1e9, np.nan)},
    **{f"without {name}": lambda file, name=name: file.renameVariable(name, "gone")
       for name in ("x", "near_y", "near_ext_like", "quantity", "given", "seen_arcsec", "exposed", "rate_mass")},
    **{f"dimension {name}": lambda file, name=name: file.renameDimension(name, "gone")
       for name in ("x", "colour", "neighbour", "cluster")},
    "quantity": filled("quantity", "$\\frac$"),
    "counts": filled("colour_counts", 0),
    "exposed": filled("exposed", 0),
    "bounds": filled("colour_bounds", np.nan),
}  # fmt: skip


@hostile("show", variants=CHANGES)
def card_data(place, change):
    with netCDF4.Dataset(place.work / "masses.cards.nc", "a") as file:
        change(file)
    return place.work / "masses.fits"


@hostile(
    "show",
    variants={
        "one pixel": lambda d: d.isel(x=[0], y=[0]),
        "no pixel": lambda d: d.isel(x=[]),
        "no colour": lambda d: d.isel(colour=[]),
        "no quantity": lambda d: d.isel(quantity=[]),
        "no neighbour": lambda d: d.isel(neighbour=[]),
        "many neighbours": lambda d: d.isel(neighbour=np.zeros(100_000, int)).fillna(1.0),
        "edges": lambda d: d.isel(edge=[0]),
        "turned": lambda d: d.assign(colour_counts=d["colour_counts"].transpose("x", "y", "colour", "cluster")),
        "fewer axes": lambda d: d.assign(colour_counts=d["colour_counts"].isel(colour=0)),
        "texts": lambda d: d.assign(score=d["score"].astype(str)),
        "text pixels": lambda d: d.assign_coords(x=d["x"].astype(str)),
        "no numbers": lambda d: d.assign(colour_counts=d["colour_counts"] * np.nan),
        "signed": lambda d: d.assign(colour_counts=-d["colour_counts"].astype(int)),
        "large": lambda d: d.isel(x=np.zeros(4000, int), y=np.zeros(4000, int)).assign_coords(x=0.1 * np.arange(4000)),
    },
)
def card_shapes(place, change):
    path = place.work / "masses.cards.nc"
    with xr.open_dataset(path, decode_times=False, decode_timedelta=False) as dataset:
        changed = change(dataset.load())
    path.unlink()
    encoding = {name: {"zlib": True} for name, one in changed.variables.items() if one.dtype.kind not in "SUO"}
    changed.to_netcdf(path, engine="netcdf4", encoding=encoding)
    return place.work / "masses.fits"
