"""Check of the structure of a netCDF-4 file before netCDF reads it.

The file must have no links, no references to other files, and no false sizes.
"""

import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from netCDF4 import _netCDF4

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.files import check_seal

_CHILD = Path(__file__).with_name("hdf5_child.py")
#: more than the child's own limit of CPU time, for a slow disk
_PATIENCE_S = 120


def check_encoding(path: Path) -> None:
    """Raise InputError if a path has characters outside the encoding of the locale, since netCDF can't open it."""
    encoding = sys.getfilesystemencoding()
    try:
        str(path.absolute()).encode(encoding)
    except UnicodeEncodeError as error:
        remedy = "Use ASCII letters in its name and folders" + (
            "." if encoding == "utf-8" else ", or set LC_ALL=C.UTF-8."
        )
        raise InputError(
            f"{path}: netCDF can't open a path with characters outside the encoding {encoding}. {remedy}"
        ) from error


def check_hdf5(path: Path) -> int:
    """Return how many bytes of memory the variables of a netCDF-4 file take; OSError if it isn't safe to read.

    InputError if netCDF can't open the path (see `check_encoding`).

    The file must be as `write_netcdf` makes it. It has no groups, and its variables hold numbers or texts, are stored
    in the file itself, and may be compressed by zlib. External links, external storage and virtual data sets are
    refused. HDF5 reads the file in a process of its own, because a hostile file can make HDF5 crash or never end.
    """
    check_encoding(path)
    status = path.stat()
    return _checked(str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1000)
def _checked(path: str, *_version: int) -> int:
    check_seal(Path(path))
    arguments = [str(_CHILD), str(_netCDF4.__file__), path, str(limits.VARIABLES.most)]
    try:
        command = [sys.executable, "-I", "-S", *arguments]
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise OSError("HDF5 reads it without end") from None
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode == 0 and said.isdecimal():
        return int(said)
    ended = "reads it without end" if done.returncode == -signal.SIGKILL else f"crashes, status {done.returncode}"
    raise OSError(said or f"HDF5 {ended}")
