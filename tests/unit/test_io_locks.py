"""A file system without locks, as NFS and Lustre can be: flock fails on it with ENOLCK."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIM = """
#include <errno.h>
int flock(int file, int operation) { errno = ENOLCK; return -1; }
"""
WRITE_AND_READ = """
import xarray as xr
from clustermass.io.netcdf import read_netcdf, write_netcdf
write_netcdf(xr.Dataset({"mu": ("cluster", [14.0])}, {"cluster": ["01_1"]}), "a.nc", "Title", {})
assert read_netcdf("a.nc")["mu"].item() == 14.0
"""
HOLD_THE_FOLDER = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT / "workflow")!r})
import run
run.ROOT = Path.cwd()
with run.alone():
    print("alone")
"""


@pytest.fixture
def without_locks(tmp_path):
    """Return a function that runs Python where no file can be locked."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no C compiler (cc) for the library that refuses locks")
    (tmp_path / "shim.c").write_text(SHIM)
    shim = tmp_path / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, tmp_path / "shim.c"], check=True)

    def run(code, **environment):
        kept = {key: value for key, value in os.environ.items() if key != "HDF5_USE_FILE_LOCKING"}
        variables = {**kept, "LD_PRELOAD": str(shim), "PYTHONPATH": str(ROOT / "src"), **environment}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)

    return run


def test_netcdf_files_are_written_and_read(without_locks):
    done = without_locks(WRITE_AND_READ)
    assert done.returncode == 0, done.stderr
    locking = without_locks(WRITE_AND_READ, HDF5_USE_FILE_LOCKING="TRUE")
    assert locking.returncode != 0, "this HDF5 doesn't lock: the test above shows nothing"


def test_make_results_goes_on_without_its_lock_and_says_so(without_locks):
    done = without_locks(HOLD_THE_FOLDER)
    assert done.stdout == "alone\n", done.stderr
    assert "no locks" in done.stderr
