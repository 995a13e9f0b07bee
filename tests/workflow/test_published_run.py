"""The published training set through the whole workflow, from a small set of the same structure to the report."""

import json
import sys

import numpy as np
import pytest
import yaml
from runs import ROOT, jobs, snakemake

from clustermass.io.netcdf import read_netcdf
from clustermass.report.records import Files
from clustermass.report.verify import verify

sys.path.insert(0, str(ROOT / "tests" / "unit"))
from ingest_published_inputs import make_catalogue, make_images, write_set

pytestmark = pytest.mark.workflow


def overlay(folder):
    catalogue = make_catalogue()
    sky = write_set(folder / "data", catalogue, make_images(catalogue))
    changes = {
        "skies": {"published": sky},
        "training": {"recipes": {"clustermass": {"epochs": 2, "batch_size": 16}}},
        "ensemble": {"members": 2},
        "evaluation": {"bootstrap": 200},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(changes))
    return ["--configfile", str(ROOT / "config" / "published.yaml"), str(folder / "small.yaml")]


@pytest.mark.long
def test_the_published_set_goes_the_whole_way_to_the_report(tmp_path):
    arguments = overlay(tmp_path)
    snakemake(tmp_path, *arguments, config=None)
    run = tmp_path / "results/published"
    metrics = json.loads((run / "fiducial/metrics.json").read_text())
    assert metrics["n_train"] + metrics["n_val"] + metrics["n_test"] == 75
    assert min(metrics["n_train"], metrics["n_val"], metrics["n_test"]) > 3
    assert sorted(metrics["baselines_left_out"]) == ["boosted_trees", "luminosity_selected", "ridge_features"]
    assert metrics["baselines"]["count_rate_recalibrated"]["scatter_dex"] < 0.15
    report = (run / "report.html").read_text()
    assert "the images hold no counts of photons" in report
    member = read_netcdf(run / "fiducial/members/00.nc")
    assert np.isfinite(member["mu"].values).all()
    assert member.sizes["cluster"] == 75
    verified = verify(run, Files.around(run))
    assert (verified.findings, verified.absent, verified.unnamed) == ([], {}, [])
    assert verified.steps["ingest_published"] > 2
    again = snakemake(tmp_path, *arguments, "-n", config=None)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_missing_files_and_recipes_that_do_not_fit_are_named_before_anything_runs(tmp_path):
    published = str(ROOT / "config" / "published.yaml")
    done = snakemake(tmp_path, "--configfile", published, "-n", config=None, check=False)
    assert done.returncode != 0
    assert "skies.published.images: data/published/eFEDS_01to18" in done.stdout + done.stderr
    (tmp_path / "other.yaml").write_text("experiments: {fiducial: {preprocessing: central}}")
    done = snakemake(tmp_path, *overlay(tmp_path), str(tmp_path / "other.yaml"), "-n", config=None, check=False)
    assert done.returncode != 0
    assert "preprocessing is 'central' with half_width_arcsec 192.0" in done.stdout + done.stderr


def test_networks_of_our_own_sky_can_be_tested_on_it_and_the_reverse(tmp_path):
    arguments = overlay(tmp_path)
    (tmp_path / "both.yaml").write_text(
        "experiments: {ours: {sky: embedded, test_skies: [published]}, fiducial: {test_skies: [further]}}"
    )
    planned = snakemake(tmp_path, *arguments, str(tmp_path / "both.yaml"), "-n", config=None)
    counted = jobs(planned)
    assert counted["ingest_published_published"] == 1
    assert counted["evaluate_sky"] == 2
    assert counted["extract_images"] == 16
