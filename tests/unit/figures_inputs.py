"""Small synthetic files of the layouts that the pipeline hands to its figures, and every figure drawn from them."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.table import Table
from baseline_inputs import RATE as RELATION
from matplotlib.figure import Figure

from clustermass import figures
from clustermass.baselines.scaling_relations import count_rate_relation
from clustermass.ensemble.calibration import Calibration, Recalibration
from clustermass.ensemble.scores import calibration_scores
from clustermass.evaluate.evaluate import BINS, calibrated_predictions
from clustermass.evaluate.metrics import by_bin
from clustermass.io.files import write_json
from clustermass.io.fits import write_fits
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.io.provenance import provenance

FIGURES = (
    *("energy_bands", "sample", "training", "predictions", "bias", "bias_supplement"),
    *("observed", "calibration", "baselines"),
)
BASELINES = {
    "prior": 0.3,
    "count_rate_efeds": 0.2,
    "count_rate_recalibrated": 0.17,
    "luminosity_published": 0.16,
    "luminosity_recalibrated": 0.15,
    "luminosity_temperature": 0.09,
    "ridge_features": 0.147,
    "boosted_trees": 0.146,
}
SIZES = {"train": 600, "val": 130, "test": 140}


def make_inputs(folder: Path, sizes: dict[str, int] = SIZES, n_detection: int = 40, n_observed: int = 90) -> Path:
    """Write one file of each kind that a figure reads."""
    rng = np.random.default_rng(5)
    make_predictions(folder, sizes, rng)
    for realization in ("01", "02"):
        make_realization(folder, realization, n_detection, rng)
    make_histories(folder, rng)
    make_metrics(folder, sizes["test"])
    make_field(folder, n_observed, rng)
    return folder


def make_predictions(folder: Path, sizes: dict[str, int], rng: np.random.Generator) -> None:
    n = sum(sizes.values())
    split = np.repeat(list(sizes), list(sizes.values()))
    true = 13.1 + rng.gamma(4.0, 0.2, n)
    sigma = np.clip(0.15 + 0.02 * rng.normal(size=n) - 0.03 * (true - 14), 0.05, None)
    cluster = ("cluster", [f"01_{i}" for i in range(n)])
    common = {"split": ("cluster", split), "log10_m500c": ("cluster", true)}
    network = {
        "mu": ("cluster", true - 0.15 * (true - 13.9) + sigma * rng.normal(size=n)),
        "sigma": ("cluster", sigma),
        "redshift": ("cluster", np.clip(0.1 + 0.15 * rng.gamma(2.0, 1.0, n), 0.02, 1.3)),
        "ml_cts": ("cluster", 10 ** rng.uniform(1.5, 3.3, n)),
        "ext_like": ("cluster", 6.0 + np.arange(n) % 80),
    }
    ensemble = xr.Dataset({**common, **network}, {"cluster": cluster})
    write_netcdf(ensemble, folder / "ensemble.nc", "test", provenance("test", {}))
    members = {f"member_{name}": (("member", "cluster"), ensemble[name].values[None]) for name in ("mu", "sigma")}
    found = Calibration("scale", Recalibration(1.1), {68: 1.1, 90: 1.8, 95: 2.2}, sizes["val"])
    predicted = calibrated_predictions(ensemble.assign(members), found)
    write_netcdf(predicted, folder / "predictions.nc", "test", provenance("test", {}))
    mu = np.array([true - 0.3 * (true - 13.9) + scatter * rng.normal(size=n) for scatter in BASELINES.values()])
    coords = {"cluster": cluster, "predictor": ("predictor", list(BASELINES))}
    baselines = xr.Dataset({**common, "mu": (("predictor", "cluster"), mu)}, coords)
    write_netcdf(baselines, folder / "baselines.nc", "test", provenance("test", {}))


def make_realization(folder: Path, realization: str, n: int, rng: np.random.Generator) -> None:
    low = 0.25 + 0.205 * np.arange(10)
    x = 12.0 * (np.arange(100) - 49.5)
    radius = np.hypot(*np.meshgrid(x, x))
    shape = 0.02 + (1 + (radius / 60) ** 2) ** -1.5
    ml_cts = 10 ** rng.uniform(1.5, 3.3, n)
    expected = ml_cts[:, None, None, None] / 500 * shape * np.exp(-(np.arange(10)[:, None, None] - 2.0).clip(0) / 4)
    scalars = {
        "ra": rng.uniform(126, 146, n),
        "dec": rng.uniform(-2, 5, n),
        "redshift": rng.uniform(0.05, 0.9, n),
        # every fifth box is partly outside the field, and the brightest are among them
        "ml_cts": np.where(np.arange(n) % 5, 1, 10) * ml_cts,
        "ml_rate": ml_cts / 1200,
        "log10_m500c": rng.uniform(13.2, 15, n),
        "covered_fraction": np.where(np.arange(n) % 5, 1.0, 0.6),
    }
    images = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), rng.poisson(expected).astype(np.uint16)),
            "band_bounds": (("band", "edge"), np.stack([low, low + 0.205], axis=1)),
            **{name: ("cluster", value) for name, value in scalars.items()},
        },
        {"cluster": [f"{realization}_{i}" for i in range(n)], "band": low + 0.1025, "x": x, "y": x},
    )
    write_netcdf(images, folder / f"images_{realization}.nc", "test", provenance("test", {}))
    split = xr.Dataset(
        {"split": ("cluster", np.resize(["train", "test", "val"], 2 * n))},
        {"cluster": [f"{r}_{i}" for r in ("01", "02") for i in range(n)]},
    )
    write_netcdf(split, folder / "split.nc", "test", provenance("test", {}))
    z, mass = np.clip(0.25 * rng.gamma(3.0, 1.0, 6000), 0.02, 1.5), 13 + rng.exponential(0.22, 6000)
    haloes = Table({"Z": z.astype("f4"), "LOG10_M500C": np.minimum(mass, 15.2).astype("f4")})
    truth = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(haloes, name="TRUTH")])
    write_fits(truth, folder / f"truth_{realization}.fits")


def make_histories(folder: Path, rng: np.random.Generator) -> None:
    epoch = np.arange(1, 51)
    for member in range(6):
        fall = 1.6 * np.exp(-epoch / 5) - 0.75
        history = xr.Dataset(
            {
                "train_loss": ("epoch", fall - 0.002 * epoch + 0.02 * rng.normal(size=50)),
                "val_loss": ("epoch", fall + 0.07 + 0.05 * rng.normal(size=50)),
                "learning_rate": ("epoch", 2e-3 * (0.001 + np.cos(np.pi * epoch / 102) ** 2)),
            },
            {"epoch": epoch},
        )
        epochs = {"best_epoch": 40 - member, "kept_epoch": 50}
        write_netcdf(history, folder / f"member_{member:02d}.nc", "test", provenance("test", {}, **epochs))


def make_metrics(folder: Path, n_test: int) -> None:
    network = 0.143

    def block(scatter: float) -> dict[str, object]:
        if n_test < 3:
            return {"scatter_dex": None, "scatter_dex_ci68": None}
        interval = [0.96 * scatter, 1.05 * scatter]
        return {"scatter_dex": scatter, "bias_dex": 0.0, "rms_dex": scatter, "scatter_dex_ci68": interval}

    ratios = {f"network_over_{name}": {"value": network / s, "ci68": [0.98 * network / s, 1.03 * network / s]}
              for name, s in BASELINES.items()}  # fmt: skip
    baselines = {name: block(scatter) for name, scatter in BASELINES.items()}
    content = {"n_train": 600, "n_test": n_test, "test": block(network), "baselines": baselines, "ratios": ratios}
    likelihood = read_netcdf(folder / "ensemble.nc")["ext_like"]
    predicted = read_netcdf(folder / "predictions.nc").assign(ext_like=likelihood)
    test = predicted.isel(cluster=predicted["split"].values.astype(str) == "test")
    columns = tuple(test[name].values for name in ("mu", "sigma_calibrated", "log10_m500c"))
    content["calibration"] = {
        key: by_bin(test[name].values, edges, calibration_scores, *columns) for key, name, edges in BINS
    }
    write_json(content, folder / "metrics.json")


def make_field(folder: Path, n: int, rng: np.random.Generator) -> None:
    """Masses of `n` clusters, 0.05 dex above the count-rate relation, and one more without redshift and mass."""
    total = n + 1
    ra, dec, z = rng.uniform(126, 146, total), rng.uniform(-2, 5, total), rng.uniform(0.05, 0.9, total)
    rate = 10 ** rng.uniform(-1.7, 0.3, total)
    mass = count_rate_relation(z, RELATION).log10_mass(rate) + 0.1 * rng.normal(size=total) + 0.05
    z[n] = mass[n] = np.nan
    floats = {
        "RA": ra,
        "DEC": dec,
        "Z": z,
        "ML_RATE": rate,
        "LOGM500": mass,
        "LOGM500_ERR": 0.14 + 0.02 * rng.normal(size=total),
    }
    floats["LOGM500_REF"] = np.where(np.arange(total) % 3, np.nan, mass + 0.05)
    flags = {"FLAG_RANGE": np.zeros(total), "FLAG_OOD": np.arange(total) % 15 == 1, "FLAG_EDGE": np.zeros(total)}
    columns = floats | {name: value.astype("i2") for name, value in flags.items()}
    table = fits.BinTableHDU(Table(columns), name="MASSES")
    for simulated in (True, False):
        table.header["SIMULATE"] = simulated
        write_fits(fits.HDUList([fits.PrimaryHDU(), table]), folder / f"masses_{simulated}.fits")


def draw(name: str, inputs: Path, **out: Any) -> Figure:
    """Return one figure from the files of `make_inputs`, laid out; write it to the files `out`."""
    images = sorted(inputs.glob("images_*.nc"))
    mass = [inputs / "predictions.nc", inputs / "baselines.nc"]
    arguments: dict[str, list[Any]] = {
        "energy_bands": [images, inputs / "split.nc", 192.0],
        "sample": [sorted(inputs.glob("truth_*.fits")), inputs / "ensemble.nc"],
        "training": [sorted(inputs.glob("member_*.nc"))],
        "predictions": [inputs / "predictions.nc"],
        "bias": mass,
        "bias_supplement": mass,
        "observed": [inputs / "masses_True.fits", RELATION],
        "calibration": [inputs / "predictions.nc", inputs / "metrics.json"],
        "baselines": [inputs / "metrics.json"],
    }
    return laid_out(getattr(figures, name)(*arguments[name], **out))


def laid_out(figure: Figure) -> Figure:
    """Return a figure after its layout, which makes the labels of ticks."""
    figure.draw_without_rendering()
    return figure


def texts(figure: Figure) -> list[str]:
    """All texts of a figure."""
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
