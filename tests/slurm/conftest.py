import os
import subprocess
from pathlib import Path

import pytest
from running import CONFIGURATION, finish, started

CLUSTER = Path(__file__).with_name("cluster.sh")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Hold a SLURM cluster on this machine alone, for the time of the tests; in CI there must be one."""
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


@pytest.fixture(scope="session")
def local(tmp_path_factory):
    """Give what waits for the folder of the same run without SLURM.

    It is the one that the workflow's tests have made, where CLUSTERMASS_FINISHED names a folder for it; else it begins
    now, in what time the cluster's jobs leave.
    """
    kept = Path(os.environ.get("CLUSTERMASS_FINISHED", "")) / "finished" / "mein Läufer"
    if (kept / "results/test/report.html").exists():
        yield lambda: kept
        return
    directory = tmp_path_factory.mktemp("local")
    log = directory / "run.log"

    def finished():
        status, said = finish(process, log)
        assert status == 0, said[-6000:]
        return directory

    with started(directory, log, "--cores", "2", *CONFIGURATION, nice=5) as process:
        yield finished
