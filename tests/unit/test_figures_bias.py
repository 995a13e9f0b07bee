"""The figure of bias and scatter in bins of mass: statistics by hand, and the same clusters for each predictor."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from figures_inputs import BASELINES, draw, make_inputs

from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.figures._bias import binned, expected_bias, mass_bins, places, residuals_of_test_set
from clustermass.io.netcdf import write_netcdf
from clustermass.io.provenance import provenance


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def test_mass_bins_hold_everything_and_none_is_thin() -> None:
    rng = np.random.default_rng(3)
    for n in (1, 7, 30, 400):
        mass = np.append(13 + rng.exponential(0.4, n), 15.0)
        edges = mass_bins(mass)
        number = np.histogram(mass, edges)[0]
        assert number.sum() == n + 1
        assert (np.diff(edges) > 0).all()
        assert len(number) == 1 or number.min() >= 8
        np.testing.assert_allclose(edges / 0.25, np.round(edges / 0.25))


def test_expected_bias_is_that_of_drawn_truths() -> None:
    """Many clusters of a Gaussian mass function: also the closed form, -shrinkage times the distance from the mean."""
    rng = np.random.default_rng(60)
    mu, sigma = rng.normal(14.1, 0.2, 200_000), np.full(200_000, 0.15)
    truth = mu + sigma * rng.normal(size=mu.size)
    edges = np.array([13.0, 13.8, 14.0, 14.1, 14.6, 15.3])
    found = expected_bias(mu, sigma, edges)
    shrinkage = 0.15**2 / (0.15**2 + 0.2**2)
    for low, high, value in zip(edges[:-1], edges[1:], found, strict=True):
        inside = (truth >= low) & (truth < high)
        assert value == pytest.approx(np.mean(mu[inside] - truth[inside]), abs=0.003)
        assert value == pytest.approx(-shrinkage * (truth[inside].mean() - 14.1), abs=0.003)
    # two clusters far from each other, by hand: the upper half of the first alone lies in the bin
    by_hand = expected_bias(np.array([14.0, 20.0]), np.array([0.1, 0.1]), np.array([14.0, 16.0]))
    assert by_hand == pytest.approx([-0.1 * np.sqrt(2 / np.pi)])


def test_binned_statistics_by_hand() -> None:
    mass = np.array([13.1, 13.2, 13.24, 13.3])
    residual = np.array([0.1, 0.2, 0.6, -0.4])
    mean, error, scatter, scatter_error = binned(mass, residual, np.array([13.0, 13.25, 13.5]))
    np.testing.assert_allclose(mean, [0.3, -0.4])
    np.testing.assert_allclose(scatter[0], np.sqrt((0.04 + 0.01 + 0.09) / 2))
    np.testing.assert_allclose(error[0], scatter[0] / np.sqrt(3))
    np.testing.assert_allclose(scatter_error[0], scatter[0] / 2)
    assert np.isnan(scatter[1])


def test_residuals_are_matched_by_id_not_by_row(inputs: Path, tmp_path: Path) -> None:
    _, expected, _ = residuals_of_test_set(inputs / "predictions.nc", inputs / "baselines.nc")
    turned = xr.load_dataset(inputs / "baselines.nc").isel(cluster=slice(None, None, -1))
    write_netcdf(turned, tmp_path / "baselines.nc", "test", provenance("test", {}))
    _, found, _ = residuals_of_test_set(inputs / "predictions.nc", tmp_path / "baselines.nc")
    for name in ("network", "ridge_features"):
        np.testing.assert_array_equal(found[name], expected[name])
    write_netcdf(turned.isel(cluster=slice(9, None)), tmp_path / "baselines.nc", "test", provenance("test", {}))
    with pytest.raises(InputError, match=r"lacks 9 test cluster\(s\)"):
        residuals_of_test_set(inputs / "predictions.nc", tmp_path / "baselines.nc")


def test_markers_of_a_bin_stand_in_its_middle_however_wide_it_is() -> None:
    edges = np.array([13.0, 13.25, 14.5])
    for names in (["a"], ["a", "b", "c", "d"], [*"abcdefghi"]):
        found = places(edges, names)
        assert found.shape == (len(names), 2)
        np.testing.assert_allclose(found.mean(axis=0), [13.125, 13.875])
        assert np.ptp(found, axis=0).max() < 0.18
        np.testing.assert_allclose(np.diff(found, axis=1), 0.75)


def test_bias_shows_four_predictors_and_its_supplement_the_others(inputs: Path) -> None:
    few, more = (
        {c.get_label() for axes in draw(name, inputs).axes for c in axes.containers}
        for name in ("bias", "bias_supplement")
    )
    assert len(few) == 4
    assert few & more == {"network ensemble"}
    assert few | more == {style.predictor(name).label for name in ("network", *BASELINES) if name != "prior"}
