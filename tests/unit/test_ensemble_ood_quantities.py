"""Quantities that clusters are compared by: by hand, pixel by pixel, for any transform and number of bands."""

import re
from pathlib import Path

import numpy as np
import pytest
from ood_inputs import NAMES, X, simulated, write_ood_model

from clustermass.ensemble.fit_out_of_distribution import fit_ood_model
from clustermass.ensemble.ood_quantities import QUANTITIES, quantities
from clustermass.ensemble.out_of_distribution import read_ood_model
from clustermass.images.preprocessing import TRANSFORMS


def test_quantities_by_hand():
    image = np.zeros((1, 3, 16, 16), dtype=np.float32)
    image[0, :, 8, 8] = [4.0, 9.0, 1.0]  # at (12, 12) arcsec
    image[0, 0, 1, 1] = 25.0  # a corner
    catalogue = {"redshift": np.array([0.1]), "exposure_s": np.array([1000.0]), "ml_rate": np.array([0.01])}
    predicted = {name: np.array([0.1]) for name in ("mu", "sigma_aleatoric", "sigma_epistemic")}
    predicted["sigma_epistemic"] = np.array([0.0])
    for transform, seen in (("none", image), ("sqrt", np.sqrt(image))):
        values = dict(zip(NAMES, quantities(seen, X, X, transform, catalogue, predicted)[0], strict=True))
        assert values["redshift"] == pytest.approx(-1)
        assert values["core"] == pytest.approx(np.log10(15 / 1000))
        assert values["ring"] == pytest.approx(np.log10(1 / 1000))
        assert values["outskirts"] == pytest.approx(np.log10(1 / 1000))  # the corner's quarter isn't counted
        assert values["neighbour"] == pytest.approx(np.log10(26 / 1000))
        assert values["core_soft"] == pytest.approx((9 - 4) / (13 + 10))
        assert values["core_hard"] == pytest.approx((1 - 9) / (10 + 10))
        assert values["outer_soft"] == pytest.approx(-25 / 35)
        assert values["offset"] == pytest.approx(np.sqrt(14 * 2), rel=1e-4)  # all light at one place: sqrt(2 n)
        assert values["rate"] == pytest.approx(-2)
        assert np.isnan([values[name] for name in ("extent", "background", "epistemic")]).all()


def test_quantities_are_those_of_a_sum_pixel_by_pixel():
    """An image whose axes differ in number and place, so that none can be taken for the other."""
    x, y = np.arange(-190.0, 200.0, 20.0), np.arange(-165.0, 150.0, 20.0)
    rng = np.random.default_rng(16)
    image = rng.poisson(3.0, (1, 6, y.size, x.size)).astype(np.float32)
    image[:, :, np.abs(y) < 30] += np.where(np.abs(x) < 30, 4, 0)  # the brightest spot, but no neighbour
    light = image[0].astype(float)
    parts, quarters, spots = dict.fromkeys(("core", "ring", "far"), 0.0), np.zeros((2, 2)), []
    west = north = variance = 0.0
    bands = {"core": np.zeros(6), "outer": np.zeros(6)}
    for row, north_of in enumerate(y):
        for column, west_of in enumerate(x):
            radius, counts = (west_of**2 + north_of**2) ** 0.5, light[:, row, column].sum()
            parts["core" if radius < 60 else "ring" if radius < 144 else "far"] += counts
            bands["core" if radius < 60 else "outer"] += light[:, row, column]
            if radius >= 144:
                quarters[int(row >= y.size // 2), int(column >= x.size // 2)] += counts
            else:
                west, north = west + counts * west_of, north + counts * north_of
                variance += counts * radius**2 / 2
            if radius >= 72 and 0 < row < y.size - 1 and 0 < column < x.size - 1:
                spots.append(light[:, row - 1 : row + 2, column - 1 : column + 2].sum())
    expected = {"core": parts["core"], "ring": parts["ring"], "neighbour": max(spots)}
    expected["outskirts"] = np.sort(quarters.ravel())[:2].sum()
    expected = {name: np.log10((counts + 1) / 800) for name, counts in expected.items()}
    expected["offset"] = (west**2 + north**2) ** 0.5 / variance**0.5
    for name, sums in bands.items():
        soft, medium, hard = sums[:2].sum(), sums[2:4].sum(), sums[4:].sum()
        expected[f"{name}_soft"] = (medium - soft) / (soft + medium + 10)
        expected[f"{name}_hard"] = (hard - medium) / (medium + hard + 10)
    expected |= {"redshift": np.log10(0.3), "exposure": np.log10(800), "rate": np.log10(0.02), "extent": np.log10(30)}
    expected |= {"background": np.log10(4 / 800), "mass": 14.3, "aleatoric": np.log10(0.2), "epistemic": np.log10(0.05)}
    catalogue = {"redshift": 0.3, "exposure_s": 800.0, "ml_rate": 0.02, "ext": 30.0, "ml_bkg": 4.0}
    predicted = {"mu": 14.3, "sigma_aleatoric": 0.2, "sigma_epistemic": 0.05}
    catalogue, predicted = (
        {name: np.array([value]) for name, value in part.items()} for part in (catalogue, predicted)
    )
    found = dict(zip(NAMES, quantities(image, x, y, "none", catalogue, predicted)[0].tolist(), strict=True))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_transform_is_undone(transform):
    image, catalogue, predicted = simulated(20, 1)
    wanted = quantities(image, X, X, "none", catalogue, predicted)
    seen = TRANSFORMS[transform](image.astype(np.float64)).astype(np.float32)
    found = quantities(seen, X, X, transform, catalogue, predicted)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("bands", "colours"), [(1, ()), (2, ("core_soft", "outer_soft")), (3, None)])
def test_fewer_than_three_bands_give_fewer_colours_and_the_rest_as_well(bands, colours):
    image, catalogue, predicted = simulated(20, 1)
    joined = image.reshape(20, bands, -1, *image.shape[2:]).sum(axis=2)
    whole, found = (quantities(cubes, X, X, "none", catalogue, predicted) for cubes in (image, joined))
    every = [name for name in NAMES if name.endswith(("_soft", "_hard"))]
    known = [name for name, column in zip(NAMES, found.T, strict=True) if np.isfinite(column).all() and name in every]
    assert set(known) == set(every if colours is None else colours)
    rest = [number for number, name in enumerate(NAMES) if name not in every]
    np.testing.assert_allclose(found[:, rest], whole[:, rest])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_model_of_one_band_and_any_transform_is_kept(tmp_path, transform):
    image, catalogue, predicted = simulated(200, 2)
    measured = quantities(image.sum(axis=1, keepdims=True), X, X, "none", catalogue, predicted)
    model = fit_ood_model(measured[:150], measured[150:], transform, 1)
    write_ood_model(model, tmp_path / "domain.nc")
    kept = read_ood_model(tmp_path / "domain.nc")
    assert (kept.names, kept.transform) == (model.names, transform)
    assert not [name for name in kept.names if name.endswith(("_soft", "_hard"))]
    assert "core" in kept.names


def test_the_reference_lists_the_words_of_the_quantities():
    page = (Path(__file__).parents[2] / "docs/reference/catalogue.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^  \| `(\w+)` \| (.+) \|$", page, re.MULTILINE)) == QUANTITIES
