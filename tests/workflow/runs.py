"""Runs of the workflow by the tests."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def snakemake(directory, *arguments, config="test", check=True, timeout=900):
    """Run snakemake in `directory` with config/<config>.yaml; return its completed process."""
    overlays = ["--configfile", str(ROOT / "config" / f"{config}.yaml")] if config else []
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--directory", str(directory), *overlays, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        pytest.fail(f"snakemake failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    return done


def jobs(done):
    """Rules and numbers of jobs that a dry run lists."""
    lines = (done.stdout + done.stderr).split("Job stats:")[-1].splitlines()
    pairs = [line.split() for line in lines[1:]]
    counted = {}
    for pair in pairs:
        if len(pair) == 2 and pair[1].isdigit():
            counted[pair[0]] = int(pair[1])
        elif counted and not pair:
            break
    return counted


def finished_run(shared):
    """Return the folder of a finished test run below `shared`, made once for all processes that ask for it."""
    made = shared / "finished" / "mein Läufer"
    made.mkdir(parents=True, exist_ok=True)
    with (made.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "results/test/report.html").exists():
            snakemake(made)
    return made
