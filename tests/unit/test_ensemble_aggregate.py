"""Eq. 2-3 of Krippendorf et al. (2023), and the file that holds them."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import brentq
from scipy.stats import norm

from clustermass.ensemble.aggregate import aggregate_ensemble, combine, mixture_cdf, mixture_quantile
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf, write_netcdf


def test_equals_eq_2_and_3_worked_by_hand():
    # mu = 14.0, 14.2, 14.4; sigma = 0.1, 0.2, 0.3
    made = combine(np.array([[14.0], [14.2], [14.4]]), np.array([[0.1], [0.2], [0.3]]))
    assert made.mu[0] == pytest.approx(14.2)
    assert made.sigma_aleatoric[0] ** 2 == pytest.approx((0.01 + 0.04 + 0.09) / 3)
    assert made.sigma_epistemic[0] ** 2 == pytest.approx(0.08 / 3)
    assert made.sigma[0] ** 2 == pytest.approx(0.22 / 3)


@given(arrays(float, (4, 3), elements=st.floats(13, 15.5)), arrays(float, (4, 3), elements=st.floats(0.01, 1.0)))
def test_parts_add_up_to_eq_3_as_printed(mu, sigma):
    made = combine(mu, sigma)
    printed = (sigma**2 + mu**2).mean(axis=0) - mu.mean(axis=0) ** 2
    np.testing.assert_allclose(made.sigma**2, printed, atol=1e-11)
    np.testing.assert_allclose(made.sigma**2, made.sigma_aleatoric**2 + made.sigma_epistemic**2, rtol=1e-12)


def test_a_mixture_of_gaussians_has_that_spread():
    rng = np.random.default_rng(5)
    mu, sigma = np.array([[14.0], [14.3]]), np.array([[0.1], [0.2]])
    draws = rng.normal(mu, sigma, (2, 400_000))
    assert combine(mu, sigma).sigma[0] == pytest.approx(draws.std(), rel=0.005)


NAMES = ["01_7", "01_3", "02_1", "02_4"]  # the images hold a fifth, which the selection dropped


def write_images(folder: Path) -> list[Path]:
    paths = []
    for realization, rows in (("01", [3, 5, 7]), ("02", [1, 4])):
        number = np.asarray(rows, float)
        names = ("redshift", "redshift_err", "det_like", "ext_like", "ml_rate", "ml_cts", "exposure_s")
        columns = {name: ("cluster", number + place / 10) for place, name in enumerate(names)}
        columns |= {"halo_id": ("cluster", np.asarray(rows)), "log10_m500c": ("cluster", 14 + number / 10)}
        columns["realization"] = ("cluster", np.full(len(rows), realization))
        paths.append(folder / f"images_{realization}.nc")
        ids = [f"{realization}_{row}" for row in rows]
        write_netcdf(xr.Dataset(columns, coords={"cluster": ids}), paths[-1], "images", {})
    return paths


def write_member(path: Path, shift: float, **changes) -> Path:
    columns = {
        "mu": 14 + shift + np.arange(4) / 10,
        "sigma": np.full(4, 0.1 + shift),
        "split": np.array(["train", "val", "test", "test"]),
        "log10_m500c": 14 + np.array([7.0, 3.0, 1.0, 4.0]) / 10,
    } | changes
    ids = columns.pop("cluster", NAMES)
    dataset = xr.Dataset({name: ("cluster", column) for name, column in columns.items()}, coords={"cluster": ids})
    write_netcdf(dataset, path, "member", {})
    return path


def test_file_joins_members_and_each_clusters_own_columns(tmp_path):
    images = write_images(tmp_path)
    members = [write_member(tmp_path / f"{member:02d}.nc", member / 10) for member in range(3)]
    aggregate_ensemble(members, tmp_path / "ensemble.nc", images)
    made = read_netcdf(tmp_path / "ensemble.nc")
    assert made["cluster"].values.tolist() == NAMES
    assert made["member"].values.tolist() == ["00", "01", "02"]
    np.testing.assert_allclose(made["mu"], 14.1 + np.arange(4) / 10)
    np.testing.assert_allclose(made["sigma_epistemic"], np.sqrt(0.02 / 3))
    np.testing.assert_allclose(made["sigma"] ** 2, (0.01 + 0.04 + 0.09) / 3 + 0.02 / 3)
    np.testing.assert_allclose(made["member_mu"].sel(member="02"), 14.2 + np.arange(4) / 10)
    np.testing.assert_allclose(made["redshift"], [7, 3, 1, 4])
    np.testing.assert_allclose(made["exposure_s"], [7.6, 3.6, 1.6, 4.6])
    assert made["realization"].values.tolist() == ["01", "01", "02", "02"]
    assert made["halo_id"].values.tolist() == [7, 3, 1, 4]
    assert made["split"].values.tolist() == ["train", "val", "test", "test"]
    first = (tmp_path / "ensemble.nc").read_bytes()
    aggregate_ensemble(members, tmp_path / "ensemble.nc", images)
    assert (tmp_path / "ensemble.nc").read_bytes() == first
    assert "weighting" not in made.attrs
    aggregate_ensemble(members, tmp_path / "ensemble.nc", images, weighting="uniform_mass")
    assert read_netcdf(tmp_path / "ensemble.nc").attrs["weighting"] == "uniform_mass"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cluster": ["01_7", "01_3", "02_1", "02_9"]}, "its cluster differs"),
        ({"split": np.array(["test", "val", "test", "test"])}, "its split differs"),
        ({"log10_m500c": np.full(4, 14.0)}, "its log10_m500c differs"),
    ],
)
def test_members_of_different_samples_are_refused(tmp_path, changes, message):
    members = [write_member(tmp_path / "00.nc", 0), write_member(tmp_path / "01.nc", 0.1, **changes)]
    with pytest.raises(InputError, match=rf"01\.nc: {message}"):
        aggregate_ensemble(members, tmp_path / "ensemble.nc", write_images(tmp_path))
    assert not (tmp_path / "ensemble.nc").exists()


def test_members_of_other_images_are_refused(tmp_path):
    images = write_images(tmp_path)
    with pytest.raises(InputError, match="no member to join"):
        aggregate_ensemble([], tmp_path / "ensemble.nc", images)
    with pytest.raises(InputError, match="02_1 of the members isn't in the images"):
        aggregate_ensemble([write_member(tmp_path / "00.nc", 0)], tmp_path / "ensemble.nc", images[:1])
    other = write_member(tmp_path / "00.nc", 0, log10_m500c=np.full(4, 14.7))
    with pytest.raises(InputError, match="01_3 has another true mass"):
        aggregate_ensemble([other], tmp_path / "ensemble.nc", images)


def _below(q, mu, sigma, probability):
    return norm.cdf(q, mu, sigma).mean() - probability


def test_quantile_solves_the_mixture_s_distribution_function():
    rng = np.random.default_rng(32)
    mu, sigma = rng.normal(14, 0.3, (6, 20)), rng.uniform(0.02, 0.3, (6, 20))
    for probability in (0.001, 0.16, 0.5, 0.84):
        found = mixture_quantile(probability, mu, sigma)
        for k in range(20):
            expected = brentq(_below, 5, 25, args=(mu[:, k], sigma[:, k], probability), xtol=1e-13)
            assert found[k] == pytest.approx(expected, abs=1e-10)


def test_distribution_function_is_the_mean_of_the_components():
    mu, sigma = np.array([[14.0, 13.0], [14.4, 13.0]]), np.array([[0.2, 0.1], [0.1, 0.3]])
    # (Phi(1) + Phi(-2)) / 2 and, in the middle of both, one half
    np.testing.assert_allclose(
        mixture_cdf(np.array([14.2, 13.0]), mu, sigma), [(0.841345 + 0.022750) / 2, 0.5], atol=1e-6
    )
