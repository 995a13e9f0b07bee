"""Unpacking of downloaded archives (.tar.gz).

Only named regular files are unpacked, within limits of size and free disk space.
"""

import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.log import LOGGER

_PIECE_BYTES = 1 << 20


class _Plain(gzip.GzipFile):
    """The unpacked bytes of an archive, which are read in small pieces."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the next `size` bytes; EOFError for a negative or large `size`, which only a faulty header has."""
        if size is None or not 0 <= size <= _PIECE_BYTES:
            raise EOFError(f"a header of {size} bytes")
        return super().read(size)


def unpack(archive: Path, names: Sequence[str], check: Callable[[Path, str], str]) -> None:
    """Extract the files `names` of a .tar.gz into the folder that holds the archive.

    Folders inside the archive aren't made. The function `check` takes the present path and the final name of a file,
    and returns a text that says what is wrong with the file, or "" if nothing is. Files get their final names only
    after the whole archive has been read and all files have passed `check`.

    InputError if the archive is damaged, cut short or too large. InputError also if a file is missing or wrong, is in
    the archive twice, isn't a regular file, or would be written outside the folder.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpack.") as temporary:
        try:
            with _Plain(archive) as plain:
                _read_to_end(plain, archive)
                plain.seek(0)
                with tarfile.open(fileobj=plain, mode="r:") as tape:
                    _extract(tape, names, archive, temporary)
        except tarfile.FilterError as error:
            raise InputError(f"{archive}: {error}. Don't use this archive.") from error
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{archive}: damaged or cut short ({error}). Delete it to download it again.") from error
        for name in names:
            if fault := check(Path(temporary) / name, name):
                raise InputError(f"{archive}: its {name} is wrong: {fault}. Delete the archive to download it again.")
        for name in names:
            (Path(temporary) / name).replace(archive.with_name(name))


def _read_to_end(plain: _Plain, archive: Path) -> None:
    """Read an archive to its end, because its checksum is there; InputError if its content is too large."""
    done = 0
    while piece := plain.read(_PIECE_BYTES):
        done += len(piece)
        limits.ARCHIVE_BYTES.check(done, archive)


def _extract(tape: tarfile.TarFile, names: Sequence[str], archive: Path, folder: str) -> None:
    """Extract the members `names` of a tar archive into `folder`, without the archive's folders."""
    members = []
    for member in tape:
        members.append((PurePosixPath(member.name).name, member))
        limits.ARCHIVE_MEMBERS.check(len(members), archive)
    held = [name for name, _ in members]
    if missing := [name for name in names if name not in held]:
        holds = f"It holds {', '.join(sorted(held)[:20]) or 'nothing'}"
        raise InputError(f"{archive}: lacks {', '.join(missing)}. {holds}. Correct `unpack` in the configuration.")
    wanted = [(name, member) for name, member in members if name in names]
    needed, free = sum(member.size for _, member in wanted), shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(f"{archive}: {needed / 1e6:.1f} MB to unpack, but {free / 1e6:.1f} MB free. Make room.")
    for name, member in wanted:
        if held.count(name) > 1:
            raise InputError(f"{archive}: holds {name} twice. Unpack it by hand into {archive.parent}/.")
        if not member.isreg():
            raise InputError(f"{archive}: {member.name} is no regular file. Don't use this archive.")
        LOGGER.info("%s: unpacking %s, %.1f MB", archive, name, member.size / 1e6)
        tape.extract(tarfile.data_filter(member, folder).replace(name=name), folder, filter="data")
