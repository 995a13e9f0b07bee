"""`search.json`: compared with values by hand, independent of the test set; and its page."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from network_inputs import network_block
from scipy.stats import norm

from clustermass.config.resolve import load_config, resolve_experiment
from clustermass.errors import InputError
from clustermass.evaluate.metrics import sigma_ratio
from clustermass.evaluate.model_selection import (
    compare,
    departures,
    members_curve,
    search,
    training_seconds,
    write_search_page,
)
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.network.losses import loss_of_recipe
from clustermass.network.predict import initialise, number_of_parameters

ROOT = Path(__file__).parents[2]
N, N_VAL = 400, 120
SPREAD = {"plain": 0.15, "better": 0.13, "bold": 0.15}
CLAIMED = {"plain": 0.15, "better": 0.13, "bold": 0.05}
NETWORK = network_block([4, 8], [6], ["z"], dropout=0.3)
SETTINGS = {
    "preprocessing": {"half_width_arcsec": 48.0, "pixel_arcsec": 12.0, "transform": "sqrt"},
    "network": NETWORK,
    "recipe": {"epochs": 4},
    "train_clusters": None,
}


def settings():
    better = SETTINGS | {"recipe": {"epochs": 8}, "network": network_block([8, 16], [6], ["z"], dropout=0.3)}
    return {"plain": SETTINGS, "better": better, "bold": SETTINGS}


def write(folder, test_seed=0):
    """Ensembles and split; `test_seed` changes masses, predictions and other columns of the test clusters alone."""
    rng, other = np.random.default_rng(5), np.random.default_rng([6, test_seed])
    split = rng.permutation(np.repeat(["train", "val", "test"], [N - 2 * N_VAL, N_VAL, N_VAL]))
    ids, test = [f"01_{number:03d}" for number in range(N)], split == "test"
    groups = {"split": ("cluster", split), "group": ("cluster", np.repeat([f"g{n}" for n in range(N // 2)], 2))}
    write_netcdf(xr.Dataset(groups, {"cluster": ids}), folder / "split.nc", "test", {})
    mass = np.where(test, other.uniform(13, 15, N), rng.uniform(13, 15, N))
    deviate = rng.normal(size=N)
    for number, name in enumerate(SPREAD):
        mu = mass + SPREAD[name] * (deviate + 0.1 * rng.normal(size=N))
        columns = {
            "mu": np.where(test, other.uniform(10, 17, N), mu),
            "sigma": np.where(test, other.random(N), CLAIMED[name]),
            "redshift": np.where(test, other.random(N), 0.5),
            "log10_m500c": mass,
            "split": split,
        }
        dataset = xr.Dataset({key: ("cluster", values) for key, values in columns.items()}, {"cluster": ids})
        members = xr.Dataset({"member_mu": (("member", "cluster"), np.zeros((number + 1, N)))})
        write_netcdf(dataset.merge(members), folder / f"{name}.nc", "test", {})
    return folder


def run(folder, seed=1):
    paths = {name: folder / f"{name}.nc" for name in SPREAD}
    search(paths, folder / "split.nc", settings(), 10, 300, seed, folder / "search.json")
    return (folder / "search.json").read_bytes()


def test_another_test_set_leaves_every_byte_as_it_is(tmp_path):
    made = [run(write(tmp_path / str(seed), seed)) for seed in (0, 1)]
    before, after = (read_netcdf(tmp_path / name / "better.nc") for name in "01")
    test = before["split"].values == "test"
    for name in ("mu", "sigma", "log10_m500c", "redshift"):
        assert not np.isclose(before[name].values[test], after[name].values[test]).any()
    assert made[0] == made[1]


def test_another_validation_cluster_and_another_seed_change_it(tmp_path):
    before = json.loads(run(write(tmp_path)))
    other = json.loads(run(tmp_path, seed=2))
    assert other["candidates"]["plain"]["nll"]["value"] == before["candidates"]["plain"]["nll"]["value"]
    assert other["candidates"]["plain"]["nll"]["ci68"] != before["candidates"]["plain"]["nll"]["ci68"]
    table = read_netcdf(tmp_path / "bold.nc")
    table["mu"][int(np.flatnonzero(table["split"].values == "val")[0])] += 0.3
    write_netcdf(table, tmp_path / "bold.nc", "test", {})
    after = json.loads(run(tmp_path))
    assert after["provenance"]["validation_sha256"]["bold"] != before["provenance"]["validation_sha256"]["bold"]
    assert after["candidates"]["bold"]["nll"] != before["candidates"]["bold"]["nll"]
    assert after["candidates"]["plain"]["nll"] == before["candidates"]["plain"]["nll"]


def test_numbers_are_those_of_the_validation_clusters_by_hand(tmp_path):
    content = json.loads(run(write(tmp_path)))
    assert (content["n_val"], content["best"], content["first"]) == (N_VAL, "better", "plain")
    assert content["ranking"] == ["better", "plain", "bold"]  # as sharp as plain, but its sigma is a third of it
    for number, name in enumerate(SPREAD):
        table = read_netcdf(tmp_path / f"{name}.nc")
        val = table.isel(cluster=table["split"].values == "val")
        mu, sigma, truth = (val[key].values for key in ("mu", "sigma", "log10_m500c"))
        found = content["candidates"][name]
        assert found["nll"]["value"] == pytest.approx(-norm.logpdf(truth, mu, sigma).mean())
        assert found["scatter_dex"]["value"] == pytest.approx(np.std(mu - truth))
        assert found["bias_dex"]["value"] == pytest.approx(np.mean(mu - truth))
        assert found["residual_std_over_mean_sigma"]["value"] == pytest.approx(np.std(mu - truth) / CLAIMED[name])
        assert (found["members"], found["n_train"]) == (number + 1, N - 2 * N_VAL)
        for key in ("nll", "scatter_dex", "residual_std_over_mean_sigma", "bias_dex"):
            low, high = found[key]["ci68"]
            assert low < found[key]["value"] < high
    assert content["candidates"]["better"]["nll_above_best"] == {"value": 0.0, "ci68": [0.0, 0.0]}


def test_the_difference_to_the_best_is_paired():
    """If the losses of two candidates differ by the same amount for every cluster, the difference has no error."""
    rng = np.random.default_rng(3)
    residual, sigma = 0.15 * rng.normal(size=200), np.full(200, 0.15)
    group = np.arange(200)

    def table(mu, sigma):
        columns = {"mu": mu, "sigma": sigma, "log10_m500c": np.zeros(200), "group": group}
        return xr.Dataset({name: ("cluster", values) for name, values in columns.items()})

    found = compare({"one": table(2 * residual, 2 * sigma), "half": table(residual, sigma)}, 200, 1)
    above = found["one"]["nll_above_best"]
    np.testing.assert_allclose([above["value"], *above["ci68"]], np.log(2))
    low, high = found["half"]["nll"]["ci68"]
    assert (high - low) / 2 == pytest.approx(np.std(0.5 * (residual / sigma) ** 2) / np.sqrt(200), rel=0.25)


def test_departures_are_listed_by_key():
    first = {
        "network": {"layers": [{"conv": 4}], "hidden": 0.3},
        "train_clusters": None,
        "preprocessing": {"clip": 36.0},
    }
    other = {"network": {"layers": [{"conv": 8}], "hidden": 0.3}, "train_clusters": 20, "preprocessing": {}}
    assert departures(first, other) == {
        "network.layers": [{"conv": 8}],
        "preprocessing.clip": None,
        "train_clusters": 20,
    }
    assert departures(first, first) == {}


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (NETWORK, (8, 8, 10)),
        (network_block([16, 32, 64], [64, 32], ["z", "log_z"], dropout=0.3), (25, 25, 10)),
        (network_block([3], [5, 4, 3], []), (7, 9, 2)),
        (network_block([4], [5], ["z", "log_rate"], hidden=0.2), (8, 8, 2)),
    ],
)
@pytest.mark.parametrize("recipe", [{}, {"loss": "squared_log"}, {"loss": "classification"}])
def test_number_of_parameters_is_that_of_the_weights(network, shape, recipe):
    outputs = loss_of_recipe(recipe).outputs
    weights = initialise(network, shape, outputs, [1])
    assert number_of_parameters(network, shape, outputs) == sum(array.size for array in weights.values())


def test_parameters_are_those_of_the_bands_that_the_preprocessing_leaves(tmp_path):
    write(tmp_path)
    grid = SETTINGS["preprocessing"]
    one = {
        name: SETTINGS | {"preprocessing": grid | extra} for name, extra in (("plain", {}), ("better", {"bands": 1}))
    }
    paths = {name: tmp_path / f"{name}.nc" for name in one}
    found = search(paths, tmp_path / "split.nc", one, 10, 300, 1, tmp_path / "search.json")["candidates"]
    first_layer = 3 * 3 * NETWORK["layers"][0]["conv"]  # weights a band
    assert found["plain"]["parameters"] - found["better"]["parameters"] == 9 * first_layer
    assert found["better"]["departures"] == {"preprocessing.bands": 1}


def test_other_validation_clusters_and_too_few_are_refused(tmp_path):
    write(tmp_path)
    table = read_netcdf(tmp_path / "better.nc")
    val = np.flatnonzero(table["split"].values == "val")
    write_netcdf(table.drop_isel(cluster=[val[0]]), tmp_path / "better.nc", "test", {})
    with pytest.raises(
        InputError, match=r"better\.nc: its validation clusters \(cluster\) aren't those of .*plain\.nc"
    ):
        run(tmp_path)
    write_netcdf(table.drop_isel(cluster=val[2:]), tmp_path / "plain.nc", "test", {})
    with pytest.raises(InputError, match=r"plain\.nc: 2 validation cluster\(s\) are too few"):
        run(tmp_path)


def test_page_lists_the_best_first_with_what_it_changes(tmp_path):
    content = json.loads(run(write(tmp_path)))
    write_search_page(content, "trial", {"plain": 12.4, "better": None, "bold": 3.0}, tmp_path / "search.md")
    text = (tmp_path / "search.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert [row[0] for row in rows[2:]] == ["better", "plain", "bold"]
    assert {len(row) for row in rows} == {11}
    assert rows[2][1].startswith("layers [{conv: 8}, ") and rows[2][1].endswith(", epochs 8")
    assert (rows[2][6], rows[2][-1], rows[3][-1]) == ("best", "unknown", "12")
    assert (rows[3][1], rows[4][1]) == ("the first one", "nothing")
    assert f"{N_VAL} validation clusters in" in text


def test_training_seconds_of_all_jobs(tmp_path):
    assert training_seconds(tmp_path) is None
    for name, seconds in (("train_member_00", 12.5), ("train_members_01_02", 20.0), ("evaluate", 99.0)):
        (tmp_path / f"{name}.tsv").write_text(f"s\th:m:s\n{seconds}\t0:00:12\n")
    assert training_seconds(tmp_path) == 32.5


def test_each_shipped_candidate_departs_from_the_default_in_one_key():
    """The blocks of config/search.yaml repeat the default's: a change there must be made here too."""
    config = load_config([ROOT / "config" / "config.yaml", ROOT / "config" / "search.yaml"])
    names = config["search"]["candidates"]
    assert len(names) > 5 and names[0] == "fiducial"
    blocks = {"preprocessing": config["preprocessing"], "network": config["network"]}
    blocks["recipe"] = config["training"]["recipes"]
    resolved = {name: resolve_experiment(config["experiments"], name) for name in names}
    found = {
        name: {key: block[experiment[key]] for key, block in blocks.items()} for name, experiment in resolved.items()
    }
    changed = [tuple(departures(found["fiducial"], found[name]).items()) for name in names[1:]]
    assert {len(keys) for keys in changed} == {1}
    assert len({str(keys) for keys in changed}) == len(changed)
    assert {experiment["members"] for experiment in resolved.values()} == {2}


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
