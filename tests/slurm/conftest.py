import subprocess
from pathlib import Path

import pytest
from running import CONFIGURATION, snakemake

CLUSTER = Path(__file__).with_name("cluster.sh")


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


@pytest.fixture(scope="session")
def local(tmp_path_factory):
    """Folder of the same run without SLURM."""
    directory = tmp_path_factory.mktemp("local")
    status, said = snakemake(directory, directory / "run.log", "--cores", "2", *CONFIGURATION)
    assert status == 0, said[-6000:]
    return directory
