"""Sets of images and their preprocessings in the configuration: what would fail in a job is reported before."""

import numpy as np
import pytest
from config_inputs import ROOT, put, refused

from clustermass.config.resolve import load_config, resolve_images
from clustermass.config.validate import config_errors
from clustermass.images.geometry import ImageGeometry
from clustermass.images.preprocessing import Grid, ScaledGrid, band_number


@pytest.fixture
def config():
    loaded = load_config([ROOT / "config" / "config.yaml"])
    loaded["image_sets"] = {"large_box": {"box_pixels": 504}, "faint": {"ext_like_min": 3.0}}
    return loaded


def test_a_set_departs_from_the_default_in_what_it_sets(config):
    images = config["images"]
    assert resolve_images(images, config["image_sets"], "faint") == images | {"ext_like_min": 3.0}
    for name in (None, "images"):
        assert resolve_images(images, config["image_sets"], name) == images


@pytest.mark.parametrize("half", [204.0, 408.0, 600.0, 1008.0])
def test_the_extraction_sizes_of_the_paper_are_crops_of_a_larger_box(config, half):
    """100, 200, 300 and 500 pixels of 4" have half widths of 200", 400", 600" and 1000", up to whole base pixels."""
    config["preprocessing"]["size"] = {"half_width_arcsec": half, "pixel_arcsec": 24.0, "transform": "sqrt"}
    config["experiments"]["size"] = {"images": "large_box", "preprocessing": "size"}
    assert config_errors(config) == []
    geometry = ImageGeometry.from_config(config["images"] | {"box_pixels": 504})
    assert Grid(geometry.base_offsets_arcsec(), config["preprocessing"]["size"]).pixels == 2 * half / 24


def test_a_preprocessing_must_fit_the_sets_that_it_is_used_on(config):
    config["preprocessing"]["wide"] = {"half_width_arcsec": 1008.0, "pixel_arcsec": 24.0, "transform": "sqrt"}
    assert config_errors(config) == []  # no experiment uses it
    config["experiments"]["wide"] = {"preprocessing": "wide"}
    [line] = config_errors(config)
    assert line.startswith("preprocessing.wide.half_width_arcsec is 1008.0, but the images reach only 600 arcsec")
    config["experiments"]["wide"] = {"images": "large_box", "preprocessing": "wide"}
    assert config_errors(config) == []
    config["experiments"]["faint"] = {"images": "faint", "preprocessing": "wide"}
    [line] = config_errors(config)
    assert "lower it or raise image_sets.faint.box_pixels" in line


def test_selections_go_down_to_the_likelihoods_of_their_own_set(config):
    fainter = {"selection": {"ext_like_min": 3.0}}
    config["experiments"] |= {"faint": {"images": "faint", **fainter}}
    assert config_errors(config) == []
    config["experiments"] |= {"wrong": fainter, "other": {"images": "large_box", **fainter}}
    lines = config_errors(config)
    assert len(lines) == 2
    assert any(line.startswith("experiments.wrong") and "images.ext_like_min = 6.0" in line for line in lines)
    assert any("image_sets.large_box.ext_like_min = 6.0" in line for line in lines)


FAULTS = {
    "image_sets.large_box.box_pixels": (505, "but must be a multiple of 2 x images.base_rebin = 6, such as 510"),
    "image_sets.images": ({"box_pixels": 504}, "'images' is that of the default images"),
    "image_sets.a b": ({"box_pixels": 504}, "the name 'a b' must begin"),
    "image_sets.none": ({}, "image_sets.none has 0 entries, but needs at least 1"),
    "image_sets.faint.bands": ({"number": 5}, "image_sets.faint.bands is not a key that is known there"),
    "image_sets.faint.centre": ("truth", "must be one of: detected, halo"),
    "experiments.fiducial.images": ("fiant", "which is none of image_sets. Did you mean faint?"),
    "preprocessing.central.bands": (3, "central.bands is 3, but must divide the 10 bands of images.bands"),
    "preprocessing.krippendorf2023.bands": (5, "smoothing.half_width reaches 5 bands along energy, but there are 5"),
    "preprocessing.central.scale_to_redshift": (0.0, "must be more than 0"),
    "preprocessing.at_03": (
        {"half_width_arcsec": 190.0, "pixel_arcsec": 24.0, "scale_to_redshift": 0.3, "transform": "sqrt"},
        "preprocessing.at_03.pixel_arcsec is 24.0, but must divide 2 x half_width_arcsec = 380",
    ),
    "experiments.blind": (
        {"preprocessing": "at_03", "control": "shuffled_redshift"},
        "experiments.blind.control is 'shuffled_redshift', but its preprocessing 'at_03' scales images by the redshift",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), [(path, *rest) for path, rest in FAULTS.items()])
def test_each_fault_is_reported_once(config, path, value, expected):
    config["preprocessing"]["at_03"] = config["preprocessing"]["central"] | {"scale_to_redshift": 0.3}
    config["experiments"]["scaled"] = {"preprocessing": "at_03"}
    config["experiments"]["second"] = {"redshift_noise": 0.1}
    config["experiments"] |= {"large": {"images": "large_box"}, "paper": {"preprocessing": "krippendorf2023"}}
    put(config, path, value)
    lines = config_errors(config)
    assert len(lines) == 1, lines
    assert expected in lines[0]


@pytest.mark.parametrize("half", [96.0, 190.0, 192.0, 600.0, 601.0])
@pytest.mark.parametrize("pixel", [7.0, 12.0, 24.0, 31.25])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_scaled_recipes_are_refused_exactly_where_the_jobs_refuse_them(config, half, pixel, bands):
    recipe = {"half_width_arcsec": half, "pixel_arcsec": pixel, "scale_to_redshift": 0.3, "bands": bands}
    config["preprocessing"]["mine"] = recipe | {"transform": "none"}
    config["experiments"]["mine"] = {"preprocessing": "mine"}
    offsets = ImageGeometry.from_config(config["images"]).base_offsets_arcsec()
    cosmology = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
    grid = recipe | {"cosmology": cosmology}
    refused_by_jobs = refused(ScaledGrid, offsets, grid, np.array([0.3])) or refused(band_number, recipe, 10)
    assert any(line.startswith("preprocessing.mine.") for line in config_errors(config)) == refused_by_jobs


def test_published_images_are_of_no_set_and_take_neither_bands_nor_scale(config):
    published = load_config([ROOT / "config" / "published.yaml"])["skies"]["published"]
    config["skies"]["published"] = published
    for key, value in (("bands", 10), ("scale_to_redshift", 0.3)):
        config["preprocessing"][key] = config["preprocessing"]["krippendorf2023"] | {key: value}
    config["experiments"] |= {
        "one": {"sky": "published", "preprocessing": "bands"},
        "two": {"sky": "published", "preprocessing": "scale_to_redshift"},
        "three": {"sky": "published", "preprocessing": "krippendorf2023", "images": "faint"},
    }
    lines = config_errors(config)
    assert len(lines) == 3, lines
    expected = {"one": "with bands, but", "two": "with scale_to_redshift, but", "three": "set it to null"}
    for name, words in expected.items():
        assert sum(line.startswith(f"experiments.{name}.") and words in line for line in lines) == 1
