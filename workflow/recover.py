"""Clean up after a snakemake that was killed while its jobs ran on a SLURM cluster, so that it can be started again.

    .venv/bin/python workflow/recover.py [the same --configfile and targets]

Jobs that are still running are cancelled. Files of jobs that ended after the kill are removed, because Snakemake has no
record of how they were made. It would not make them again after a change of the configuration. Files that are older
than Snakemake's first log in the folder were copied there, and stay.
"""

import argparse
import math
import re
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from leftovers import is_own_file, locks, log_text
from processes import snakemakes

from clustermass.errors import InputError
from clustermass.io.log import printable_lines
from clustermass.io.state import check_state

SNAKEMAKE = [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(Path(__file__).parents[1] / "Snakefile")]
#: SLURM gives a run's jobs the id of the run as name; other names in a log must not name other jobs of the user
RUN_ID = re.compile(r"SLURM run ID: ((?:[\w.-]+_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s*")
PATIENCE_S = 120
#: name of a log of Snakemake: the time at which the run began
LOG, STAMP = ".snakemake.log", "%Y-%m-%dT%H%M%S.%f"
HOUR_S = 3600


def main(arguments: list[str]) -> int:
    """Clean up; return the exit status, 1 if a snakemake is running in this folder."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--directory", type=Path, default=Path())
    directory = parser.parse_known_args(arguments)[0].directory.resolve()
    if snakemakes(directory):
        print("A snakemake is at work in this folder; wait for it or stop it first.", file=sys.stderr)
        return 1
    try:
        check_state(directory / ".snakemake")
        left = locks(directory / ".snakemake")
    except InputError as error:
        print(printable_lines(error), file=sys.stderr)
        return 1
    if not shutil.which("squeue"):
        print("squeue: no such command. Without SLURM, `make results` recovers by itself.", file=sys.stderr)
        return 1
    cancelled = cancel_jobs(directory)
    for path in left:
        path.unlink(missing_ok=True)
    earliest = began(directory)
    # temporary files aren't in the list
    unknown = [path for name in unrecorded(arguments) if is_own_file(path := directory / name)]
    removed = [path for path in unknown if path.stat().st_mtime >= earliest]
    for path in removed:
        path.unlink()
    print(f"{cancelled} jobs cancelled, {len(removed)} files removed. The same snakemake command goes on from here.")
    return 0


def began(directory: Path) -> float:
    """Return the time at which the first run in `directory` began, minus an hour, as clocks of machines may differ.

    Infinity if there is no log.
    """
    names = (path.name.removesuffix(LOG) for path in (directory / ".snakemake" / "log").glob(f"*{LOG}"))
    found = (datetime.strptime(name, STAMP).timestamp() for name in names if re.fullmatch(r"[\dT.-]{24}", name))
    return min(found, default=math.inf) - HOUR_S


def cancel_jobs(directory: Path) -> int:
    """Cancel the jobs of all runs that have a log in `directory`, wait for their end, and return their number."""
    logs = [path for path in (directory / ".snakemake" / "log").glob("*.log") if path.is_file()]
    runs = {match[1] for log in logs for match in RUN_ID.finditer(log_text(log))}
    jobs = queued(runs)
    if jobs:
        subprocess.run(["scancel", *jobs], check=True)
    end = time.monotonic() + PATIENCE_S
    while queued(runs) and time.monotonic() < end:
        time.sleep(1)
    return len(jobs)


def queued(runs: set[str]) -> list[str]:
    """Return the numbers of the waiting or running jobs of the runs with the ids `runs`, which SLURM uses as names."""
    command = ["squeue", "--me", "--noheader", "--format=%i %j"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [number for number, _, name in (line.partition(" ") for line in lines) if name in runs]


def unrecorded(arguments: list[str]) -> list[str]:
    """Return the existing outputs of which snakemake has no record; its summary shows no log for them."""
    targets = arguments.index("--") if "--" in arguments else len(arguments)
    command = [*SNAKEMAKE, *arguments[:targets], "--summary", *arguments[targets:]]
    table = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    rows = [dict(zip(table[0].split("\t"), line.split("\t"), strict=True)) for line in table[1:]]
    return [row["output_file"] for row in rows if row["log-file(s)"] == "-" and row["status"] != "missing"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
