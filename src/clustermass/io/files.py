"""Write files under a temporary name until they are complete, so that a kill or a full disk never leaves half a file.

The same content gives the same bytes, because nothing that depends on the clock is written.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clustermass import limits
from clustermass.errors import InputError

#: beginning of the last line of a sealed file; this line ends with the SHA-256 of all bytes before it
_SEAL = b"\nsha256 "
_SEAL_BYTES = len(_SEAL) + 2 * hashlib.sha256().digest_size + 1
_PIECE_BYTES = 1 << 20
#: most bytes of a file's name in its temporary name, which may have 255 bytes
_NAME_BYTES = 200
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.part(\.[^.]+)?")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`. The file is renamed to `path` on success, and removed on any failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    end = os.fsdecode(os.fsencode(path.name)[-_NAME_BYTES:])
    handle, name = tempfile.mkstemp(prefix=f".{end}.", suffix=f".part{path.suffix}", dir=path.parent)
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


def is_temporary(name: str) -> bool:
    """Return whether a name has the form that `atomic` gives to unfinished files: .images.nc.xp3_a0qz.part.nc."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and Path(match[1]).suffix == (match[2] or "")


def check_path(path: Path) -> None:
    """Raise InputError if no file can have this path, for instance because a name in it is too long."""
    try:
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.lstat()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no possible path ({getattr(error, 'strerror', error)}). Name another.") from error


def check_present(paths: Iterable[Path]) -> None:
    """Raise InputError if a user's path doesn't exist; the message names all such paths."""
    if missing := [str(path) for path in paths if not path.exists()]:
        raise InputError(f"no such file: {', '.join(missing)}. Check the path.")


def seal_of(path: Path) -> bytes:
    """Return a line with the SHA-256 of a file's bytes. HDF5 ignores such a line at the end of a file."""
    return _SEAL + _sha256(path, path.stat().st_size).encode() + b"\n"


def check_seal(path: Path) -> None:
    """Raise OSError if a file ends with a seal (see `seal_of`), and the bytes before the seal have changed.

    This is checked before HDF5 reads the file. HDF5 can loop forever in a damaged file, and Python can't stop it.
    """
    length = path.stat().st_size - _SEAL_BYTES
    with path.open("rb") as stream:
        stream.seek(max(length, 0))
        line = stream.read()
    if line.startswith(_SEAL) and line[len(_SEAL) :].strip() != _sha256(path, length).encode():
        raise OSError("its bytes have changed since it was written")


def _sha256(path: Path, length: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(min(length, _PIECE_BYTES)):
            digest.update(piece)
            length -= len(piece)
    return digest.hexdigest()


def reason(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its type if it has no message."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Raise InputError if the `with` block fails to read the file `path`. In the message, `what` names the content."""
    try:
        yield
    except InputError:
        raise
    except (
        OSError,
        MemoryError,
        ValueError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
    ) as fault:
        why = f"{type(fault).__name__}: {reason(fault)}"
        raise InputError(f"{path}: no readable {what} ({why}). Delete it and run again.") from fault


def read_json(path: str | Path, what: str) -> dict[str, Any]:
    """Return the content of a JSON file as a dictionary.

    InputError if the file is missing, is damaged, isn't a block of keys, or is larger than `limits` allows. In the
    message, `what` names the content of the file.
    """
    with reading(path, what):
        with Path(path).open("rb") as stream:
            raw = stream.read(limits.JSON_BYTES.most + 1)
        limits.JSON_BYTES.check(len(raw), path)
        content = json.loads(raw)
        if not isinstance(content, dict):
            raise TypeError("no block of keys")
        return content


def check_weights_header(path: str | Path) -> None:
    """Raise InputError if the header of a safetensors file is too long. The first 8 bytes state the header's length."""
    with Path(path).open("rb") as stream:
        stated = int.from_bytes(stream.read(8), "little")
    limits.WEIGHTS_HEADER.check(min(stated, Path(path).stat().st_size), path)


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write `content` atomically as indented JSON. It may hold NumPy numbers and arrays. ValueError if it holds NaN."""
    text = json.dumps(content, indent=2, allow_nan=False, default=lambda value: value.tolist())
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
