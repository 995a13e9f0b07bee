"""`calibration.json`, recalibration and conformal intervals: simulated errors, ranks by hand, without the test set."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import xarray as xr
from ood_inputs import write_calibration
from scipy.optimize import minimize
from scipy.stats import beta, norm

from clustermass.ensemble.aggregate import aggregate_ensemble, mixture_cdf, mixture_quantile
from clustermass.ensemble.calibration import (
    FOLDS,
    LEVELS,
    Recalibration,
    calibrate,
    choose_recalibration,
    fit_scale,
    fit_scale_and_floor,
    folds,
    half_widths,
    left_out_loss,
    paired_gain,
    read_calibration,
)
from clustermass.ensemble.scores import negative_log_likelihood
from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf, write_netcdf

N, N_VAL = 600, 150
MADE = {"source": "test"}


def clusters(test_seed=0, scale=1.5):
    """Sample whose residuals are `scale` times the predicted sigma; `test_seed` changes the test clusters only."""
    rng, other = np.random.default_rng(70), np.random.default_rng([71, test_seed])
    split = rng.permutation(np.repeat(["train", "val", "test"], [N - 2 * N_VAL, N_VAL, N_VAL]))
    test = split == "test"
    sigma = rng.uniform(0.08, 0.2, N)
    mass = rng.uniform(13.2, 15, N)
    mu = mass + scale * sigma * rng.normal(0, 1, N)
    for column, draw in ((mass, other.uniform(13, 15, N)), (mu, other.uniform(10, 17, N)), (sigma, other.random(N))):
        column[test] = np.where(test_seed, draw, column)[test]
    return split, mass, mu, sigma


def write(folder, test_seed=0, **arguments):
    """Members, images, split, ensemble.nc and calibration.json of `clusters`."""
    split, mass, mu, sigma = clusters(test_seed, **arguments)
    ids = [f"01_{number}" for number in range(N)]
    names = ("redshift", "redshift_err", "det_like", "ext_like", "ml_rate", "ml_cts", "exposure_s")
    noise = np.random.default_rng([72, test_seed]).uniform(0, 1, N)  # the test clusters' pixels change their columns
    columns = {name: ("cluster", np.where(split == "test", noise, 0.5)) for name in names}
    columns |= {"halo_id": ("cluster", np.arange(N)), "log10_m500c": ("cluster", mass)}
    columns["realization"] = ("cluster", np.full(N, "01"))
    write_netcdf(xr.Dataset(columns, {"cluster": ids}), folder / "images.nc", "test", MADE)
    groups = {"split": ("cluster", split), "group": ("cluster", ids)}
    write_netcdf(xr.Dataset(groups, {"cluster": ids}), folder / "split.nc", "test", MADE)
    member = {"mu": mu, "sigma": sigma, "split": split, "log10_m500c": mass}
    dataset = xr.Dataset({name: ("cluster", column) for name, column in member.items()}, {"cluster": ids})
    write_netcdf(dataset, folder / "00.nc", "test", MADE)
    aggregate_ensemble([folder / "00.nc"], folder / "ensemble.nc", [folder / "images.nc"])
    return folder


def run(folder, asked="auto", seed=1):
    output = folder / "calibration.json"
    calibrate(folder / "ensemble.nc", folder / "split.nc", output, asked, seed)
    return output.read_bytes()


def test_another_test_set_leaves_the_bytes_as_they_are(tmp_path):
    made = []
    for test_seed in (0, 1):
        folder = tmp_path / str(test_seed)
        made.append(run(write(folder, test_seed)))
    ensembles = [read_netcdf(tmp_path / name / "ensemble.nc") for name in "01"]
    test = ensembles[0]["split"].values == "test"
    for name in ("mu", "sigma", "log10_m500c", "redshift"):
        assert not np.isclose(ensembles[0][name].values[test], ensembles[1][name].values[test]).any()
    assert made[0] == made[1]


def test_another_validation_cluster_changes_them(tmp_path):
    before = run(write(tmp_path))
    table = read_netcdf(tmp_path / "ensemble.nc")
    first = int(np.flatnonzero(table["split"].values == "val")[0])
    table["mu"][first] += 0.3
    write_netcdf(table, tmp_path / "ensemble.nc", "test", MADE)
    assert run(tmp_path) != before


def test_file_holds_recalibration_and_conformal_intervals_of_the_validation_clusters(tmp_path):
    content = json.loads(run(write(tmp_path)))
    split, mass, mu, sigma = clusters()
    score = np.sort(np.abs((mu - mass) / sigma)[split == "val"])
    assert content["n_val"] == N_VAL
    found = content["recalibration"]
    assert (found["asked"], found["form"]) == ("auto", "scale")
    assert found["scale"] == pytest.approx(np.sqrt(np.mean(score**2)), abs=1e-6)
    # 151 x 0.68 = 102.68, 151 x 0.9 = 135.9, 151 x 0.95 = 143.45
    for level, rank in (("68", 103), ("90", 136), ("95", 144)):
        assert content["conformal"]["levels"][level]["half_width"] == pytest.approx(score[rank - 1])
    assert "exchangeable with the validation clusters" in content["conformal"]["guarantee"]
    assert content["validation"]["raw"]["z_score_std"] == pytest.approx(1.5, rel=0.2)
    assert content["validation"]["recalibrated"]["z_score_std"] == pytest.approx(1, rel=0.02)
    read = read_calibration(tmp_path / "calibration.json")
    assert (read.form, read.number, read.recalibration.scale) == ("scale", N_VAL, found["scale"])
    assert read.half_width[90] == content["conformal"]["levels"]["90"]["half_width"]


def test_none_leaves_sigma_alone_but_tells_the_same_intervals(tmp_path):
    auto, none = (json.loads(run(write(tmp_path), asked)) for asked in ("auto", "none"))
    assert (none["recalibration"]["form"], none["recalibration"]["scale"]) == ("none", 1.0)
    assert none["recalibration"]["reason"] == "ensemble.recalibration is none."
    assert none["conformal"] == auto["conformal"]


def test_honest_sigma_stays_with_its_reason(tmp_path):
    found = json.loads(run(write(tmp_path, scale=1.0)))["recalibration"]
    assert (found["form"], found["scale"]) == ("none", 1.0)
    assert "scale rejected: gains" in found["reason"]


def test_sample_without_validation_clusters_is_left_uncalibrated(tmp_path):
    table = read_netcdf(write(tmp_path) / "ensemble.nc")
    write_netcdf(table.isel(cluster=table["split"].values != "val"), tmp_path / "ensemble.nc", "test", MADE)
    content = json.loads(run(tmp_path))
    assert (content["n_val"], content["recalibration"]["form"]) == (0, "none")
    assert np.isnan(list(read_calibration(tmp_path / "calibration.json").half_width.values())).all()


@pytest.mark.parametrize("key", ["scale", "floor_dex", "form", "n_val"])
@pytest.mark.parametrize("value", [10**400, -1, None, "x", [], {}, 1e999, "nan"])
def test_a_calibration_without_possible_numbers_is_refused(tmp_path, key, value):
    write_calibration(tmp_path)
    path = tmp_path / "calibration.json"
    content = json.loads(path.read_text())
    (content if key == "n_val" else content["recalibration"])[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"calibration\.json: no readable calibration"):
        read_calibration(path)


def test_faulty_files_are_refused(tmp_path):
    write(tmp_path)
    table = read_netcdf(tmp_path / "ensemble.nc")
    val = np.flatnonzero(table["split"].values == "val")
    table["sigma"][int(val[3])] = np.nan
    write_netcdf(table, tmp_path / "ensemble.nc", "test", MADE)
    with pytest.raises(InputError, match=r"ensemble\.nc: sigma holds numbers that aren't finite"):
        run(tmp_path)
    groups = read_netcdf(write(tmp_path) / "split.nc")
    write_netcdf(groups.isel(cluster=slice(0, 10)), tmp_path / "split.nc", "test", MADE)
    with pytest.raises(InputError, match=r"split\.nc: lacks \d+ clusters of the sample"):
        run(tmp_path)


def choose(residual, sigma, group, seed):
    """Chosen constants and the report in one table."""
    chosen, report = choose_recalibration(residual, sigma, group, seed)
    return asdict(chosen) | report


def simulated(seed, n=400, scale=1.0, floor=0.0):
    """Residuals whose true spread is `scale` times the predicted sigma, and `floor` in quadrature."""
    rng = np.random.default_rng([50, seed])
    sigma = rng.uniform(0.05, 0.3, n)
    return rng.normal(0, np.hypot(scale * sigma, floor)), sigma, np.array([f"g{k}" for k in range(n)])


def test_likelihood_is_that_of_scipy():
    residual, sigma, _ = simulated(0)
    np.testing.assert_allclose(negative_log_likelihood(residual, sigma), -norm.logpdf(residual, 0, sigma))


@pytest.mark.parametrize(("fit", "free"), [(fit_scale, 1), (fit_scale_and_floor, 2)])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_fits_are_where_a_plain_optimiser_ends(fit, free, floor):
    residual, sigma, _ = simulated(1, scale=0.8, floor=floor)

    def loss(logs):
        constants = np.exp(np.append(logs, -50)[:2])
        return negative_log_likelihood(residual, Recalibration(*constants).sigma(sigma)).mean()

    starts = [np.log([scale, 0.05])[:free] for scale in (0.5, 1.0, 2.0)]
    best = min((minimize(loss, start, method="Nelder-Mead", options={"fatol": 1e-12}) for start in starts),
               key=lambda found: found.fun)  # fmt: skip
    found = fit(residual, sigma)
    assert negative_log_likelihood(residual, found.sigma(sigma)).mean() == pytest.approx(best.fun, abs=1e-8)
    if free == 1:
        assert found.scale == pytest.approx(np.exp(best.x[0]), rel=1e-3)


@pytest.mark.parametrize("scale", [0.7, 1.6])
def test_a_planted_factor_is_found_and_accepted(scale):
    residual, sigma, group = simulated(2, scale=scale)
    found = choose(residual, sigma, group, seed=1)
    assert found["form"] == "scale"
    # its standard error is scale / sqrt(2 n): five of them
    assert found["scale"] == pytest.approx(scale, abs=5 * scale / np.sqrt(800))
    assert found["floor_dex"] == 0
    scores = found["forms"]["scale"]
    assert scores["gain"] > scores["gain_error"] > 0
    # what a known factor gains: the expectation of z^2 / 2 falls from scale^2 / 2 to 1 / 2, ln(sigma) grows
    assert scores["gain"] == pytest.approx((scale**2 - 1) / 2 - np.log(scale), rel=0.5)


def test_a_planted_floor_is_found_and_accepted():
    residual, sigma, group = simulated(3, n=2000, floor=0.15)
    found = choose(residual, sigma, group, seed=1)
    assert found["form"] == "scale_and_floor"
    assert found["floor_dex"] == pytest.approx(0.15, abs=0.03)
    assert found["scale"] == pytest.approx(1, abs=0.15)
    assert found["forms"]["scale_and_floor"]["over"] == "scale"


def test_honest_sigma_is_mostly_left_alone_and_never_bent_far():
    chosen = [choose(*simulated(seed, n=200), seed=1) for seed in range(10, 50)]
    # 14 of 900 honest sets of 100 to 1,200 clusters were changed, 2 %: more than 4 of 40 is one fresh seed in 1,000
    assert sum(found["form"] != "none" for found in chosen) <= 4
    assert all(0.8 < found["scale"] < 1.25 for found in chosen if found["form"] == "scale")


def test_too_few_groups_tell_nothing():
    residual, sigma, group = simulated(4, n=29, scale=5.0)
    found = choose(residual, sigma, group, seed=1)
    assert (found["form"], found["scale"], found["floor_dex"], found["forms"]) == ("none", 1.0, 0.0, {})
    assert "29 validation groups are too few" in found["reason"]
    # many clusters of few groups are no better
    assert choose(*simulated(4, n=400, scale=5.0)[:2], np.resize(group, 400), seed=1)["form"] == "none"
    assert choose(*simulated(4, n=40, scale=5.0), seed=1)["form"] == "scale"


def test_folds_keep_groups_whole_are_even_and_follow_the_names():
    group = np.repeat([f"g{k}" for k in range(45)], 3)
    fold = folds(group, seed=1)
    assert all(np.unique(fold[group == name]).size == 1 for name in np.unique(group))
    assert sorted(np.bincount(fold) // 3) == [4] * 5 + [5] * 5
    order = np.random.default_rng(51).permutation(group.size)
    np.testing.assert_array_equal(folds(group[order], seed=1), fold[order])
    assert not np.array_equal(folds(group, seed=2), fold)


def test_left_out_clusters_shape_nothing_that_they_are_scored_by():
    residual, sigma, group = simulated(5, n=60)
    fold = folds(group, seed=1)
    loss = left_out_loss(fit_scale, residual, sigma, fold)
    for number in range(FOLDS):
        out = fold == number
        scale = np.sqrt(np.mean((residual[~out] / sigma[~out]) ** 2))
        np.testing.assert_allclose(loss[out], -norm.logpdf(residual[out], 0, scale * sigma[out]))


def test_error_of_the_gain_counts_groups_not_clusters():
    gain = np.random.default_rng(52).normal(0.1, 1, 100)
    mean, error = paired_gain(gain, np.arange(100).astype(str))
    assert (mean, error) == (pytest.approx(gain.mean()), pytest.approx(gain.std(ddof=1) / 10))
    twice, group = np.repeat(gain, 2), np.repeat(np.arange(100), 2).astype(str)
    assert paired_gain(twice, group) == (pytest.approx(mean), pytest.approx(error))


def test_the_stretched_mixture_has_exactly_the_recalibrated_sigma():
    rng = np.random.default_rng(53)
    mu, sigma = rng.normal(14, 0.2, (5, 8)), rng.uniform(0.05, 0.2, (5, 8))
    raw = np.sqrt((sigma**2).mean(axis=0) + mu.var(axis=0))
    again = Recalibration(1.3, 0.07)
    centre, width = again.components(mu, sigma)
    np.testing.assert_allclose(centre.mean(axis=0), mu.mean(axis=0))
    np.testing.assert_allclose(np.sqrt((width**2).mean(axis=0) + centre.var(axis=0)), again.sigma(raw))
    # a pure factor moves every quantile away from the mean by that factor
    centre, width = Recalibration(1.3).components(mu, sigma)
    stretched = mu.mean(axis=0) + 1.3 * (mixture_quantile(0.16, mu, sigma) - mu.mean(axis=0))
    np.testing.assert_allclose(mixture_quantile(0.16, centre, width), stretched, atol=1e-12)
    np.testing.assert_allclose(mixture_cdf(stretched, centre, width), 0.16, atol=1e-12)


def test_ranks_and_half_widths_by_hand():
    # 19 scores 0.1 ... 1.9: (n + 1) = 20, ranks 13.6 -> 14, 18, 19
    found = half_widths(np.array([-1, 1] * 9 + [1]) * np.arange(19, 0, -1) / 10 * 0.2, np.full(19, 0.2))
    assert [found[level]["rank"] for level in ("68", "90", "95")] == [14, 18, 19]
    assert [found[level]["half_width"] for level in ("68", "90", "95")] == pytest.approx([1.4, 1.8, 1.9])
    assert found["90"]["coverage_std"] == pytest.approx(beta(18, 2).std())


@pytest.mark.parametrize(("number", "lacking"), [(18, ["95"]), (8, ["90", "95"]), (0, ["68", "90", "95"])])
def test_small_validation_sets_promise_no_finite_interval(number, lacking):
    found = half_widths(np.linspace(-1, 1, number), np.ones(number))
    assert [level for level, scores in found.items() if scores["half_width"] is None] == lacking


@pytest.mark.parametrize("n", [20, 137])
def test_new_clusters_are_covered_as_promised_though_errors_are_skewed_and_sigma_is_wrong(n):
    """Mean coverage over validation sets lies between the level and 1 / (n + 1) above it (to 4 standard errors)."""
    rng = np.random.default_rng(60)
    trials, new = 1500, 40

    def draw(shape):
        sigma = rng.uniform(0.05, 0.5, shape)
        return 3 * sigma * (rng.exponential(1, shape) - 0.7), sigma

    inside = {level: [] for level in LEVELS}
    for _ in range(trials):
        found = half_widths(*draw(n))
        residual, sigma = draw(new)
        for level in LEVELS:
            inside[level].append(np.mean(np.abs(residual) <= found[str(level)]["half_width"] * sigma))
    for level, shares in inside.items():
        error = np.std(shares) / np.sqrt(trials)
        assert level / 100 - 4 * error < np.mean(shares) < level / 100 + 1 / (n + 1) + 4 * error


def test_coverage_of_one_validation_set_scatters_as_stated():
    rng = np.random.default_rng(61)
    n, trials = 60, 1000
    shares, stated = [], 0.0
    for _ in range(trials):
        found = half_widths(rng.normal(0, 1, n), np.ones(n))["90"]
        shares.append(2 * _normal_below(found["half_width"]) - 1)
        stated = found["coverage_std"]
    # the standard error of a standard deviation from 1,000 draws is 2.2 %; 12 % is five of them
    assert np.std(shares) == pytest.approx(stated, rel=0.12)


def _normal_below(value):
    from scipy.special import ndtr

    return ndtr(value)


def test_weighted_recalibration_is_that_of_repeated_clusters():
    rng = np.random.default_rng(8)
    sigma = rng.uniform(0.1, 0.3, 200)
    residual = rng.normal(0, 1.3 * sigma)
    number = rng.integers(1, 5, 200)
    weight = number / number.mean()
    for fit in (fit_scale, fit_scale_and_floor):
        repeated = fit(np.repeat(residual, number), np.repeat(sigma, number))
        weighted = fit(residual, sigma, weight)
        assert weighted.scale == pytest.approx(repeated.scale, rel=1e-5)
        assert weighted.floor_dex == pytest.approx(repeated.floor_dex, abs=1e-5)
        assert fit(residual, sigma).scale != pytest.approx(repeated.scale, rel=1e-3)
    group = np.arange(200).astype(str)
    plain, even = (choose_recalibration(residual, sigma, group, 1, one) for one in (None, np.ones(200)))
    assert plain == even
