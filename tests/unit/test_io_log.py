"""What a failed run is advised to do."""

import shutil
from types import SimpleNamespace

import pytest

from clustermass.io.log import abridged, advice

MANY, FEW = 10**10, 5 * 10**7


def advised_by(monkeypatch, tmp_path, said, free):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    return advice(said, tmp_path)


@pytest.mark.parametrize(
    ("said", "free", "advised"),
    [
        ("OSError: [Errno 28] No space left on device: 'a.fits'", MANY, "The disk is full"),
        ("OSError: [Errno 122] Disk quota exceeded", MANY, "The disk is full"),
        ("RuntimeError: NetCDF: HDF error", FEW, "The disk is full: 50 MB are free in"),
        ("", 0, "The disk is full: 0 MB"),
        ("OSError: [Errno 30] Read-only file system: 'results/a'", MANY, "can't be written"),
        ("PermissionError: [Errno 13] Permission denied: 'results/a'", MANY, "can't be written"),
        ("died with <Signals.SIGKILL: 9>.", MANY, "CORES=1"),
    ],
)
def test_each_cause_has_its_line(monkeypatch, tmp_path, said, free, advised):
    (line,) = advised_by(monkeypatch, tmp_path, said, free)
    assert advised in line
    assert "finished files are kept" in line


@pytest.mark.parametrize(("said", "free"), [("a.nc: not a readable netCDF file (HDF error)", MANY), ("", FEW)])
def test_there_is_none_without_a_cause(monkeypatch, tmp_path, said, free):
    assert advised_by(monkeypatch, tmp_path, said, free) == []


def test_long_lists_of_names_are_abridged():
    assert abridged(["tm1.fits"]) == "tm1.fits"
    assert abridged(f"tm{number}.fits" for number in range(24)) == "tm0.fits and 23 more"
