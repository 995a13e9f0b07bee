"""Clusters whose counts follow their mass, published relations, and baselines fitted to them."""

from pathlib import Path

import numpy as np
import xarray as xr
from astropy.table import Table

from clustermass.baselines.fit import fit_baselines
from clustermass.baselines.measurements import Sky
from clustermass.config.resolve import load_config
from clustermass.io.netcdf import read_netcdf, write_netcdf

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
RELATIONS = load_config([Path(__file__).parents[2] / "config" / "config.yaml"])["baselines"]
RATE, LUMINOSITY = (RELATIONS[name] for name in ("count_rate_efeds", "luminosity_published"))
BLOCK = {"ridge_alpha": [1.0, 100.0], "count_rate_efeds": RATE, "luminosity_published": LUMINOSITY}
PREDICTORS = [
    "prior",
    "count_rate_efeds",
    "count_rate_recalibrated",
    "luminosity_published",
    "luminosity_selected",
    "luminosity_recalibrated",
    "luminosity_temperature",
    "ridge_features",
    "boosted_trees",
]
N = 120


def split_of(n):
    return np.array(["train", "train", "val", "test"] * (n // 4))


def mock(seed=40, n=N):
    """Clusters whose central counts follow their mass, with split, and their luminosities."""
    rng = np.random.default_rng(seed)
    mass, z = rng.normal(14.1, 0.3, n), rng.uniform(0.1, 0.8, n)
    rate = 10 ** ((mass - 14.1) / 0.6 - 1 + rng.normal(0, 0.1, n))
    counts = rng.poisson(0.05, (n, 10, 100, 100)).astype(np.uint16)
    counts[:, :, 46:54, 46:54] += rng.poisson(rate[:, None, None, None] * 3, (n, 10, 8, 8)).astype(np.uint16)
    values = {
        "ra": rng.uniform(130, 140, n),
        "dec": rng.uniform(-2, 5, n),
        "redshift": z,
        "redshift_err": np.zeros(n),
        "det_like": rng.uniform(10, 100, n),
        "ext_like": rng.uniform(10, 100, n),
        "ext": rng.uniform(10, 60, n),
        "ml_rate": rate,
        "ml_cts": rate * 1200,
        "ml_bkg": np.full(n, 6.0),
        "exposure_s": np.full(n, 1200.0),
        "covered_fraction": np.ones(n),
        "log10_m500c": mass,
    }
    ids = np.array([f"01_{number}" for number in range(n)])
    dataset = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), counts),
            **{name: ("cluster", value) for name, value in values.items()},
            "halo_id": ("cluster", np.arange(n) + 1000),
            "realization": ("cluster", np.full(n, "01")),
        },
        {
            "cluster": ids,
            "band": np.linspace(0.35, 2.2, 10),
            "x": (np.arange(100) - 49.5) * 12.0,
            "y": (np.arange(100) - 49.5) * 12.0,
        },
    )
    split = np.array(["train"] * (n // 2) + ["val"] * (n // 4) + ["test"] * (n - n // 2 - n // 4))
    return dataset, split, 10 ** (43.5 + 1.5 * (mass - 14.1) + rng.normal(0, 0.1, n))


def temperatures():
    dataset, _, _ = mock()
    return 10 ** (0.4 + 0.6 * (dataset["log10_m500c"].values - 14.1) + 0.03 * np.sin(np.arange(N)))


def write_sky(folder):
    dataset, split, l500 = mock()
    write_netcdf(dataset, folder / "images.nc", "test", {"source": "test"})
    subsets = xr.Dataset(
        {"split": ("cluster", split), "group": ("cluster", split)}, {"cluster": dataset["cluster"].values}
    )
    write_netcdf(subsets, folder / "split.nc", "test", {"source": "test"})
    order = np.random.default_rng(47).permutation(N)  # nothing may hang on the order of the truth's rows
    columns = {
        "HALO_ID": dataset["halo_id"].values[order],
        "RA": dataset["ra"].values[order],
        "DEC": dataset["dec"].values[order],
        "Z": dataset["redshift"].values[order],
        "L500": l500[order],
        "KT": temperatures()[order],
        "COUNTS": np.full(N, 100),
    }
    faint = {**columns, "HALO_ID": columns["HALO_ID"] + 1000, "L500": columns["L500"] / 30}  # none of them is selected
    every = {name: np.concatenate([values, faint[name]]) for name, values in columns.items()}
    Table(every).write(folder / "truth.fits", overwrite=True)
    return dataset


def fit(folder, output="baselines.nc", images=("images.nc",), truth=("truth.fits",)):
    sky = Sky([folder / name for name in images], [folder / name for name in truth], COSMOLOGY)
    fit_baselines(sky, folder / "split.nc", {"log10_m500c_min": 13.0}, BLOCK, 1, folder / output)
    return read_netcdf(folder / output)
