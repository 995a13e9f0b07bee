import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLUSTER = Path(__file__).with_name("cluster.sh")
CONFIGURATION = ["--configfile", str(ROOT / "config" / "test.yaml")]
# of this cluster: no accounting database, a local file system, and GPUs that are none
SITE = ["--profile", str(ROOT / "profiles" / "slurm"), "--latency-wait", "10", "--set-resources", "train_member:gpu=1"]
SITE += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
RUN_S = 900


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Hold a SLURM cluster on this machine alone, for the time of the tests."""
    folder = tmp_path_factory.mktemp("cluster")
    with (folder / "up.log").open("w+") as said:
        status = subprocess.run([CLUSTER, "up", folder], stdout=said, stderr=said, timeout=60).returncode
        said.seek(0)
        reason = said.read().strip()
    try:
        if status == 77:
            pytest.skip(reason)
        assert status == 0, reason
        yield folder
    finally:
        subprocess.run([CLUSTER, "down", folder], timeout=60, check=True)


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


@pytest.fixture(scope="session")
def local(tmp_path_factory):
    """Folder of the same run without SLURM."""
    directory = tmp_path_factory.mktemp("local")
    status, said = snakemake(directory, directory / "run.log", "--cores", "2", *CONFIGURATION)
    assert status == 0, said[-6000:]
    return directory
