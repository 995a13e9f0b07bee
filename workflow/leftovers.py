"""Find the files that a killed run left behind: Snakemake's locks and unfinished files.

Recovery removes only these files. Each of them is a regular file of the current user, with a name of an exact pattern.
"""

import os
import platform
import re
import shlex
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from clustermass.errors import InputError
from clustermass.io.files import is_temporary
from clustermass.io.log import printable

#: seconds after which an unchanged temporary file counts as abandoned
ABANDONED_S = 600
#: most bytes of a log that are read; 100,000 steps write less
LOG_BYTES = 100_000_000
_LOCK = re.compile(r"\d+\.(input|output)\.lock")


def log_text(path: Path, end: bool = False) -> str:
    """Return the text of a log of Snakemake. Of a log with more than `LOG_BYTES`, only one end is read.

    It is the end of the log if `end` is true, otherwise its beginning.
    """
    with path.open("rb") as stream:
        if end:
            stream.seek(max(0, path.stat().st_size - LOG_BYTES))
        return stream.read(LOG_BYTES).decode(errors="replace")


def is_own_file(path: Path) -> bool:
    """Return whether a path is a regular file of the current user, not a link."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()


def locks(state: Path) -> list[Path]:
    """Return Snakemake's locks in its folder `state`.

    Raises
    ------
    InputError
        The folder of the locks is a link, a lock isn't a file of the current user, or the last snakemake here began on
        another machine, so that it isn't known whether it still runs.
    """
    folder = state / "locks"
    if folder.is_symlink():
        raise InputError(f"{folder}: is a link, which Snakemake never makes. Remove it, then the same command goes on.")
    found = [path for path in folder.iterdir() if _LOCK.fullmatch(path.name)] if folder.is_dir() else []
    if strange := [path for path in found if not is_own_file(path)]:
        raise InputError(
            f"{strange[0]}: another user's snakemake has locked this folder. If it still works, wait for it; if it was "
            f"killed, ask {_owner(strange[0])} to remove {folder}."
        )
    if found and (host := host_of_last_run(state)) not in (None, platform.node()):
        raise InputError(
            f"A snakemake that began on {printable(host)} has locked this folder. If it still works there, wait "
            f"for it; if it was killed: rm -r {shlex.quote(str(folder))}, then the same command goes on."
        )
    return found


def host_of_last_run(state: Path) -> str | None:
    """Return the name of the machine in the newest log in Snakemake's folder `state`; None if there is no log."""
    logs = sorted(path for path in (state / "log").glob("*.snakemake.log") if path.is_file())
    lines = log_text(logs[-1]).splitlines() if logs else []
    return next((words[1] for words in map(str.split, lines) if len(words) > 1 and words[0].lower() == "host:"), None)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "its owner"


def abandoned(results: Path) -> Iterator[Path]:
    """Yield temporary files of `clustermass.io.files.atomic` that haven't changed for `ABANDONED_S` seconds."""
    latest = time.time() - ABANDONED_S
    for folder, _, names in os.walk(results):
        for path in (Path(folder, name) for name in names if is_temporary(name)):
            if is_own_file(path) and path.lstat().st_mtime < latest:
                yield path
