import os
import shutil
from pathlib import Path

import pytest
from runs import finished_run


def pytest_collection_modifyitems(items):
    """Begin with tests that need no finished run: one process plans while the other makes that run."""
    items.sort(key=lambda item: item.path.name != "test_rerun_matrix.py")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return the folder of a finished test run, which tests must not change. Its name has a space and an umlaut.

    Each process gets a copy. CLUSTERMASS_FINISHED names a folder in which the original is kept for the next call.
    """
    ours = tmp_path_factory.getbasetemp()
    shared = Path(os.environ.get("CLUSTERMASS_FINISHED", ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours))
    directory = tmp_path_factory.mktemp("run") / "mein Läufer"
    shutil.copytree(finished_run(shared), directory, copy_function=shutil.copy2)
    return directory
