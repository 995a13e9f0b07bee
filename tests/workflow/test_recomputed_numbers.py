"""The numbers of a run, computed again from its files by code that shares nothing with the package.

CLUSTERMASS_EXPERIMENT names the folder of another experiment, such as results/default/fiducial.
"""

import json
import math
import os
import random
import statistics
from collections import defaultdict
from pathlib import Path

import netCDF4
import pytest
from scipy.special import ndtr

RESAMPLINGS = 2000


@pytest.fixture(scope="module")
def experiment(request):
    if other := os.environ.get("CLUSTERMASS_EXPERIMENT"):
        return Path(other)
    return request.getfixturevalue("finished") / "results" / "test" / "fiducial"


@pytest.fixture(scope="module")
def metrics(experiment):
    return json.loads((experiment / "metrics.json").read_text())


@pytest.fixture(scope="module")
def clusters(experiment):
    """Return the clusters as a list of dicts, with a list for the members and a dict for the baselines."""
    table, others = columns(experiment / "ensemble.nc"), columns(experiment / "baselines.nc")
    row_of = {name: row for row, name in enumerate(others["cluster"])}
    single = ("mu", "sigma", "sigma_aleatoric", "sigma_epistemic", "log10_m500c", "split")
    return [
        {
            **{key: table[key][row] for key in single},
            "member_mu": [values[row] for values in table["member_mu"]],
            "member_sigma": [values[row] for values in table["member_sigma"]],
            "group": others["group"][row_of[name]],
            "baselines": {key: others["mu"][k][row_of[name]] for k, key in enumerate(others["predictor"])},
        }
        for row, name in enumerate(table["cluster"])
    ]


@pytest.fixture(scope="module")
def test_set(clusters):
    return [cluster for cluster in clusters if cluster["split"] == "test"]


def columns(path):
    """Return the variables of a netCDF file as lists."""
    with netCDF4.Dataset(path) as file:
        return {name: variable[:].tolist() for name, variable in file.variables.items()}


def residuals(clusters, predictor=None):
    masses = [cluster["baselines"][predictor] if predictor else cluster["mu"] for cluster in clusters]
    return [mass - cluster["log10_m500c"] for mass, cluster in zip(masses, clusters, strict=True)]


def calibrated(clusters, experiment):
    form = json.loads((experiment / "calibration.json").read_text())["recalibration"]
    return [math.hypot(form["scale"] * cluster["sigma"], form["floor_dex"]) for cluster in clusters]


def bootstrap(clusters, statistic):
    """Return sorted values of `statistic`, a function of clusters, for resamplings of groups."""
    groups, draw = defaultdict(list), random.Random(20261201)
    for cluster in clusters:
        groups[cluster["group"]].append(cluster)
    groups = list(groups.values())
    drawn = (draw.choices(groups, k=len(groups)) for _ in range(RESAMPLINGS))
    return sorted(statistic([cluster for group in groups for cluster in group]) for groups in drawn)


def check_interval(values, interval):
    """Assert that the ends of an interval are quantiles of `values`, within the noise of two bootstraps.

    The probability that an end differs by more than 5 standard errors is 6e-7. The standard error of a quantile of B
    values is sqrt(p (1 - p) / B) / density, and sqrt(2) times as large for a difference of two.
    """
    width = statistics.pstdev(values)
    density = math.exp(-0.5) / math.sqrt(2 * math.pi) / width  # of a normal distribution, one sigma from its mean
    error = math.sqrt(2 * 0.1587 * 0.8413 / RESAMPLINGS) / density
    for end, share in zip(interval, (0.1587, 0.8413), strict=True):
        assert values[int(share * RESAMPLINGS)] == pytest.approx(end, abs=5 * error)


def test_ensemble_is_the_mixture_of_its_members(clusters):
    for cluster in clusters:
        aleatoric = math.sqrt(statistics.fmean(sigma**2 for sigma in cluster["member_sigma"]))
        epistemic = statistics.pstdev(cluster["member_mu"])
        assert cluster["mu"] == pytest.approx(statistics.fmean(cluster["member_mu"]), abs=1e-6)
        assert cluster["sigma_aleatoric"] == pytest.approx(aleatoric, rel=1e-5)
        assert cluster["sigma_epistemic"] == pytest.approx(epistemic, rel=1e-3, abs=1e-6)
        assert cluster["sigma"] == pytest.approx(math.hypot(aleatoric, epistemic), rel=1e-5)


def test_no_group_is_in_two_subsets(clusters):
    subsets = defaultdict(set)
    for cluster in clusters:
        subsets[cluster["group"]].add(cluster["split"])
    assert all(len(found) == 1 for found in subsets.values())
    assert set().union(*subsets.values()) >= {"train", "val", "test"}


@pytest.mark.parametrize("subset", ["train", "val", "test"])
def test_scatter_and_bias(clusters, metrics, experiment, subset):
    chosen = [cluster for cluster in clusters if cluster["split"] == subset]
    residual = residuals(chosen)
    assert metrics[subset]["n"] == metrics[f"n_{subset}"] == len(chosen)
    assert metrics[subset]["bias_dex"] == pytest.approx(statistics.fmean(residual))
    assert metrics[subset]["scatter_dex"] == pytest.approx(statistics.pstdev(residual))
    assert metrics[subset]["scatter_ln_percent"] == pytest.approx(100 * math.log(10) * statistics.pstdev(residual))
    assert metrics[subset]["rms_dex"] == pytest.approx(math.sqrt(statistics.fmean(r**2 for r in residual)))
    assert metrics[subset]["mean_sigma_dex"] == pytest.approx(statistics.fmean(calibrated(chosen, experiment)))


def test_ratios_to_the_baselines(test_set, metrics):
    scatter = statistics.pstdev(residuals(test_set))
    predictors = test_set[0]["baselines"]
    assert len(predictors) >= 8
    assert metrics["ratios"].keys() == {f"network_over_{name}" for name in predictors}
    for name in predictors:
        other = statistics.pstdev(residuals(test_set, name))
        assert metrics["baselines"][name]["scatter_dex"] == pytest.approx(other)
        assert metrics["ratios"][f"network_over_{name}"]["value"] == pytest.approx(scatter / other)


def test_coverage_and_likelihood(test_set, metrics, experiment):
    scores = metrics["calibration"]
    pulls = [r / s for r, s in zip(residuals(test_set), calibrated(test_set, experiment), strict=True)]
    squares = [pull**2 + math.log(2 * math.pi) for pull in pulls]
    logs = [math.log(sigma) for sigma in calibrated(test_set, experiment)]
    assert scores["coverage68"] == pytest.approx(statistics.fmean(abs(pull) <= 1 for pull in pulls))
    assert scores["coverage95"] == pytest.approx(statistics.fmean(abs(pull) <= 1.96 for pull in pulls))
    assert scores["z_score_std"] == pytest.approx(statistics.pstdev(pulls))
    assert scores["nll"] == pytest.approx(statistics.fmean(squares) / 2 + statistics.fmean(logs))
    ranks = [ndtr(-pull) for pull in pulls]
    assert scores["pit_histogram"] == [sum(int(min(rank * 10, 9)) == tenth for rank in ranks) for tenth in range(10)]


def test_conformal_half_widths(clusters, experiment):
    levels = json.loads((experiment / "calibration.json").read_text())["conformal"]["levels"]
    val = [cluster for cluster in clusters if cluster["split"] == "val"]
    pulls = sorted(abs(r) / cluster["sigma"] for r, cluster in zip(residuals(val), val, strict=True))
    known = {level: block for level, block in levels.items() if block["half_width"] is not None}
    assert known
    for level, block in known.items():
        rank = math.ceil(int(level) / 100 * (len(val) + 1))
        assert block["half_width"] == pytest.approx(pulls[rank - 1], rel=1e-5)


def test_bootstrap_intervals_of_scatter_and_bias(test_set, metrics):
    biases = bootstrap(test_set, lambda drawn: statistics.fmean(residuals(drawn)))
    check_interval(biases, metrics["test"]["bias_dex_ci68"])
    scatters = bootstrap(test_set, lambda drawn: statistics.pstdev(residuals(drawn)))
    check_interval(scatters, metrics["test"]["scatter_dex_ci68"])


@pytest.mark.parametrize("name", ["count_rate_recalibrated", "ridge_features"])
def test_bootstrap_interval_of_a_ratio_is_paired(test_set, metrics, name):
    def ratio(drawn):
        return statistics.pstdev(residuals(drawn)) / statistics.pstdev(residuals(drawn, name))

    check_interval(bootstrap(test_set, ratio), metrics["ratios"][f"network_over_{name}"]["ci68"])
