"""`metrics.json` and `predictions.nc` against numpy and scipy on the same arrays; they refuse what doesn't fit."""

import json

import numpy as np
import ood_inputs
import pytest
import xarray as xr
from scipy.stats import kstest, norm

from clustermass.errors import InputError
from clustermass.evaluate.evaluate import evaluate
from clustermass.evaluate.metrics import by_bin, residual_scores, scores_with_sigma
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.report.summary import key_figures

MADE = {"source": "test"}


@pytest.fixture
def files(tmp_path):
    """Write an ensemble of three members and two baselines for 600 clusters, in different orders of clusters."""
    rng = np.random.default_rng(20)
    n = 600
    truth = rng.uniform(13.1, 14.9, n)
    member_mu = truth + rng.normal(0.03, 0.12, n) + rng.normal(0, 0.03, (3, n))
    member_sigma = np.full((3, n), 0.12) * np.array([[0.9], [1.0], [1.1]])
    likelihood = rng.uniform(5, 200, n)
    ids = np.array([f"01_{number}" for number in range(n)])
    split = rng.permutation(np.repeat(["train", "val", "test"], [300, 100, 200]))
    columns = {
        "mu": member_mu.mean(axis=0),
        "sigma": np.sqrt((member_sigma**2 + member_mu**2).mean(axis=0) - member_mu.mean(axis=0) ** 2),
        "split": split,
        "log10_m500c": truth,
        "redshift": rng.uniform(0.05, 1, n),
        "det_like": likelihood,
        "ext_like": likelihood,
        "ml_cts": rng.uniform(20, 900, n),
    }
    members = {"member_mu": (("member", "cluster"), member_mu), "member_sigma": (("member", "cluster"), member_sigma)}
    ensemble = xr.Dataset(
        {name: ("cluster", values) for name, values in columns.items()} | members,
        coords={"cluster": ids, "member": ["00", "01", "02"]},
    )
    baselines = xr.Dataset(
        {
            "mu": (("predictor", "cluster"), truth + rng.normal(0, [[0.25], [0.17]], (2, n))),
            "split": ("cluster", split),
            "isolated": ("cluster", (np.arange(n) % 4 > 0).astype(np.int8)),
            "contaminated": ("cluster", (np.arange(n) % 10 == 0).astype(np.int8)),
        },
        coords={"cluster": ids, "predictor": ["prior", "count_rate_recalibrated"]},
    )
    write_netcdf(ensemble, tmp_path / "ensemble.nc", "test", MADE)
    write_netcdf(baselines.isel(cluster=rng.permutation(n)), tmp_path / "baselines.nc", "test", MADE)
    write_calibration(tmp_path)
    return tmp_path, ensemble, baselines


def write_calibration(folder, scale=1.0, floor=0.0, widths=(1.0, 1.7, None)):
    ood_inputs.write_calibration(folder, "scale", scale, floor, widths, 100)


def run(folder, **arguments):
    files = [folder / name for name in ("ensemble.nc", "baselines.nc", "calibration.json", "metrics.json")]
    evaluate(*files, folder / "predictions.nc", **{"resamplings": 200, "seed": 1, **arguments})
    return json.loads((folder / "metrics.json").read_text())


def test_numbers_equal_those_of_numpy(files):
    folder, ensemble, baselines = files
    metrics = run(folder)
    test = ensemble.isel(cluster=ensemble["split"].values == "test")
    residual = (test["mu"] - test["log10_m500c"]).values
    assert (metrics["n_train"], metrics["n_val"], metrics["n_test"]) == (300, 100, 200)
    assert metrics["test"]["scatter_dex"] == pytest.approx(np.std(residual))
    assert metrics["test"]["bias_dex"] == pytest.approx(np.mean(residual))
    assert metrics["test"]["rms_dex"] == pytest.approx(np.sqrt(np.mean(residual**2)))
    assert metrics["test"]["mean_sigma_dex"] == pytest.approx(test["sigma"].values.mean())
    assert metrics["calibration"]["n"] == 200
    rival = baselines["mu"].sel(predictor="count_rate_recalibrated", cluster=test["cluster"].values)
    scatter = np.std((rival - test["log10_m500c"]).values)
    assert metrics["baselines"]["count_rate_recalibrated"]["scatter_dex"] == pytest.approx(scatter)
    ratio = metrics["ratios"]["network_over_count_rate_recalibrated"]
    assert ratio["value"] == pytest.approx(np.std(residual) / scatter)
    assert ratio["ci68"][0] < ratio["value"] < ratio["ci68"][1]


def test_members_over_ensemble_sigma(files):
    folder, ensemble, _ = files
    test = ensemble.isel(cluster=ensemble["split"].values == "test")
    ratio = test["member_sigma"].values / test["sigma"].values
    found = run(folder)["ensemble"]
    assert found["n_members"] == 3
    assert found["member_over_ensemble_sigma_mean"] == pytest.approx(ratio.mean())
    assert found["member_over_ensemble_sigma_std"] == pytest.approx(ratio.std())


def test_bins_and_subsets_share_out_every_test_cluster(files):
    folder, ensemble, _ = files
    test = run(folder)["test"]
    blocks = test, run(folder)["calibration"]
    variables = {"mass": "log10_m500c", "predicted_mass": "mu", "redshift": "redshift"}
    variables |= {"counts": "ml_cts", "likelihood": "ext_like"}
    for name, variable in variables.items():
        values = ensemble[variable].values[ensemble["split"].values == "test"]
        for block in blocks:
            rows = block[f"by_{name}_bin"]
            assert sum(row["n"] for row in rows) == test["n"]
            for row in rows:
                low, high = row["low"] or -np.inf, row["high"] or np.inf
                assert row["n"] == np.sum((values >= low) & (values < high))
    assert test["isolated"]["n"] + test["with_neighbour"]["n"] == test["n"]
    assert test["uncontaminated"]["n"] + test["contaminated"]["n"] == test["n"]
    assert 0 < test["contaminated"]["n"] < 0.2 * test["n"]
    inside = (ensemble["split"].values == "test") & (ensemble["det_like"].values > 60)
    assert run(folder)["high_likelihood"]["n"] == inside.sum()


def test_sigma_is_that_of_the_recalibration_and_the_raw_one_is_given_too(files):
    folder, ensemble, _ = files
    test = ensemble.isel(cluster=ensemble["split"].values == "test")
    residual, raw = (test["log10_m500c"] - test["mu"]).values, test["sigma"].values
    write_calibration(folder, scale=0.8, floor=0.05)
    metrics, sigma = run(folder), np.sqrt((0.8 * raw) ** 2 + 0.05**2)
    found = metrics["calibration"]
    assert found["recalibration"] == {"form": "scale", "scale": 0.8, "floor_dex": 0.05, "n_val": 100}
    assert metrics["test"]["mean_sigma_dex"] == pytest.approx(sigma.mean())
    for block, width in ((found, sigma), (found["raw"], raw)):
        assert block["z_score_std"] == pytest.approx(np.std(residual / width))
        assert block["residual_std_over_mean_sigma"] == pytest.approx(residual.std() / width.mean())
        assert block["coverage95"] == pytest.approx(np.mean(np.abs(residual) < norm.ppf(0.975) * width))
        assert block["nll"] == pytest.approx(-norm.logpdf(residual, 0, width).mean())
    inside = test["log10_m500c"].values < 13.5
    row = found["by_mass_bin"][0]
    assert row["coverage68"] == pytest.approx(np.mean(np.abs(residual / sigma)[inside] <= 1))
    assert row["coverage68_ci68"][0] < row["coverage68"] < row["coverage68_ci68"][1]


def test_conformal_coverage_is_counted_with_the_raw_sigma(files):
    folder, ensemble, _ = files
    test = ensemble.isel(cluster=ensemble["split"].values == "test")
    score = np.abs((test["mu"] - test["log10_m500c"]) / test["sigma"]).values
    write_calibration(folder, scale=3.0)
    found = run(folder)["calibration"]["conformal"]
    assert found["68"]["coverage"] == pytest.approx(np.mean(score <= 1.0))
    assert found["90"]["coverage"] == pytest.approx(np.mean(score <= 1.7))
    assert found["90"]["mean_half_width_dex"] == pytest.approx(1.7 * test["sigma"].values.mean())
    assert set(found["95"].values()) == {None}


def test_predictions_hold_the_whole_recalibrated_mixture(files):
    folder, ensemble, _ = files
    write_calibration(folder, scale=1.5)
    found = run(folder)["calibration"]["mixture"]
    made = read_netcdf(folder / "predictions.nc")
    mean = ensemble["member_mu"].values.mean(axis=0)
    mu, sigma = mean + 1.5 * (ensemble["member_mu"].values - mean), 1.5 * ensemble["member_sigma"].values
    for probability in (0.025, 0.16, 0.25, 0.5, 0.75, 0.84, 0.975):
        below = norm.cdf(made["quantile"].sel(probability=probability).values, mu, sigma).mean(axis=0)
        np.testing.assert_allclose(below, probability, atol=1e-10)
    pit = norm.cdf(ensemble["log10_m500c"].values, mu, sigma).mean(axis=0)
    np.testing.assert_allclose(made["pit"], pit, atol=1e-12)
    np.testing.assert_allclose(made["sigma_calibrated"], 1.5 * ensemble["sigma"])
    half_width = 1.7 * ensemble["sigma"]
    np.testing.assert_allclose(made["conformal_high"].sel(level=90), ensemble["mu"] + half_width)
    np.testing.assert_allclose(made["conformal_low"].sel(level=90), ensemble["mu"] - half_width)
    assert np.isnan(made["conformal_low"].sel(level=95)).all()
    test = ensemble["split"].values == "test"
    assert found["coverage95"] == pytest.approx(np.mean(np.abs(pit[test] - 0.5) <= 0.475))
    assert found["pit_ks_pvalue"] == pytest.approx(kstest(pit[test], "uniform").pvalue)
    assert found["pit_histogram"] == np.histogram(pit[test], np.linspace(0, 1, 11))[0].tolist()


def test_an_experiment_without_calibration_says_what_to_do(files):
    folder, _, _ = files
    (folder / "calibration.json").unlink()
    with pytest.raises(InputError, match=r"calibration\.json: no such file.*copy the whole folder of the experiment"):
        run(folder)
    (folder / "calibration.json").write_text('{"n_val": 3}')
    with pytest.raises(InputError, match=r"calibration\.json: no readable calibration"):
        run(folder)


def test_paper_s_scatter_in_percent():
    # 0.188 dex is 43 %: two points at +-0.188 and one in the mean, scaled to that standard deviation
    residual = 0.188 * np.array([-1, 1, 0]) * np.sqrt(1.5)
    assert residual_scores(residual)["scatter_ln_percent"] == pytest.approx(43.29, abs=0.01)


def test_thin_bins_are_null_with_their_number():
    values = np.array([13.2, 13.3, 14.1, 14.2, 14.3])
    rows = by_bin(values, (13.0, 14.0, 15.0, np.inf), scores_with_sigma, np.arange(5.0), np.ones(5))
    assert [row["n"] for row in rows] == [2, 3, 0]
    assert rows[0]["scatter_dex"] is None
    assert rows[1]["scatter_dex"] == pytest.approx(np.sqrt(2 / 3))
    assert rows[2]["high"] is None
    assert by_bin(values, (-np.inf, 14.0), scores_with_sigma, np.arange(5.0), np.ones(5))[0]["low"] is None


def test_empty_test_set_is_finite_json(files):
    folder, ensemble, _ = files
    left = ensemble.isel(cluster=ensemble["split"].values != "test")
    write_netcdf(left, folder / "ensemble.nc", "test", MADE)
    others = xr.load_dataset(folder / "baselines.nc")
    write_netcdf(others.sel(cluster=left["cluster"].values), folder / "baselines.nc", "test", MADE)
    metrics = run(folder)
    assert metrics["n_test"] == 0
    assert metrics["test"]["scatter_dex"] is None
    assert metrics["ratios"]["network_over_prior"] == {"value": None, "ci68": None}


def test_groups_of_the_split_are_resampled_whole(files):
    folder, ensemble, _ = files
    split = xr.Dataset(
        {
            "group": ("cluster", np.repeat(np.arange(20), 30).astype(str)),
            "split": ("cluster", ensemble["split"].values),
        },
        coords={"cluster": ensemble["cluster"].values},
    )
    write_netcdf(split, folder / "split.nc", "test", MADE)
    grouped = run(folder, split=folder / "split.nc")
    assert grouped["test"]["n_groups"] == 20
    assert run(folder)["test"]["n_groups"] == 200
    assert grouped["test"]["scatter_dex_ci68"] != run(folder)["test"]["scatter_dex_ci68"]


def test_same_inputs_give_the_same_bytes(files):
    folder, _, _ = files
    run(folder)
    first, predictions = (folder / "metrics.json").read_bytes(), (folder / "predictions.nc").read_bytes()
    run(folder)
    assert (folder / "metrics.json").read_bytes() == first
    assert (folder / "predictions.nc").read_bytes() == predictions
    assert run(folder, seed=2)["test"]["scatter_dex_ci68"] != json.loads(first)["test"]["scatter_dex_ci68"]


def test_files_of_different_runs_are_refused(files):
    folder, _, baselines = files
    write_netcdf(baselines.isel(cluster=slice(1, None)), folder / "baselines.nc", "test", MADE)
    with pytest.raises(InputError, match=r"hold different clusters \(1; 01_0 is one\)"):
        run(folder)


def test_prediction_that_is_not_finite_is_refused(files):
    folder, ensemble, _ = files
    broken = ensemble.copy(deep=True)
    broken["mu"][3] = np.nan
    write_netcdf(broken, folder / "ensemble.nc", "test", MADE)
    with pytest.raises(InputError, match="mu holds numbers that aren't finite"):
        run(folder)


def test_flags_of_the_test_clusters_are_summed_up(files):
    folder, ensemble, _ = files
    assert "domain" not in run(folder)
    ids = ensemble["cluster"].values[ensemble["split"].values == "test"]
    flag = np.arange(ids.size) < 5
    columns = {
        "ood_p": np.where(flag, 0.005, 0.5),
        "ood_why": np.where(flag, "mass", ""),
        "flag_ood": flag.astype("i2"),
    }
    dataset = xr.Dataset({name: ("cluster", column) for name, column in columns.items()}, {"cluster": ids})
    write_netcdf(dataset, folder / "ood.nc", "test", {"source": "test", "n_validation": 399})
    found = run(folder, ood=folder / "ood.nc")["domain"]
    assert (found["n"], found["flagged"], found["why"], found["n_validation"]) == (200, 5 / 200, {"mass": 5}, 399)
    assert found["flagged_ci68"][0] < 5 / 200 < found["flagged_ci68"][1]
    figures = key_figures(folder / "metrics.json")
    assert (figures["flagged"], figures["sample_p"]) == (5 / 200, found["sample_p"])
