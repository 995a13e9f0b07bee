"""Check of the folder `.snakemake`, in which Snakemake keeps its records, before Snakemake reads it."""

import os
import stat
from pathlib import Path

from clustermass.errors import InputError

#: folders of Snakemake that may hold links; nothing in them is read or written before a job starts
_WITH_LINKS = {"conda", "conda-archive", "singularity", "shadow"}


def check_state(state: Path) -> None:
    """Raise InputError unless Snakemake's folder `state`, if it exists, holds only regular files and folders.

    Snakemake writes through links, so that a link in somebody else's folder would lead it to any file. It would wait
    for ever for a named pipe.
    """
    waiting = [state] if os.path.lexists(state) else []
    while waiting:
        folder = waiting.pop()
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise InputError(f"{folder}: is a link or no folder, which Snakemake never makes. Remove it.")
        if folder.parent == state and folder.name in _WITH_LINKS:
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise InputError(f"{entry.path}: is a link or no file, which Snakemake never makes. Remove it.")
