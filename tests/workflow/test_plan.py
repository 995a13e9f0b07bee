"""`clustermass plan`: the jobs that it lists are those that Snakemake would run, and nothing is changed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from runs import ROOT, jobs, snakemake

from clustermass import cli
from clustermass.cli import configuration
from clustermass.config.resolve import load_config

TEST = ROOT / "config" / "test.yaml"
FINISH = (
    "import json, planner, sys; from pathlib import Path; planner.REPOSITORY = Path(sys.argv[1]); "
    "planner.finish(config=json.loads(sys.argv[2]), targets=[])"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a folder in which the test run seems finished: with Snakemake's records, but with files of no content."""
    folder = tmp_path_factory.mktemp("plan")
    paths = os.pathsep.join(map(str, (ROOT / "src", Path(__file__).parent)))
    command = [sys.executable, "-c", FINISH, ROOT, json.dumps(load_config([TEST]))]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, check=True, capture_output=True)
    for path in (folder / "results").rglob("benchmarks/*.tsv"):
        path.write_text("s\tcpu_time\n3\t2\n")
    settings = load_config([ROOT / "config" / "config.yaml", TEST])
    (folder / "results/test/config.yaml").write_text(yaml.safe_dump(settings))
    return folder


def plan(finished, *overlays):
    command = [sys.executable, "-m", "clustermass", "plan", TEST, *overlays]
    done = subprocess.run([*command, "--directory", finished, "--cores", "2"], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def short(finished, *overlays):
    """Return what `make results` prints about the time of a run."""
    command = [sys.executable, "-P", ROOT / "workflow" / "plan.py", "--short", TEST, *overlays]
    command += ["--directory", finished, "--cores", "2"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def state(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "results").rglob("*")}


@pytest.mark.workflow
def test_after_a_finished_run_nothing_would_run(finished):
    status, said, errors = plan(finished)
    assert (status, errors) == (0, "")
    assert "No key has changed" in said
    assert "Nothing would run" in said
    assert short(finished) == ""


@pytest.mark.workflow
def test_the_jobs_are_those_of_snakemake(finished, tmp_path):
    mine = tmp_path / "my.yaml"
    mine.write_text("run: mine\ntraining: {recipes: {clustermass: {learning_rate: 1.0e-3}}}\ncosmology: {ns: 0.96}\n")
    before = state(finished)
    status, said, errors = plan(finished, mine)
    assert (status, errors) == (0, "")
    counted = jobs(snakemake(finished, "--dry-run", "--configfile", TEST, mine, config=None))
    assert f"\n{counted['total'] - 1} jobs would run:" in said  # Snakemake counts `default`
    assert re.search(rf"\n  train_member +{counted['train_member']}  ", said)
    assert "unknown cost" not in said
    assert re.fullmatch(r"Estimated time: about \d+ s on 2 free cores\.\n", short(finished, mine))
    assert "and other runs use them: test." in said
    assert "differs from run test: cosmology.ns: 0.9667 -> 0.96" in said
    assert state(finished) == before


@pytest.mark.workflow
def test_a_wrong_configuration_is_one_message(tmp_path):
    (tmp_path / "my.yaml").write_text("sede: 1\n")
    status, said, errors = plan(tmp_path, tmp_path / "my.yaml")
    assert (status, said) == (1, "")
    assert "sede is not a key that is known there. Did you mean seed?" in errors
    assert "Traceback" not in errors


def test_without_the_workflow_one_sentence_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(configuration, "PLAN_SCRIPT", tmp_path / "plan.py")
    assert cli.main(["plan"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("clustermass: plan needs the workflow, which isn't installed with the package.")
    assert error.count("\n") == 1
