"""The public files of the configuration's block `downloads`: downloaded if missing, checked, and unpacked."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from clustermass.errors import InputError
from clustermass.io.files import write_json
from clustermass.io.log import LOGGER
from clustermass.io.provenance import file_sha256
from clustermass.io.transfer import Patience, TransferError, discard, receive

#: first bytes of a file, by the ending of its name
_BEGINNINGS = {".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".fits": b"SIMPLE"}


class Download(NamedTuple):
    """One file: its addresses, its path, and what it must be (None = unknown).

    `unpack` names the files to take out of an archive; they go beside it.
    """

    urls: Sequence[str]
    path: Path
    bytes: int | None = None
    sha256: str | None = None
    rows: int | None = None
    unpack: Sequence[str] = ()
    fetch: bool = True

    @property
    def record(self) -> Path:
        """File beside it with the hashes of the first download."""
        return self.path.with_name(f"{self.path.name}.sha256.json")

    @property
    def products(self) -> list[Path]:
        """The unpacked files, or the file itself."""
        return [self.path.with_name(name) for name in self.unpack] or [self.path]


def download_files(downloads: dict[str, Any]) -> None:
    """Download and check every file of a block `downloads`; the failure of one does not keep the others.

    A file without a configured SHA-256 is compared with the hash of its first download, which is recorded beside it
    (`<file>.sha256.json`).

    Parameters
    ----------
    downloads
        `files.<name>.{urls, path, bytes, sha256, rows, unpack, fetch}`, `tries`, `stall_s`, `pause_s`.

    Raises
    ------
    InputError
        No download is configured; or files could not be downloaded or are wrong: the message gives, for each, the
        failure at every address and what to do by hand.
    """
    entries = {name: Download(**entry) for name, entry in downloads.get("files", {}).items()}
    entries = {name: item._replace(path=Path(item.path)) for name, item in entries.items() if item.fetch}
    if not entries:
        raise InputError("downloads.files names nothing to fetch. Add --configfile config/efeds.yaml.")
    patience = Patience(**{key: downloads[key] for key in Patience._fields if key in downloads})
    failures = []
    for name, item in entries.items():
        try:
            _fetch(item, patience)
        except InputError as error:
            LOGGER.error("%s: %s", name, error)
            failures.append(f"{name}: {error}")
    if failures:
        raise InputError("\n".join([f"{len(failures)} of {len(entries)} downloads failed.", *failures]))


def _fetch(item: Download, patience: Patience) -> None:
    """Download one file, or check it if it is there already (from an earlier download, or put there by hand)."""
    hashes = _read_hashes(item)
    if all(path.is_file() for path in item.products):
        _check_present(item, item.products, hashes)
        LOGGER.info("%s: there already, checked", ", ".join(map(str, item.products)))
    else:
        item.path.parent.mkdir(parents=True, exist_ok=True)
        if item.path.is_file():
            _check_present(item, [item.path], hashes)
        else:
            _from_addresses(item, hashes, patience)
        if item.unpack:
            unpack(item.path, item.unpack, item.path.parent, partial(_fault, item, hashes))
    new = [path for path in {item.path, *item.products} if path.is_file() and path.name not in hashes]
    if new:
        hashes |= {path.name: digest(path, path.name) for path in new}
        write_json({"sha256": dict(sorted(hashes.items()))}, item.record)


def _check_present(item: Download, paths: Sequence[Path], hashes: dict[str, str]) -> None:
    for path in paths:
        if fault := _fault(item, hashes, path, path.name):
            raise InputError(f"{path}: {fault}. Delete it to download it again.")


def _fault(item: Download, hashes: dict[str, str], path: Path, name: str) -> str:
    """Return what is wrong with `path`, whose final name is `name`; '' = nothing."""
    itself = name == item.path.name
    if fault := fault_of(path, name, *((item.bytes, item.rows) if itself else ())):
        return fault
    expected = (item.sha256 if itself else None) or hashes.get(name)
    found = digest(path, name)
    if expected is None or found == expected:
        return ""
    if itself and item.sha256:
        return f"its SHA-256 is {found}, but {expected} is expected"
    return (
        f"its SHA-256 is {found}, but that of the first download was {expected}. If the publisher has replaced it, "
        f"delete {item.record} too"
    )


def _from_addresses(item: Download, hashes: dict[str, str], patience: Patience) -> None:
    part = item.path.with_name(f"{item.path.name}.part")
    reasons = []
    for url in item.urls:
        LOGGER.info("%s: from %s", item.path, url)
        try:
            receive(url, part, patience, item.bytes)
        except TransferError as error:
            reasons.append(f"  {url}: {error}.")
            continue
        fault = _fault(item, hashes, part, item.path.name)
        if not fault:
            part.replace(item.path)
            discard(part)
            LOGGER.info("%s: %.1f MB received and checked", item.path, item.path.stat().st_size / 1e6)
            return
        discard(part)
        reasons.append(f"  {url}: what came is wrong: {fault}.")
    hand = f"download it in a browser, put it at {item.path}, and run this again"
    raise InputError("\n".join([f"{item.path} could not be downloaded.", *reasons, f"  By hand: {hand}."]))


def _read_hashes(item: Download) -> dict[str, str]:
    if not item.record.is_file():
        return {}
    try:
        hashes = json.loads(item.record.read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(value) for name, value in hashes.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{item.record}: not readable ({error}). Delete it to record the hashes anew.") from error


def unpack(archive: Path, names: Sequence[str], folder: Path, fault: Callable[[Path, str], str]) -> None:
    """Take the files `names` out of a .tar.gz into one folder, whatever folder of the archive they lie in.

    They are unpacked into a temporary folder first and moved once the whole archive has been read and `fault` (of a
    path and its final name) returns '' for every file.

    Raises
    ------
    InputError
        The archive is damaged or cut short; a file is missing, occurs twice, is no regular file, or would leave the
        folder (filter 'data' of tarfile); `fault` finds one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpack.") as temporary:
        seen: list[str] = []
        try:
            for member, tape in _members(archive):
                name = PurePosixPath(member.name).name
                if name in names and name in seen:
                    raise InputError(f"{archive}: holds {name} twice. Unpack it by hand into {folder}/.")
                seen.append(name)
                if name in names:
                    _extract(member, tape, name, archive, temporary)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{archive}: damaged or cut short ({error}). Delete it to download it again.") from error
        missing = [name for name in names if name not in seen]
        if missing:
            listed = ", ".join(sorted(seen)[:20]) or "nothing"
            raise InputError(
                f"{archive}: lacks {', '.join(missing)}. It holds {listed}. Correct `unpack` in the configuration."
            )
        for name in names:
            if found := fault(Path(temporary) / name, name):
                raise InputError(f"{archive}: its {name} is wrong: {found}. Delete the archive to download it again.")
        for name in names:
            (Path(temporary) / name).replace(folder / name)


def _members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    with gzip.open(archive) as plain:
        with tarfile.open(fileobj=plain, mode="r|") as tape:
            for member in tape:
                yield member, tape
        while plain.read(1 << 20):  # to its end, where the checksum is
            pass


def _extract(member: tarfile.TarInfo, tape: tarfile.TarFile, name: str, archive: Path, folder: str) -> None:
    if not member.isreg():
        raise InputError(f"{archive}: {member.name} is no regular file. Don't use this archive.")
    LOGGER.info("%s: unpacking %s, %.1f MB", archive, name, member.size / 1e6)
    try:
        tape.extract(tarfile.data_filter(member, folder).replace(name=name), folder, filter="data")
    except tarfile.FilterError as error:
        raise InputError(f"{archive}: {error}. Don't use this archive.") from error


def fault_of(path: Path, name: str, size: int | None = None, rows: int | None = None) -> str:
    """Return what is wrong with a file, '' if nothing is found.

    Parameters
    ----------
    path
        The file under its present name.
    name
        Its final name, whose ending decides what it must be: .fits or .fits.gz a table, .tsv a table of VizieR, .tar.gz
        or .tgz an archive (read to its end only when it is unpacked).
    size
        Length in bytes that it must have.
    rows
        Number of rows that its table must have.
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
    if not name.endswith((".tsv", ".fits", ".fits.gz")):
        return ""
    try:
        if name.endswith(".gz"):
            with gzip.open(path) as stream:
                while stream.read(1 << 20):  # to its end, where the checksum is
                    pass
        found = _vizier_rows(path) if name.endswith(".tsv") else _fits_rows(path)
    except (OSError, EOFError, ValueError, zlib.error, AstropyUserWarning) as error:
        return f"truncated or damaged FITS file ({error})"
    if found is None:
        return "" if rows is None else "no table in it"
    return "" if rows is None or found == rows else f"{found} rows, but {rows} are expected"


def _fits_rows(path: Path) -> int | None:
    """Return the number of rows of the first table; a file that is cut short raises a warning of astropy's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyUserWarning)
        with fits.open(path) as hdus:
            lengths = [len(hdu.data) for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
    return lengths[0] if lengths else None


def _vizier_rows(path: Path) -> int | None:
    """Return the number of rows below the line of dashes; None if there is no such line, as for a wrong source."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    dashes = [number for number, line in enumerate(lines) if line.strip() and not line.strip("-\t ")]
    return sum(bool(line.strip()) and not line.startswith("#") for line in lines[dashes[0] + 1 :]) if dashes else None


def digest(path: Path, name: str) -> str:
    """Return the SHA-256 of a file; of a .tsv without its comment lines, where VizieR puts the date."""
    if not name.endswith(".tsv"):
        return file_sha256(path)
    lines = (line for line in path.read_bytes().splitlines(keepends=True) if not line.startswith(b"#"))
    return hashlib.sha256(b"".join(lines)).hexdigest()
