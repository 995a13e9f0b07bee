"""What is left of memory and disk, by the machine, its control groups and the process's own limit."""

import os
import shutil
from collections import namedtuple

import pytest
from confined import outcome

from clustermass.errors import InputError
from clustermass.io import room
from clustermass.io.room import check_disk, check_memory, memory_left


def test_memory_left_is_that_of_the_machine_at_most():
    assert 0 < memory_left() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_process_s_own_limit_counts():
    left = int(outcome(memory_left, memory=100_000_000).removeprefix("result "))
    assert 0 < left <= 100_000_000


@pytest.mark.parametrize("kind", ["", "memory"])
def test_control_groups_and_those_around_them_count(tmp_path, monkeypatch, kind):
    _, limit, used, spare = room._GROUPS[kind]
    inner = tmp_path / "job" / "step"
    inner.mkdir(parents=True)
    for folder, most in ((inner, "max" if kind == "" else str(2**62)), (inner.parent, "5000")):
        (folder / limit).write_text(most)
        (folder / used).write_text("3000")
        (folder / "memory.stat").write_text(f"{spare} 1000\n")
    (tmp_path / "cgroup").write_text(f"4:{kind}:/job/step\n3:cpu:/other\n")
    monkeypatch.setattr(room, "_GROUPS", {kind: (str(tmp_path), limit, used, spare)})
    monkeypatch.setattr(room, "_OF_PROCESS", tmp_path / "cgroup")
    assert memory_left() == 3000
    with pytest.raises(InputError, match=r"a\.csv: needs 1e-05 GB of memory, but 3e-06 GB are free"):
        check_memory(10_000, "a.csv")


def test_the_disk_is_that_of_the_folder(monkeypatch, tmp_path):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(2e9 if folder == tmp_path else 0))
    check_disk(1e9, tmp_path, "a.fits")
    with pytest.raises(InputError, match=r"a\.fits: needs 3 GB in .*, where 2 GB are free\. Make room"):
        check_disk(3e9, tmp_path, "a.fits")
