"""Recover from an earlier kill, run snakemake, and show the result. `make results` calls this script.

All arguments are passed to snakemake. A killed run leaves Snakemake's lock, and unfinished files with temporary names.
If only snakemake was killed, its steps go on without it. This script ends these steps and removes lock and files, but
only if no other snakemake works in this folder.
"""

import fcntl
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from leftovers import abandoned, locks, log_text
from processes import snakemakes, stop_orphans

from clustermass.config.resolve import load_config
from clustermass.errors import InputError
from clustermass.io.log import advice, printable, printable_lines
from clustermass.io.state import check_state
from clustermass.report.console import headline

ROOT = Path(__file__).resolve().parents[1]
# -P: a file in the current folder must not be imported in place of a package
SNAKEMAKE = [sys.executable, "-P", "-m", "snakemake"]
# hides all but the steps' own lines and the number of finished steps; this script explains failures
QUIET = ["--quiet", "host", "reason", "rules", "--no-hooks"]
STATE = Path(".snakemake")
RESULTS = Path("results")
#: seconds after which planning is given up; a very large run takes so long that its plan isn't worth the wait
ESTIMATE_S = 60
AGAIN = "The same command goes on from here; finished files are kept."


def main(arguments: list[str]) -> int:
    """Run snakemake, print the table of key figures if it succeeded, and return the exit status."""
    os.chdir(ROOT)
    try:
        load_config(config_arguments(arguments)[1:])  # names a missing file; snakemake would show a traceback
        with alone():
            recover()
            if "--" not in arguments:  # the estimate is for the default targets
                estimate(arguments)
            status = run_snakemake(arguments)
        if status == 0 and "--" not in arguments:  # other targets, named after `--`, have no summary
            headline(RESULTS / run_name(arguments))
    except InputError as error:
        print(printable_lines(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped. {AGAIN}", file=sys.stderr)
        return 130
    return status


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock of `make results` on this folder during the `with` block.

    Raises
    ------
    InputError
        Another `make results` or a snakemake works in this folder, or nothing can be written in it.
    """
    for folder in (STATE, RESULTS):
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(unwritable(folder, error.strerror)) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(unwritable(folder, "read-only, or another user's"))
    with opened(STATE / "clustermass.lock") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another `make results` is at work in this folder ({holder(stream)}).") from None
        except OSError as error:
            print(
                f"{ROOT}: no locks here ({error.strerror}): see to it that one run works here at a time.",
                file=sys.stderr,
            )
        if others := snakemakes(ROOT):
            number = others[0].pid
            raise InputError(
                f"A snakemake is at work in this folder (process {number}). Wait for it, or end it with "
                f"`kill {number}`, which lets its running steps end; then the same command goes on."
            )
        note(stream, f"{os.getpid()} {platform.node()}")
        yield


def opened(lock: Path) -> TextIO:
    """Return the file `lock`, opened, and created if it is missing; InputError if it is a link or can't be opened."""
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):  # another user's may be locked, but not written
        try:
            number = os.open(lock, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            return os.fdopen(number, "r" if flags == os.O_RDONLY else "r+", errors="replace")
        except OSError as error:
            why = error.strerror
    raise InputError(f"{lock}: can't be opened ({why}). Remove it, then the same command goes on.")


def note(stream: TextIO, holder: str) -> None:
    """Write into the lock which process and machine hold it. Errors are ignored, as Snakemake reports a full disk."""
    with suppress(OSError):
        stream.truncate(0)
        os.pwrite(stream.fileno(), holder.encode(), 0)


def unwritable(folder: Path, why: str) -> str:
    """Return the message for a folder in which nothing can be written."""
    return (
        f"{ROOT / folder}: can't be written ({why}). Make it writable (`mount`, `ls -ld` and `df` say why it isn't), "
        "then the same command goes on. To read finished results nothing has to run."
    )


def holder(stream: TextIO) -> str:
    """Return a text that says which process holds the lock, and what to do about it."""
    stream.seek(0)
    found = re.fullmatch(r"([0-9]+) (.+)", stream.read(300))
    if not found:
        return "it has just begun; wait for it"
    number, host = found[1], printable(found[2])
    return f"process {number} on {host}; wait for it, or end it there with `kill {number}`, then this command goes on"


def recover() -> None:
    """End the steps that a killed run left behind, and remove its lock and unfinished files.

    Raises
    ------
    InputError
        The lock was set by another user or on another machine, so that it isn't known whether its process still runs.
    """
    check_state(STATE.resolve())  # the folder itself may be a link of the user's, to another disk
    left = locks(STATE)
    if stopped := stop_orphans(ROOT):
        print(f"An earlier run was killed: stopped {stopped} of its steps that went on without it.", file=sys.stderr)
    if left:
        print("An earlier run was killed: taking its lock away; finished files are kept.", file=sys.stderr)
        for path in left:  # like `snakemake --unlock`, but this works with an invalid configuration, too
            path.unlink(missing_ok=True)
    for path in abandoned(RESULTS):
        path.unlink(missing_ok=True)


def estimate(arguments: list[str]) -> None:
    """Print how long the run is expected to take, or nothing if no step runs or if planning takes too long."""
    cores = arguments[arguments.index("--cores") :][:2] if "--cores" in arguments else []
    given = [*(cores if cores[-1:] != ["all"] else []), *config_arguments(arguments)[1:]]
    command = [sys.executable, "-P", ROOT / "workflow" / "plan.py", "--short", *given]
    with suppress(subprocess.SubprocessError):  # snakemake itself explains what is wrong
        done = subprocess.run(command, capture_output=True, text=True, timeout=ESTIMATE_S, check=True)
        print(done.stdout, end="", file=sys.stderr, flush=True)


def run_snakemake(arguments: list[str]) -> int:
    """Run snakemake until its steps have ended. Return its exit status, or 130 after Ctrl-C and 143 after SIGTERM.

    Snakemake itself receives Ctrl-C, and stops its steps. After SIGTERM it waits for running steps, and starts no new
    ones.
    """
    began, asked = time.time(), []
    with subprocess.Popen([*SNAKEMAKE, *QUIET, *arguments]) as snakemake:

        def end(number: int, _: object) -> None:
            asked.append(number)
            snakemake.terminate()

        signal.signal(signal.SIGTERM, end)
        try:
            status = snakemake.wait()
        except KeyboardInterrupt:
            snakemake.wait()
            asked.append(signal.SIGINT)
    if asked:
        print(f"Stopped. {AGAIN}", file=sys.stderr)
        return 128 + asked[0]
    if status:
        for line in advice(said_since(began), RESULTS):
            print(printable(line), file=sys.stderr)
    return status


def said_since(began: float) -> str:
    """Return the text of snakemake's logs that were written since the time `began`."""
    logs = [path for path in (STATE / "log").glob("*.snakemake.log") if path.is_file()]
    logs = [path for path in logs if path.stat().st_mtime >= began]
    return "\n".join(log_text(path, end=True) for path in logs)


def config_arguments(arguments: list[str]) -> list[str]:
    """Return the argument `--configfile` and its files; an empty list if the arguments don't contain it."""
    if "--configfile" not in arguments:
        return []
    start = arguments.index("--configfile")
    end = next((i for i in range(start + 1, len(arguments)) if arguments[i].startswith("-")), len(arguments))
    return arguments[start:end]


def run_name(arguments: list[str]) -> str:
    """Return the name of the run from the configuration files in the arguments."""
    files = [ROOT / "config" / "config.yaml", *config_arguments(arguments)[1:]]
    return str(load_config(files)["run"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
