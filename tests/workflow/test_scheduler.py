"""Snakemake's main process stays idle while steps run, because its checks for ready steps don't add up."""

import json
import subprocess
import sys
import time

import pytest
import snakemake.api
from runs import ROOT

pytestmark = pytest.mark.workflow
JobScheduler = snakemake.scheduling.job_scheduler.JobScheduler
RULES = ROOT / "workflow" / "rules" / "scheduler.smk"
STEPS = 40
SNAKEFILE = """
import json, atexit
from pathlib import Path
from snakemake.scheduling.job_scheduler import JobScheduler

include: {rules!r}

looks = []
select = JobScheduler.job_selector
JobScheduler.job_selector = lambda self, jobs: looks.append(1) or select(self, jobs)
atexit.register(lambda: Path("looks.json").write_text(json.dumps(len(looks))) if looks else None)

rule all:
    input: expand("{{number}}", number=range({steps}))

rule one:
    output: "{{number}}"
    shell: "sleep 0.3; touch {{output}}"
"""


@pytest.mark.long
def test_one_look_at_each_end_of_a_step_and_one_each_second(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(rules=str(RULES), steps=STEPS))
    begin = time.monotonic()
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--max-jobs-per-timespan", "100/1s"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stderr
    assert len([*tmp_path.glob("[0-9]*")]) == STEPS
    # Snakemake alone: 136 in 9 s, and the more the longer it runs
    assert STEPS / 2 <= json.loads((tmp_path / "looks.json").read_text()) <= STEPS + seconds + 3


def include():
    """Run the rules file, which is plain Python, and return its names."""
    names = {}
    exec(compile(RULES.read_text(encoding="utf-8"), str(RULES), "exec"), names)
    return names


@pytest.fixture
def scheduled(monkeypatch):
    """Replace Snakemake's own method by a list; return this list of the delays that it was called with."""
    delays = []
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", lambda scheduler, delay: delays.append(delay))
    return delays


@pytest.mark.parametrize(
    ("times", "delays", "made"),
    [
        # due at 15.0, then at 11.3, which is before all that are asked for later
        ([10.0, 10.3, 10.4, 10.9, 11.1], [5, 1, 1, 1, 1], [5, 1]),
        # a look that has been made is no longer awaited
        ([10.0, 11.0, 12.5], [1, 1, 1], [1, 1, 1]),
    ],
)
def test_a_look_is_scheduled_only_if_none_is_due_by_then(scheduled, monkeypatch, times, delays, made):
    include()
    clock = iter(times)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    scheduler = object.__new__(JobScheduler)
    for delay in delays:
        scheduler._schedule_reevalutation(delay)
    assert scheduled == made


def test_another_version_of_snakemake_is_left_as_it_is(scheduled, monkeypatch):
    before = JobScheduler._schedule_reevalutation
    monkeypatch.setattr("importlib.metadata.version", lambda package: "9.28.0")
    include()
    assert JobScheduler._schedule_reevalutation is before


def test_a_snakemake_that_renamed_the_method_is_left_as_it_is(monkeypatch):
    monkeypatch.delattr(JobScheduler, "_schedule_reevalutation")
    include()
    assert not hasattr(JobScheduler, "_schedule_reevalutation")
