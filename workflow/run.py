"""Run snakemake, recover from an earlier kill, and end by showing the result. Called by `make results`.

All arguments go to snakemake. Snakemake leaves its lock behind when it is killed; the lock is taken away only when no
other snakemake works in this folder.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psutil

from clustermass.config import load_config
from clustermass.summary import headline

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
ONE_GPU = ["--resources", "gpu=1"]  # trainings that use the GPU take turns
QUIET = ["--quiet", "host", "reason", "rules"]  # what is left: each step's own lines, and how many steps are done


def main(arguments: list[str]) -> int:
    """Return snakemake's exit status, after printing the headline table where it succeeded."""
    os.chdir(ROOT)
    guard = Path(".snakemake") / "clustermass.lock"
    guard.parent.mkdir(exist_ok=True)
    with guard.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another `make results` is at work in this folder; wait for it or stop it first.", file=sys.stderr)
            return 1
        if stale_lock():
            print("An earlier run was killed: taking its lock away; finished files are kept.", file=sys.stderr)
            subprocess.run([*SNAKEMAKE, "--unlock", "--quiet", "all", *config_arguments(arguments)], check=True)
        status = run_snakemake(arguments)
    if status == 0 and "--" not in arguments:  # targets named after it have no summary
        headline(Path("results") / run_name(arguments))
    return status


def run_snakemake(arguments: list[str]) -> int:
    """Return snakemake's exit status; after Ctrl-C wait until it has ended its jobs, and return 130."""
    with subprocess.Popen([*SNAKEMAKE, *QUIET, *ONE_GPU, *arguments]) as snakemake:
        try:
            return snakemake.wait()
        except KeyboardInterrupt:
            snakemake.wait()
            print("Stopped. The same command goes on from here.", file=sys.stderr)
            return 130


def stale_lock() -> bool:
    """Whether snakemake's lock lies here without a snakemake that works here."""
    locks = Path(".snakemake") / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return False
    for process in psutil.process_iter(["cmdline", "cwd", "pid"]):
        command = " ".join(process.info["cmdline"] or [])
        if process.info["pid"] != os.getpid() and process.info["cwd"] == str(ROOT) and "-m snakemake" in command:
            return False
        if process.info["cwd"] == str(ROOT) and "bin/snakemake" in command:
            return False
    return True


def config_arguments(arguments: list[str]) -> list[str]:
    """Return the --configfile part of the arguments."""
    if "--configfile" not in arguments:
        return []
    start = arguments.index("--configfile")
    end = next((i for i in range(start + 1, len(arguments)) if arguments[i].startswith("-")), len(arguments))
    return arguments[start:end]


def run_name(arguments: list[str]) -> str:
    """Return the name of the run that the configuration files give."""
    files = [ROOT / "config" / "config.yaml", *config_arguments(arguments)[1:]]
    return str(load_config(files)["run"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
