"""Clean up after a snakemake that was killed while its jobs ran on a SLURM cluster; then the same command can go on.

    .venv/bin/python workflow/recover.py [the same --configfile and targets]

Jobs that are still running are cancelled. Files of jobs that ended after the kill are removed, because Snakemake has no
record of how they were made: it would not make them again after a change of the configuration.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from processes import snakemakes

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(Path(__file__).parents[1] / "Snakefile")]
RUN_ID = "SLURM run ID: "
PATIENCE_S = 120


def main(arguments: list[str]) -> int:
    """Clean up; return the exit status, 1 if a snakemake is running in this folder."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--directory", type=Path, default=Path())
    directory = parser.parse_known_args(arguments)[0].directory.resolve()
    if snakemakes(directory):
        print("A snakemake is at work in this folder; wait for it or stop it first.", file=sys.stderr)
        return 1
    cancelled = cancel_jobs(directory)
    subprocess.run([*SNAKEMAKE, "--unlock", "--quiet", "all", *arguments], check=True)
    removed = [path for path in unrecorded(arguments) if (directory / path).exists()]  # not temporary files
    for path in removed:
        (directory / path).unlink()
    print(f"{cancelled} jobs cancelled, {len(removed)} files removed. The same snakemake command goes on from here.")
    return 0


def cancel_jobs(directory: Path) -> int:
    """Cancel the jobs of all runs that have a log in `directory`, wait for their end, and return their number."""
    lines = [line for log in (directory / ".snakemake" / "log").glob("*.log") for line in log.read_text().splitlines()]
    runs = {line.partition(RUN_ID)[2].strip() for line in lines if RUN_ID in line}
    jobs = queued(runs)
    if jobs:
        subprocess.run(["scancel", *jobs], check=True)
    end = time.monotonic() + PATIENCE_S
    while queued(runs) and time.monotonic() < end:
        time.sleep(1)
    return len(jobs)


def queued(runs: set[str]) -> list[str]:
    """Return the numbers of the waiting or running jobs of the given runs; SLURM gives them the run's id as name."""
    command = ["squeue", "--me", "--noheader", "--format=%i %j"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [number for number, name in map(str.split, lines) if name in runs]


def unrecorded(arguments: list[str]) -> list[str]:
    """Return the existing outputs that snakemake has no record of: its summary shows no log for them."""
    targets = arguments.index("--") if "--" in arguments else len(arguments)
    command = [*SNAKEMAKE, *arguments[:targets], "--summary", *arguments[targets:]]
    table = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    rows = [dict(zip(table[0].split("\t"), line.split("\t"), strict=True)) for line in table[1:]]
    return [row["output_file"] for row in rows if row["log-file(s)"] == "-" and row["status"] != "missing"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
