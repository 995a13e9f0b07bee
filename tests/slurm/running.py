"""Snakemake as a process of its own, here and on the cluster of these tests, and the jobs of SLURM."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = ["--configfile", str(ROOT / "config" / "test.yaml")]
# of this cluster: no accounting database, a local file system, and GPUs that are none
SITE = ["--profile", str(ROOT / "profiles" / "slurm"), "--latency-wait", "10"]
SITE += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "6"]
GPU_PER_TRAINING = ["--set-resources", "train_member:gpu=1"]
# of a busy machine; a quiet one needs a tenth
WAIT_S = 900
RUN_S = 1800
ALL_S = 2700
BEGIN = time.monotonic()


def time_left(limit_s):
    """Seconds that a wait may take: `limit_s`, and no more than all waits of these tests have together."""
    return max(1, min(limit_s, BEGIN + ALL_S - time.monotonic()))


@contextmanager
def started(directory, log, *arguments):
    """Run snakemake in `directory`, with its output in the file `log`, until the end of the block."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(directory), *arguments]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def finish(process, log):
    """Wait for the end of snakemake; return its exit status and output."""
    limit = time_left(RUN_S)
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        pytest.fail(f"snakemake took more than {limit:.0f} s:\n{log.read_text()[-6000:]}")
    return status, log.read_text()


def snakemake(directory, log, *arguments):
    with started(directory, log, *arguments) as process:
        return finish(process, log)


def wait_until(truth, what, process):
    """Wait until `truth()` is true while snakemake runs; return its value."""
    end = time.monotonic() + time_left(WAIT_S)
    while time.monotonic() < end:
        if found := truth():
            return found
        if process.poll() is not None:
            pytest.fail(f"snakemake ended, with status {process.returncode}, before {what}")
        time.sleep(0.2)
    pytest.fail(f"waited too long for {what}")


@dataclass(frozen=True)
class Job:
    """A job: its name in Snakemake, its state, the resources asked for, and the GPUs granted."""

    number: str
    run: str
    what: str
    state: str
    minutes: int
    memory_mb: int
    cpus: int
    gpus: int
    granted: str


def command(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
    return done.stdout


def jobs(what=""):
    """All jobs whose comment holds `what`, in the order of their submission."""
    lines = command("scontrol", "show", "jobs", "--details", "--oneliner").splitlines()
    listed = [_job(dict(re.findall(r"(\S+?)=(\S*)", line))) for line in lines if "JobId=" in line]
    return sorted((job for job in listed if what in job.what), key=lambda job: int(job.number))


def _job(fields):
    days, _, clock = fields["TimeLimit"].rpartition("-")
    hours, minutes, _ = map(int, clock.split(":"))
    memory, unit = re.fullmatch(r"(\d+)([MG])", fields["MinMemoryNode"]).groups()
    return Job(
        number=fields["JobId"],
        run=fields["JobName"],
        what=fields.get("Comment", ""),
        state=fields["JobState"],
        minutes=(24 * int(days or 0) + hours) * 60 + minutes,
        memory_mb=int(memory) * (1 if unit == "M" else 1024),
        cpus=int(fields["NumCPUs"]),
        gpus=int(fields.get("TresPerJob", "gpu:0").rpartition("gpu:")[2]),
        granted=fields.get("GRES", ""),
    )


def at_work(what, process):
    """Wait until a job whose name contains `what` has begun its first step; return the job."""

    def running():
        steps = command("squeue", "--steps", "--noheader", "--format=%i").split()
        return next((job for job in jobs(what) if job.state == "RUNNING" and f"{job.number}.0" in steps), None)

    return wait_until(running, f"{what} began", process)
