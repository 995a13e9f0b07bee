import fcntl
import os
import shutil
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


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Folder of a finished test run; tests must leave it as it is. The name has a space and an umlaut.

    It is made once for all processes of the tests, each of which has a copy. CLUSTERMASS_FINISHED names a folder
    where it stays for the next call.
    """
    ours = tmp_path_factory.getbasetemp()
    shared = Path(os.environ.get("CLUSTERMASS_FINISHED", ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours))
    made, directory = shared / "finished" / "mein Läufer", tmp_path_factory.mktemp("run") / "mein Läufer"
    made.mkdir(parents=True, exist_ok=True)
    with (made.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "results/test/report.html").exists():
            snakemake(made)
        shutil.copytree(made, directory, copy_function=shutil.copy2)
    return directory
