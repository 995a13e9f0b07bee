"""Rules that fetch files, pack a trained ensemble, and make the paper's page of a small run."""

import gzip
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table
from runs import ROOT, jobs, snakemake

from clustermass.io.netcdf import read_netcdf

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from download_inputs import Site, serving, table

pytestmark = pytest.mark.workflow


def overlay(directory, url, **entry):
    """Return arguments for the configuration of a field whose catalogue is downloaded from `url`."""
    files = {"events": ["data/field/catalogue.fits.gz"], "catalogue": "data/field/catalogue.fits.gz"}
    catalogue = {"urls": [url], "path": "data/field/catalogue.fits.gz", **entry}
    sky = {"source": "files", "observed": True, "realizations": {"01": files}}
    changes = {"skies": {"mine": sky}, "observed": {"fields": ["mine"]}}
    changes |= {"downloads": {"tries": 2, "pause_s": 0, "files": {"catalogue": catalogue}}}
    (directory / "mine.yaml").write_text(yaml.safe_dump(changes))
    return ["--configfile", str(ROOT / "config/test.yaml"), str(directory / "mine.yaml")]


@pytest.mark.long
def test_files_come_when_the_rule_is_asked_for_and_only_then(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    content = gzip.compress(table(542))
    with serving(site := Site(content, ("breaks off", "whole"))) as url:
        arguments = overlay(tmp_path, url, rows=542)
        asked = snakemake(tmp_path, *arguments, "-n", config=None, check=False)
        assert "catalogue.fits.gz: no such file" in asked.stdout + asked.stderr
        assert "`-- download` at its end" in asked.stdout + asked.stderr
        for _ in range(2):
            snakemake(tmp_path, *arguments, "--", "download", config=None)
            assert (tmp_path / "data/field/catalogue.fits.gz").read_bytes() == content
        planned = jobs(snakemake(tmp_path, *arguments, "-n", config=None))
    assert planned["ingest_field"] == 1
    assert "download" not in planned
    assert [request[1] is None for request in site.requests] == [True, False]
    assert "there already, checked" in (tmp_path / "results/logs/download.log").read_text()


@pytest.mark.long
def test_a_failed_download_says_why_and_keeps_its_part(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(Site(gzip.compress(table(542)), ("breaks off", 503))) as url:
        arguments = overlay(tmp_path, url)
        done = snakemake(tmp_path, *arguments, "--", "download", config=None, check=False)
    assert done.returncode
    assert f"{url}: HTTP 503" in done.stdout + done.stderr
    assert (tmp_path / "data/field/catalogue.fits.gz.part").stat().st_size > 0
    assert not (tmp_path / "data/field/catalogue.fits.gz").exists()


EXPERIMENT = "results/test/fiducial"
FIELD = "results/skies/tiny_observed/01"


def clustermass(*arguments):
    command = [sys.executable, "-m", "clustermass", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def masses(finished, ensemble, output):
    field = finished / FIELD
    files = [field / "events.fits", field / "catalogue.fits", "--exposure", field / "exposure.fits"]
    clustermass("masses", *files, "--ensemble", ensemble, "--output", output)


@pytest.mark.long
def test_a_packed_ensemble_alone_gives_the_same_catalogue(finished, tmp_path):
    printed = clustermass("pack", finished / EXPERIMENT, tmp_path / "handed on.zip")
    masses(finished, finished / EXPERIMENT, tmp_path / "folder.fits")
    masses(finished, tmp_path / "handed on.zip", tmp_path / "file.fits")
    for suffix in ("fits", "vot", "ecsv"):  # all but the history, which names the ensemble
        folder, file = (Table.read(tmp_path / f"{name}.{suffix}") for name in ("folder", "file"))
        assert folder.colnames == file.colnames
        for name in folder.colnames:
            np.testing.assert_array_equal(folder[name], file[name], f"{suffix} {name}")
    assert read_netcdf(tmp_path / "folder.nc").equals(read_netcdf(tmp_path / "file.nc"))
    ours, theirs = Table.read(tmp_path / "file.fits"), finished / EXPERIMENT / "observed/tiny_observed/masses.fits"
    assert len(ours) > 10
    # the very ensemble of the workflow's catalogue
    assert ours.meta["ENSHASH"] == Table.read(theirs).meta["ENSHASH"]
    assert ours.meta["ENSHASH"] in printed


@pytest.mark.long
def test_the_rule_packs_when_asked_for_by_name(finished, tmp_path):
    planned = jobs(snakemake(finished, "-n", "--", "pack"))
    assert {rule for rule in planned if rule != "total"} == {"pack", "pack_ensemble"}
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    snakemake(directory, "--", f"{EXPERIMENT}/ensemble.zip")
    clustermass("pack", finished / EXPERIMENT, tmp_path / "by_hand.zip")
    assert (directory / EXPERIMENT / "ensemble.zip").read_bytes() == (tmp_path / "by_hand.zip").read_bytes()


pytestmark = pytest.mark.workflow


@pytest.mark.long
def test_the_page_is_made_when_asked_for_by_name(finished, tmp_path):
    assert "paper_page" not in jobs(snakemake(finished, "-n"))
    planned = jobs(snakemake(finished, "-n", "--", "paper"))
    assert {rule for rule in planned if rule != "total"} == {"paper", "compare_pairs", "paper_page", "members_curve"}
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    snakemake(directory, "--", "paper", "paper_docs")
    results = directory / "results" / "test"
    metrics = json.loads((results / "fiducial/skies/tiny_further/metrics.json").read_text())
    tables = json.loads((results / "paper.json").read_text())["tables"]
    assert metrics["n_test"] > 10
    (row,) = (row for row in tables["experiments"] if row[0] == "fiducial")
    assert row[4] == str(metrics["n_test"])
    assert row[5].startswith(f"{metrics['test']['scatter_dex']:.4f} ± ")
    assert "Nothing of this was run." in (results / "paper.md").read_text()  # no control in this configuration
    html = (results / "paper.html").read_text()
    assert html.count('src="data:image/png;base64,') == 7  # figures 1 to 7
    assert row[5] in html
    page = directory / "docs" / "explanation" / "paper.md"
    published = page.read_text()
    assert row[5] in published
    links = re.findall(r"!\[\]\((.*?)\)", published)
    assert len(links) == 7
    assert all((page.parent / link).read_bytes().startswith(b"\x89PNG") for link in links)


#: files of a simulated realization that an observer doesn't have
TRUTH = {"labels.fits", "sources.fits", "truth.fits", "matches.fits"}


def truth_read(directory, *overlays):
    """Return the truth files that each rule reads, in two dicts: rules before the matching, and other readers."""
    output = directory / "jobs.pickle"
    command = [sys.executable, Path(__file__).with_name("dump_jobs.py"), directory, output, *overlays]
    subprocess.run(command, check=True, capture_output=True)
    planned = pickle.loads(output.read_bytes())
    made_by = {path: job for job in planned for paths in job["output"].values() for path in plain(paths)}
    before, todo = set(), [path for job in planned if "match" in job["rule"] for path in job["all_inputs"]]
    while todo:
        job = made_by.get(todo.pop())
        if job and job["rule"] not in before:
            before.add(job["rule"])
            todo += job["all_inputs"]
    read = {job["rule"]: set() for job in planned}
    for job in planned:
        read[job["rule"]] |= {Path(path).name for path in job["all_inputs"]} & TRUTH
    return {rule: read[rule] for rule in before}, {rule: read[rule] for rule in read.keys() - before if read[rule]}


def plain(paths):
    return [paths] if isinstance(paths, str) else paths


def test_no_step_before_the_matching_reads_truth_and_no_step_after_it_reads_labels(tmp_path):
    before, after = truth_read(tmp_path)
    earlier = {"simulate_realization", "simulate_observed_field", "detect_sources", "detect_observed_sources"}
    assert before.keys() == earlier
    assert not any(before.values())
    assert after["match_sources"] == after["match_observed_sources"] == {"truth.fits"}
    assert after["extract_images"] == {"truth.fits", "matches.fits"}
    assert not any({"labels.fits", "sources.fits"} & names for names in after.values())
    assert not {"train_member", "smooth_images", "infer_observed"} & after.keys()


def test_only_the_matching_by_photons_reads_labels(tmp_path):
    overlay = tmp_path / "photons.yaml"
    overlay.write_text("skies: {tiny: {matching: {rule: photons}}}\n")
    before, after = truth_read(tmp_path, overlay)
    assert len(before) == 4
    assert not any(before.values())
    readers = {rule for rule, names in after.items() if "labels.fits" in names}
    assert readers == {"match_sources", "match_observed_sources"}
