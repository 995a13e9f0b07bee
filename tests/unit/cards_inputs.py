"""A field with masses and the data of its cards, without networks."""

import numpy as np
import xarray as xr

from clustermass.apply.card_data import cards_beside
from clustermass.apply.catalogue import CataloguePaths, iau_names, write_catalogue
from clustermass.io.netcdf import write_netcdf
from clustermass.io.products import MASSES

MADE = {"source": "clustermass test", "config_hash": "0" * 16, "step": "test"}
HEADER = {"H0": (70.0, ""), "OMEGA_M": (0.3, ""), "SIMULATE": (False, ""), "NMEMBER": (3, ""), "NTRAIN": (99, ""),
          "TRAINZLO": (0.05, ""), "TRAINZHI": (1.2, ""), "ENSHASH": ("abc", "")}  # fmt: skip
QUANTITIES = ("redshift", "core", "rate")


def write_field(folder, number=6, names=None, **changed):
    """Write `masses.fits` of `number` clusters and its cards; `changed` columns replace the usual ones."""
    rng = np.random.default_rng(5)
    ra, dec = 359.0 + 2 * rng.random(number), rng.uniform(-2, 2, number)
    mass = np.round(rng.uniform(13.8, 14.8, number), 3)
    mass[-1] = np.nan
    error = np.where(np.isfinite(mass), 0.15, np.nan)
    columns = {one.name: np.zeros(number) for one in MASSES if not one.optional}
    columns |= {name: np.full(number, "") for name in ("EXP_FROM", "OOD_WHY")}
    columns |= {
        "ID_SRC": np.arange(101, 101 + number),
        "RA": ra % 360,
        "DEC": dec,
        "REALIZATION": np.full(number, "01"),
    }
    columns |= {
        "Z": np.where(np.isfinite(mass), rng.uniform(0.1, 0.9, number), np.nan),
        "EXPOSURE": np.full(number, 1e3),
    }
    columns |= {"LOGM500": mass, "LOGM500_ERR": error, "LOGM500_ERR_ALEATORIC": error}
    columns |= {"LOGM500_Q16": mass - 0.15, "LOGM500_Q50": mass, "LOGM500_Q84": mass + 0.15}
    columns |= dict.fromkeys(("LOGM500_REF", "LOGM500_REF_ERR"), np.full(number, np.nan))
    columns |= {"COVERED_FRACTION": np.ones(number), "DET_LIKE": rng.uniform(10, 999, number).round(1)}
    columns |= {"OOD_P": np.where(np.isfinite(mass), rng.uniform(0.02, 1, number), np.nan)}
    columns |= {"FLAG_NOZ": ~np.isfinite(mass), "NAME": iau_names("TEST", ra % 360, dec)}
    columns |= {} if names is None else {"NAME_CAT": np.array(names)}
    columns |= {"ML_CTS": np.full(number, 80.0), "R500C_ARCMIN": np.where(np.isfinite(mass), 3.0, np.nan)}
    columns |= {"GOOD": np.isfinite(mass) & ~changed.get("FLAG_OOD", np.zeros(number)).astype(bool)}
    columns |= {"MEMBER_MU": np.repeat(mass[:, None], 3, axis=1), "MEMBER_SIGMA": np.repeat(error[:, None], 3, axis=1)}
    columns |= changed
    ids = np.array([f"01_{one}" for one in columns["ID_SRC"]])
    write_catalogue(columns, ids, HEADER, MADE, CataloguePaths.beside(folder / "masses.fits"))
    offsets = np.arange(-294.0, 300.0, 12.0)
    counts = rng.poisson(0.3, (number, 3, 50, 50))
    counts[:, :, 24:26, 24:26] += 20
    near = np.full((number, 12), np.nan, np.float32)
    near[0, 0] = 100.0
    data = {
        "colour_counts": (("cluster", "colour", "y", "x"), counts.astype(np.uint16)),
        "colour_bounds": (("colour", "edge"), [[0.2, 0.6], [0.6, 1.2], [1.2, 2.3]]),
        **{
            name: (("cluster", "quantity"), np.where(np.isfinite(mass)[:, None], rng.normal(size=(number, 3)), np.nan))
            for name in ("score", "given")
        },
        "exposed": (("cluster", "y", "x"), np.ones((number, 50, 50), np.uint8)),
        **{
            name: ("cluster", np.full(number, value))
            for name, value in {"seen_arcsec": 192.0, "rate_mass": np.nan, "rate_mass_err": np.nan}.items()
        },
        **{f"near_{name}": (("cluster", "neighbour"), near) for name in ("x", "y", "cts", "ext_like")},
    }
    axes = {"cluster": ids, "x": offsets, "y": offsets, "quantity": list(QUANTITIES)}
    write_netcdf(xr.Dataset(data, axes), cards_beside(folder / "masses.fits"), "test", MADE | {"seen": "square"})
    return folder / "masses.fits"
