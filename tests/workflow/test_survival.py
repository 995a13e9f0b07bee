"""Interruptions from outside, and the next call after them, in clones of a run that lacks its last steps."""

import json
import re
import signal
import time

import psutil
import pytest
from clones import MAKE_RESULTS, RUN, SNAKEMAKE, clone, data_files, make_results, start, started
from runs import jobs, snakemake

pytestmark = pytest.mark.workflow
OOD, METRICS, PREDICTIONS = (f"{RUN}/{name}" for name in ("ood.nc", "metrics.json", "predictions.nc"))
#: two steps, one after the other: score_ood makes ood.nc, of which evaluate makes the two others
EVALUATED = ("--", METRICS)


@pytest.fixture
def folder(finished, tmp_path):
    """Return a clone of the finished run without the files of the last two steps."""
    folder = clone(tmp_path / "Cúmulos de galaxias", finished)
    for name in (OOD, METRICS, PREDICTIONS):
        (folder / name).unlink()
    return folder


def frozen_step(folder, process):
    """Wait for the first step's own process and stop it there; return it."""
    assert OOD in started(folder, process)
    snakemake_process = psutil.Process(process.pid)
    while True:
        for child in snakemake_process.children(recursive=True):
            if any(part.endswith(".step.py") for part in child.cmdline()):
                child.suspend()
                return child
        time.sleep(0.02)


def assert_as_uninterrupted(folder, finished):
    for name in (OOD, METRICS, PREDICTIONS):
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.long
def test_sigterm_ends_after_the_running_step_and_nobody_else_comes_between(folder, finished):
    with start(folder, *EVALUATED) as process:
        step = frozen_step(folder, process)
        status, said = make_results(folder, *EVALUATED)
        assert status == 1
        assert re.search(rf"Another `make results` is at work in this folder \(process {process.pid} on .+`kill", said)
        with start(folder, *EVALUATED, program=SNAKEMAKE) as plain:
            said, _ = plain.communicate(timeout=300)
        assert plain.returncode == 1
        assert "Directory cannot be locked" in said
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        step.resume()
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Stopped. The same command goes on from here; finished files are kept." in said
    assert (folder / OOD).read_bytes() == (finished / OOD).read_bytes()
    assert not (folder / METRICS).exists()
    status, said = make_results(folder, *EVALUATED)
    assert status == 0, said
    assert "earlier run was killed" not in said
    assert "[score_ood" not in said
    assert_as_uninterrupted(folder, finished)


@pytest.mark.long
def test_a_step_that_outlives_its_snakemake_is_ended_before_the_next_run(folder, finished):
    with start(folder, *EVALUATED) as process:
        step = frozen_step(folder, process)
        (ran,) = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        status, said = make_results(folder, *EVALUATED)
        assert status == 1
        assert f"A snakemake is at work in this folder (process {ran.pid})" in said
        ran.kill()
        psutil.wait_procs([ran], timeout=30)
    assert step.is_running()
    status, said = make_results(folder, *EVALUATED)
    assert status == 0, said
    assert "stopped 1 of its steps" in said
    assert not step.is_running()
    assert_as_uninterrupted(folder, finished)


@pytest.mark.parametrize("program", [MAKE_RESULTS, SNAKEMAKE])
def test_a_step_that_is_killed_fails_the_run_with_advice(folder, finished, program):
    with start(folder, *EVALUATED, program=program) as process:
        frozen_step(folder, process).kill()
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert said.count("A step was killed from outside") == 1
    assert "`make results CORES=1`" in said
    assert not (folder / OOD).exists()


@pytest.mark.long
def test_a_deleted_intermediate_is_missed_only_where_it_is_needed(finished, tmp_path):
    folder = clone(tmp_path / "copy", finished)
    smoothed = next(path for path in data_files(folder) if "/tiny/01/smoothed/" in path)
    (folder / smoothed).unlink()
    assert "Nothing to be done" in planned(folder)
    snakemake(folder, "--", smoothed)
    assert (folder / smoothed).read_bytes() == (finished / smoothed).read_bytes()
    assert "Nothing to be done" in planned(folder)


def planned(folder):
    done = snakemake(folder, "-n")
    return done.stdout + done.stderr


def test_an_edited_intermediate_re_runs_what_is_made_of_it_and_nothing_else(finished, tmp_path):
    folder = clone(tmp_path / "copy", finished)
    path = folder / RUN / "calibration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "edited": True}))
    rules = jobs(snakemake(folder, "-n")).keys()
    assert {"evaluate", "evaluate_sky", "infer_observed", "summarise", "report"} <= rules
    assert not {"calibrate", "train_member", "aggregate_ensemble", "fit_baselines", "fit_ood"} & rules


@pytest.mark.long
def test_a_damaged_intermediate_is_named_and_made_again_once_it_is_deleted(folder, finished):
    content = (finished / OOD).read_bytes()
    (folder / OOD).write_bytes(content[: len(content) // 2])
    status, said = make_results(folder, *EVALUATED)
    assert status == 1
    assert re.search(rf"{re.escape(OOD)}: not a readable netCDF file .*Delete it and run again", said)
    assert not (folder / METRICS).exists()
    (folder / OOD).unlink()
    status, said = make_results(folder, *EVALUATED)
    assert status == 0, said
    assert_as_uninterrupted(folder, finished)
