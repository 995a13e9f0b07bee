"""Find processes that work in a folder: snakemakes, and steps whose snakemake was killed."""

import os
from itertools import pairwise
from pathlib import Path

import psutil

#: seconds that a step has to end after SIGTERM, before it is killed
PATIENCE_S = 5


def snakemakes(directory: Path) -> list[psutil.Process]:
    """Return the snakemake processes of this machine that work in `directory`, without those inside jobs."""
    at_work = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        inside_a_job = "--target-jobs" in command or "--report" in command
        if _is_snakemake(command) and not inside_a_job and process.info["cwd"] == str(directory):
            at_work.append(process)
    return at_work


def stop_orphans(directory: Path) -> int:
    """End the steps in `directory` whose snakemake was killed, with their child processes; return their number.

    The steps of a killed snakemake go on. Snakemake has no record of the files that they write, so the next run would
    write the same files at the same time.
    """
    scripts = str(directory / ".snakemake" / "scripts") + os.sep
    steps = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(part.startswith(scripts) for part in process.info["cmdline"] or []) and _without_snakemake(process)
    ]
    doomed = [one for step in steps for one in (*_children(step), step)]
    for signal in (psutil.Process.terminate, psutil.Process.kill):
        for process in doomed:
            try:
                signal(process)
            except psutil.NoSuchProcess:
                continue
        doomed = psutil.wait_procs(doomed, timeout=PATIENCE_S)[1]
    return len(steps)


def _is_snakemake(command: list[str]) -> bool:
    as_module = any(pair == ("-m", "snakemake") for pair in pairwise(command))
    return as_module or any(part.endswith("bin/snakemake") for part in command[:2])


def _without_snakemake(process: psutil.Process) -> bool:
    try:
        return not any(_is_snakemake(parent.cmdline()) for parent in process.parents())
    except psutil.Error:  # the process or one of its parents has just ended
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
