"""config/efeds_images.yaml on the real images that it is made for, and on similar images of our own."""

from pathlib import Path

import numpy as np
import pytest
from config_inputs import ROOT

from clustermass.config.bands import band_edges
from clustermass.config.resolve import load_config, resolve_images
from clustermass.images.band_images import photons_of_images, read_images
from clustermass.images.geometry import ImageGeometry, block_sum
from clustermass.images.preprocessing import Grid, inside_circle

REAL = sorted((ROOT.parent / "shared" / "data" / "efeds" / "images").glob("efeds_*.fits"))
CONFIG = load_config([ROOT / "config" / name for name in ("config.yaml", "efeds_images.yaml")])
IMAGES = resolve_images(CONFIG["images"], CONFIG["image_sets"], None)
RECIPE = CONFIG["preprocessing"]["circle"]


def seen(counts):
    """Return the counts in an image of 4" pixels that the networks get; nothing is known outside its circle."""
    geometry = ImageGeometry.from_config(IMAGES)
    middle, half = counts.shape[0] // 2, geometry.box_pixels // 2
    base = block_sum(counts[middle - half : middle + half, middle - half : middle + half], geometry.base_rebin)
    offsets = geometry.base_offsets_arcsec()
    kept = base * inside_circle(offsets, RECIPE["circle_arcsec"])
    return Grid(offsets, RECIPE).rebin(kept[None, None], slice(None))[0, 0]


def test_what_lies_outside_the_circle_is_never_seen():
    rng = np.random.default_rng(5)
    whole = rng.poisson(2.0, (180, 180)).astype(np.uint16)
    offset = np.abs(np.arange(180) - 89.5) * 4
    cut = whole * (np.hypot(offset[:, None], offset[None, :]) <= 360)  # as a circle of 0.1 deg leaves it
    np.testing.assert_array_equal(seen(whole), seen(cut))
    assert 0.9 < seen(cut).sum() / cut.sum() < 1


@pytest.mark.parametrize("path", REAL or [None], ids=lambda path: path.stem if path else "none")
def test_the_real_images_hold_what_the_networks_see(path: Path | None):
    """Band, grid and circle of each image are those of the recipe."""
    if path is None:
        pytest.skip("needs the real eFEDS images, beside the development checkout only")
    (image,) = read_images(path)
    assert (image.low_ev, image.high_ev) == band_edges(IMAGES["bands"]) == (200, 2300)
    y, x = np.nonzero(image.counts)
    centre = (np.array(image.counts.shape) - 1) / 2
    farthest = 4 * np.hypot(y - centre[0], x - centre[1]).max()
    assert RECIPE["circle_arcsec"] - 4 < farthest < RECIPE["circle_arcsec"] + 4
    assert len(photons_of_images([path], band_edges(IMAGES["bands"])).events) == image.counts.sum()
    assert 0.9 < seen(image.counts.astype(np.uint16)).sum() / image.counts.sum() < 1
    files = [files["events"][0] for files in CONFIG["skies"]["efeds_images"]["realizations"].values()]
    assert f"data/efeds/images/{path.name}" in files
