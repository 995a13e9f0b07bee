"""`clustermass plan`: the jobs that it lists are those that Snakemake would run, and nothing is changed."""

import base64
import json
import os
import re
import shutil
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


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def pipe(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


RECORD = base64.urlsafe_b64encode(b"results/skies/embedded/01/events.fits").decode()
HOSTILE = {
    "link": lambda state, canary: link(state / "iocache" / "latest.pkl", canary),
    "dangling link": lambda state, canary: link(state / "incomplete" / RECORD, canary / "none"),
    "link of a folder": lambda state, canary: link(state / "metadata", canary.parent),
    "link of all": lambda state, canary: link(state, canary.parent),
    "pipe": lambda state, _: pipe(state / "metadata" / RECORD),
    "pipe of a lock": lambda state, _: pipe(state / "locks" / "0.input.lock"),
    "file": lambda state, _: state.write_text("x"),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_no_link_or_pipe_among_snakemake_s_records_is_followed(make, tmp_path):
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "precious").write_text("precious")
    folder = tmp_path / "others"
    (folder / "results").mkdir(parents=True)
    make(folder / ".snakemake", tmp_path / "canary" / "precious")
    command = [sys.executable, "-P", ROOT / "workflow" / "plan.py", TEST, "--directory", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"\.snakemake\S*: is a link or no \w+, which Snakemake never makes\. Remove it\.", done.stderr)
    assert "Traceback" not in done.stderr
    assert [path.read_text() for path in (tmp_path / "canary").iterdir()] == ["precious"]


RECORDS = ('{"record_format_version": 6, "params": [["list"]], "input": 5, "rule": {"a": 1}}', "[" * 200_000)


@pytest.mark.workflow
@pytest.mark.parametrize("record", RECORDS, ids=["types", "depth"])
def test_a_damaged_record_of_snakemake_is_a_sentence(record, finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    for path in (folder / ".snakemake" / "metadata").iterdir():
        path.write_text(record)
    status, said, errors = plan(folder)
    assert (status, said) == (1, "")
    assert re.search(r"\.snakemake: no readable records of Snakemake", errors)
    assert "Traceback" not in errors


@pytest.mark.workflow
def test_a_plan_leaves_no_file_and_takes_a_killed_step_as_not_finished(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    event = next((folder / "results" / "skies").glob("*/01/events.fits"))
    name = base64.urlsafe_b64encode(str(event.relative_to(folder)).encode()).decode()
    (folder / ".snakemake" / "incomplete" / name).write_text("{}")
    before = {path for path in folder.rglob("*") if path.is_file()}
    status, said, errors = plan(folder)
    assert (status, errors) == (0, "")
    assert "not finished" in said
    assert {path for path in folder.rglob("*") if path.is_file()} == before
