"""Named files out of a packed tape archive, and nothing else."""

import gzip
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from clustermass.errors import InputError
from clustermass.progress import LOGGER


def unpack(archive: Path, wanted: Sequence[str], folder: Path, fault: Callable[[Path, str], str]) -> None:
    """Take files by their names out of a .tar.gz into one folder; the archive's own folders don't count.

    Everything is unpacked into a temporary folder beside and moved only when the whole archive has been read and
    `fault` (of a path and its final name) says '' to every file.

    Raises
    ------
    InputError
        The archive is damaged or cut short; a wanted file is missing, twice in it, no regular file, or to be put
        outside (Python's filter 'data'); `fault` finds one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpack.") as temporary:
        seen: list[str] = []
        try:
            for member, tape in _members(archive):
                name = PurePosixPath(member.name).name
                if name in wanted and name in seen:
                    raise InputError(f"{archive}: holds {name} twice. Unpack it by hand into {folder}/.")
                seen.append(name)
                if name in wanted:
                    _take(member, tape, name, archive, temporary)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{archive}: damaged or cut short ({error}). Delete it to download it again.") from error
        missing = [name for name in wanted if name not in seen]
        if missing:
            listed = ", ".join(sorted(seen)[:20]) or "nothing"
            raise InputError(
                f"{archive}: lacks {', '.join(missing)}. It holds {listed}. Correct `unpack` in the configuration."
            )
        for name in wanted:
            if found := fault(Path(temporary) / name, name):
                raise InputError(f"{archive}: its {name} is wrong: {found}. Delete the archive to download it again.")
        for name in wanted:
            (Path(temporary) / name).replace(folder / name)


def _members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    with gzip.open(archive) as plain:
        with tarfile.open(fileobj=plain, mode="r|") as tape:
            for member in tape:
                yield member, tape
        while plain.read(1 << 20):  # to its end, where the checksum is
            pass


def _take(member: tarfile.TarInfo, tape: tarfile.TarFile, name: str, archive: Path, temporary: str) -> None:
    if not member.isreg():
        raise InputError(f"{archive}: {member.name} is no regular file. Don't use this archive.")
    try:
        safe = tarfile.data_filter(member, temporary)
    except tarfile.FilterError as error:
        raise InputError(f"{archive}: {error}. Don't use this archive.") from error
    LOGGER.info("%s: unpacking %s, %.1f MB", archive, name, member.size / 1e6)
    tape.extract(safe.replace(name=name), temporary, filter="data")
