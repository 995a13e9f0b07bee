"""Special machines and folders: a folder with a space, a moved environment, JAX's plugin for GPUs."""

import os
import shutil
import subprocess
import sys

import pytest
from clones import clone, make_results
from runs import ROOT, snakemake

UV = """#!/bin/sh
mkdir -p .venv/bin; echo made >> uv.log
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Install what looks like JAX's plugin for NVIDIA's GPUs."""
    folder = tmp_path / "packages" / "plugin-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[jax_plugins]\nxla_cuda12 = nowhere\n")
    monkeypatch.setenv("PYTHONPATH", f"{folder.parent}:{os.environ.get('PYTHONPATH', '')}")


def gpus(folder):
    """Return what each planned training asks for."""
    said = snakemake(folder, "-n").stdout.split("rule train_member:")[1:]
    assert said
    return {next(word for word in text.split() if word.startswith("gpu=")) for text in said}


@pytest.mark.workflow
def test_auto_asks_for_a_gpu_where_jax_has_its_plugin(tmp_path, plugin):
    assert gpus(tmp_path) == {"gpu=1,"}


@pytest.mark.long
@pytest.mark.workflow
def test_steps_run_below_a_folder_with_a_space(tmp_path):
    folder = clone(tmp_path / "a folder" / "it's")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    status, said = make_results(folder, "--", "results/skies/tiny/01/events.fits", python=folder / ".venv/bin/python")
    assert status == 0, said
    assert (folder / "results/skies/tiny/01/events.fits").is_file()


MODULE = """
configfile: {test!r}

module clustermass:
    snakefile: "git+file://{clone}/workflow/Snakefile@HEAD"
    config: config

use rule * from clustermass as clustermass_*
"""


@pytest.mark.long
@pytest.mark.workflow
def test_the_workflow_is_a_module_taken_from_git(tmp_path, monkeypatch):
    folder = clone(tmp_path / "clone")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], check=True)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "Snakefile").write_text(MODULE.format(test=str(ROOT / "config" / "test.yaml"), clone=folder))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    planned = subprocess.run([*command, "-n", "--", "clustermass_all"], cwd=mine, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stderr
    assert "rule clustermass_report" in planned.stdout
    events = "results/skies/tiny/01/events.fits"
    done = subprocess.run([*command, "--", events], cwd=mine, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (mine / events).is_file()


@pytest.fixture
def make(tmp_path):
    """Return a function that runs make in a folder with a fake uv, which only records its calls."""
    folder = tmp_path / "first place"
    (folder / ".uv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".uv" / "bin" / "uv").write_text(UV)
    (folder / ".uv" / "bin" / "uv").chmod(0o755)

    def run(where=folder):
        done = subprocess.run(["make", "environment"], cwd=where, capture_output=True, text=True, check=True)
        return done.stdout, (where / "uv.log").read_text().count("made")

    return run


def test_a_copied_environment_is_made_again_once(make, tmp_path):
    assert make()[1] == 1
    assert make()[1] == 1
    copy = shutil.copytree(tmp_path / "first place", tmp_path / "copy", copy_function=shutil.copy2)
    (copy / ".venv" / "old").touch()
    said, times = make(copy)
    assert "was moved or copied: its environment is made again" in said
    assert times == 2
    assert not (copy / ".venv" / "old").exists()
    assert make(copy)[1] == 2
    assert make()[1] == 1


def test_a_folder_under_another_path_is_not_moved(make, tmp_path):
    make()
    (tmp_path / "link").symlink_to(tmp_path / "first place")
    assert make(tmp_path / "link")[1] == 1
    moved = (tmp_path / "first place").rename(tmp_path / "second place")
    assert "made again" in make(moved)[0]
