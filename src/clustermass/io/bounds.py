"""Bounds on the memory and the processor time that reading a small file from others may take."""

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from clustermass.errors import InputError

#: bytes of memory for any file, and more for each byte of the file; a packed file may be a hundredth of its content
_MEMORY, _MEMORY_PER_BYTE = 1.5e9, 100
#: processor time for any file in s, and more for each byte of the file
_SECONDS, _SECONDS_PER_BYTE = 30.0, 2e-5


@contextmanager
def bounded(path: Path) -> Iterator[None]:
    """Raise InputError if the enclosed code takes far more memory or time than a sound file `path` of its size needs.

    A small file can be built so that reading it takes very much memory or time. The memory is what the whole process
    takes in addition while the code runs, and the time is the processor time of the process. The time is bounded in the
    main thread only, where Python receives signals. macOS doesn't bound the memory.
    """
    size = path.stat().st_size if path.is_file() else 0
    try:
        with _memory_bound(_MEMORY + _MEMORY_PER_BYTE * size), _time_bound(_SECONDS + _SECONDS_PER_BYTE * size, path):
            yield
    except MemoryError as error:
        raise InputError(
            f"{path}: needs far more memory than a table or record of its size. Is it damaged? If not, divide it."
        ) from error


@contextmanager
def _memory_bound(further: float) -> Iterator[None]:
    """Make allocations fail (MemoryError) as soon as the process has `further` more bytes than at the start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _data_bytes() + int(further)
    tighter = [most, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(tighter), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """Return how many bytes of this process count for RLIMIT_DATA: 0 without /proc, where none count."""
    try:
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0])
    except (OSError, IndexError):
        return 0


@contextmanager
def _time_bound(seconds: float, path: Path) -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise InputError(
            f"{path}: takes more than {seconds:.0f} s of processor time, too much for its size. Is it damaged?"
        )

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPROF, stop)
    # again after each second, if a library ignores the first exception
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
