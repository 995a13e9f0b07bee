"""What to do about failures of which no step can tell by itself: a full disk, a folder that is read-only, a kill."""

import errno
import os
import shutil
from pathlib import Path

#: with so little nothing can run, and logs may lack the cause
_NOTHING_BYTES = 10_000_000
#: a disk that was full may have so much again: the step has taken its unfinished file away
_LITTLE_BYTES = 100_000_000
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_FORBIDDEN = (os.strerror(errno.EROFS), os.strerror(errno.EACCES))
#: all that netCDF says of a full disk, and of other troubles
_UNKNOWN = "HDF error"
_KILLED = "Signals.SIGKILL"
_AGAIN = "then the same command goes on: finished files are kept."


def advice(said: str, folder: Path) -> list[str]:
    """Read what a failed run said; return what to do about it, a line for each cause that is found.

    Parameters
    ----------
    said
        Everything that the run wrote to its log.
    folder
        Where its results go.
    """
    lines = []
    free, where = shutil.disk_usage(folder).free, folder.resolve()
    if any(text in said for text in _FULL) or free < (_LITTLE_BYTES if _UNKNOWN in said else _NOTHING_BYTES):
        lines.append(f"The disk is full: {free / 1e6:.0f} MB are free in {where}. Make room, {_AGAIN}")
    if any(text in said for text in _FORBIDDEN):
        lines.append(f"A file can't be written, see above. Make it writable (results are in {where}), {_AGAIN}")
    if _KILLED in said:
        lines.append(
            "A step was killed from outside, as the system does when memory runs out. Run fewer at a time "
            "(`make results CORES=1`, or --cores 1): finished files are kept."
        )
    return lines
