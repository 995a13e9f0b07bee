"""Progress of anything over a few seconds: a line to the log and the terminal every few seconds, never more often."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from clustermass.errors import InputError

T = TypeVar("T")
LOGGER = logging.getLogger("clustermass")


def log_to(path: str | Path, label: str) -> None:
    """Send the package's log lines to the file `path` (anew) and, headed by `label`, to standard error."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    LOGGER.handlers.clear()
    LOGGER.setLevel(logging.INFO)
    file = logging.FileHandler(path, mode="w", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter(logging.Formatter(f"[{label}] %(message)s"))
    LOGGER.addHandler(file)
    LOGGER.addHandler(screen)


def track(items: Iterable[T], what: str, every_s: float = 5.0, total: int | None = None) -> Iterator[T]:
    """Yield from `items`, logging how many are done and the time left at most every `every_s` seconds."""
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
    """Run one step of a workflow: log to `log` and the terminal; a user's error ends it with its message alone.

    Raises
    ------
    SystemExit
        Status 1, where the step raised `InputError`; every other exception passes with its traceback, logged.
    """
    log_to(log, label)
    start = time.monotonic()
    try:
        yield
    except InputError as error:
        LOGGER.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        LOGGER.info("interrupted")
        sys.exit(130)
    except Exception:
        LOGGER.exception("failed")
        raise
    LOGGER.info("done in %.1f s", time.monotonic() - start)
