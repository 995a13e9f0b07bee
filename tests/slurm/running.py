"""Snakemake as a process of its own, here and on the cluster of these tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = ["--configfile", str(ROOT / "config" / "test.yaml")]
# of this cluster: no accounting database, a local file system, and GPUs that are none
SITE = ["--profile", str(ROOT / "profiles" / "slurm"), "--latency-wait", "10", "--set-resources", "train_member:gpu=1"]
SITE += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
RUN_S = 1800


def start(directory, log, *arguments):
    """Start snakemake in `directory`; return its process. All it says goes to the file `log`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(directory), *arguments]
    with log.open("w") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)


def finish(process, log):
    """Wait for the end of a snakemake; return its exit status and all it said."""
    try:
        status = process.wait(RUN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"snakemake took more than {RUN_S} s:\n{log.read_text()[-6000:]}")
    return status, log.read_text()


def snakemake(directory, log, *arguments):
    return finish(start(directory, log, *arguments), log)
