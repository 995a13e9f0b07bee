"""A trained ensemble in one file: by the workflow and by the command line, and masses from that file alone."""

import shutil
import subprocess
import sys

import pytest
from astropy.table import Table
from conftest import jobs, snakemake

pytestmark = pytest.mark.workflow
EXPERIMENT = "results/test/fiducial"
FIELD = "results/skies/tiny_observed/01"


def clustermass(*arguments):
    command = [sys.executable, "-m", "clustermass.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def masses(finished, ensemble, output):
    field = finished / FIELD
    files = [field / "events.fits", field / "catalogue.fits", "--exposure", field / "exposure.fits"]
    clustermass("masses", *files, "--ensemble", ensemble, "--output", output)


def test_a_packed_ensemble_alone_gives_the_same_catalogue(finished, tmp_path):
    printed = clustermass("pack", finished / EXPERIMENT, tmp_path / "handed on.zip")
    masses(finished, finished / EXPERIMENT, tmp_path / "folder.fits")
    masses(finished, tmp_path / "handed on.zip", tmp_path / "file.fits")
    for suffix in ("fits", "vot", "ecsv", "nc"):
        assert (tmp_path / f"folder.{suffix}").read_bytes() == (tmp_path / f"file.{suffix}").read_bytes(), suffix
    ours, theirs = Table.read(tmp_path / "file.fits"), finished / EXPERIMENT / "observed/tiny_observed/masses.fits"
    assert len(ours) > 10
    # the very ensemble of the workflow's catalogue
    assert ours.meta["ENSHASH"] == Table.read(theirs).meta["ENSHASH"]
    assert ours.meta["ENSHASH"] in printed


def test_the_rule_packs_when_asked_for_by_name(finished, tmp_path):
    planned = jobs(snakemake(finished, "-n", "--", "pack"))
    assert {rule for rule in planned if rule != "total"} == {"pack", "pack_ensemble"}
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    snakemake(directory, "--", f"{EXPERIMENT}/ensemble.zip")
    clustermass("pack", finished / EXPERIMENT, tmp_path / "by_hand.zip")
    assert (directory / EXPERIMENT / "ensemble.zip").read_bytes() == (tmp_path / "by_hand.zip").read_bytes()
