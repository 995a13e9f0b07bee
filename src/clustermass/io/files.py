"""Write files whole: under a temporary name first, so that a kill or a full disk never leaves half a file.

Nothing that depends on the clock is written: the same content gives the same bytes.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clustermass import limits
from clustermass.errors import InputError


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on any failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".part{path.suffix}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.umask(mask := os.umask(0))
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_present(paths: Iterable[Path]) -> None:
    """Raise InputError if a path on the command line doesn't exist; the message names all such paths."""
    if missing := [str(path) for path in paths if not path.exists()]:
        raise InputError(f"no such file: {', '.join(missing)}. Check the path on the command line.")


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Turn a failure to read `path` within the block into an InputError that calls its content `what`."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as fault:
        why = f"{type(fault).__name__}: {fault}"
        raise InputError(f"{path}: no readable {what} ({why}). Delete it and run again.") from fault


def read_json(path: str | Path, what: str) -> dict[str, Any]:
    """Return the block of keys in a JSON file.

    InputError, which calls the content `what`, if the file is missing, is damaged, or is larger than `limits` allows.
    """
    with reading(path, what):
        with Path(path).open("rb") as stream:
            raw = stream.read(limits.JSON_BYTES.most + 1)
        limits.JSON_BYTES.check(len(raw), path)
        content = json.loads(raw)
        if not isinstance(content, dict):
            raise TypeError("no block of keys")
        return content


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write `content`, with numpy's numbers and arrays, atomically as indented JSON; ValueError for NaN."""
    text = json.dumps(content, indent=2, allow_nan=False, default=lambda value: value.tolist())
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
