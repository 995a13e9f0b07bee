"""Download, check and unpack the public files that the block `downloads` of the configuration lists.

An interrupted transfer is tried again a few times, and resumed where it stopped. An incomplete file never gets the
final name.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

import clustermass
from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.archive import unpack
from clustermass.io.files import read_json, reading, write_json
from clustermass.io.fits import wrong_content
from clustermass.io.log import LOGGER, printable
from clustermass.io.provenance import file_sha256

if TYPE_CHECKING:
    from clustermass.config.models import Download, Downloads

#: function of a file's path and final name, which returns a text that says what is wrong with the file, or ""
Check: TypeAlias = Callable[[Path, str], str]
_PIECE_BYTES = 1 << 18
_LOG_EVERY_S = 5.0
_LONGEST_PAUSE_S = 60.0
#: a transfer with fewer bytes per second, on average over `stall_s`, counts as stalled
_SLOWEST = 100
_MOST_REDIRECTS = 5
#: share of the free disk that a file of unknown length may take
_SHARE = 0.9
#: a number in a header
_DIGITS = re.compile("[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
#: HTTP status codes after which another try may succeed
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
_WEB_PAGES = ("text/html", "application/xhtml+xml")


class TransferError(Exception):
    """Raised if an address does not give the file.

    If `again` is true, another try may succeed. `after_s` is the number of seconds to wait before this try, or None if
    this number is unknown.
    """

    def __init__(self, reason: str, again: bool = False, after_s: float | None = None) -> None:
        super().__init__(printable(reason))  # it may hold what a server says
        self.again, self.after_s = again, after_s


def download_files(downloads: Downloads) -> None:
    """Download and check every file of the block `downloads`.

    If a file fails, the others are still downloaded. If the configuration gives no SHA-256 of a file, the file is
    compared with the hash of its first download, which is recorded beside it (`<file>.sha256.json`). InputError if no
    download is configured, or if files could not be downloaded or are wrong. For each of these files, the message says
    what went wrong at every address, and what to do by hand.
    """
    files = {name: item for name, item in downloads.get("files", {}).items() if item.get("fetch", True)}
    if not files:
        raise InputError("downloads.files names nothing to fetch. Add --configfile config/efeds.yaml or erass1.yaml.")
    failures = []
    for name, item in files.items():
        try:
            _fetch(item, downloads)
        except InputError as error:
            LOGGER.error("%s: %s", name, error)
            failures.append(f"{name}: {error}")
    if failures:
        raise InputError("\n".join([f"{len(failures)} of {len(files)} downloads failed.", *failures]))


def _fetch(item: Download, downloads: Downloads) -> None:
    """Download and unpack one file, or only check it if it exists already (it may have been put there by hand)."""
    path, record = Path(item["path"]), Path(f"{item['path']}.sha256.json")
    unpacked = [path.with_name(name) for name in item.get("unpack", ())]
    hashes = _read_hashes(record)
    check = partial(_fault, item, hashes, record)
    complete = all(one.is_file() for one in unpacked or [path])
    for one in unpacked if complete and unpacked else [path, *unpacked]:
        if one.is_file() and (fault := check(one, one.name)):
            raise InputError(f"{one}: {fault}. Delete it to download it again.")
    if complete:
        LOGGER.info("%s: there already, checked", ", ".join(map(str, unpacked or [path])))
    elif not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _from_addresses(item, downloads, check)
    if unpacked and not complete:
        unpack(path, [one.name for one in unpacked if not one.is_file()], check)
    new = {one.name: _sha256(one, one.name) for one in (path, *unpacked) if one.is_file() and one.name not in hashes}
    if new:
        write_json({"sha256": dict(sorted((hashes | new).items()))}, record)


def _read_hashes(record: Path) -> dict[str, str]:
    if not record.is_file():
        return {}
    with reading(record, "hashes"):
        return {str(name): str(value) for name, value in read_json(record, "hashes")["sha256"].items()}


def _fault(item: Download, hashes: dict[str, str], record: Path, path: Path, name: str) -> str:
    """Return what is wrong with `path`, which `item` describes or contains as `name`, or "".

    `hashes` maps such names to the SHA-256 of the first downloads, which are stored in the file `record`.
    """
    itself = name == Path(item["path"]).name
    size, rows, stated = (item.get("bytes"), item.get("rows"), item.get("sha256")) if itself else (None, None, None)
    if fault := wrong_content(path, name, size, rows):
        return fault
    expected, digest = stated or hashes.get(name), _sha256(path, name)
    if expected in (None, digest):
        return ""
    replaced = f"that of the first download was {expected}. If the publisher has replaced it, delete {record} too"
    return f"its SHA-256 is {digest}, but {f'{expected} is expected' if stated else replaced}"


def _sha256(path: Path, name: str) -> str:
    """Return the SHA-256 of a file. Comment lines of a .tsv don't count, because VizieR writes the date in them."""
    if not name.endswith(".tsv"):
        return file_sha256(path)
    lines = (line for line in path.read_bytes().splitlines(keepends=True) if not line.startswith(b"#"))
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _from_addresses(item: Download, downloads: Downloads, check: Check) -> None:
    """Download a file from the first of its addresses that gives the right file."""
    path, part = Path(item["path"]), Path(f"{item['path']}.part")
    reasons = []
    for url in item["urls"]:
        LOGGER.info("%s: from %s", path, url)
        try:
            receive(url, part, downloads, item.get("bytes"))
            if fault := check(part, path.name):
                _discard(part)
                raise TransferError(f"what came is wrong: {fault}")
        except TransferError as error:
            reasons.append(f"  {url}: {error}.")
            continue
        part.replace(path)
        _discard(part)
        LOGGER.info("%s: %.1f MB received and checked", path, path.stat().st_size / 1e6)
        return
    hand = f"  By hand: download it in a browser, put it at {path}, and run this again."
    raise InputError("\n".join([f"{path} could not be downloaded.", *reasons, hand]))


def receive(url: str, part: Path, downloads: Downloads, size: int | None = None) -> None:
    """Download the file at `url` to the path `part`, and continue where an earlier try of `url` stopped.

    `size` is the number of bytes of the file, or None if it is unknown. The block `downloads` sets the number of tries,
    the number of seconds without data after which a try ends, and the length of the first pause between tries in s. The
    pause doubles after each try.

    Bytes of an earlier try are kept if the server confirms that the file is the same. For this, `<part>.json` holds the
    file's ETag or Last-Modified, which is sent to the server in the header If-Range.

    TransferError if the address does not give the file. Received bytes are then kept, unless they are wrong. InputError
    if the disk is full.
    """
    tries, pause_s = downloads.get("tries", 6), downloads.get("pause_s", 2.0)
    for number in range(1, tries + 1):
        try:
            return _attempt(url, part, downloads.get("stall_s", 60.0), size)
        except TransferError as error:
            if not error.again:
                raise
            if number == tries:
                raise TransferError(f"{error} (try {number} of {number})") from error
            pause = min(error.after_s or pause_s * 2 ** (number - 1), _LONGEST_PAUSE_S)
            LOGGER.warning("%s: %s; try %d of %d in %.3g s", url, error, number + 1, tries, pause)
            time.sleep(pause)


def _discard(part: Path) -> None:
    """Remove an incomplete download, and `<part>.json`, which holds the download's address and its ETag or date."""
    for path in (part, Path(f"{part}.json")):
        path.unlink(missing_ok=True)


def _attempt(url: str, part: Path, stall_s: float, size: int | None) -> None:
    try:
        begun = json.loads(Path(f"{part}.json").read_text(encoding="utf-8"))
        version, have = (begun["validator"], part.stat().st_size) if begun["url"] == url else (None, 0)
    except (OSError, ValueError, KeyError, TypeError):
        version, have = None, 0
    headers = {"User-Agent": f"clustermass/{clustermass.__version__}", "Accept-Encoding": "identity"}
    if version and have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    with _answer(url, headers, part, stall_s) as response:
        start, total = _range(response, have, version, part)
        if size is not None and total is not None and total != size:
            raise TransferError(f"the file there has {total} bytes, but {size} are expected")
        if (missing := (total or 0) - start) > (free := shutil.disk_usage(part.parent).free):
            raise InputError(f"{part}: {missing / 1e6:.1f} MB to come, but {free / 1e6:.1f} MB free. Make room.")
        if start == 0:
            _discard(part)
            part.touch()
            stated = response.headers.get("ETag", "")
            if not stated or stated.startswith("W/"):  # files with the same weak ETag need not have the same bytes
                stated = response.headers.get("Last-Modified", "")
            if stated:
                write_json({"url": url, "validator": stated}, Path(f"{part}.json"))
        _save(response, part, start, total if size is None else size, stall_s)


@contextmanager
def _answer(url: str, headers: dict[str, str], part: Path, stall_s: float) -> Iterator[requests.Response]:
    """Yield the server's answer for `url`. Any failure becomes a TransferError."""
    session = requests.Session()
    session.max_redirects = _MOST_REDIRECTS
    try:
        with session, session.get(url, headers=headers, stream=True, timeout=stall_s) as response:
            check_redirects(response)
            status = response.status_code
            if status == requests.codes.requested_range_not_satisfiable:
                _discard(part)
                raise TransferError("the file there is shorter than what was received of it: starting again", True)
            if not response.ok:
                wait = response.headers.get("Retry-After", "")
                after_s = float(wait) if _DIGITS.fullmatch(wait) else None
                raise TransferError(f"HTTP {status} {response.reason}", status in _TEMPORARY, after_s)
            if response.headers.get("Content-Type", "").partition(";")[0] in _WEB_PAGES:
                raise TransferError("answers with a web page instead of the file")
            yield response
    except (requests.exceptions.InvalidSchema, requests.exceptions.TooManyRedirects) as error:
        raise TransferError(f"redirects to an address that is not allowed ({error})") from error
    except InputError:
        raise
    except requests.exceptions.SSLError as error:
        raise TransferError(f"its certificate can't be verified ({error})") from error
    except (requests.exceptions.Timeout, ReadTimeoutError) as error:
        raise TransferError(f"nothing came for {stall_s:g} s", again=True) from error
    except (requests.exceptions.RequestException, HTTPError) as error:
        raise TransferError(f"no connection ({error})", again=True) from error
    except ValueError as error:  # of a redirect
        raise TransferError(f"names an address that can't be read ({error})") from error


def check_redirects(response: requests.Response) -> None:
    """Raise TransferError if a redirect of `response` led from https to http."""
    addresses = [answer.url for answer in (*response.history, response)]
    unsafe = [address for address in addresses if not address.startswith("https://")]
    if unsafe and addresses[0].startswith("https://"):
        raise TransferError(f"redirects to {unsafe[0]}, which isn't safe")


def _range(response: requests.Response, have: int, version: str | None, part: Path) -> tuple[int, int | None]:
    """Return the position in the file at which the answer starts, and the length of the whole file in bytes.

    The length is None if it is unknown. An earlier try received `have` bytes of the file. `version` is the ETag or date
    that the file had then. TransferError if the answer doesn't continue these bytes.
    """
    if response.status_code != requests.codes.partial_content:
        length = response.headers.get("Content-Length", "")
        if length and not _DIGITS.fullmatch(length):
            raise TransferError(f"says that the file has {length!r} bytes")
        return 0, int(length) if length else None
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    versions = [response.headers[name] for name in ("ETag", "Last-Modified") if name in response.headers]
    if match is None or int(match[1]) != have or (versions and version not in versions):
        _discard(part)
        raise TransferError("the file there has changed since its first part was received: starting again", again=True)
    return have, None if match[3] == "*" else int(match[3])


def _save(response: requests.Response, part: Path, start: int, total: int | None, stall_s: float) -> None:
    """Append received data to `part`, which has `start` of `total` bytes (None = unknown), and log every few seconds.

    TransferError if the transfer is very slow, or if more than `total` bytes or, without `total`, more than
    `limits.DOWNLOADED` or the free disk space arrive. InputError if `part` can't be written.
    """
    most = int(min(limits.DOWNLOADED.most, start + _SHARE * shutil.disk_usage(part.parent).free))
    most = most if total is None else total
    begun = logged = marked = time.monotonic()
    done = at_mark = start
    with part.open("ab") as stream:
        while piece := response.raw.read1(_PIECE_BYTES):
            if done + len(piece) > most:
                _discard(part)
                raise TransferError(f"sends more than {most} bytes")
            try:
                stream.write(piece)
            except OSError as error:
                raise InputError(f"{part}: can't be written ({error.strerror}). Make room, and run again.") from error
            done, now = done + len(piece), time.monotonic()
            if now - marked >= stall_s:
                if done - at_mark < _SLOWEST * stall_s:
                    raise TransferError(f"only {done - at_mark} bytes came in {now - marked:.3g} s", again=True)
                marked, at_mark = now, done
            if now - logged >= _LOG_EVERY_S:
                logged, rate = now, (done - start) / (now - begun)
                left = f" of {total / 1e6:.1f} MB, {(total - done) / max(rate, 1.0):.0f} s left" if total else " MB"
                LOGGER.info("%s: %.1f%s (%.2f MB/s)", part.stem, done / 1e6, left, rate / 1e6)
