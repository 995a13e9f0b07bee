"""Run snakemake, recover from an earlier kill, and end by showing the result. Called by `make results`.

All arguments go to snakemake. A run that is killed leaves Snakemake's lock and unfinished files under temporary names.
If snakemake alone was killed, its steps go on without it. All three are removed, but only if no other snakemake works
in this folder.
"""

import fcntl
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from processes import snakemakes, stop_orphans

from clustermass.config.resolve import load_config
from clustermass.errors import InputError
from clustermass.io.log import advice
from clustermass.report.console import headline

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
# leaves the lines of each step and the number of steps done; failures are explained by this script
QUIET = ["--quiet", "host", "reason", "rules", "--no-hooks"]
STATE = Path(".snakemake")
RESULTS = Path("results")
#: no file that is being written stays unchanged for so long
ABANDONED_S = 600
AGAIN = "The same command goes on from here; finished files are kept."


def main(arguments: list[str]) -> int:
    """Return snakemake's exit status, after printing the headline table where it succeeded."""
    os.chdir(ROOT)
    try:
        load_config(config_arguments(arguments)[1:])  # a missing file is one sentence here, a traceback in snakemake
        with alone():
            recover()
            status = run_snakemake(arguments)
        if status == 0 and "--" not in arguments:  # targets named after it have no summary
            headline(RESULTS / run_name(arguments))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return status


@contextmanager
def alone() -> Iterator[None]:
    """Hold this folder's lock for `make results`.

    Raises
    ------
    InputError
        Another `make results` or a snakemake is at work here, or nothing can be written here.
    """
    for folder in (STATE, RESULTS):
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(unwritable(folder, error.strerror)) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(unwritable(folder, "read-only, or another user's"))
    with (STATE / "clustermass.lock").open("a+") as stream:
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


def note(stream: TextIO, holder: str) -> None:
    """Write down who holds the lock; a full disk, which Snakemake will report, is no reason to stop here."""
    with suppress(OSError):
        stream.truncate(0)
        os.write(stream.fileno(), holder.encode())


def unwritable(folder: Path, why: str) -> str:
    """Message about a folder in which nothing can be written."""
    return (
        f"{ROOT / folder}: can't be written ({why}). Make it writable (`mount`, `ls -ld` and `df` say why it isn't), "
        "then the same command goes on. To read finished results nothing has to run."
    )


def holder(stream: TextIO) -> str:
    """Say who holds the lock, and what to do about it."""
    stream.seek(0)
    number, _, host = stream.read().partition(" ")
    if not host:
        return "it has just begun; wait for it"
    return f"process {number} on {host}; wait for it, or end it there with `kill {number}`, then this command goes on"


def recover() -> None:
    """Take away what a killed run left: its steps, its lock, its unfinished files.

    Raises
    ------
    InputError
        The lock was set on another machine, whose processes can't be seen from here.
    """
    if stopped := stop_orphans(ROOT):
        print(f"An earlier run was killed: stopped {stopped} of its steps that went on without it.", file=sys.stderr)
    locks = STATE / "locks"
    if locks.is_dir() and any(locks.iterdir()):
        host = host_of_last_run()
        if host not in (None, platform.node()):
            raise InputError(
                f"A snakemake that began on {host} has locked this folder. If it still works there, wait for it; if it "
                f"was killed: rm -r {locks}, then the same command goes on."
            )
        print("An earlier run was killed: taking its lock away; finished files are kept.", file=sys.stderr)
        for path in locks.iterdir():  # as `snakemake --unlock`, which needs a valid configuration
            path.unlink()
    for path in abandoned():
        path.unlink(missing_ok=True)


def host_of_last_run() -> str | None:
    """Return the name of the machine in the newest of snakemake's logs."""
    logs = sorted((STATE / "log").glob("*.snakemake.log"))
    lines = logs[-1].read_text(encoding="utf-8", errors="replace").splitlines() if logs else []
    return next((line.split()[1] for line in lines if line.lower().strip().startswith("host: ")), None)


def abandoned() -> list[Path]:
    """Temporary files of `clustermass.io.files.atomic` whose writers were killed."""
    now = time.time()
    return [path for path in RESULTS.rglob(".*.part*") if now - path.stat().st_mtime > ABANDONED_S]


def run_snakemake(arguments: list[str]) -> int:
    """Return snakemake's exit status, 130 after Ctrl-C and 143 after SIGTERM, when its steps have ended.

    Ctrl-C reaches snakemake directly: it stops its steps. At SIGTERM it lets running steps end and starts no more.
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
            print(line, file=sys.stderr)
    return status


def said_since(began: float) -> str:
    """Return what snakemake wrote to its logs since `began`."""
    logs = [path for path in (STATE / "log").glob("*.snakemake.log") if path.stat().st_mtime >= began]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in logs)


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
