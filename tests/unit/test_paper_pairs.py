"""Pairs of experiments: the right clusters side by side, ratios by hand, intervals that hold what they say."""

import json

import numpy as np
import pytest
import xarray as xr

from clustermass.errors import InputError
from clustermass.io.netcdf import write_netcdf
from clustermass.paper.pairs import Predictions, compare_pairs, noise_of, typical_noise

N = 400


def write(folder, name, residual, truth, ids=None, test=slice(None), groups=None, members=None):
    """Files of an experiment on the sky `field`; `members` (member, cluster) is added to each member's mu."""
    ids = np.array([f"01_{number}" for number in range(len(truth))]) if ids is None else ids
    split = np.full(len(truth), "train")
    split[test] = "test"
    columns = {"mu": truth + residual, "log10_m500c": truth, "split": split}
    table = xr.Dataset({key: ("cluster", value) for key, value in columns.items()}, {"cluster": ids})
    write_netcdf(table, folder / f"{name}.nc", "test", {"source": "test"})
    groups = xr.Dataset({"group": ("cluster", ids if groups is None else groups)}, {"cluster": ids})
    write_netcdf(groups, folder / f"{name}_baselines.nc", "test", {"source": "test"})
    offsets = np.zeros((1, len(truth))) if members is None else members
    mu = xr.Dataset({"member_mu": (("member", "cluster"), truth + residual + offsets)}, {"cluster": ids})
    write_netcdf(mu, folder / f"{name}_ensemble.nc", "test", {"source": "test"})
    return Predictions(name, "field", *(folder / f"{name}{end}.nc" for end in ("", "_ensemble", "_baselines")))


def pair(folder, *predictions, resamplings=400, seed=1):
    compare_pairs(predictions, {"one": "other", "other": "other"}, folder / "pairs.json", resamplings, seed)
    return json.loads((folder / "pairs.json").read_text())["rows"]


def masses(rng, n=N):
    return rng.uniform(13.2, 14.9, n)


def test_ratio_by_hand_whatever_the_order_of_the_clusters(tmp_path):
    rng = np.random.default_rng(2)
    truth, noise = masses(rng), rng.normal(0, 0.1, N)
    order = rng.permutation(N)
    ids = np.array([f"01_{number}" for number in range(N)])
    one = write(tmp_path, "one", 2 * noise + 0.05, truth)
    other = write(tmp_path, "other", noise[order], truth[order], ids[order])
    (row,) = pair(tmp_path, one, other)
    assert row["n"] == N
    assert row["scatter_ratio"] == pytest.approx(2.0, rel=1e-12)
    # one is twice the other, cluster by cluster
    assert row["scatter_ratio_ci68"] == pytest.approx([2.0, 2.0], rel=1e-9)
    assert row["bias_difference_dex"] == pytest.approx(0.05 + noise.mean(), rel=1e-9)
    assert row["own"]["scatter_dex"] == pytest.approx(2 * np.std(noise), rel=1e-12)
    low = truth < 13.5
    assert row["other"]["bias_by_truth"]["low_mass"]["n"] == low.sum()
    assert row["other"]["bias_by_truth"]["low_mass"]["bias_dex"] == pytest.approx(noise[low].mean(), rel=1e-9)


def test_biases_nearer_zero_by_hand(tmp_path):
    """Both ends half as far off, on the same clusters: their shared noise drops out of the error but for its half."""
    rng = np.random.default_rng(5)
    truth, noise = masses(rng), rng.normal(0, 0.1, N)
    shift = np.where(truth < 13.5, 0.2, np.where(truth > 14.5, -0.2, 0.0))
    one = write(tmp_path, "one", noise / 2 + shift / 2, truth)
    (row,) = pair(tmp_path, one, write(tmp_path, "other", noise + shift, truth))
    for key, inside, sign in (("low_mass", truth < 13.5, 1), ("high_mass", truth >= 14.5, -1)):
        found, half = row["bias_nearer_zero_by_truth"][key], noise[inside] / 2
        assert found["n"] == inside.sum() > 30
        assert found["by_dex"] == pytest.approx(0.1 + sign * half.mean(), rel=1e-9)
        assert found["error_dex"] == pytest.approx(half.std() / np.sqrt(inside.sum()), rel=1e-9)


def test_only_common_test_clusters_count(tmp_path):
    rng = np.random.default_rng(3)
    truth, noise = masses(rng), rng.normal(0, 0.1, N)
    spoilt = noise.copy()
    spoilt[:100] = 5.0
    one = write(tmp_path, "one", spoilt, truth, test=slice(100, N))
    other = write(tmp_path, "other", noise, truth, test=slice(0, 300))
    (row,) = pair(tmp_path, one, other)
    assert (row["n"], row["scatter_ratio"]) == (200, pytest.approx(1.0))


@pytest.mark.long
def test_intervals_hold_the_true_ratio_two_times_in_three(tmp_path):
    """Scatters truly 1.1 apart: 41 of 60 intervals hold that on average; below 30 or above 52 once in 500."""
    rng = np.random.default_rng(4)
    held = 0
    for number in range(60):
        truth, shared = masses(rng), rng.normal(0, 0.1, N)
        folder = tmp_path / str(number)
        folder.mkdir()
        scale = np.sqrt(1.21 * 0.0125 - 0.01)
        one = write(folder, "one", shared + rng.normal(0, scale, N), truth)
        other = write(folder, "other", shared + rng.normal(0, 0.05, N), truth)
        (row,) = pair(folder, one, other, resamplings=200, seed=number)
        low, high = row["scatter_ratio_ci68"]
        held += low <= 1.1 <= high
    assert 30 <= held <= 52


def test_clusters_of_the_same_name_and_another_mass_are_refused(tmp_path):
    truth = masses(np.random.default_rng(5))
    one, other = write(tmp_path, "one", 0 * truth, truth), write(tmp_path, "other", 0 * truth, truth + 0.1)
    with pytest.raises(InputError, match="clusters of the same name differ in mass"):
        pair(tmp_path, one, other)


def test_nothing_common_tells_nothing(tmp_path):
    truth = masses(np.random.default_rng(6))
    one = write(tmp_path, "one", 0 * truth, truth, test=slice(0, 100))
    other = write(tmp_path, "other", 0 * truth, truth, test=slice(100, N))
    (row,) = pair(tmp_path, one, other)
    assert (row["n"], row["scatter_ratio"]) == (0, None)


def test_noise_of_training_is_part_of_the_error(tmp_path):
    """Members k times as wrong as each other: logarithms of their scatters differ by ln k, whatever the clusters."""
    rng = np.random.default_rng(7)
    truth, noise = masses(rng), rng.normal(0, 0.1, N)
    one = write(tmp_path, "one", noise, truth, members=np.array([[0.0], [0.02]]) * noise)  # scatters 1 : 1.02
    other = write(tmp_path, "other", noise, truth, members=np.array([[0.01], [0.0], [-0.01]]) * noise)
    (row,) = pair(tmp_path, one, other)
    # variances about each mean: ln(1.02)^2 / 2 with one degree of freedom, 0.01^2 with two. The median of a chi-square
    # is 0.455 with one, 1.386 with two; their typical variance, with the weight of four degrees, is added to each
    own, others = np.log(1.02) ** 2 / 2, 0.01**2
    typical = (own / 0.45494 + others / (1.38629 / 2)) / 2
    expected = {"own": (own + 4 * typical) / 5, "other": (2 * others + 4 * typical) / 6, "typical": typical}
    assert row["training_noise"] == pytest.approx({key: np.sqrt(of) for key, of in expected.items()}, rel=1e-3)
    # the same residuals: no other sample of clusters would change the ratio
    assert row["scatter_ratio_ci68"] == pytest.approx([1.0, 1.0])
    error = np.sqrt(expected["own"] / 2 + expected["other"] / 3)
    assert row["scatter_ratio_error"] == pytest.approx(error, rel=1e-3)


def test_each_experiment_counts_once_in_the_typical_noise(tmp_path):
    """Three experiments are compared with the same fourth one; its variance counts once in the median of four."""
    rng = np.random.default_rng(9)
    truth, noise = masses(rng), rng.normal(0, 0.1, N)
    spreads = {"one": 0.01, "two": 0.02, "three": 0.03, "other": 0.0}
    predictions = [
        write(tmp_path, name, noise, truth, members=np.array([[0.0], [k]]) * noise) for name, k in spreads.items()
    ]
    compare_pairs(predictions, dict.fromkeys(spreads, "other"), tmp_path / "pairs.json", 50, 1)
    rows = json.loads((tmp_path / "pairs.json").read_text())["rows"]
    # of 0, 1, 2 and 3 % the median variance is the mean of those of 1 and 2 %
    typical = np.sqrt((np.log(1.01) ** 2 + np.log(1.02) ** 2) / 4 / 0.45494)
    assert [row["training_noise"]["typical"] for row in rows] == pytest.approx([typical] * 3, rel=1e-3)


def scatters_of(rng, noise):
    """Return the scatters of 400 experiments of 2 members; trainings differ by the relative noise `noise`."""
    return (rng.uniform(0.1, 0.3, (400, 1)) * np.exp(rng.normal(0, noise, (400, 2)))).tolist()


def test_typical_training_noise_is_found_whatever_a_few_do():
    """The median of 400 variances of one degree of freedom makes 1 % good to 5.7 %: 4 sigma allowed."""
    found = scatters_of(np.random.default_rng(8), 0.01)
    assert typical_noise(found) == pytest.approx(0.01, rel=0.23)
    unstable = [[0.1, 0.2]] * 20
    assert typical_noise(found + unstable) == pytest.approx(typical_noise(found), rel=0.15)
    assert typical_noise([[0.1], [0.2]]) is None


def test_noise_of_one_experiment_is_its_own_and_the_typical_one():
    assert noise_of([0.1], 0.02) == pytest.approx(0.02)  # one member tells nothing of its own
    assert noise_of([0.1, 0.1], 0.02) == pytest.approx(0.02 * np.sqrt(4 / 5))
    # twenty members of their own: ln of scatters +-0.1, variance 0.01 x 20 / 19, 19 degrees of freedom beside 4
    many = (0.1 * np.exp([0.1, -0.1] * 10)).tolist()
    assert noise_of(many, 0.02) == pytest.approx(np.sqrt((0.2 + 4 * 0.0004) / 23))
    assert noise_of([0.1, 0.2], None) == 0.0
