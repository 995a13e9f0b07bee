"""Calibration and test skies in a finished run: what they depend on, and what they must not depend on."""

import json
import shutil

import numpy as np
import pytest
import yaml
from runs import ROOT, jobs, snakemake

from clustermass.dataset.sample import select
from clustermass.io.netcdf import read_netcdf, write_netcdf

pytestmark = pytest.mark.workflow
RUN = "results/test/fiducial"
SKY = f"{RUN}/skies/tiny_further"
SELECTION = {"log10_m500c_min": 13.0, "log10_m500c_max": 15.3, "det_like_min": 5.0, "ext_like_min": 6.0}


def test_every_selected_cluster_of_the_test_sky_is_evaluated(finished):
    images = read_netcdf(finished / "results/skies/tiny_further/01/images.nc")
    kept, _ = select(images, SELECTION)
    metrics = json.loads((finished / SKY / "metrics.json").read_text())
    own = json.loads((finished / RUN / "metrics.json").read_text())
    assert metrics["n_test"] == kept.sum() > 20
    assert metrics["baselines"].keys() == own["baselines"].keys()
    predicted = read_netcdf(finished / SKY / "predictions.nc")
    assert metrics["domain"]["n"] == kept.sum()
    assert predicted["cluster"].values.tolist() == sorted(images["cluster"].values[kept].tolist())
    summary = json.loads((finished / "results/test/summary.json").read_text())
    assert summary["experiments"]["fiducial"]["test_skies"]["tiny_further"]["n_test"] == kept.sum()


def test_a_sky_of_another_name_is_drawn_anew(finished):
    one, other = (read_netcdf(finished / f"results/skies/{sky}/01/images.nc") for sky in ("tiny", "tiny_further"))
    masses = [set(sky["log10_m500c"].values[np.isfinite(sky["log10_m500c"].values)].tolist()) for sky in (one, other)]
    assert min(map(len, masses)) > 20
    assert not masses[0] & masses[1]


@pytest.mark.long
def test_another_test_set_leaves_calibration_and_search_as_they_are(finished, tmp_path):
    """Images and true masses of the test clusters change; then everything up to the three files is made again."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, copy_function=shutil.copy2)
    overlay = tmp_path / "search.yaml"
    overlay.write_text(yaml.safe_dump({"search": {"candidates": ["fiducial"]}}))
    configuration = ["--configfile", str(ROOT / "config/test.yaml"), str(overlay)]
    snakemake(copy, *configuration, "--", "search", config=None)
    searched = copy / "results/test/search.json"
    before_search = searched.read_bytes()
    split = read_netcdf(copy / "results/test/splits/tiny.nc")
    names = split["cluster"].values[split["split"].values == "test"]
    changed = 0
    for path in (copy / "results/skies/tiny").glob("*/images.nc"):
        images, rng = read_netcdf(path), np.random.default_rng(90)
        test = np.isin(images["cluster"].values, names) & np.isfinite(images["log10_m500c"].values)
        changed += test.sum()
        images["counts"][test] = rng.poisson(0.3, images["counts"][test].shape).astype(np.uint16)
        images["log10_m500c"][test] = rng.uniform(13.1, 15.2, test.sum())
        attributes = {key: value for key, value in images.attrs.items() if key not in ("Conventions", "title")}
        write_netcdf(images, path, images.attrs["title"], attributes)
    assert changed > 10
    wanted = [f"{RUN}/calibration.json", f"{RUN}/domain.nc", "search"]
    done = snakemake(copy, *configuration, "--", *wanted, config=None)
    assert "rule smooth_images" in done.stdout + done.stderr
    assert "rule calibrate" in done.stdout + done.stderr
    assert "rule fit_ood" in done.stdout + done.stderr
    assert "rule search" in done.stdout + done.stderr
    before, after = (read_netcdf(folder / RUN / "ensemble.nc") for folder in (finished, copy))
    chosen = before["split"].values == "test"
    for name in ("mu", "log10_m500c"):
        assert not np.isclose(before[name].values[chosen], after[name].values[chosen]).any()
        np.testing.assert_array_equal(before[name].values[~chosen], after[name].values[~chosen])
    calibrations = [(folder / RUN / "calibration.json").read_bytes() for folder in (finished, copy)]
    assert calibrations[0] == calibrations[1]
    assert (finished / RUN / "domain.nc").read_bytes() == (copy / RUN / "domain.nc").read_bytes()
    assert searched.read_bytes() == before_search
    assert json.loads(before_search)["n_val"] == json.loads(calibrations[0])["n_val"] > 3


def test_a_search_is_made_only_where_it_is_asked_for_and_has_candidates(finished):
    assert not (finished / "results/test/search.json").exists()
    done = snakemake(finished, "-n", "--", "search", check=False)
    assert done.returncode != 0
    assert "search.candidates is empty" in done.stdout + done.stderr


def planned(directory, changes):
    """Rules that a dry run with `changes` to the test configuration lists."""
    overlay = directory / "recalibration.yaml"
    overlay.write_text(yaml.safe_dump(changes))
    files = [str(ROOT / "config/test.yaml"), str(overlay)]
    return jobs(snakemake(directory, "-n", "--configfile", *files, config=None)).keys()


def test_a_further_sky_trains_nothing(finished):
    changes = {"skies": {"more": {"like": "tiny", "realizations": 1}}}
    changes |= {"experiments": {"fiducial": {"test_skies": ["tiny_further", "more"]}}}
    rules = planned(finished, changes)
    assert {"simulate_realization", "predict_sky", "fit_baselines_for_sky", "evaluate_sky"} <= rules
    assert not {rule for rule in rules if rule.startswith("train")}
    assert not {"calibrate", "fit_baselines", "evaluate"} & rules
