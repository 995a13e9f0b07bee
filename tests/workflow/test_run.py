"""`make results`: its lock, and how it reads its arguments."""

import fcntl
import importlib.util
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.fixture
def run():
    spec = importlib.util.spec_from_file_location("run", ROOT / "workflow" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_lock_is_stale_only_without_a_living_snakemake_here(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    assert not run.stale_lock()
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    assert not run.stale_lock()
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").touch()
    assert run.stale_lock()
    waits = [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)", "-m snakemake"]
    with subprocess.Popen(waits, cwd=tmp_path, stdout=subprocess.PIPE) as alive:
        alive.stdout.readline()
        assert not run.stale_lock()
        alive.kill()


def test_a_second_make_results_waits_for_nothing_and_says_so(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake").mkdir()
    with (tmp_path / ".snakemake" / "clustermass.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run.main(["--cores", "1"]) == 1
    assert "Another `make results` is at work" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".snakemake"]


def test_the_run_is_named_by_the_configuration_files(run):
    overlays = ["--configfile", "config/test.yaml"]
    assert run.config_arguments(["--cores", "2", *overlays, "-n"]) == overlays
    assert run.config_arguments(["--cores", "2"]) == []
    assert run.run_name(["--configfile", str(ROOT / "config" / "test.yaml")]) == "test"
    assert run.run_name(["--cores", "2"]) == "default"
