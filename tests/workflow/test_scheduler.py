"""Snakemake's main process stays idle while steps run: its looks at what could start don't pile up."""

import json
import subprocess
import sys
import time

import pytest
from conftest import ROOT

pytestmark = pytest.mark.workflow
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


def test_one_look_at_each_end_of_a_step_and_one_each_second(tmp_path):
    rules = str(ROOT / "workflow" / "rules" / "scheduler.smk")
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(rules=rules, steps=STEPS))
    begin = time.monotonic()
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--max-jobs-per-timespan", "100/1s"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    assert done.returncode == 0, done.stderr
    assert len([*tmp_path.glob("[0-9]*")]) == STEPS
    # Snakemake alone: 136 in 9 s, and the more the longer it runs
    assert STEPS / 2 <= json.loads((tmp_path / "looks.json").read_text()) <= STEPS + seconds + 3
