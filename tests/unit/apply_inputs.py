"""A field of five clusters with its ensemble and fake networks, and its mass catalogue."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from astropy.table import Table
from ood_inputs import by_hand, write_calibration, write_ood_model
from scipy.stats import norm

from clustermass.apply import masses as observed
from clustermass.apply.catalogue import CataloguePaths
from clustermass.apply.masses import infer_observed
from clustermass.ensemble.aggregate import combine
from clustermass.ensemble.ensemble import Ensemble, Prediction
from clustermass.io.netcdf import write_netcdf

MADE = {"source": "test"}
COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}


def predicted(mu, sigma, sigma_redshift):
    """Return a `Prediction` from the means and sigmas of the members, (member, cluster)."""
    return Prediction(mu, sigma, *combine(mu, sigma), sigma_redshift)


def fake_predict(ensemble, image, redshift, redshift_err, measurements, device):
    """Replace the networks: members differ by 0.1 dex, more for the last image; d log10 M / dz = 1."""
    mu = 14 + image.mean(axis=(1, 2, 3)) + 0.1 * np.arange(len(ensemble.weights))[:, None]
    mu[1:] += 10 * (image.mean(axis=(1, 2, 3)) > 0.4)
    return predicted(mu, np.full(mu.shape, 0.15), np.asarray(redshift_err, dtype=float))


def network(*side_inputs, centre="detected"):
    """Return a fake `TrainedNetwork.load`: its network has `side_inputs` and was trained on images about `centre`."""
    cutting = {"images": {"centre": centre, "box_pixels": 300, "pixel_arcsec": 4.0}}
    recipe = {"half_width_arcsec": 192.0}
    return lambda path: SimpleNamespace(
        network={"side_inputs": side_inputs}, cutting=cutting, preprocessing=recipe, prior=None
    )


@pytest.fixture(name="field")
def observed_field(tmp_path, monkeypatch):
    """Write a field of five clusters (the third without redshift), its ensemble, and fake networks."""
    monkeypatch.setattr(Ensemble, "predict", fake_predict)
    monkeypatch.setattr(Ensemble, "check_grid", lambda ensemble, images: None)
    monkeypatch.setattr(observed.TrainedNetwork, "load", network("log_z", "log_rate", "log_extent", "log_background"))
    n = 5
    per_cluster = {
        "ra": [136.0, 136.5, 137.0, 137.5, 0.0],
        "dec": [1.5, -0.001, 2.0, -1.25, 0.5],
        "redshift": [0.3, 0.5, np.nan, 1.4, 0.2],
        "redshift_err": [0.0, 0.02, 0.0, 0.0, 0.0],
        "det_like": [50.0, 9.0, 12.0, 30.0, 80.0],
        "ext_like": [40.0, 8.0, 7.0, 20.0, 70.0],
        "ml_cts": [200.0, 50.0, 60.0, np.nan, 90.0],
        "exposure_s": [1200.0, 1300.0, 1250.0, 1100.0, 100.0],
        "ml_rate": [0.2, 0.05, 0.06, np.nan, 0.09],
        "ext": [20.0, 10.0, 0.0, 25.0, 30.0],
        "ml_bkg": [6.0, 6.5, 7.0, 6.2, 5.0],
        "covered_fraction": [1.0, 0.95, 1.0, 1.0, 0.9499],
        "exp_from": ["map"] * n,
        "realization": ["01"] * n,
    }
    common = {name: ("cluster", np.array(values)) for name, values in per_cluster.items()}
    ids = [f"01_{number}" for number in (7, 3, 11, 20, 5)]
    counts = np.random.default_rng(30).integers(0, 3, (n, 2, 4, 4)).astype(np.uint16)
    image = np.full((n, 2, 2, 2), 0.1, dtype=np.float32)
    image[1] = 0.5
    grid = {"cluster": ids, "band": [0.5, 1.5]}
    pixels = {"y": [-12.0, 12.0], "x": [-12.0, 12.0]}
    bounds = ("band", "edge"), [[0.2, 0.8], [0.8, 2.3]]
    offsets = {axis: [-18.0, -6.0, 6.0, 18.0] for axis in "yx"}
    variables = {"counts": (("cluster", "band", "y", "x"), counts), "band_bounds": bounds, **common}
    images = xr.Dataset(variables, grid | offsets)
    smoothed = xr.Dataset({"image": (("cluster", "band", "y", "x"), image), **common}, grid | pixels)
    write_netcdf(images, tmp_path / "images.nc", "test", MADE)
    write_netcdf(smoothed, tmp_path / "smoothed.nc", "test", MADE)
    write_detections(tmp_path, {"ID_SRC": [3, 7], "LOGM500_REF": [14.2, np.nan]})
    m = 400
    rng = np.random.default_rng(31)
    training = {
        "split": np.repeat(["train", "val"], m // 2),
        "redshift": rng.uniform(0.1, 0.9, m),
        "redshift_err": np.zeros(m),
        "ml_cts": rng.uniform(30, 900, m),
        "exposure_s": rng.uniform(1000, 1500, m),
        "log10_m500c": rng.uniform(13, 15, m),
    }
    columns = {name: ("cluster", values) for name, values in training.items()}
    ensemble = xr.Dataset(columns, {"cluster": [f"02_{k}" for k in range(m)]})
    write_netcdf(ensemble, tmp_path / "ensemble.nc", "test", MADE)
    for member in range(3):
        (tmp_path / f"0{member}.safetensors").write_bytes(bytes([member]))
    write_calibration(tmp_path)
    # masses like 14.2 +- 0.1 are known, by 199 validation clusters
    validation = norm.ppf(np.arange(1, 200) / 200, 14.2, 0.1)[:, None]
    write_ood_model(by_hand(validation, covariance=[[0.01]], mean=[[14.2]]), tmp_path / "domain.nc")
    return tmp_path, dict(zip(ids, counts, strict=True))


def write_detections(folder, columns):
    rows = len(columns["ID_SRC"])
    position = {"RA": np.linspace(136, 137, rows), "DEC": np.zeros(rows), "ML_CTS": np.full(rows, 50.0)}
    position["EXT_LIKE"] = np.zeros(rows)
    table = Table({**position, **columns}, meta={"EXTNAME": "CATALOGUE"})
    table.write(folder / "catalogue.fits", overwrite=True)


def run(folder, name="masses", **changed):
    paths = CataloguePaths.beside(folder / f"{name}.fits")._asdict()
    arguments = {
        "images": [folder / "images.nc"],
        "smoothed": [folder / "smoothed.nc"],
        "catalogues": [folder / "catalogue.fits"],
        "ensemble": folder / "ensemble.nc",
        "calibration": folder / "calibration.json",
        "domain": folder / "domain.nc",
        "weights": [folder / f"0{member}.safetensors" for member in range(3)],
        "simulated": True,
        "cosmology": COSMOLOGY,
    }
    infer_observed(**{**arguments, "output": paths["fits"], **changed})
    return paths


def read(folder, **changed):
    return {int(row["ID_SRC"]): row for row in Table.read(run(folder, **changed)["fits"], mask_invalid=False)}
