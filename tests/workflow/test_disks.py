"""Disks that are full, read-only or slow, on separate file systems if this user may mount them."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from clones import RUN, clone, make_results
from matplotlib.figure import Figure

from clustermass.figures.output import save
from clustermass.io.files import write_json
from clustermass.io.fits import write_fits
from clustermass.io.netcdf import read_netcdf, write_netcdf
from clustermass.network.checkpoints import Checkpoints, Member

MB = 1_000_000
NOISE = np.random.default_rng(1).random((40, 10, 50, 50), np.float32)
SMOOTHED = "results/skies/tiny/01/smoothed/*.nc"
#: on a file system where all files come late, what `atomic` renames is there only seconds later, as on NFS
LATE = """
import os, pathlib, subprocess, sys

at_once = pathlib.Path.replace

def late(path, target):
    if ".part" not in path.name or ".snakemake" not in sys.argv[0]:
        return at_once(path, target)
    hidden = path.with_name(path.name + ".late")
    os.rename(path, hidden)
    command = ["sh", "-c", 'sleep 8; mv "$0" "$1"', str(hidden), str(target)]
    subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

pathlib.Path.replace = late
"""


@pytest.fixture
def mounted(tmp_path):
    """Return a function that mounts a file system of `size` bytes, in memory, on a new folder."""
    folders = []

    def mount(folder, size):
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this user may mount no file system here: {done.stderr.strip()}")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:  # HDF5 keeps a file open of which it failed to write the end
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def small_dataset(values):
    return xr.Dataset({"image": (("cluster", "band", "y", "x"), values)})


def write_figure(path):
    figure = Figure()
    figure.add_subplot().plot(NOISE.ravel()[:20_000], "o")
    save(figure, {"svg": path, "png": path.with_suffix(".png")}, 100, "test")


WRITERS = {
    "images.nc": lambda path: write_netcdf(small_dataset(NOISE), path, "Title.", {}),
    "events.fits": lambda path: write_fits(fits.HDUList([fits.PrimaryHDU(NOISE)]), path),
    "metrics.json": lambda path: write_json({"values": NOISE.ravel()[:200_000]}, path),
    "figure.svg": write_figure,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(mounted, tmp_path, name):
    folder = mounted(tmp_path / "disk", size=MB // 4)
    (folder / name).write_bytes(b"old")
    with pytest.raises((OSError, RuntimeError)):
        WRITERS[name](folder / name)
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_bytes() == b"old"


def test_a_training_goes_on_without_checkpoints_where_the_disk_is_full(mounted, tmp_path, caplog):
    folder = mounted(tmp_path / "disk", size=MB // 4)
    checkpoints = Checkpoints(folder, {"seed": 1})
    for _ in range(2):
        checkpoints.write(Member(3, None, {"kernel": NOISE}))
    assert list(folder.iterdir()) == []
    assert [record.message.count("No space left on device") for record in caplog.records] == [1]


@pytest.mark.long
@pytest.mark.workflow
def test_a_run_on_a_full_disk_says_so_and_goes_on_once_there_is_room(mounted, finished, tmp_path):
    folder = clone(mounted(tmp_path / "kleine Plätze", size=200 * MB), finished)
    (smoothed,) = folder.glob(SMOOTHED)
    name, content = str(smoothed.relative_to(folder)), smoothed.read_bytes()
    smoothed.unlink()
    fill(folder, leave=len(content) // 3)
    status, said = make_results(folder, "--", name)
    assert status == 1
    assert re.search(rf"The disk is full: \d MB are free in {folder / 'results'}. Make room, then the same", said), said
    assert not any(smoothed.parent.glob("*"))
    fill(folder, leave=0)
    status, said = make_results(folder, "--", name)
    assert status == 1
    assert "Make room" in said or "No space left on device" in said
    (folder / "filler").unlink()
    status, said = make_results(folder, "--", name)
    assert status == 0, said
    assert smoothed.read_bytes() == content


def fill(folder, leave):
    """Fill the file system of `folder` but for `leave` bytes."""
    with (folder / "filler").open("ab", buffering=0) as filler:
        size = shutil.disk_usage(folder).free - leave
        while size > 0:
            size -= filler.write(bytes(size))


def test_a_read_only_folder_is_named_before_anything_runs(mounted, tmp_path):
    folder = clone(mounted(tmp_path / "disk", size=50 * MB))
    (folder / "results").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    status, said = make_results(folder)
    assert status == 1
    assert said.startswith(f"{folder / '.snakemake'}: can't be written (Read-only file system).")
    assert "Traceback" not in said
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


def test_read_only_results_are_named_and_can_be_read(mounted, tmp_path):
    folder = clone(tmp_path / "clone")
    results = mounted(folder / "results", size=50 * MB)
    write_netcdf(small_dataset(NOISE), results / "images.nc", "Title.", {})
    subprocess.run(["mount", "-o", "remount,ro", str(results)], check=True)
    status, said = make_results(folder)
    assert status == 1
    assert said.startswith(f"{results}: can't be written (read-only, or another user's).")
    assert read_netcdf(results / "images.nc")["image"].shape == NOISE.shape


@pytest.mark.long
@pytest.mark.workflow
def test_files_that_appear_late_are_waited_for(finished, tmp_path):
    """The files appear later than Snakemake's default wait, but within the wait of profiles/slurm."""
    folder = clone(tmp_path / "clone", finished)
    names = [f"{RUN}/{name}" for name in ("ood.nc", "metrics.json", "predictions.nc")]
    for name in names:
        (folder / name).unlink()
    (folder / "src" / "sitecustomize.py").write_text(LATE)
    status, said = make_results(folder, "--latency-wait", "60", "--", names[1])
    assert status == 0, said
    assert "Waiting at most 60 seconds for missing files" in said
    assert [(folder / name).read_bytes() == (finished / name).read_bytes() for name in names] == [True] * 3
    assert not any((folder / RUN).rglob("*.late"))
