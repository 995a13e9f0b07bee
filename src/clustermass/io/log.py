"""The logs of steps, with a line about the progress every few seconds, and advice on errors that logs contain."""

import errno
import logging
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from clustermass.errors import InputError
from clustermass.io.files import atomic

T = TypeVar("T")
LOGGER = logging.getLogger("clustermass")
#: most characters in a line of a message, and most lines: nobody reads more, but it would fill a terminal or a log
_LONGEST, _MOST_LINES = 10_000, 200
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)
#: text in the first line of a log beside a result; an existing log of a failure is replaced only if it has this line
_FIRST_LINE = "log of clustermass"


class Ended(BaseException):
    """Raised if a signal asks the process to end; `status` is the exit status that a shell gives to this signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.status = 128 + number


@contextmanager
def orderly_end() -> Iterator[None]:
    """Raise `Ended` in the `with` block if SIGTERM or SIGHUP comes, so that temporary files are removed.

    A signal that already has a handler keeps it. A signal that is ignored, as under nohup, stays ignored.
    """

    def end(number: int, _: object) -> None:
        for other in _ENDINGS:
            signal.signal(other, signal.SIG_IGN)  # the end itself isn't interrupted
        raise Ended(number)

    before = {number: signal.getsignal(number) for number in _ENDINGS if _by_default(number)}
    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _by_default(number: signal.Signals) -> bool:
    in_main = threading.current_thread() is threading.main_thread()  # only the main thread can handle signals
    return in_main and signal.getsignal(number) == signal.SIG_DFL


def printable(text: object) -> str:
    """Return a text of unknown origin as one line, with control characters and invisible characters escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))


def printable_lines(text: object) -> str:
    """Return a message in which each line is made `printable`, and all lines except the first are indented.

    Because of this, a line break in the name of a file can't fake a line of the log. Very long lines, and messages with
    very many lines, are cut.
    """
    lines = str(text).split("\n")
    short = [line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ... ({len(line)} characters)" for line in lines]
    more = [f"... ({len(lines) - _MOST_LINES} more lines)"] if len(lines) > _MOST_LINES else []
    return "\n  ".join([*map(printable, short[:_MOST_LINES]), *more])


def escape_tracebacks() -> None:
    """Make this process print its tracebacks as `printable_lines` returns them."""

    def show(*raised: Any) -> None:
        print(printable_lines("".join(traceback.format_exception(*raised)).rstrip()), file=sys.stderr)

    sys.excepthook = show


class _InFile(logging.Formatter):
    """Formatter of a log: time, level and message. Further lines of the message and the traceback are indented."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class _OnScreen(logging.Formatter):
    """Formatter for the screen: a label, the level (only of warnings and errors), and the message."""

    def format(self, record: logging.LogRecord) -> str:
        line = printable_lines(super().format(record))
        return line.replace("] ", f"] {record.levelname} ", 1) if record.levelno >= logging.WARNING else line


def log_to(path: str | Path, label: str) -> logging.Handler:
    """Send the package's log lines to the new file `path`, and to standard error with `label` before each line.

    Returns the logging handler of the file. An existing file is removed first, because it may be a link to
    another file.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)
    LOGGER.handlers.clear()
    LOGGER.setLevel(logging.INFO)
    file = logging.FileHandler(path, mode="x", encoding="utf-8")
    file.setFormatter(_InFile("%(asctime)s %(levelname)s %(message)s"))
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter(_OnScreen(f"[{label}] %(message)s"))
    LOGGER.addHandler(file)
    LOGGER.addHandler(screen)
    return file


def logs_beside(result: Path) -> tuple[Path, Path]:
    """Return two paths beside `result`: of the log if the result could be made, and of the log if this failed."""
    return result.with_suffix(".log"), result.with_suffix(".failed.log")


@contextmanager
def log_of_result(result: Path, label: str) -> Iterator[None]:
    """Write a log of the `with` block, which makes the file `result`.

    If the block succeeds, the log gets the name of the result with the ending .log. If the block fails, the log gets
    the ending .failed.log instead, and the exception is logged and raised again. InputError if there is already a file
    with the ending .failed.log that isn't a log of clustermass.
    """
    log, failed = logs_beside(result)
    if os.path.lexists(failed) and not _is_our_log(failed):
        raise InputError(f"{failed}: exists already, and is no log of clustermass. Move it, or name another output.")
    with atomic(log) as written:
        file = log_to(written, label)
        file.emit(logging.makeLogRecord({"levelname": "INFO", "msg": f"{_FIRST_LINE} {label}"}))
        try:
            yield
        except BaseException as error:  # Ctrl-C, too
            known = isinstance(error, InputError | OSError | Ended)
            said = {"levelname": "ERROR", "msg": str(error) or type(error).__name__}
            file.emit(logging.makeLogRecord(said | {"exc_info": None if known else sys.exc_info()}))
            with atomic(failed) as kept:
                shutil.copyfile(written, kept)
            raise
        finally:
            LOGGER.removeHandler(file)
            file.close()
    failed.unlink(missing_ok=True)


def _is_our_log(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        return _FIRST_LINE in stream.readline(200)


@contextmanager
def renamed(names: Mapping[str, str]) -> Iterator[None]:
    """Replace texts in the log lines and InputErrors of the `with` block, such as the paths of temporary files.

    `names` is a dict from each text to its replacement, in the order in which they are replaced.
    """

    def with_new_names(text: str) -> str:
        for old, new in names.items():
            text = text.replace(old, new)
        return text

    def rename(record: logging.LogRecord) -> bool:
        record.msg, record.args = with_new_names(record.getMessage()), ()
        return True

    LOGGER.filters.insert(0, rename)  # before those of outer blocks, which may replace the new names
    try:
        yield
    except InputError as error:
        raise InputError(with_new_names(str(error))) from error
    finally:
        LOGGER.removeFilter(rename)


def abridged(names: Iterable[object]) -> str:
    """Return the first of `names`, followed by the number of the others, such as "a.fits and 3 more"."""
    first, *others = map(str, names)
    return f"{first} and {len(others)} more" if others else first


def track(items: Iterable[T], what: str, every_s: float = 5.0, total: int | None = None) -> Iterator[T]:
    """Yield each of `items`, and log at most every `every_s` seconds how many are done and how much time is left.

    `what` names the items in the log. `total` is their number, if `items` has no length.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            left = f" of {total}, {(now - start) / done * (total - done):.0f} s left" if total else ""
            LOGGER.info("%s: %d%s", what, done, left)


@contextmanager
def step(log: str | Path, label: str) -> Iterator[None]:
    """Run the `with` block as one step of a workflow, with log lines in the file `log` and on the terminal.

    After an InputError, only its message is logged, and SystemExit with status 1 is raised. After a lack of memory, a
    signal or Ctrl-C, a message is logged and SystemExit is raised, too. Other exceptions are logged with their
    traceback and raised again.
    """
    escape_tracebacks()
    log_to(log, label)
    start = time.monotonic()
    try:
        with orderly_end():
            yield
    except InputError as error:
        LOGGER.error("%s", error)
        sys.exit(1)
    except MemoryError:
        LOGGER.exception("the memory that is free isn't enough. Run fewer steps at a time, or on a larger machine")
        sys.exit(1)
    except Ended as ended:
        LOGGER.info("%s", ended)
        sys.exit(ended.status)
    except KeyboardInterrupt:
        LOGGER.info("interrupted")
        sys.exit(130)
    except Exception:
        LOGGER.exception("failed")
        raise
    LOGGER.info("done in %.1f s", time.monotonic() - start)


#: with less free space nothing can run, and logs may lack the cause
_NOTHING_BYTES = 10_000_000
#: with less free space after an error of netCDF, the disk was full before the step removed its unfinished file
_LITTLE_BYTES = 100_000_000
_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_FORBIDDEN = (os.strerror(errno.EROFS), os.strerror(errno.EACCES))
_AGAIN = "then the same command goes on: finished files are kept."


def advice(log: str, folder: Path) -> list[str]:
    """Return remedies for errors that no step can report itself, such as a full disk.

    `log` is the text of the log of a failed run, and `folder` is the folder of the run.
    """
    lines = []
    free, where = shutil.disk_usage(folder).free, folder.resolve()
    least = _LITTLE_BYTES if "HDF error" in log else _NOTHING_BYTES  # netCDF's error if a disk is full
    if any(text in log for text in _FULL) or free < least:
        lines.append(f"The disk is full: {free / 1e6:.0f} MB are free in {where}. Make room, {_AGAIN}")
    if any(text in log for text in _FORBIDDEN):
        lines.append(f"A file can't be written, see above. Make it writable (results are in {where}), {_AGAIN}")
    if "Signals.SIGKILL" in log:
        lines.append(
            "A step was killed from outside, as the system does when memory runs out. Run fewer at a time "
            "(`make results CORES=1`, or --cores 1): finished files are kept."
        )
    return lines
