"""Images scaled to one redshift, and joined bands: sizes by astropy's own distances, counts shared by area."""

import logging

import numpy as np
import pytest
import xarray as xr
from astropy.cosmology import FlatLambdaCDM
from scipy.optimize import brentq
from scipy.signal import convolve

from clustermass.errors import InputError
from clustermass.images.preprocessing import ScaledGrid, preprocess, shares
from clustermass.io.netcdf import read_netcdf, write_netcdf

COSMOLOGY = {"h0_km_s_mpc": 67.74, "omega_m": 0.3089}
DISTANCES = FlatLambdaCDM(67.74, 0.3089)
OFFSETS = (np.arange(100) - 49.5) * 12.0
SCALED = {
    "half_width_arcsec": 192.0, "pixel_arcsec": 24.0, "transform": "none",
    "scale_to_redshift": 0.3, "cosmology": COSMOLOGY,
}  # fmt: skip
PLAIN = {key: SCALED[key] for key in ("half_width_arcsec", "pixel_arcsec", "transform")}
EDGES = 0.25 + 0.205 * np.arange(11)


def random_counts(clusters=4, seed=11):
    return np.random.default_rng(seed).poisson(0.4, (clusters, 10, 100, 100)).astype(np.uint16)


def images(folder, counts, redshift, name="images.nc"):
    dataset = xr.Dataset(
        {
            "counts": (("cluster", "band", "y", "x"), counts),
            "band_bounds": (("band", "edge"), np.stack([EDGES[:-1], EDGES[1:]], axis=1)),
            "redshift": ("cluster", np.asarray(redshift, dtype=float)),
        },
        coords={
            "cluster": [f"01_{number}" for number in range(len(counts))],
            "band": (EDGES[:-1] + EDGES[1:]) / 2,
            "x": OFFSETS,
            "y": OFFSETS,
        },
    )
    write_netcdf(dataset, folder / name, "test", {})
    return folder / name


def made(folder, counts, redshift, recipe):
    preprocess(images(folder, counts, redshift), folder / "out.nc", recipe)
    return read_netcdf(folder / "out.nc")


def blocks(counts, half, side):
    """Inner `half` base pixels each way, summed in blocks of `side`."""
    inner = counts[..., 50 - half : 50 + half, 50 - half : 50 + half].astype(float)
    size = 2 * half // side
    return inner.reshape(*inner.shape[:-2], size, side, size, side).sum(axis=(-3, -1))


def redshift_at(zoom):
    """Redshift at which a length spans `zoom` times its angle at 0.3, by astropy's distances."""
    distance = DISTANCES.angular_diameter_distance(0.3).value / zoom
    return brentq(lambda z: DISTANCES.angular_diameter_distance(z).value - distance, 1e-3, 1.2, xtol=1e-14)


@pytest.mark.parametrize(("zoom", "half", "side"), [(1, 16, 2), (1.5, 24, 3), (2, 32, 4)])
def test_whole_zooms_are_block_sums(tmp_path, zoom, half, side):
    counts = random_counts(2)
    redshift = 0.3 if zoom == 1 else redshift_at(zoom)
    result = made(tmp_path, counts, [redshift] * 2, SCALED)
    np.testing.assert_allclose(result["image"], blocks(counts, half, side), rtol=1e-6, atol=1e-9)


def test_pixels_that_do_not_align_share_by_area_as_brute_force_on_a_finer_grid():
    """A side of 1.3 base pixels is 26 of 20 parts each: on the finer grid all edges coincide."""
    counts = random_counts(1)[0, 0]
    parts = np.repeat(np.repeat(counts / 400.0, 20, axis=0), 20, axis=1)
    half = 7 * 26 // 2
    inner = parts[1000 - half : 1000 + half, 1000 - half : 1000 + half]
    expected = inner.reshape(7, 26, 7, 26).sum(axis=(1, 3))
    share = shares(7, 1.3, 100)
    np.testing.assert_allclose(share @ counts.astype(float) @ share.T, expected, rtol=1e-12)


@pytest.mark.parametrize("pixels", [7, 16, 33])
def test_counts_are_conserved_over_the_whole_box(tmp_path, pixels):
    counts = random_counts(2)
    recipe = {**SCALED, "half_width_arcsec": 600.0, "pixel_arcsec": 1200.0 / pixels}
    image = made(tmp_path, counts, [0.3, 0.3], recipe)["image"].values
    assert image.shape == (2, 10, pixels, pixels)
    np.testing.assert_allclose(image.sum(axis=(2, 3), dtype=float), counts.sum(axis=(2, 3)), rtol=1e-6)


def test_a_uniform_field_stays_uniform_with_counts_in_proportion_to_the_area(tmp_path):
    redshift = np.array([0.12, 0.2, 0.45, 0.8, 1.3])
    counts = np.full((5, 10, 100, 100), 3, dtype=np.uint16)
    image = made(tmp_path, counts, redshift, SCALED)["image"].values
    angle = DISTANCES.arcsec_per_kpc_proper(redshift) / DISTANCES.arcsec_per_kpc_proper(0.3) * 24.0
    expected = 3 * (angle.value / 12.0) ** 2
    np.testing.assert_allclose(image, np.broadcast_to(expected[:, None, None, None], image.shape), rtol=1e-5)


def test_a_source_500_kpc_off_lies_at_one_place_whatever_its_redshift(tmp_path):
    redshift = np.array([0.15, 0.3, 0.6, 1.0])
    counts = np.zeros((4, 10, 100, 100), dtype=np.uint16)
    angle = 500 * DISTANCES.arcsec_per_kpc_proper(redshift).value
    column = np.round(angle / 12.0 + 49.5).astype(int)
    for cluster, at in enumerate(column):
        counts[cluster, :, 49:51, at] = 50
    image = made(tmp_path, counts, redshift, SCALED)
    light = image["image"].values.sum(axis=(1, 2), dtype=float)
    place = light @ image["x"].values / light.sum(axis=1)
    kpc = place / DISTANCES.arcsec_per_kpc_proper(0.3).value
    # a base pixel holds no place within it, a pixel spreads it over itself
    np.testing.assert_allclose(kpc, 500, atol=60)
    assert np.ptp(column) >= 10


def test_what_is_too_near_for_the_box_fills_it_and_is_counted(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="clustermass")
    counts = random_counts(3)
    nearest = redshift_at(600 / 192)
    result = made(tmp_path, counts, [0.01, nearest * 0.99, 0.3], SCALED)["image"].values
    share = shares(16, 100 / 16, 100)
    for cluster in (0, 1):
        np.testing.assert_allclose(result[cluster], share @ counts[cluster].astype(float) @ share.T, rtol=1e-6)
        np.testing.assert_allclose(result[cluster].sum(dtype=float), counts[cluster].sum(), rtol=1e-6)
    assert "2 of 3 clusters are too near for the box and fill it; 0 have no redshift" in caplog.text


def test_without_redshift_there_is_no_image(tmp_path):
    result = made(tmp_path, random_counts(4), [np.nan, 0.3, 0.0, -1.0], {**SCALED, "transform": "sqrt", "bands": 2})
    whole = np.isfinite(result["image"].values).all(axis=(1, 2, 3))
    none = np.isnan(result["image"].values).all(axis=(1, 2, 3))
    assert whole.tolist() == [False, True, False, False]
    assert none.tolist() == [True, False, True, True]


def test_the_file_says_how_it_was_scaled(tmp_path):
    result = made(tmp_path, random_counts(1), [0.5], SCALED)
    assert float(result.attrs["scaled_to_redshift"]) == 0.3
    assert float(result.attrs["pixel_kpc"]) == pytest.approx(24 / DISTANCES.arcsec_per_kpc_proper(0.3).value, rel=1e-9)
    np.testing.assert_allclose(result["x"], np.arange(-180, 181, 24))
    assert "scaled_to_redshift" not in made(tmp_path, random_counts(1), [0.5], PLAIN).attrs


def test_more_clusters_than_fit_at_once_keep_their_own_redshifts(tmp_path, monkeypatch):
    counts, redshift = random_counts(5), [0.1, 0.2, 0.3, 0.6, 1.0]
    whole = made(tmp_path, counts, redshift, SCALED)["image"].values
    monkeypatch.setattr("clustermass.images.preprocessing._CHUNK", 2)
    np.testing.assert_array_equal(made(tmp_path, counts, redshift, SCALED)["image"].values, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixel_arcsec": 25.0}, "pixel_arcsec is 25, but must divide twice half_width_arcsec, 384 arcsec"),
        ({"half_width_arcsec": 612.0}, "half_width_arcsec is 612, but must be at most half the box, 600 arcsec"),
    ],
)
def test_scaled_recipes_that_do_not_fit(changes, message):
    with pytest.raises(InputError, match=message):
        ScaledGrid(OFFSETS, {**SCALED, **changes}, np.array([0.3]))


def test_a_scaled_recipe_needs_a_cosmology():
    with pytest.raises(InputError, match="scale_to_redshift needs a cosmology"):
        ScaledGrid(OFFSETS, {**PLAIN, "scale_to_redshift": 0.3}, np.array([0.3]))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_joined_bands_are_sums_of_neighbours_before_all_else(tmp_path, number):
    counts = random_counts(2)
    result = made(tmp_path, counts, [0.1, np.nan], {**PLAIN, "transform": "sqrt", "bands": number})
    each = 10 // number
    summed = blocks(counts, 16, 2)
    expected = np.stack([summed[:, each * n : each * (n + 1)].sum(axis=1) for n in range(number)], axis=1)
    np.testing.assert_array_equal(np.rint(result["image"].values.astype(float) ** 2), expected)
    np.testing.assert_allclose(result["band_bounds"].values[:, 0], EDGES[:-1:each])
    np.testing.assert_allclose(result["band_bounds"].values[:, 1], EDGES[each::each])
    np.testing.assert_allclose(result["band"].values, result["band_bounds"].values.mean(axis=1))


def test_all_bands_joined_to_as_many_are_the_images_without(tmp_path):
    counts = random_counts(2)
    same, without = (made(tmp_path, counts, [0.1, 0.2], {**PLAIN, **extra}) for extra in ({"bands": 10}, {}))
    xr.testing.assert_equal(same, without)


def test_smoothing_acts_on_the_joined_bands(tmp_path):
    counts = random_counts(1)
    recipe = {**PLAIN, "bands": 5, "smoothing": {"half_width": [1, 1, 2], "sigma": 0.75}}
    image = made(tmp_path, counts, [0.3], recipe)["image"].values[0]
    k, j, i = np.mgrid[-2:3, -1:2, -1:2]
    kernel = np.exp(-((k / 2) ** 2 + j**2 + i**2) / (2 * 0.75**2))
    summed = blocks(counts, 16, 2)[0].reshape(5, 2, 16, 16).sum(axis=1)
    np.testing.assert_allclose(image, convolve(summed, kernel / kernel.sum(), mode="same", method="direct"), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [None, {"half_width": [0, 0, 0], "sigma": 0.75}])
def test_no_smoothing_in_two_ways(tmp_path, smoothing):
    counts = random_counts(1)
    image = made(tmp_path, counts, [0.3], {**PLAIN, "bands": 1, "smoothing": smoothing})["image"].values
    np.testing.assert_array_equal(image[:, 0], blocks(counts, 16, 2).sum(axis=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": 3}, "bands is 3, but must divide the 10 bands of the images"),
        (
            {"bands": 1, "smoothing": {"half_width": [1, 1, 5], "sigma": 0.75}},
            r"reaches 5 bands along energy, but the images have 1; its third number must be below 1",
        ),
        ({"smoothing": {"half_width": [1, 1, 10], "sigma": 0.75}}, "reaches 10 bands along energy"),
    ],
)
def test_bands_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        made(tmp_path, random_counts(1), [0.3], {**PLAIN, **changes})
    assert not (tmp_path / "out.nc").exists()


@pytest.mark.parametrize("scaled", [False, True])
def test_outside_a_circle_nothing_counts(tmp_path, scaled):
    """Of the stored pixels, only those that lie wholly within the circle count, in whole images as in cut ones."""
    counts = random_counts(2)
    edge = np.abs(OFFSETS) + 6
    inside = np.hypot(edge[:, None], edge[None, :]) <= 150
    recipe = SCALED if scaled else PLAIN
    circle = made(tmp_path, counts, [0.3, 0.3], {**recipe, "circle_arcsec": 150.0})["image"].values
    expected = made(tmp_path, counts * inside, [0.3, 0.3], recipe)["image"].values
    np.testing.assert_array_equal(circle, expected)
    touched = np.hypot(np.abs(OFFSETS)[:, None] - 6, np.abs(OFFSETS)[None, :] - 6) <= 150  # cut by the observer
    again = made(tmp_path, counts * touched, [0.3, 0.3], {**recipe, "circle_arcsec": 150.0})["image"].values
    np.testing.assert_array_equal(circle, again)
    assert 0 < circle.sum() < made(tmp_path, counts, [0.3, 0.3], recipe)["image"].values.sum()


@pytest.mark.parametrize("key", ["bands", "circle_arcsec", "scale_to_redshift"])
def test_images_that_come_smoothed_have_neither(tmp_path, key):
    dataset = read_netcdf(images(tmp_path, random_counts(1), [0.3]))
    dataset = dataset.rename(counts="image")
    write_netcdf(dataset, tmp_path / "finished.nc", "test", {"applied": PLAIN})
    with pytest.raises(InputError, match=f"come smoothed, so {key} can't be applied"):
        preprocess(tmp_path / "finished.nc", tmp_path / "out.nc", {**SCALED, key: 1})
