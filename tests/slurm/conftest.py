import os
import subprocess
from pathlib import Path

import pytest
from runs import finished_run

CLUSTER = Path(__file__).with_name("cluster.sh")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Run a SLURM cluster on this machine during the tests; in CI, a machine that can't run one is an error."""
    folder = tmp_path_factory.mktemp("cluster")
    with (folder / "up.log").open("w+") as said:
        status = subprocess.run([CLUSTER, "up", folder], stdout=said, stderr=said, timeout=120).returncode
        said.seek(0)
        reason = said.read().strip()
    try:
        if status == 77 and os.environ.get("CI") != "true":
            pytest.skip(reason)
        assert status == 0, reason
        yield folder
    finally:
        subprocess.run([CLUSTER, "down", folder], timeout=120, check=True)


@pytest.fixture
def local(tmp_path):
    """Return the folder of the same run without SLURM, in CLUSTERMASS_FINISHED if this is set."""
    return finished_run(Path(os.environ.get("CLUSTERMASS_FINISHED", tmp_path)))
