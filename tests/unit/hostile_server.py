"""Reads hostile files, each in a process of its own under limits; run as a program, it serves `Readers`.

The program imports the package once and then forks for each file. It computes nothing by itself, so that it has a
single thread and no state of JAX.
"""

import contextlib
import hashlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

MEMORY_BYTES = 4 << 30
WRITTEN_BYTES = 1 << 30
#: seconds of processor time; a process that waits for something may take as many times longer
TIME_LIMIT_S, PATIENCE = 20, 3
#: what Python reports of processes and connections; no file may cause any
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.getaddrinfo")
#: what Python reports of changes of files -> places of each changed path and of its folder's descriptor in the report
CHANGES = {"os.remove": [(0, 1)], "os.rmdir": [(0, 1)], "os.mkdir": [(0, 2)], "os.symlink": [(1, 2)]}
CHANGES |= {"os.chmod": [(0, 2)], "os.link": [(1, 3)], "os.rename": [(0, 2), (1, 3)], "os.truncate": [(0, None)]}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Outcome(NamedTuple):
    """How the process of a case ended: "result", "refused" or a description of a fault; all texts; time and memory."""

    ended: str
    #: hash of the result, or the message
    text: str
    #: everything that the process printed
    printed: str
    seconds: float
    megabytes: float


class Readers:
    """The serving program, as the tests see it."""

    def __init__(self):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # nothing may be written outside the folder of a case
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def read(self, reader, path, folder, limit_s=TIME_LIMIT_S):
        """Let a reader read `path`; `folder` is that of the case, with the folders work, out, tmp, home and canary."""
        print(json.dumps([reader, str(path), str(folder), limit_s]), file=self._server.stdin, flush=True)
        return Outcome(*json.loads(self._server.stdout.readline()))

    def close(self):
        self._server.communicate()


def serve():
    from hostile_readers import READERS

    for line in sys.stdin:
        reader, path, folder, limit_s = json.loads(line)
        print(json.dumps(_tried(READERS[reader], Path(path), Path(folder), limit_s)), flush=True)


def _tried(reader, path, folder, limit_s):
    """Fork, let the child read, and return its `Outcome`."""
    said = folder / "outcome"
    with tempfile.TemporaryFile() as printed:
        child = os.fork()
        if child == 0:
            try:
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
                resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 1))
                _child(reader, path, folder, said)
            finally:
                os._exit(71)
        watch = os.pidfd_open(child)
        hangs = not select.select([watch], [], [], PATIENCE * limit_s)[0]
        os.close(watch)
        if hangs:
            os.kill(child, signal.SIGKILL)
        _, status, used = os.wait4(child, 0)
        printed.seek(0)
        text = printed.read(1 << 20).decode(errors="backslashreplace")
    ended, told = f"status {os.waitstatus_to_exitcode(status)}", ""
    if hangs or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        ended = f"longer than {limit_s:g} s"
    elif os.WIFSIGNALED(status):
        ended = f"signal {os.WTERMSIG(status)}"
    elif said.is_file():
        ended, told = json.loads(said.read_text())
    said.unlink(missing_ok=True)
    return ended, told, text, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _child(reader, path, folder, said):
    from clustermass.errors import InputError

    def finish(ended, text=""):
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        said.write_text(json.dumps([ended, text]))
        os._exit(0)

    sys.stdout, sys.stderr = (open(one, "w", encoding="utf-8", closefd=False) for one in (1, 2))  # noqa: SIM115
    os.environ |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
    tempfile.tempdir = None
    os.chdir(folder / "work")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN_BYTES, WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _watch(folder, finish)
    try:
        value = reader(path, folder)
        finish("result", hashlib.sha256(repr(value).encode(errors="backslashreplace")).hexdigest())
    except InputError as error:
        finish(_greedy(error) or "refused", str(error))
    except BaseException:
        finish("traceback", traceback.format_exc()[-4000:])


def _greedy(error):
    """Return what a refusal hides: that the limit of memory or of written bytes was met; "" if neither was."""
    while error is not None:
        # our own MemoryError has a text and doesn't come from an allocation
        if isinstance(error, MemoryError) and (not error.args or type(error) is not MemoryError):
            return "memory beyond the limit"
        if isinstance(error, OSError) and error.errno == 27:
            return "written beyond the limit"
        error = error.__cause__ or error.__context__
    return ""


def _watch(folder, finish):
    """End the process if Python is about to write outside of the case's folders, connect, or start a program."""
    from clustermass.io.hdf5 import _CHILD

    allowed = [(folder / name).resolve() for name in ("out", "tmp")]
    own, own_program = os.fspath(folder / "outcome"), str(_CHILD)

    def inside(path, folder_of_path=-1):
        if isinstance(path, int) or path in (own, os.devnull):
            return True
        above = Path() if folder_of_path == -1 else Path(f"/proc/self/fd/{folder_of_path}")
        whole = Path(os.path.normpath(above.resolve() / os.fsdecode(path)))
        # the folder is resolved, not the file: a link that is replaced isn't followed
        whole = whole.parent.resolve() / whole.name
        return any(whole.is_relative_to(place) for place in allowed)

    def hook(event, arguments):
        if event == "subprocess.Popen" and arguments[1][3:4] == [own_program]:
            return  # our own program, which reads HDF5 files
        if event in FORBIDDEN or event.startswith(("ftplib.", "http.", "urllib.", "ctypes.dlopen")):
            finish(f"forbidden: {event}", repr(arguments)[:500])
        if event == "open":
            path, _, flags = arguments
            if path is not None and flags & WRITING and not inside(path):
                finish("written outside", repr(path))
        elif event in CHANGES:
            for path, above in CHANGES[event]:
                if not inside(arguments[path], -1 if above is None else arguments[above]):
                    finish("changed outside", f"{event} {arguments!r}"[:500])

    sys.addaudithook(hook)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve()
