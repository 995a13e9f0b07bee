"""Recipes: grid, smoothing against scipy's direct convolution, clip and transform in their order."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve

from clustermass.errors import InputError
from clustermass.images.preprocessing import finish, kernel, preprocess, smooth
from clustermass.io.netcdf import read_netcdf, write_netcdf

CENTRAL = {"half_width_arcsec": 300.0, "pixel_arcsec": 24.0, "transform": "sqrt"}
PAPER = {
    "half_width_arcsec": 600.0, "pixel_arcsec": 24.0, "transform": "none", "clip": 36.0,
    "smoothing": {"half_width": [1, 1, 5], "sigma": 0.75},
}  # fmt: skip
RAW = {"half_width_arcsec": 600.0, "pixel_arcsec": 24.0}


def counts_cubes(clusters=3, seed=2):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.05, (clusters, 10, 100, 100))
    counts[:, :, 48:52, 48:52] += rng.poisson(40.0, (clusters, 10, 4, 4))
    return counts.astype(np.uint16)


@pytest.fixture
def images(tmp_path):
    offsets = (np.arange(100) - 49.5) * 12.0
    edges = 0.25 + 0.205 * np.arange(11)
    dataset = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), counts_cubes()),
            "band_bounds": (("band", "edge"), np.stack([edges[:-1], edges[1:]], axis=1)),
            "redshift": ("cluster", [0.1, 0.2, np.nan]),
            "halo_id": ("cluster", np.array([5, -1, 7])),
        },
        coords={"cluster": ["01_1", "01_2", "01_9"], "band": (edges[:-1] + edges[1:]) / 2, "x": offsets, "y": offsets},
    )
    write_netcdf(dataset, tmp_path / "images.nc", "test", {})
    return tmp_path / "images.nc"


def paper_kernel(half_widths=(1, 1, 5), sigma=0.75):
    """G(i, j, k) of Eq. A.2, written out, as (energy, y, x)."""
    big_x, big_y, big_z = half_widths
    k, j, i = np.mgrid[-big_z : big_z + 1, -big_y : big_y + 1, -big_x : big_x + 1]
    weights = np.exp(-((i / big_x) ** 2 + (j / big_y) ** 2 + (k / big_z) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


@pytest.mark.parametrize("half_widths", [(1, 1, 5), (2, 1, 3), (3, 3, 1)])
def test_smoothing_is_the_convolution_of_the_paper(half_widths):
    cubes = counts_cubes().astype(float)
    smoothed = smooth(cubes, half_widths, 0.75)
    for cube, result in zip(cubes, smoothed, strict=True):
        expected = convolve(cube, paper_kernel(half_widths), mode="same", method="direct")
        np.testing.assert_allclose(result, expected, atol=1e-12)


def test_an_axis_with_half_width_zero_is_left_alone():
    cubes = counts_cubes().astype(float)
    expected = np.stack(
        [convolve(cube, paper_kernel((1, 1, 5))[5:6] / paper_kernel()[5].sum(), mode="same") for cube in cubes]
    )
    np.testing.assert_allclose(smooth(cubes, (1, 1, 0), 0.75), expected, atol=1e-9)


def test_weights_by_hand():
    edge = np.exp(-1 / (2 * 0.75**2))
    np.testing.assert_allclose(kernel(1, 0.75), np.array([edge, 1, edge]) / (1 + 2 * edge))
    assert kernel(5, 0.75)[0] == pytest.approx(0.0509, abs=1e-4)


def test_paper_recipe_on_file(images, tmp_path):
    preprocess(images, tmp_path / "paper.nc", PAPER)
    result = read_netcdf(tmp_path / "paper.nc")
    counts = counts_cubes().astype(float).reshape(3, 10, 50, 2, 50, 2).sum(axis=(3, 5))
    smoothed = np.stack([convolve(cube, paper_kernel(), mode="same") for cube in counts])
    assert smoothed.max() > 36
    np.testing.assert_allclose(result["image"], np.minimum(smoothed, 36), atol=4e-6)  # float32
    assert result["image"].dtype == np.float32
    assert result["image"].dims == ("cluster", "band", "y", "x")


def test_central_recipe_on_file(images, tmp_path):
    preprocess(images, tmp_path / "central.nc", CENTRAL)
    result = read_netcdf(tmp_path / "central.nc")
    inner = counts_cubes()[:, :, 25:75, 25:75].reshape(3, 10, 25, 2, 25, 2).sum(axis=(3, 5))
    np.testing.assert_array_equal(np.rint(result["image"].values.astype(float) ** 2), inner)
    np.testing.assert_allclose(result["x"], np.arange(-288, 289, 24))
    np.testing.assert_allclose(result["y"], np.arange(-288, 289, 24))


def test_everything_but_the_image_is_carried_over(images, tmp_path):
    preprocess(images, tmp_path / "central.nc", CENTRAL)
    before, after = read_netcdf(images), read_netcdf(tmp_path / "central.nc")
    assert set(after.variables) == set(before.variables) - {"counts"} | {"image"}
    for name in ("cluster", "band", "band_bounds", "redshift", "halo_id"):
        np.testing.assert_array_equal(after[name].values, before[name].values)


@pytest.mark.parametrize("pixel", [12.0, 24.0, 48.0, 60.0, 120.0])
def test_unsmoothed_counts_are_block_sums_with_the_total_kept(images, tmp_path, pixel):
    preprocess(images, tmp_path / "raw.nc", {**RAW, "pixel_arcsec": pixel})
    image = read_netcdf(tmp_path / "raw.nc")["image"].values
    factor = int(pixel / 12)
    size = 100 // factor
    np.testing.assert_array_equal(image, counts_cubes().reshape(3, 10, size, factor, size, factor).sum(axis=(3, 5)))
    assert image.sum(dtype=float) == counts_cubes().sum()


def test_blocks_of_bright_pixels_do_not_wrap_around(tmp_path, images):
    dataset = read_netcdf(images)
    dataset["counts"][:] = 65535
    write_netcdf(dataset, tmp_path / "bright.nc", "test", {})
    preprocess(tmp_path / "bright.nc", tmp_path / "raw.nc", RAW)
    assert (read_netcdf(tmp_path / "raw.nc")["image"] == 4 * 65535).all()


def test_smoothing_goes_before_clip_and_clip_before_transform():
    counts = np.zeros((1, 10, 5, 5))
    counts[0, 5, 2, 2] = 1000.0
    recipe = {"smoothing": {"half_width": [1, 1, 5], "sigma": 0.75}, "clip": 36.0, "transform": "sqrt"}
    image = finish(counts, **recipe)
    # 1000 counts in one pixel are spread before they are cut at 36, and the root of 36 is 6
    centre = 1000 * paper_kernel()[5, 1, 1]
    corner = 1000 * paper_kernel()[5, 0, 0]
    assert centre > 36 > corner
    assert image[0, 5, 2, 2] == pytest.approx(6.0)
    assert image[0, 5, 1, 1] == pytest.approx(np.sqrt(corner), rel=1e-6)


@pytest.mark.parametrize(
    ("transform", "value"),
    [("none", 7.0), (None, 7.0), ("sqrt", 7**0.5), ("anscombe", 2 * 7.375**0.5), ("log1p", np.log(8))],
)
def test_transforms_by_hand(transform, value):
    assert finish(np.full((1, 1, 1, 1), 7), transform=transform)[0, 0, 0, 0] == pytest.approx(value, rel=1e-6)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_smoothing_moves_photons_but_makes_none(seed):
    """Photons far from all edges keep their number; any photon loses at most what falls outside."""
    cubes = np.zeros((1, 30, 11, 11))
    cubes[0, 10:20, 2:9, 2:9] = np.random.default_rng(seed).poisson(0.3, (10, 7, 7))
    assert smooth(cubes, (1, 1, 5), 0.75).sum() == pytest.approx(cubes.sum())
    assert smooth(cubes[:, 10:20], (1, 1, 5), 0.75).sum() <= cubes.sum() + 1e-9


@pytest.mark.parametrize(
    "change",
    {
        "negative": lambda data: data.assign(counts=-data["counts"].astype(int)),
        "text": lambda data: data.assign(counts=data["counts"].astype(str)),
        "turned": lambda data: data.assign(counts=data["counts"].transpose("x", "y", "band", "cluster")),
        "few axes": lambda data: data.assign(counts=data["counts"].isel(band=0, drop=True)),
        "one pixel": lambda data: data.isel(x=[0], y=[0]),
        "not square": lambda data: data.isel(x=slice(0, 4)),
        "texts as offsets": lambda data: data.assign_coords(x=data["x"].astype(str)),
    }.items(),
    ids=lambda change: change[0],
)
def test_images_of_another_form_are_refused(images, tmp_path, change):
    with xr.open_dataset(images) as opened:
        data = opened.load().drop_encoding()
    change[1](data).to_netcdf(tmp_path / "odd.nc", engine="netcdf4")
    with pytest.raises(InputError, match=r"odd\.nc: \w+ has other axes or another type"):
        preprocess(tmp_path / "odd.nc", tmp_path / "out.nc", {})


def test_more_clusters_than_fit_at_once(tmp_path, images, monkeypatch):
    preprocess(images, tmp_path / "whole.nc", PAPER)
    monkeypatch.setattr("clustermass.images.preprocessing._CHUNK", 2)
    preprocess(images, tmp_path / "parts.nc", PAPER)
    assert (tmp_path / "whole.nc").read_bytes() == (tmp_path / "parts.nc").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixel_arcsec": 20.0}, "pixel_arcsec is 20, but must be a multiple of the base pixel, 12 arcsec"),
        ({"half_width_arcsec": 310.0}, "half_width_arcsec is 310, but must be a multiple of the base pixel"),
        ({"half_width_arcsec": 612.0}, "half_width_arcsec is 612.* at most half the box, 600 arcsec"),
        ({"pixel_arcsec": 84.0}, "pixel_arcsec is 84, but must divide twice half_width_arcsec, 600"),
        ({"transform": "root"}, "transform is 'root', but must be one of: none, sqrt"),
    ],
)
def test_recipes_that_do_not_fit(images, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        preprocess(images, tmp_path / "out.nc", {**CENTRAL, **changes})
    assert not (tmp_path / "out.nc").exists()
