"""`calibration.json`: what it holds, and that nothing of the test set reaches it."""

import json

import numpy as np
import pytest
import xarray as xr

from clustermass.ensemble.calibration import calibrate, read_calibration
from clustermass.ensemble.ensemble import aggregate_ensemble
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


def test_faulty_files_are_told(tmp_path):
    write(tmp_path)
    table = read_netcdf(tmp_path / "ensemble.nc")
    val = np.flatnonzero(table["split"].values == "val")
    table["sigma"][int(val[3])] = np.nan
    write_netcdf(table, tmp_path / "ensemble.nc", "test", MADE)
    with pytest.raises(InputError, match=r"ensemble\.nc: sigma holds numbers that aren't finite"):
        run(tmp_path)
    groups = read_netcdf(write(tmp_path) / "split.nc")
    write_netcdf(groups.isel(cluster=slice(0, 10)), tmp_path / "split.nc", "test", MADE)
    with pytest.raises(InputError, match=r"split\.nc: lacks \d+ clusters of the ensemble"):
        run(tmp_path)
