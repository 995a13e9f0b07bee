"""Find processes that work in a folder: snakemake itself, and steps whose snakemake was killed."""

import os
import re
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

#: seconds that a step has to end after SIGTERM, before it is killed
PATIENCE_S = 5
#: name of a step's script, which Snakemake writes anew for each job
_SCRIPT = re.compile(r"tmp[a-z0-9_]{8}\.\w+\.py")
_PYTHON = re.compile(r"python[0-9.]*")


def snakemakes(directory: Path) -> list[psutil.Process]:
    """Return the snakemake processes of this machine that work in `directory`, except those inside jobs.

    A snakemake that Python code has started is known by its open log. Processes of other users are left out, because
    it isn't known in which folder they work.
    """
    at_work = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        inside_a_job = "--target-jobs" in command or "--report" in command
        here = _is_snakemake(command) and process.info["cwd"] == str(directory)
        if not inside_a_job and (here or _writes_log(process, directory)):
            at_work.append(process)
    return at_work


def stop_orphans(directory: Path) -> int:
    """End the user's steps in `directory` whose snakemake was killed, with their child processes; return their number.

    The steps of a killed snakemake go on. Snakemake has no record of the files that they write, so the next run would
    write the same files at the same time.
    """
    scripts = directory / ".snakemake" / "scripts"
    steps = [
        process
        for process in psutil.process_iter(["cmdline"])
        if _is_step(process.info["cmdline"] or [], scripts)
        and _is_own(process)
        and _without_snakemake(process, directory)
    ]
    doomed = [one for step in steps for one in (*_children(step), step) if _is_own(one)]
    for signal in (psutil.Process.terminate, psutil.Process.kill):
        for process in doomed:
            with suppress(psutil.Error):  # it has ended, or has become another user's
                signal(process)
        doomed = psutil.wait_procs(doomed, timeout=PATIENCE_S)[1]
    return len(steps)


def _is_step(command: list[str], scripts: Path) -> bool:
    """Return whether a command runs a step's script in the folder `scripts` with Python.

    A program that only shows such a script, such as an editor, doesn't count.
    """
    if len(command) < 2 or not _PYTHON.fullmatch(Path(command[0]).name):
        return False
    script = Path(command[1])
    return script.parent == scripts and bool(_SCRIPT.fullmatch(script.name))


def _is_snakemake(command: list[str]) -> bool:
    as_module = any(re.fullmatch(r"-\w*m snakemake", " ".join(pair)) for pair in pairwise(command))
    joined = any(re.fullmatch(r"-\w*msnakemake", part) for part in command)
    return as_module or joined or any(Path(part).name == "snakemake" for part in command[:2] if os.sep in part)


def _writes_log(process: psutil.Process, directory: Path) -> bool:
    """Return whether a process has opened a log of Snakemake in `directory` to write; False if it doesn't tell."""
    logs = directory / ".snakemake" / "log"
    try:
        return any(Path(file.path).parent == logs and file.mode != "r" for file in process.open_files())
    except psutil.Error:
        return False


def _is_own(process: psutil.Process) -> bool:
    try:
        return bool(process.uids().real == os.getuid())
    except psutil.Error:
        return False


def _without_snakemake(process: psutil.Process, directory: Path) -> bool:
    try:
        return not any(_is_snakemake(one.cmdline()) or _writes_log(one, directory) for one in process.parents())
    except psutil.Error:  # the process or one of its parents has just ended, or doesn't tell what it is
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []
