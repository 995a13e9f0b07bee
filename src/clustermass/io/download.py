"""The files of the configuration's block `downloads`: fetched where they are missing, checked where they are not."""

import gzip
import hashlib
import json
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from astropy.io import fits

from clustermass.errors import InputError
from clustermass.io.files import write_json
from clustermass.io.fits import opened_fits
from clustermass.io.log import LOGGER
from clustermass.io.provenance import file_sha256
from clustermass.io.transfer import Patience, TransferError, discard, receive


@dataclass(frozen=True)
class Download:
    """One file: where it is to be had, where it goes, and what is known of it (None = not known).

    `unpack` names the files that are wanted of an archive; they go beside it.
    """

    urls: tuple[str, ...]
    path: Path
    size: int | None = None
    sha256: str | None = None
    rows: int | None = None
    unpack: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, block: Mapping[str, Any]) -> "Download":
        """Build from a block `downloads.files.<name>`."""
        known = {"size": block.get("bytes"), "sha256": block.get("sha256"), "rows": block.get("rows")}
        return cls(tuple(block["urls"]), Path(block["path"]), **known, unpack=tuple(block.get("unpack", ())))

    @property
    def record(self) -> Path:
        """File beside, with the hashes of the first download."""
        return self.path.with_name(f"{self.path.name}.sha256.json")

    @property
    def wanted(self) -> list[Path]:
        """The files to end up with: those of the archive, or the file itself."""
        return [self.path.with_name(name) for name in self.unpack] or [self.path]


def download_files(block: Mapping[str, Any]) -> None:
    """Fetch and check every file of a block `downloads`; one that fails doesn't keep the others.

    Where no SHA-256 is configured, that of the first download is trusted and recorded beside the file
    (`<file>.sha256.json`); later runs, and a later download of the same file, are checked against it.

    Parameters
    ----------
    block
        `files.<name>.{urls, path, bytes, sha256, rows, unpack, fetch}`, `tries`, `stall_s`, `pause_s`.

    Raises
    ------
    InputError
        Nothing to download is configured; or files could not be had or are not what they should be: for each, what
        every address gave, and what to do by hand.
    """
    files = {name: entry for name, entry in block.get("files", {}).items() if entry.get("fetch", True)}
    if not files:
        raise InputError("downloads.files names nothing to fetch. Add --configfile config/efeds.yaml.")
    patience = Patience(**{key: block[key] for key in ("tries", "stall_s", "pause_s") if key in block})
    failures = []
    for name, entry in files.items():
        try:
            fetch(Download.from_config(entry), patience)
        except InputError as error:
            LOGGER.error("%s: %s", name, error)
            failures.append(f"{name}: {error}")
    if failures:
        raise InputError("\n".join([f"{len(failures)} of {len(files)} downloads failed.", *failures]))


def fetch(item: Download, patience: Patience) -> None:
    """Fetch one file, or check it where it is there already (downloaded before, or put there by hand).

    Raises
    ------
    InputError
        No address gives it, or what is there isn't it.
    """
    record = _read_record(item)
    if all(path.is_file() for path in item.wanted):
        _check_present(item, item.wanted, record)
        LOGGER.info("%s: there already, checked", ", ".join(map(str, item.wanted)))
    else:
        item.path.parent.mkdir(parents=True, exist_ok=True)
        if item.path.is_file():
            _check_present(item, [item.path], record)
        else:
            _from_addresses(item, record, patience)
        if item.unpack:
            unpack(item.path, item.unpack, item.path.parent, partial(_fault, item, record=record))
    _write_record(item, record)


def _check_present(item: Download, paths: list[Path], record: Mapping[str, str]) -> None:
    for path in paths:
        if fault := _fault(item, path, path.name, record):
            raise InputError(f"{path}: {fault}. Delete it to download it again.")


def _fault(item: Download, path: Path, name: str, record: Mapping[str, str]) -> str:
    """Return what is wrong with `path`, which is or will be called `name`; '' = nothing."""
    itself = name == item.path.name
    if fault := fault_of(path, name, *((item.size, item.rows) if itself else ())):
        return fault
    expected = item.sha256 if itself and item.sha256 else record.get(name)
    found = digest(path, name)
    if expected is None or found == expected:
        return ""
    if itself and item.sha256:
        return f"its SHA-256 is {found}, but {expected} is expected"
    return (
        f"its SHA-256 is {found}, but that of the first download was {expected}. If the publisher has replaced it, "
        f"delete {item.record} too"
    )


def _from_addresses(item: Download, record: Mapping[str, str], patience: Patience) -> None:
    part = item.path.with_name(f"{item.path.name}.part")
    reasons = []
    for url in item.urls:
        LOGGER.info("%s: from %s", item.path, url)
        try:
            receive(url, part, patience, item.size)
        except TransferError as error:
            reasons.append(f"  {url}: {error}.")
            continue
        fault = _fault(item, part, item.path.name, record)
        if not fault:
            part.replace(item.path)
            discard(part)
            LOGGER.info("%s: %.1f MB received and checked", item.path, item.path.stat().st_size / 1e6)
            return
        discard(part)
        reasons.append(f"  {url}: what came is wrong: {fault}.")
    hand = f"download it in a browser, put it at {item.path}, and run this again"
    raise InputError("\n".join([f"{item.path} could not be downloaded.", *reasons, f"  By hand: {hand}."]))


def _read_record(item: Download) -> dict[str, str]:
    if not item.record.is_file():
        return {}
    try:
        hashes = json.loads(item.record.read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(value) for name, value in hashes.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{item.record}: not readable ({error}). Delete it; the hashes are then taken anew."
        ) from error


def _write_record(item: Download, record: Mapping[str, str]) -> None:
    there = [path for path in {item.path, *item.wanted} if path.is_file() and path.name not in record]
    hashes = {**record, **{path.name: digest(path, path.name) for path in there}}
    if hashes != record:
        write_json({"sha256": dict(sorted(hashes.items()))}, item.record)


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


_BEGINNINGS = {".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".fits": b"SIMPLE"}
_ARCHIVES = (".tar.gz", ".tgz")


def fault_of(path: Path, name: str, size: int | None = None, rows: int | None = None) -> str:
    """Return what is wrong with a file, '' if nothing is found.

    Parameters
    ----------
    path
        The file, whatever it is called now.
    name
        Its final name, whose ending says what it must be: .fits or .fits.gz a table, .tsv a table of VizieR, .tar.gz
        or .tgz an archive (read to its end when it is unpacked, not here).
    size
        Bytes that it must have.
    rows
        Rows that its table must have.
    """
    length = path.stat().st_size
    with path.open("rb") as stream:
        begin = stream.read(64)
    if begin.lstrip().startswith(b"<"):
        return f"a web page, not the file (it begins with {begin.strip()[:15].decode(errors='replace')!r})"
    if not begin.startswith(_BEGINNINGS.get(Path(name).suffix, b"")):
        return f"no {Path(name).suffix} file (it begins with {begin[:6]!r})"
    if size is not None and length != size:
        return f"{length} bytes, but {size} are expected"
    return "" if name.endswith(_ARCHIVES) else _fault_of_table(path, name, rows)


def _fault_of_table(path: Path, name: str, rows: int | None) -> str:
    try:
        found = _vizier_rows(path) if name.endswith(".tsv") else _fits_rows(path, name)
    except (InputError, OSError, EOFError, zlib.error) as error:
        return str(error).removeprefix(f"{path}: ")
    if found is None:
        return "" if rows is None else "no table in it"
    return "" if rows is None or found == rows else f"{found} rows, but {rows} are expected"


def _fits_rows(path: Path, name: str) -> int | None:
    """Rows of the first table; one that is cut short is noticed."""
    if not name.endswith((".fits", ".fits.gz")):
        if name.endswith(".gz"):
            _read_gzip(path)
        return None
    with opened_fits(path) as hdus:
        found = [hdu for hdu in list(hdus) if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        return int(found[0].header["NAXIS2"]) if found else None


def _read_gzip(path: Path) -> None:
    with gzip.open(path) as stream:
        while stream.read(1 << 20):
            pass


def _vizier_rows(path: Path) -> int | None:
    """Rows below the line of dashes; None where there is no such line, as in VizieR's answer to a wrong source."""
    number: int | None = None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if number is None:
            number = 0 if line.strip() and not line.strip("-\t ") else None
        elif line.strip() and not line.startswith("#"):
            number += 1
    return number


def digest(path: Path, name: str) -> str:
    """Return the SHA-256 of a file; of a .tsv without its lines of comment, where VizieR puts the date."""
    if not name.endswith(".tsv"):
        return file_sha256(path)
    lines = (line for line in path.read_bytes().splitlines(keepends=True) if not line.startswith(b"#"))
    return hashlib.sha256(b"".join(lines)).hexdigest()
