"""Ensembles of the first members against numbers that are known beforehand."""

import json
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from clustermass.errors import InputError
from clustermass.evaluate.metrics import sigma_ratio
from clustermass.evaluate.model_selection import members_curve
from clustermass.io.netcdf import read_netcdf, write_netcdf

NUMBER = 4000
COMMON, OWN = 0.15, 0.10  # scatter of all members alike, and of each for itself


def write_members(folder, members, number=NUMBER, shift=0.0):
    """Members whose residuals are a common part and one of their own, half of the clusters for testing."""
    rng = np.random.default_rng(1)
    truth, common = rng.uniform(13, 15, number), rng.normal(0, COMMON, number)
    ids = [f"01_{row}" for row in range(number)]
    split = np.where(np.arange(number) % 2, "test", "train")
    paths = []
    for member in range(members):
        mu = truth + common + rng.normal(0, OWN, number)
        mu = np.where(split == "train", truth + 5, mu)  # training clusters must not count
        columns = {"mu": mu, "sigma": np.full(number, COMMON), "split": split, "log10_m500c": truth + shift * member}
        dataset = xr.Dataset({name: ("cluster", values) for name, values in columns.items()}, {"cluster": ids})
        paths.append(folder / f"{member:02d}.nc")
        write_netcdf(dataset, paths[-1], "test", {})
    group = xr.Dataset({"split": ("cluster", split), "group": ("cluster", ids)}, {"cluster": ids})
    write_netcdf(group, folder / "split.nc", "test", {})
    return paths, folder / "split.nc"


def test_scatter_falls_as_that_of_a_mean_and_the_mixture_knows_its_own(tmp_path):
    members, split = write_members(tmp_path, 12)
    members_curve(members, split, tmp_path / "curve.json", 300, 5)
    content = json.loads((tmp_path / "curve.json").read_text())
    assert list(content["sizes"]) == ["1", "2", "5", "10", "12"]
    assert content["n_test"] == content["n_groups"] == NUMBER // 2
    for name, scores in content["sizes"].items():
        size = int(name)
        scatter = np.hypot(COMMON, OWN / np.sqrt(size))
        sigma = np.sqrt(COMMON**2 + OWN**2 * (1 - 1 / size))  # variance of the members about their mean
        low, high = scores["scatter_dex"]["ci68"]
        assert scores["scatter_dex"]["value"] == pytest.approx(scatter, rel=0.05)
        assert high - low == pytest.approx(2 * scatter / np.sqrt(NUMBER), rel=0.35)  # s / sqrt(2 n), n = NUMBER / 2
        assert scores["residual_std_over_mean_sigma"]["value"] == pytest.approx(scatter / sigma, rel=0.06)
        assert scores["nll"]["value"] == pytest.approx(
            np.log(sigma) + scatter**2 / (2 * sigma**2) + np.log(2 * np.pi) / 2, abs=0.05
        )
    ratios = [scores["member_over_ensemble_sigma"] for scores in content["sizes"].values()]
    assert ratios[0] == {"mean": 1.0, "std": 0.0, "std_of_members": 0.0}
    assert all(before["mean"] > after["mean"] for before, after in pairwise(ratios))
    assert content["alone"]["scatter_dex"]["mean"] == pytest.approx(np.hypot(COMMON, OWN), rel=0.05)
    assert 0 < content["alone"]["scatter_dex"]["std"] < 0.01


def test_an_ensemble_is_of_the_first_members_by_equations_2_and_3(tmp_path):
    members, split = write_members(tmp_path, 3, number=200)
    mu, sigma = [], np.array([0.1, 0.2, 0.3])
    for own, path in zip(sigma, members, strict=True):
        dataset = read_netcdf(path)
        dataset["sigma"] = dataset["sigma"] * 0 + own
        write_netcdf(dataset, path, "test", {})
        test = dataset.isel(cluster=dataset["split"].values == "test")
        mu.append(test["mu"].values)
    members_curve(members, split, tmp_path / "curve.json", 100, 5)
    sizes, truth = json.loads((tmp_path / "curve.json").read_text())["sizes"], test["log10_m500c"].values
    for size in (1, 2, 3):
        centre = np.mean(mu[:size], axis=0)
        variance = np.mean(sigma[:size] ** 2) + np.mean(np.square(mu[:size]), axis=0) - centre**2
        scores = sizes[str(size)]
        assert scores["scatter_dex"]["value"] == pytest.approx(np.std(centre - truth), rel=1e-6)
        likelihood = norm.logpdf(truth, centre, np.sqrt(variance))
        assert scores["nll"]["value"] == pytest.approx(-likelihood.mean(), rel=1e-6)
        ratio = np.mean(sigma[:size, None] / np.sqrt(variance))
        assert scores["member_over_ensemble_sigma"]["mean"] == pytest.approx(ratio, rel=1e-6)


def test_ratio_of_sigmas_by_hand():
    found = sigma_ratio(np.array([[0.1, 0.2], [0.2, 0.1]]), np.array([0.2, 0.2]))  # ratios 0.5, 1, 1, 0.5
    assert found == {"mean": pytest.approx(0.75), "std": pytest.approx(0.25), "std_of_members": 0.0}


def test_the_same_bytes_twice_and_other_samples_are_refused(tmp_path):
    members, split = write_members(tmp_path, 3, number=40)
    texts = []
    for name in ("one.json", "two.json"):
        members_curve(members, split, tmp_path / name, 100, 5)
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]
    others, split = write_members(tmp_path, 3, number=40, shift=0.01)
    with pytest.raises(InputError, match=r"01\.nc: its log10_m500c differs from that of .*00\.nc"):
        members_curve(others, split, tmp_path / "curve.json", 100, 5)
    few, split = write_members(tmp_path, 2, number=4)
    with pytest.raises(InputError, match="2 test clusters are too few for a scatter"):
        members_curve(few, split, tmp_path / "curve.json", 100, 5)
    with pytest.raises(InputError, match="no member to join"):
        members_curve([], split, tmp_path / "curve.json", 100, 5)
