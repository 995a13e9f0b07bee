"""The test configuration on a real SLURM cluster: in spite of failures, the bytes are those of a run without SLURM."""

import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from running import (
    CONFIGURATION,
    GPU_PER_TRAINING,
    ROOT,
    SITE,
    WAIT_S,
    Job,
    at_work,
    command,
    finish,
    jobs,
    snakemake,
    started,
    time_left,
    wait_until,
)

RUN = "results/test/fiducial"
LOCAL = {"summarise", "report", "default"}


@dataclass(frozen=True)
class Ran:
    """A finished run: its folder, snakemake's output, its jobs, and the jobs that were made to fail."""

    directory: Path
    said: str
    jobs: list[Job]
    struck: dict[str, Job]


@pytest.fixture(scope="session")
def ran(cluster, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    killed = kill_snakemake_at_work(directory)
    recover = [sys.executable, str(ROOT / "workflow" / "recover.py"), "--directory", str(directory), *CONFIGURATION]
    done = subprocess.run(recover, capture_output=True, text=True, timeout=time_left(WAIT_S))
    assert done.returncode == 0, done.stderr
    assert re.match(r"[1-9]\d* jobs cancelled, [1-9]\d* files removed", done.stdout)
    before = len(jobs())
    assert not [job for job in jobs() if job.state in ("RUNNING", "PENDING")]
    log = directory / "run.log"
    with started(directory, log, *SITE, *GPU_PER_TRAINING, *CONFIGURATION) as process:
        struck = {"snakemake killed": killed, **strike(process)}
        status, said = finish(process, log)
    assert status == 0, said[-8000:]
    return Ran(directory, said, jobs()[before:], struck)


def kill_snakemake_at_work(directory):
    """Kill snakemake with no chance to tidy up, once the first step of a job has ended; return such a job."""
    with started(directory, directory / "killed.log", *SITE, *GPU_PER_TRAINING, *CONFIGURATION) as process:
        job = at_work("rule_realization_", process)
        wait_until(lambda: list(directory.glob("results/skies/*/*/images.nc")), "a first step had ended", process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert next(now for now in jobs() if now.number == job.number).state == "RUNNING"
    return job


def strike(process):
    """Make three jobs fail: cancel the baselines, stop a training until its time is up, and kill another training."""
    hanging = at_work("train_member_wildcards_fiducial_00", process)
    command("scancel", "--signal=STOP", f"{hanging.number}.0")
    command("scontrol", "update", f"JobId={hanging.number}", "EndTime=now+10")
    failing = at_work("train_member_wildcards_fiducial_01", process)
    command("scancel", "--signal=KILL", f"{failing.number}.0")
    cancelled = at_work("fit_baselines_wildcards_fiducial", process)
    command("scancel", cancelled.number)
    return {"CANCELLED": cancelled, "TIMEOUT": hanging, "FAILED": failing}


def test_every_job_but_the_last_ones_goes_to_slurm(ran):
    run_here = set(re.findall(r"^localrule (\w+):", ran.said, re.MULTILINE))
    assert run_here <= LOCAL
    submitted = re.findall(r"has been submitted with SLURM jobid (\d+)", ran.said)
    assert sorted(submitted, key=int) == [job.number for job in ran.jobs]
    assert len(submitted) > 8


@pytest.mark.parametrize("state", ["CANCELLED", "TIMEOUT", "FAILED"])
def test_a_job_that_met_with_a_mishap_is_tried_again_with_more_time_and_memory(ran, state):
    struck = ran.struck[state]
    first, second = [job for job in ran.jobs if job.what == struck.what]
    assert (first.number, first.state) == (struck.number, state)
    assert second.state == "COMPLETED"
    assert second.minutes == 2 * struck.minutes  # of the hanging one the limit was cut short to end the test
    assert second.memory_mb == 2 * struck.memory_mb


def test_nothing_else_had_to_be_tried_again(ran):
    assert sorted(job.state for job in ran.jobs if job.state != "COMPLETED") == ["CANCELLED", "FAILED", "TIMEOUT"]


def test_each_training_asks_for_a_gpu_and_nothing_else_does(ran):
    assert {job.what for job in ran.jobs if job.gpus} == {
        f"rule_train_member_wildcards_fiducial_{member}" for member in ("00", "01")
    }
    assert {job.gpus for job in ran.jobs} == {0, 1}


def test_trainings_side_by_side_are_granted_a_gpu_each(ran):
    assert {ran.struck[state].granted for state in ("TIMEOUT", "FAILED")} == {"gpu:1(IDX:0)", "gpu:1(IDX:1)"}


def test_short_steps_share_jobs(ran):
    """Each of three training realizations and one observed field has five steps in one job; four figures share a job.

    The steps of a job run one after another on one core, so it asks for the sum of their minutes.
    """
    minutes = {
        name: sorted(job.minutes for job in ran.jobs if f"rule_{name}_" in job.what)
        for name in ("realization", "ensemble", "test_sky", "observed", "figures")
    }
    assert {job.cpus for job in ran.jobs} == {1}
    assert minutes == {
        "realization": [100] * 4,
        "ensemble": [100],
        "test_sky": [70],
        "observed": [40],
        "figures": [30, 40, 40],
    }


def test_results_have_the_bytes_of_a_run_without_slurm(ran, local):
    patterns = (
        "results/skies/*/*/*.*",
        f"{RUN}/*.*",
        f"{RUN}/members/*",
        f"{RUN}/observed/*/masses.*",
        f"{RUN}/skies/*/*.*",
    )
    expected = sorted(path.relative_to(local) for pattern in patterns for path in local.glob(pattern))
    named = {path.name for path in expected}
    assert {"ensemble.nc", "metrics.json", "masses.fits", "masses.nc", "00.safetensors", "images.nc"} <= named
    different = [str(path) for path in expected if (ran.directory / path).read_bytes() != (local / path).read_bytes()]
    assert different == []


def test_a_killed_run_leaves_nothing_that_snakemake_takes_for_finished_without_knowing_how(ran, tmp_path):
    """The finished run has nothing to do; with another seed of the sky, everything runs again."""
    status, said = snakemake(ran.directory, tmp_path / "again.log", "-n", *SITE, *GPU_PER_TRAINING, *CONFIGURATION)
    assert status == 0
    assert "Nothing to be done" in said
    overlay = tmp_path / "seed.yaml"
    overlay.write_text(yaml.safe_dump({"skies": {"tiny": {"seed": 7}}}))
    other_seed = [*SITE, *GPU_PER_TRAINING, *CONFIGURATION, str(overlay)]
    _, said = snakemake(ran.directory, tmp_path / "seed.log", "-n", *other_seed)
    assert re.search(r"simulate_realization +3\n", said)
    assert re.search(r"simulate_observed_field +1\n", said)
    assert re.search(r"detect_sources +3\n", said)


def test_a_training_for_a_gpu_that_is_not_there_fails_three_times_and_says_why(ran, tmp_path):
    """`training.device: gpu` makes the job ask for a GPU; this node gives it a dummy one."""
    overlay = tmp_path / "gpu.yaml"
    overlay.write_text(yaml.safe_dump({"training": {"device": "gpu"}, "ensemble": {"members": 3}}))
    before, target = len(jobs()), f"{RUN}/members/02.nc"
    status, said = snakemake(ran.directory, tmp_path / "gpu.log", *SITE, *CONFIGURATION, str(overlay), "--", target)
    assert status == 1
    tried = jobs()[before:]
    assert [(job.what, job.state, job.gpus) for job in tried] == [
        ("rule_train_member_wildcards_fiducial_02", "FAILED", 1)
    ] * 3
    assert [job.minutes // tried[0].minutes for job in tried] == [1, 2, 3]
    assert "Error in rule train_member" in said
    assert "JAX sees none" in (ran.directory / RUN / "logs/train_member_02.log").read_text()
