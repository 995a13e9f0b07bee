"""Remedies for failures that no step can report itself: a full disk, a read-only folder, a kill."""

import errno
import os
import shutil
from pathlib import Path

#: with less free space nothing can run, and logs may lack the cause
_NOTHING_BYTES = 10_000_000
#: free space of a disk that was full, after the step has removed its unfinished file
_LITTLE_BYTES = 100_000_000
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_FORBIDDEN = (os.strerror(errno.EROFS), os.strerror(errno.EACCES))
#: netCDF's message for a full disk, and for other faults
_UNKNOWN = "HDF error"
_KILLED = "Signals.SIGKILL"
_AGAIN = "then the same command goes on: finished files are kept."


def advice(log: str, folder: Path) -> list[str]:
    """Find the causes of a failed run in the text of its log; return a line with the remedy for each."""
    lines = []
    free, where = shutil.disk_usage(folder).free, folder.resolve()
    if any(text in log for text in _FULL) or free < (_LITTLE_BYTES if _UNKNOWN in log else _NOTHING_BYTES):
        lines.append(f"The disk is full: {free / 1e6:.0f} MB are free in {where}. Make room, {_AGAIN}")
    if any(text in log for text in _FORBIDDEN):
        lines.append(f"A file can't be written, see above. Make it writable (results are in {where}), {_AGAIN}")
    if _KILLED in log:
        lines.append(
            "A step was killed from outside, as the system does when memory runs out. Run fewer at a time "
            "(`make results CORES=1`, or --cores 1): finished files are kept."
        )
    return lines
