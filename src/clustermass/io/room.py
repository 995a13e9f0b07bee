"""Free memory and disk space, which are checked before a file from others is read or unpacked."""

import os
import resource
import shutil
from contextlib import suppress
from pathlib import Path

from clustermass import limits
from clustermass.errors import InputError

#: share of the free memory or disk that one file may take
_SHARE = 0.9
#: a packed file is suspicious if its content is larger than the file by more than this factor
_RATIO = 100


def check_unpacked(size: int, path: Path) -> None:
    """Raise InputError if the packed file `path` unpacks to suspiciously many bytes.

    `size` is the number of unpacked bytes. It is suspicious if it is larger than `limits.UNPACKED`, and more than 100
    times the size of the file.
    """
    if size > _RATIO * path.stat().st_size:
        limits.UNPACKED.check(size, path)


def check_memory(needed: float, path: object) -> None:
    """Raise InputError if the content of the file `path` needs more bytes of memory than this process can get."""
    if needed > (left := memory_left()) * _SHARE:
        raise InputError(
            f"{path}: needs {needed / 1e9:.3g} GB of memory, but {left / 1e9:.3g} GB are free. Is the file damaged? If "
            "not, divide it, or use a machine with more memory."
        )


def check_disk(needed: float, folder: str | Path, path: object) -> None:
    """Raise InputError if the disk of `folder` has less than the `needed` bytes free for data from the file `path`."""
    if needed > (left := shutil.disk_usage(folder).free) * _SHARE:
        raise InputError(
            f"{path}: needs {needed / 1e9:.3g} GB in {folder}, where {left / 1e9:.3g} GB are free. Make room there, or "
            "set TMPDIR to a folder on another disk."
        )


def memory_left() -> int:
    """Return how many more bytes of memory this process can get.

    It is the smallest of three numbers: the free memory of the machine, what is left in the process's control groups,
    and what RLIMIT_AS still allows.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    left = [page * os.sysconf("SC_PHYS_PAGES"), *_left_in_groups()]
    with suppress(OSError, KeyError, ValueError):
        left.append(_numbers(Path("/proc/meminfo"))["MemAvailable:"] * 1024)
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):
            left.append(most - page * int(Path("/proc/self/statm").read_text().split()[0]))
    return max(min(left), 0)


#: names of this process's control groups
_OF_PROCESS = Path("/proc/self/cgroup")
#: for both versions of Linux's control groups: folder, limit, use, and the part of the use that is given back on demand
_GROUPS = {
    "": ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def _left_in_groups() -> list[int]:
    """Return how many bytes of memory are left in those control groups of this process that have a limit."""
    left = []
    with suppress(OSError):
        for line in _OF_PROCESS.read_text().splitlines():
            _, kind, name = line.split(":", 2)
            if kind in _GROUPS:
                root, limit, used, spare = _GROUPS[kind]
                place = Path(root, name.strip("/"))
                for folder in (place, *place.parents[: len(place.parts) - len(Path(root).parts)]):
                    with suppress(OSError, KeyError, ValueError):  # "max" is no limit
                        most, taken = (int((folder / file).read_text()) for file in (limit, used))
                        left.append(most - taken + _numbers(folder / "memory.stat")[spare])
    return left


def _numbers(path: Path) -> dict[str, int]:
    return {words[0]: int(words[1]) for words in map(str.split, path.read_text().splitlines()) if len(words) > 1}
