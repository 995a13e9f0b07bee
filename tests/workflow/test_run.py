"""`make results`: the locks that it respects, the files that it removes, and its arguments."""

import fcntl
import importlib.util
import os
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
from runs import ROOT

WAITS = "print(flush=True); import time; time.sleep(60)"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return the module workflow/run.py, at work in a folder without results."""
    monkeypatch.syspath_prepend(ROOT / "workflow")
    spec = importlib.util.spec_from_file_location("run", ROOT / "workflow" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "log").mkdir()
    return module


@pytest.fixture
def python(tmp_path):
    """Return a function that starts Python in the folder with a given command line, and waits until it runs."""
    alive = []

    def start(*arguments):
        process = subprocess.Popen([sys.executable, *arguments], cwd=tmp_path, stdout=subprocess.PIPE)
        alive.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in alive:
        process.kill()
        process.communicate()


def test_a_second_make_results_names_the_one_at_work(run, tmp_path, capsys):
    lock = tmp_path / ".snakemake" / "clustermass.lock"
    with lock.open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run.main(["--cores", "1"]) == 1
        assert "Another `make results` is at work in this folder (it has just begun" in capsys.readouterr().err
        run.note(held, "1234 elsewhere")
        assert run.main(["--cores", "1"]) == 1
    assert "(process 1234 on elsewhere; wait for it, or end it there with `kill 1234`" in capsys.readouterr().err
    with run.alone():
        assert lock.read_text().split()[0] == str(os.getpid())


def test_a_snakemake_at_work_here_is_named(run, python, capsys):
    inside_a_job = python("-c", WAITS, "-m", "snakemake", "--target-jobs", "a:b")
    with run.alone():
        pass
    at_work = python("-c", WAITS, "-m", "snakemake", "--cores", "2")
    assert run.main([]) == 1
    said = capsys.readouterr().err
    assert f"A snakemake is at work in this folder (process {at_work.pid})" in said
    assert inside_a_job.poll() is None


def test_a_killed_runs_lock_is_taken_away_and_finished_files_stay(run, tmp_path, capsys):
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").touch()
    run.recover()
    assert list((tmp_path / ".snakemake" / "locks").iterdir()) == []
    assert "An earlier run was killed: taking its lock away" in capsys.readouterr().err
    run.recover()
    assert capsys.readouterr().err == ""


def test_a_lock_that_was_set_on_another_machine_stays(run, tmp_path):
    lock = tmp_path / ".snakemake" / "locks" / "0.input.lock"
    lock.touch()
    (tmp_path / ".snakemake" / "log" / "2026-01-01T000000.000000.snakemake.log").write_text("  Host: elsewhere\n")
    with pytest.raises(run.InputError, match=r"(?s)began on elsewhere .*rm -r \.snakemake/locks"):
        run.recover()
    assert lock.exists()


def test_steps_without_a_snakemake_are_ended_and_no_others(run, python, tmp_path):
    scripts = tmp_path / ".snakemake" / "scripts"
    scripts.mkdir()
    (scripts / "tmp1.evaluate.py").write_text(WAITS)
    (tmp_path / "mine.py").write_text(WAITS)
    # one whose parents are no snakemake: this test; one that is the child of one; one of somebody else's
    orphan, other = python(str(scripts / "tmp1.evaluate.py")), python(str(tmp_path / "mine.py"))
    parent = f"import subprocess, sys; subprocess.run([sys.executable, {str(scripts / 'tmp1.evaluate.py')!r}])"
    snakemake = python("-c", parent, "-m", "snakemake", "--target-jobs", "a:b")
    (at_work,) = psutil.Process(snakemake.pid).children()
    run.recover()
    orphan.wait(30)  # its exit status went to `recover`
    assert (other.poll(), snakemake.poll(), at_work.is_running()) == (None, None, True)
    at_work.kill()


def test_what_a_killed_writer_left_is_taken_away_once_nobody_can_be_writing_it(run, tmp_path):
    script = textwrap.dedent("""
        import os, signal
        from clustermass.io.files import atomic
        with atomic("results/skies/images.nc") as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    subprocess.run([sys.executable, "-c", script])
    (left,) = (tmp_path / "results" / "skies").iterdir()
    (tmp_path / "results" / "skies" / "truth.part.fits").touch()
    run.recover()
    assert left.exists()
    for path in left.parent.iterdir():
        os.utime(path, (time.time() - 2 * run.ABANDONED_S,) * 2)
    run.recover()
    assert [path.name for path in left.parent.iterdir()] == ["truth.part.fits"]


def test_a_configuration_that_is_missing_is_one_sentence(run, capsys):
    assert run.main(["--cores", "1", "--configfile", "nothere.yaml"]) == 1
    assert capsys.readouterr().err == "nothere.yaml: can't be read (No such file or directory).\n"


def test_the_run_is_named_by_the_configuration_files(run, monkeypatch):
    monkeypatch.setattr(run, "ROOT", ROOT)
    overlays = ["--configfile", "config/test.yaml"]
    assert run.config_arguments(["--cores", "2", *overlays, "-n"]) == overlays
    assert run.config_arguments(["--cores", "2"]) == []
    assert run.run_name(["--configfile", str(ROOT / "config" / "test.yaml")]) == "test"
    assert run.run_name(["--cores", "2"]) == "default"
