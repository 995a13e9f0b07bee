"""The whole chain at the size of config/test.yaml, run by snakemake as a user would."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from astropy.table import Table
from clones import RUN
from runs import ROOT, jobs, snakemake

from clustermass.io.netcdf import read_netcdf

pytestmark = pytest.mark.workflow


def test_everything_is_made_and_a_second_call_has_nothing_to_do(finished):
    metrics = json.loads((finished / RUN / "metrics.json").read_text())
    assert metrics["n_train"] > metrics["n_test"] > 5
    assert (finished / "results/test/report.html").stat().st_size > 1_000_000
    done = snakemake(finished)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_mass_catalogue_holds_every_selected_cluster_of_the_field(finished):
    images = read_netcdf(finished / "results/skies/tiny_observed/01/images.nc")
    masses = Table.read(finished / RUN / "observed/tiny_observed/masses.fits")
    assert len(masses) == images.sizes["cluster"] > 10
    measured = np.isfinite(images["redshift"].values)
    assert measured.sum() > 10
    assert np.array_equal(np.isfinite(np.ma.filled(masses["LOGM500"].astype(float), np.nan)), measured)
    assert all(name.startswith("SIM J") for name in masses["NAME"])


def test_an_observed_field_carries_no_truth(finished):
    folder = finished / "results/skies/tiny_observed/01"
    assert not any((folder / f"{name}.fits").exists() for name in ("truth", "matches", "labels", "sources"))
    assert "SRC_ID" not in Table.read(folder / "events.fits", hdu="EVENTS").colnames
    assert "log10_m500c" not in read_netcdf(folder / "images.nc")


def test_images_hold_photons_of_the_event_list_only_once_the_selection_is_made(finished):
    """Sum of the base images = events of the ten bands within the box, counted from the event list by great circles."""
    folder = finished / "results/skies/tiny/01"
    events = Table.read(folder / "events.fits", hdu="EVENTS")
    images = read_netcdf(folder / "images.nc")
    cluster = images.isel(cluster=int(np.argmax(images["covered_fraction"].values)))
    ra, dec = np.radians(np.asarray(events["RA"], float)), np.radians(np.asarray(events["DEC"], float))
    ra0, dec0 = np.radians(float(cluster["ra"])), np.radians(float(cluster["dec"]))
    x = np.degrees(np.cos(dec) * np.sin(ra - ra0)) * 3600
    y = np.degrees(np.sin(dec) * np.cos(dec0) - np.cos(dec) * np.sin(dec0) * np.cos(ra - ra0)) * 3600
    pi = np.asarray(events["PI"])
    inside = (np.abs(x) < 600) & (np.abs(y) < 600) & (pi >= 250) & (pi < 2300)
    assert abs(int(cluster["counts"].sum()) - inside.sum()) <= 3
    assert inside.sum() > 1000


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """Copy the finished run, with time stamps and Snakemake's records, so that a test may change it."""
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    return directory


def dry_run_with(directory, changes):
    overlay = directory / "changes.yaml"
    overlay.write_text(yaml.safe_dump(changes))
    files = [str(ROOT / "config/test.yaml"), str(overlay)]
    return jobs(snakemake(directory, "-n", "--configfile", *files, config=None))


def test_one_more_member_trains_only_that_one(finished):
    planned = dry_run_with(finished, {"ensemble": {"members": 3}})
    assert planned["train_member"] == 1
    assert planned["aggregate_ensemble"] == 1
    sky = {"simulate_realization", "detect_sources", "match_sources", "extract_images", "smooth_images"}
    assert not (sky | {"fit_baselines"}) & planned.keys()


def test_touched_files_re_run_nothing(copy_of_finished):
    (copy_of_finished / "results/skies/tiny/01/events.fits").touch()
    done = snakemake(copy_of_finished, "-n")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_the_paper_configuration_plans_18_realizations_and_30_members(tmp_path):
    planned = jobs(snakemake(tmp_path, "-n", config="paper_size"))
    assert planned["simulate_realization"] == 18
    assert planned["train_member"] == 30


def test_nothing_is_detected_in_a_sky_with_a_population(tmp_path):
    target = "results/skies/uniform_population/01/smoothed/central.nc"
    planned = jobs(snakemake(tmp_path, "-n", "--", target, config=None))
    steps = ("simulate_realization", "match_sources", "extract_images", "smooth_images")
    assert planned == {**dict.fromkeys(steps, 1), "total": 4}


def test_three_configuration_errors_are_listed_at_once_before_anything_runs(tmp_path):
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text("sede: 1\nensemble: {members: 0}\ntraining: {device: tpu}\n")
    done = snakemake(tmp_path, "--configfile", str(overlay), config=None, check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "The configuration has 3 errors:" in text
    assert "sede is not a key that is known there. Did you mean seed?" in text
    assert "ensemble.members is 0, but must be at least 1." in text
    assert "training.device is 'tpu', but must be one of: auto, cpu, gpu." in text
    assert not (tmp_path / "results").exists()


@pytest.mark.long
def test_a_sky_that_becomes_an_observed_one_loses_its_truth(copy_of_finished):
    folder = copy_of_finished / "results/skies/tiny_observed/01"
    as_observed = (folder / "events.fits").read_bytes()
    simulated = copy_of_finished / "simulated.yaml"
    simulated.write_text("skies: {tiny_observed: {observed: false}}\nobserved: {fields: []}\n")
    files = [str(ROOT / "config/test.yaml"), str(simulated)]
    of_truth = [f"results/skies/tiny_observed/01/{name}.fits" for name in ("truth", "matches")]
    snakemake(copy_of_finished, "--configfile", *files, "--", *of_truth, config=None)
    secrets = [folder / f"{name}.fits" for name in ("truth", "matches", "labels", "sources")]
    assert all(path.exists() for path in secrets)
    snakemake(copy_of_finished, "--", "results/skies/tiny_observed/01/catalogue.fits")
    assert not any(path.exists() for path in secrets)
    assert (folder / "events.fits").read_bytes() == as_observed


def test_every_rule_says_what_it_does_and_figures_share_jobs_on_slurm(tmp_path):
    listed = [line for line in snakemake(tmp_path, "--list").stdout.splitlines() if line.strip()]
    documented = dict(re.fullmatch(r"(\w+) \((.+)\)", line).groups() for line in listed)
    assert len(documented) > 40
    assert len(set(documented.values()) - {documented["step"]}) > 30
    assert [rule for rule, text in documented.items() if text == documented["step"]] == ["step"]
    groups = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["groups"]
    figures = {rule for rule in documented if rule.startswith("plot_")} - {"plot_sky_validation"}
    assert {entry.removesuffix("=figures") for entry in groups if entry.endswith("=figures")} == figures
