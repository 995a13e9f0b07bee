"""Masses of a field a part of the clusters at a time: the same bits, whatever the parts, and a bounded memory."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.table import Table
from images_inputs import IMAGES
from ingest_inputs import DEC0, EVENTS, RA0, event_list, ingest, sky
from network_inputs import RECIPE, network_block
from ood_inputs import by_hand, write_calibration, write_ood_model

from clustermass.apply import catalogue
from clustermass.apply import field as application
from clustermass.apply.field import masses_of_field
from clustermass.cards.page import write_page
from clustermass.dataset.standardise import Standardisation
from clustermass.images.cutouts import cut_in_parts, extract_images
from clustermass.images.exposure import ExposureMap
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.network.predict import TrainedNetwork, initialise

PREPROCESSING = {"half_width_arcsec": 192.0, "pixel_arcsec": 24.0, "transform": "sqrt"}
SIDE = ["log_z", "log_exposure"]
SHAPE, IMAGE_BYTES, CLUSTERS = (16, 16, 10), 200_000, 30


def write_ensemble(folder):
    """Write an ensemble of two networks of random weights for the default images."""
    (folder / "members").mkdir()
    block, offsets = network_block([4], [8], SIDE), np.linspace(-180, 180, 16).tolist()
    bands = (250 + 205 * (np.arange(10) + 0.5)) / 1000
    constants = Standardisation([0.3] * 10, [0.5] * 10, SIDE, [-0.5, 3.0], [0.3, 0.1], 14.2, 0.4)
    for member in range(2):
        TrainedNetwork(
            initialise(block, SHAPE, 2, [member]), constants, block, RECIPE, SHAPE, member, 1,
            preprocessing=PREPROCESSING, cutting={"images": IMAGES, "events": EVENTS},
            grid={"x": offsets, "y": offsets, "band": bands.tolist()},
        ).save(folder / "members" / f"0{member}.safetensors")  # fmt: skip
    rng = np.random.default_rng(3)
    columns = {"split": np.repeat(["train", "val"], 50), "redshift": rng.uniform(0.1, 0.9, 100)}
    columns |= {"redshift_err": np.zeros(100), "ml_cts": rng.uniform(30, 900, 100)}
    columns |= {"exposure_s": rng.uniform(900, 1500, 100), "log10_m500c": rng.uniform(13, 15, 100)}
    variables = {name: ("cluster", values) for name, values in columns.items()}
    table = xr.Dataset(variables, {"cluster": [f"02_{k}" for k in range(100)], "member": ["00", "01"]})
    cosmology = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
    write_netcdf(table, folder / "ensemble.nc", "test", {"source": "test", "cosmology": cosmology})
    write_calibration(folder)
    write_ood_model(by_hand(rng.normal(14.2, 0.3, (199, 1))), folder / "domain.nc")


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Write an ensemble and a field across RA 0: a table in no order, rows without redshift, and some at the edge."""
    folder = tmp_path_factory.mktemp("field")
    write_ensemble(folder)
    rng = np.random.default_rng(8)
    event_list(folder / "mine.fits", number=60_000, width=1.5)
    half = np.array([0.8] * 6 + [0.6] * (CLUSTERS - 6))
    ra, dec = RA0 + rng.uniform(-half, half), DEC0 + rng.uniform(-half, half)
    z = np.where(np.arange(CLUSTERS) % 10 == 4, np.nan, rng.uniform(0.1, 0.8, CLUSTERS))
    table = Table({"ID_SRC": rng.permutation(CLUSTERS) + 1, "RA": ra % 360, "DEC": dec, "Z": z})
    table["Z_ERR"] = np.where(rng.random(CLUSTERS) < 0.5, 0.02, 0.0)
    table.write(folder / "mine.csv")
    return folder


def masses(folder, name, monkeypatch, clusters=None, **options):
    if clusters:
        part_bytes = clusters * IMAGE_BYTES
        monkeypatch.setattr(application, "cut_in_parts", partial(cut_in_parts, part_bytes=part_bytes))
    output = folder / f"{name}.fits"
    masses_of_field([folder / "mine.fits"], folder / "mine.csv", folder, output, overwrite=True, **options)
    return output


@pytest.mark.parametrize("options", [{"exposure_s": 1100.0}, {"mass_prior": "flat", "exposure_s": 1100.0}])
def test_masses_are_the_same_to_the_bit_whatever_the_parts(field, monkeypatch, caplog, options):
    with caplog.at_level("INFO", "clustermass"):
        whole = masses(field, "whole", monkeypatch, **options)
        said = [line for line in caplog.messages if " a mass: " in line or line.startswith("30 images")]
        monkeypatch.setattr(catalogue, "_ROWS", 7)
        for clusters in (1, 7):
            caplog.clear()
            parts = masses(field, "parts", monkeypatch, clusters, **options)
            for kind in (".fits", ".vot", ".ecsv", ".nc"):
                assert parts.with_suffix(kind).read_bytes() == whole.with_suffix(kind).read_bytes()
            assert [line for line in caplog.messages if " a mass: " in line or line.startswith("30 images")] == said
    rows = fits.getdata(whole)
    assert rows["ID_SRC"].tolist() == sorted(rows["ID_SRC"])
    assert len(rows) == CLUSTERS
    assert 10 < np.isfinite(rows["LOGM500"]).sum() < CLUSTERS - 3
    assert len(set(rows["LOGM500"][np.isfinite(rows["LOGM500"])])) > 10
    assert 0 < rows["FLAG_EDGE"].sum() < CLUSTERS


@pytest.mark.parametrize("fault", ["more clusters than a page shows", "an interruption"])
def test_cards_and_page_of_an_earlier_catalogue_are_not_left_beside_a_new_one(field, monkeypatch, fault):
    output = masses(field, "again", monkeypatch, exposure_s=1100.0)
    cards, page = output.with_suffix(".cards.nc"), output.with_suffix(".html")
    assert cards.is_file()
    write_page(output, page)
    if fault == "an interruption":

        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("clustermass.apply.masses.write_cards", interrupted)
        with pytest.raises(KeyboardInterrupt):
            masses(field, "again", monkeypatch, exposure_s=1200.0)
    else:
        monkeypatch.setattr(application, "MOST_CLUSTERS", CLUSTERS - 1)
        masses(field, "again", monkeypatch, exposure_s=1200.0)
    assert not cards.exists()
    assert not page.exists()
    assert len(fits.getdata(output)) == CLUSTERS


@pytest.mark.long
def test_memory_is_that_of_a_part_of_the_images(field, monkeypatch):
    """Images of 30 clusters take 6 MB, those of 3 take 0.6 MB."""
    peaks = []
    for clusters in (3, CLUSTERS):
        tracemalloc.start()
        masses(field, "traced", monkeypatch, clusters, exposure_s=1100.0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] > 3e6, peaks


@pytest.mark.parametrize("clusters", [1, 7, CLUSTERS])
def test_parts_are_the_images_of_the_workflow(field, tmp_path, clusters):
    block = sky(tmp_path, events=[str(field / "mine.fits")], catalogue=str(field / "mine.csv"), exposure_s=900.0)
    outputs = ingest(tmp_path, block)
    standard = outputs["events"], outputs["exposure"], outputs["catalogue"]
    extract_images(*standard, tmp_path / "images.nc", IMAGES, "01", EVENTS)
    whole = read_netcdf(tmp_path / "images.nc")
    exposure = ExposureMap.read(outputs["exposure"])
    cut = (outputs["events"], exposure, outputs["catalogue"], IMAGES, "01", EVENTS, tmp_path)
    parts = list(cut_in_parts(*cut, part_bytes=clusters * IMAGE_BYTES))
    assert max(part.sizes["cluster"] for part in parts) == clusters
    joined = xr.concat(parts, "cluster", data_vars="minimal", coords="minimal", compat="override", join="override")
    joined = joined.sel(cluster=whole["cluster"].values)
    assert set(joined.variables) == set(whole.variables)
    for name, values in whole.variables.items():
        np.testing.assert_array_equal(joined[name].values, values.values, err_msg=str(name))
