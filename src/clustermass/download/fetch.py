"""The files of the configuration's block `downloads`: fetched where they are missing, checked where they are not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from clustermass.datasets import write_json
from clustermass.download.archive import unpack
from clustermass.download.contents import digest, fault_of
from clustermass.download.transfer import Patience, TransferError, discard, receive
from clustermass.errors import InputError
from clustermass.progress import LOGGER


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
