"""Runs a function on a hostile file in a process of its own, under a limit of memory and a limit of time."""

import os
import resource
import signal
import traceback
from pathlib import Path

import pytest

from clustermass.errors import InputError

#: memory that the function may take in addition to what the test process has; what the campaign allows in all is 4 GB
MEMORY_BYTES = 2 << 30
TIME_LIMIT_S = 20


def outcome(function, *arguments, memory=MEMORY_BYTES):
    """Return "InputError: ...", the type and text of another exception, "signal 11", or "result ..."."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(TIME_LIMIT_S)
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory,) * 2)
            try:
                text = f"result {function(*arguments)!r}"
            except InputError as error:
                text = f"InputError: {error}"
            except BaseException as error:
                text = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
            os.write(write, text[:60000].encode("utf-8", "replace"))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        text = stream.read().decode("utf-8", "replace")
    status = os.waitpid(child, 0)[1]
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else text


def refused(match, function, *arguments, memory=MEMORY_BYTES):
    """Check that the function raises InputError with a message that `match` is found in."""
    text = outcome(function, *arguments, memory=memory)
    assert text.startswith("InputError: "), text
    with pytest.raises(InputError, match=match):
        raise InputError(text.removeprefix("InputError: "))
