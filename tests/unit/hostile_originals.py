"""The harmless files that the hostile ones are made from, one of each kind, with an ensemble that gives masses."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.table import Table
from event_lists import photons, sin_projection, write_esass
from ingest_published_inputs import make_catalogue, make_images, write_set
from ood_inputs import by_hand, write_calibration, write_ood_model
from PIL import Image, PngImagePlugin
from test_images_band_images import write_image

from clustermass.config.resolve import load_config
from clustermass.dataset.standardise import Standardisation
from clustermass.ensemble.ensemble import Ensemble
from clustermass.io.files import write_json
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance
from clustermass.network.predict import TrainedNetwork, initialise

ROOT = Path(__file__).parents[2]
CENTRE = (136.0, 1.5)
NETWORK = {"side_inputs": ["z"], "catalogue_dropout": 0.0, "layers": [{"flatten": True}, {"join": "side"}]}
PREPROCESSING = {"half_width_arcsec": 192.0, "pixel_arcsec": 24.0, "transform": "sqrt"}
IMAGES = {"box_pixels": 300, "pixel_arcsec": 4.0, "base_rebin": 6, "centre": "detected", "det_like_min": 0.0}
IMAGES |= {"ext_like_min": 0.0, "bands": {"start_ev": 200, "width_ev": 1075, "number": 2}}
RECIPE = {"epochs": 3, "learning_rate": 1e-3, "symmetric_prediction": False, "loss": "likelihood"}
RECIPE |= {"optimizer": "adam", "schedule": "cosine", "weight_decay": 0.0, "gradient_clip": 0.0, "batch_size": 8}
RECIPE |= {"augmentation": "symmetries", "average_decay": 0.0, "keep": "last"}
COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}


def write_originals(folder: Path) -> None:
    """Write all harmless files into `folder`."""
    clusters = cluster_table()
    clusters.write(folder / "clusters.csv")
    clusters.write(folder / "clusters.ecsv")
    clusters.write(folder / "clusters.vot", format="votable")
    clusters.write(folder / "clusters.fits")
    write_esass(folder / "events.fits", photons(3000))
    columns = photons(3000)
    for number, (low, high) in enumerate([(200, 1275), (1275, 2350)]):
        write_image(folder / f"band{number}.fits", columns, low, high, CENTRE)
    header = sin_projection(CENTRE, 4 / 3600, (50.5, 50.5)).to_header()
    fits.PrimaryHDU(np.full((100, 100), 1000, np.float32), header).writeto(folder / "exposure.fits")
    write_truth(folder)
    published = make_catalogue(realizations=1, each=3)
    write_set(folder / "published", published, make_images(published))
    write_experiment(folder / "experiment")
    Ensemble.from_folder(folder / "experiment").save(folder / "ensemble.zip")
    shutil.copy(folder / "experiment" / "members" / "00.safetensors", folder)
    for name in ("calibration.json", "domain.nc", "ensemble.nc"):
        shutil.copy(folder / "experiment" / name, folder)
    shutil.copy(ROOT / "config" / "config.yaml", folder / "base.yaml")
    (folder / "mine.yaml").write_text("run: mine\nseed: 3\n")
    write_results(folder / "results")
    shutil.copy(folder / "results" / "skies" / "tiny" / "01" / "images.nc", folder)


def cluster_table() -> Table:
    rng = np.random.default_rng(5)
    ra, dec = CENTRE[0] + rng.uniform(-0.1, 0.1, 6), CENTRE[1] + rng.uniform(-0.1, 0.1, 6)
    table = Table({"ID_SRC": np.arange(1, 7), "RA": ra, "DEC": dec, "Z": rng.uniform(0.1, 0.9, 6)})
    return Table({**table.columns, "EXT_LIKE": rng.uniform(6, 90, 6), "ML_EXP": np.full(6, 1000.0)})


def write_truth(folder: Path) -> None:
    table = Table({"SRC_ID": [1, 2], "RA": [136.0, 136.1], "DEC": [1.5, 1.6], "Z": [0.2, 0.3], "M500C": [1e14, 2e14]})
    table.write(folder / "truth.fits")


def network(member: int) -> TrainedNetwork:
    shape = (16, 16, 2)
    offsets = (np.arange(16) * 24.0 - 180.0).tolist()
    return TrainedNetwork(
        weights=initialise(NETWORK, shape, 2, [1, member]),
        standardisation=Standardisation([0.1, 0.1], [1.0, 1.0], ["z"], [0.3], [0.2], 14.1, 0.4),
        network=NETWORK,
        recipe=RECIPE,
        preprocessing=PREPROCESSING,
        cutting={"images": IMAGES, "events": {"flag_mask": "auto", "pattern": 15, "modules": [1, 2, 3, 4, 5, 6, 7]}},
        grid={"x": offsets, "y": offsets, "band": [0.7375, 1.8125]},
        ranges={"redshift": [0.1, 0.8], "log10_m500c": [13.0, 15.0]},
        shape=shape,
        member=member,
        seed=1,
    )


def write_experiment(folder: Path) -> None:
    """Write an experiment of two networks, without any figure."""
    (folder / "members").mkdir(parents=True)
    rng, m = np.random.default_rng(31), 400
    training = {"split": np.repeat(["train", "val"], m // 2), "redshift": rng.uniform(0.1, 0.9, m)}
    training |= {"redshift_err": np.zeros(m), "ml_cts": rng.uniform(30, 900, m)}
    training |= {"exposure_s": rng.uniform(900, 1500, m), "log10_m500c": rng.uniform(13, 15, m)}
    columns = {name: ("cluster", values) for name, values in training.items()}
    coordinates = {"cluster": [f"02_{k}" for k in range(m)], "member": ["00", "01"]}
    made = {"source": "clustermass 0.0.7", "cosmology": COSMOLOGY}
    write_netcdf(xr.Dataset(columns, coordinates), folder / "ensemble.nc", "test", made)
    for member in range(2):
        network(member).save(folder / "members" / f"0{member}.safetensors")
    write_calibration(folder)
    validation = rng.normal(14.2, 0.5, 199)[:, None]
    write_ood_model(by_hand(validation, covariance=[[0.25]], mean=[[14.2]]), folder / "domain.nc")


def write_results(folder: Path) -> None:
    """Write a results folder with a sky and a run, which `verify` finds no fault in."""
    sky, run = folder / "skies" / "tiny" / "01", folder / "mine"
    run.mkdir(parents=True)
    sky.mkdir(parents=True)
    write_esass(sky / "events.fits", photons(50))
    counts = np.ones((2, 2, 4, 4), np.uint16)
    columns = {"counts": (("cluster", "band", "y", "x"), counts), "redshift": ("cluster", [0.2, 0.3])}
    made = {**provenance("extract_images", {"a": 1}), "input_sha256": stated(folder, sky / "events.fits")}
    write_netcdf(xr.Dataset(columns, {"cluster": ["01_1", "01_2"], "band": [0.5, 1.5]}), sky / "images.nc", "t", made)
    made = {**provenance("evaluate", {"b": 2}), "input_sha256": stated(folder, sky / "images.nc")}
    write_json({"test": {"scatter_dex": 0.2}, "provenance": made}, run / "metrics.json")
    made = {**provenance("plot_bias", {"dpi": 9}), "input_sha256": stated(folder, run / "metrics.json")}
    write_png(run / "figure.png", json.dumps(made))
    described = f"<dc:description xmlns:dc='http://purl.org/dc/elements/1.1/'>{json.dumps(made)}</dc:description>"
    (run / "figure.svg").write_text(f"<svg xmlns='http://www.w3.org/2000/svg'>{described}</svg>")
    made = {**provenance("report", {}), "input_sha256": stated(folder, run / "figure.png", run / "figure.svg")}
    write_json({"provenance": made}, run / "provenance.json")
    shutil.copy(ROOT / "config" / "config.yaml", run / "config.yaml")
    assert load_config([run / "config.yaml"])


def write_png(path: Path, text: str, size=(4, 4)) -> None:
    entries = PngImagePlugin.PngInfo()
    entries.add_text("Description", text)
    Image.new("RGB", size).save(path, pnginfo=entries)


def stated(root: Path, *paths: Path) -> dict[str, str]:
    return {f"results/{one.relative_to(root)}": hashlib.sha256(one.read_bytes()).hexdigest() for one in paths}
