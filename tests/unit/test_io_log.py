"""What a failed run is advised to do."""

import shutil
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from clustermass.errors import InputError
from clustermass.io.log import LOGGER, abridged, advice, log_of_result, printable, step

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


@pytest.fixture
def catalogue(tmp_path):
    """Return the path of a result that isn't there yet; the package's logger is as before after the test."""
    kept = LOGGER.handlers[:], LOGGER.level
    yield tmp_path / "masses.fits"
    for handler in LOGGER.handlers:
        handler.close()
    LOGGER.handlers[:], LOGGER.level = kept


def make(catalogue, fault=None):
    with log_of_result(catalogue, "masses"):
        LOGGER.info("begun")
        LOGGER.warning("no map")
        if fault:
            raise fault
        catalogue.touch()


@pytest.mark.parametrize("fault", [InputError("e.fits: damaged"), OSError("disk full"), KeyError("x")])
def test_the_log_of_a_failure_holds_the_error(catalogue, fault):
    with pytest.raises(type(fault)):
        make(catalogue, fault)
    log = catalogue.with_suffix(".failed.log").read_text()
    assert f"ERROR {fault}" in log
    assert not catalogue.with_suffix(".log").exists()
    assert ("Traceback" in log) == isinstance(fault, KeyError)


def test_what_stays_keeps_its_log(catalogue):
    make(catalogue)
    first = catalogue.with_suffix(".log").read_text()
    assert "begun" in first
    with pytest.raises(InputError):
        make(catalogue, InputError("e.fits: damaged"))
    assert catalogue.with_suffix(".log").read_text() == first
    assert "ERROR e.fits: damaged" in catalogue.with_suffix(".failed.log").read_text()
    make(catalogue)
    assert "ERROR" not in catalogue.with_suffix(".log").read_text()
    assert not catalogue.with_suffix(".failed.log").exists()


def test_no_file_that_is_no_log_of_ours_is_emptied(catalogue):
    notes = catalogue.with_name("notes.txt")
    notes.write_text("mine")
    failed = catalogue.with_suffix(".failed.log")
    catalogue.with_suffix(".log").symlink_to(notes)
    make(catalogue)
    assert notes.read_text() == "mine"
    assert "begun" in catalogue.with_suffix(".log").read_text()
    assert not catalogue.with_suffix(".log").is_symlink()
    for put in (failed.symlink_to, failed.hardlink_to):
        put(notes)
        with pytest.raises(InputError, match=r"masses\.failed\.log: exists already, and is no log of clustermass"):
            make(catalogue, InputError("e.fits: damaged"))
        assert notes.read_text() == "mine"
        failed.unlink()


def test_the_log_of_a_step_does_not_go_through_a_link(tmp_path, catalogue):
    notes, log = tmp_path / "notes.txt", tmp_path / "logs" / "step.log"
    notes.write_text("mine")
    log.parent.mkdir()
    for put in (log.symlink_to, log.hardlink_to):
        put(notes)
        with step(log, "step"):
            LOGGER.info("begun")
        LOGGER.handlers[0].close()
        assert notes.read_text() == "mine"
        assert "begun" in log.read_text()
        log.unlink()


def test_a_step_that_is_terminated_removes_what_it_had_not_finished(tmp_path):
    code = textwrap.dedent("""
        import os, signal, sys, time
        from clustermass.io.files import atomic
        from clustermass.io.log import step
        with step("logs/step.log", "step"), atomic("x.nc") as temporary:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (143, "[step] ended by SIGTERM\n")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_name_can_neither_forge_a_line_nor_steer_the_terminal(catalogue, capsys):
    name = "a\n2026-01-01 00:00:00,000 INFO all is well\x1b[2J\r\u202e\u2028[masses] done.fits"
    with log_of_result(catalogue, "masses"):
        LOGGER.warning("%s: left out", name)
    for said in (catalogue.with_suffix(".log").read_text(), capsys.readouterr().err):
        begins = [line for line in said.splitlines() if not line.startswith("  ")]
        assert sum("left out" in line or "all is well" in line for line in begins) == 0
        assert "\n  2026-01-01 00:00:00,000 INFO all is well\\x1b[2J\\r\\u202e\\u2028[masses] done.fits: left" in said


def test_printable_texts_stay_as_they_are():
    assert printable("Cúmulos/8″ σ ÷ ≤.fits") == "Cúmulos/8″ σ ÷ ≤.fits"
    assert printable("a\x00\t\x9b\udcff") == "a\\x00\\t\\x9b\\udcff"


def test_warnings_carry_their_level_on_the_screen(catalogue, capsys):
    make(catalogue)
    assert capsys.readouterr().err == "[masses] begun\n[masses] WARNING no map\n"
