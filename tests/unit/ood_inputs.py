"""Clusters from a small simulation; out-of-distribution models and calibrations with chosen numbers."""

import numpy as np

from clustermass.ensemble.ood_quantities import QUANTITIES, quantities
from clustermass.ensemble.out_of_distribution import KNOTS, TERMS, OodModel
from clustermass.io.files import write_json
from clustermass.io.netcdf import write_netcdf

NAMES = list(QUANTITIES)
X = np.arange(-180.0, 181.0, 24.0)
BANDS = 6


def simulated(n, seed, background=0.6):
    """Images (cluster, band, y, x) of beta models, their catalogue and the predictions of networks."""
    rng = np.random.default_rng(seed)
    z, exposure = rng.uniform(0.1, 0.7, n), rng.uniform(900.0, 1500.0, n)
    mass = rng.normal(14.2, 0.3, n)
    counts = 10 ** (2.3 + 1.6 * (mass - 14.2) - 2 * np.log10(z / 0.3) + rng.normal(0, 0.1, n)) * exposure / 1200
    core = 50 * (0.3 / z) * 10 ** rng.normal(0, 0.05, n)
    radius = np.hypot(X[None, :], X[:, None])
    shape = (1 + (radius / core[:, None, None]) ** 2) ** -1.5
    light = counts[:, None, None] * shape / shape.sum(axis=(1, 2))[:, None, None]
    soft = np.exp(-np.arange(BANDS) * (0.2 + 0.3 * z[:, None]))
    spectrum = soft / soft.sum(axis=1, keepdims=True)
    expected = light[:, None] * spectrum[..., None, None] + background / BANDS * (exposure / 1200)[:, None, None, None]
    catalogue = {
        "redshift": z,
        "exposure_s": exposure,
        "ml_rate": counts / exposure * 10 ** rng.normal(0, 0.05, n),
        "ext": core * 10 ** rng.normal(0, 0.1, n),
        "ml_bkg": background * exposure * 10 ** rng.normal(0, 0.02, n),
    }
    mu = 14.2 + (np.log10(catalogue["ml_rate"] / catalogue["ml_rate"].mean()) + 2 * np.log10(z / 0.3)) / 1.6
    predicted = {
        "mu": mu + rng.normal(0, 0.03, n),
        "sigma_aleatoric": 0.15 * 10 ** rng.normal(0, 0.03, n),
        "sigma_epistemic": 0.03 * 10 ** rng.normal(0, 0.1, n),
    }
    return rng.poisson(expected).astype(np.float32), catalogue, predicted


def measured(n, seed, **changes):
    image, catalogue, predicted = simulated(n, seed, **changes)
    return quantities(image, X, X, "none", catalogue, predicted)


def by_hand(validation, names=("mass",), covariance=((1.0,),), mean=None):
    """Return an `OodModel` whose normal scores are the quantities themselves."""
    n, zero = len(names), np.zeros((len(names), len(TERMS)))
    return OodModel(
        *(tuple(names), "none", np.zeros(3), np.ones(3), zero, zero, np.tile(KNOTS, (n, 1)), np.ones(1)),
        *(np.array(mean if mean is not None else np.zeros((1, n))), np.array([covariance]), np.array(validation)),
    )


def write_ood_model(model, path):
    cluster = np.array([f"02_{number}" for number in range(model.number)])
    write_netcdf(model.to_dataset(cluster), path, "test", {"source": "test", "transform": model.transform})


def write_calibration(folder, form="none", scale=1.0, floor=0.0, widths=(1.0, 1.6, None), number=18):
    """Write `calibration.json` with a recalibration and half widths of 68, 90 and 95 % intervals."""
    levels = {level: {"half_width": width} for level, width in zip(("68", "90", "95"), widths, strict=True)}
    recalibration = {"form": form, "scale": scale, "floor_dex": floor}
    content = {"n_val": number, "recalibration": recalibration, "conformal": {"levels": levels}}
    write_json(content, folder / "calibration.json")


def rows_of(**given):
    """Return rows of `quantities` with the covariates and the given quantities; all others are NaN."""
    n = len(next(iter(given.values())))
    table = np.full((n, len(NAMES)), np.nan)
    table[:, :3] = 1.0
    for name, values in given.items():
        table[:, NAMES.index(name)] = values
    return table
