"""Clones of this repository for `make results`, with the files that a finished run had made up to a given time."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import psutil
from runs import ROOT

PARTS = ("config", "envs", "profiles", "src", "workflow")
RUN = "results/test/fiducial"
#: what the clock, the machine or the folder's name goes into; everything else must have the same bytes
EXEMPT = (".log", ".tsv", ".html", "summary.json", "provenance.json", "report_config.yaml")
#: a whole run takes two minutes on two idle cores
LONGEST_S = 3600
CONFIGURATION = ("--configfile", "config/test.yaml")
MAKE_RESULTS, SNAKEMAKE = ("workflow/run.py",), ("-m", "snakemake")


def clone(folder, finished=None, until=float("inf")):
    """Return a clone in `folder`, with the files and records of the finished run from before the time `until`."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "Snakefile", folder / "Snakefile")
    if finished is not None:
        noted = {name: end for name, (_, end) in notes(finished).items()}
        (folder / ".snakemake" / "incomplete").mkdir(parents=True)  # else Snakemake takes it for an older version's
        for path in (path for path in finished.rglob("*") if path.is_file()):
            name = path.relative_to(finished)
            kept = noted.get(str(name), path.stat().st_mtime) < until
            if kept and name.parts[:2] in ((".snakemake", "metadata"), ("results", *name.parts[1:2])):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, folder / name)
    return folder


def notes(directory):
    """Return the times at which snakemake began each output and recorded it as made."""
    folder, times = directory / ".snakemake" / "metadata", {}
    for path in (path for path in folder.rglob("*") if path.is_file()):
        encoded = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
        begun = json.loads(path.read_text())["starttime"]
        times[base64.urlsafe_b64decode(encoded).decode()] = (begun, path.stat().st_mtime)
    return times


def data_files(directory):
    """Return the content of every result file that must be the same in each run."""
    files = (path for path in (directory / "results").rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files if not path.name.endswith(EXEMPT)}


def start(folder, *arguments, program=MAKE_RESULTS, python=sys.executable):
    """Start the command of `make results` in a clone, or a plain snakemake; return its process."""
    command = [python, *program, "--cores", "2", *CONFIGURATION, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes)


def make_results(folder, *arguments, **options):
    """Run the command of `make results`; return its exit status and output."""
    with start(folder, *arguments, **options) as process:
        try:
            said, _ = process.communicate(timeout=LONGEST_S)
        except BaseException:
            kill(process)
            raise
    return process.returncode, said


def started(folder, process):
    """Wait until a step is running; return the outputs of the running steps."""
    while process.poll() is None:
        if names := at_work(folder):
            return names
        time.sleep(0.02)
    raise AssertionError(f"it ended with {process.returncode} before a step began:\n{process.stdout.read()}")


def at_work(folder):
    """Return the outputs of steps that snakemake has begun and not finished."""
    paths = [path for path in (folder / ".snakemake" / "incomplete").rglob("*") if path.is_file()]
    return sorted(base64.urlsafe_b64decode(path.name).decode() for path in paths)


def kill(process):
    """Kill a process and all of its children at once, so that none of them can start another one."""
    first, frozen = psutil.Process(process.pid), []
    while new := [one for one in [first, *first.children(recursive=True)] if one not in frozen]:
        for one in new:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        frozen += new
    for one in frozen:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    psutil.wait_procs(frozen, timeout=30)
