"""One file from one address over HTTP: resumed where the connection broke, tried again a few times, never cut short."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

import clustermass
from clustermass.errors import InputError
from clustermass.io.files import write_json
from clustermass.io.log import LOGGER

_PIECE_BYTES = 1 << 18
_LOG_EVERY_S = 5.0
_LONGEST_PAUSE_S = 60.0
#: a slower transfer, in bytes per second over `stall_s`, counts as stalled
_SLOWEST = 100
#: HTTP status codes after which another try may succeed
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
_WEB_PAGES = ("text/html", "application/xhtml+xml")


class TransferError(Exception):
    """The address does not give the file, and another try would not help."""


class _TemporaryError(Exception):
    """The next try may succeed; `after_s` is the pause that the server asks for."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Patience(NamedTuple):
    """Number of tries of an address, seconds of silence until a try is given up, first pause in s (then doubled)."""

    tries: int = 6
    stall_s: float = 60.0
    pause_s: float = 2.0


def receive(url: str, part: Path, patience: Patience, size: int | None = None) -> None:
    """Download `url` into `part`; bytes that an earlier try left in `part` are kept if the file has not changed.

    They are kept if they came from the same address and the server confirms by ETag or Last-Modified (header If-Range)
    that the file is the same. After a failure `part` stays, with `<part>.json` beside it.

    Parameters
    ----------
    url
        http or https.
    part
        File to write.
    patience
        Tries, pauses and time-outs.
    size
        Expected length in bytes, if known.

    Raises
    ------
    TransferError
        The address does not give the file.
    InputError
        The disk is full.
    """
    reason = ""
    for number in range(1, patience.tries + 1):
        try:
            return _attempt(url, part, patience.stall_s, size)
        except _TemporaryError as error:
            reason = str(error)
            if number < patience.tries:
                pause = min(error.after_s or patience.pause_s * 2 ** (number - 1), _LONGEST_PAUSE_S)
                LOGGER.warning("%s: %s; try %d of %d in %.3g s", url, reason, number + 1, patience.tries, pause)
                time.sleep(pause)
    raise TransferError(f"{reason} (try {patience.tries} of {patience.tries})")


def discard(part: Path) -> None:
    """Remove a partial file and its record."""
    part.unlink(missing_ok=True)
    _record(part).unlink(missing_ok=True)


def _record(part: Path) -> Path:
    """Return the file beside `part` that holds its address and the server's version of it."""
    return part.with_name(f"{part.name}.json")


def _attempt(url: str, part: Path, stall_s: float, size: int | None) -> None:
    version = _version_of_part(url, part)
    have = part.stat().st_size if version else 0
    headers = {"User-Agent": f"clustermass/{clustermass.__version__}", "Accept-Encoding": "identity"}
    if version and have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    with _answer(url, headers, part, stall_s) as response:
        if response.headers.get("Content-Type", "").partition(";")[0] in _WEB_PAGES:
            raise TransferError("answers with a web page instead of the file")
        start, total = _range(response, have, version, part)
        if size is not None and total is not None and total != size:
            raise TransferError(f"the file there has {total} bytes, but {size} are expected")
        if (missing := (total or 0) - start) > (free := shutil.disk_usage(part.parent).free):
            raise InputError(f"{part}: {missing / 1e6:.1f} MB to come, but {free / 1e6:.1f} MB free. Make room.")
        if start == 0:
            _begin(url, part, response)
        _save(response, part, start, total, stall_s)


@contextmanager
def _answer(url: str, headers: dict[str, str], part: Path, stall_s: float) -> Iterator[requests.Response]:
    """Yield the server's answer; every failure becomes a `TransferError` or a `_TemporaryError` with its reason."""
    try:
        with requests.get(url, headers=headers, stream=True, timeout=stall_s) as response:
            check_redirects(response)
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                discard(part)
                raise _TemporaryError("the file there is shorter than what was received of it: starting again")
            if not response.ok:
                answer = f"HTTP {response.status_code} {response.reason}"
                pause = response.headers.get("Retry-After", "")
                if response.status_code not in _TEMPORARY:
                    raise TransferError(answer)
                raise _TemporaryError(answer, float(pause) if pause.isdigit() else None)
            yield response
    except (requests.exceptions.InvalidSchema, requests.exceptions.TooManyRedirects) as error:
        raise TransferError(f"redirects to an address that is not allowed ({error})") from error
    except requests.exceptions.SSLError as error:
        raise TransferError(f"its certificate can't be verified ({error})") from error
    except (requests.exceptions.Timeout, ReadTimeoutError) as error:
        raise _TemporaryError(f"nothing came for {stall_s:g} s") from error
    except (requests.exceptions.RequestException, HTTPError) as error:
        raise _TemporaryError(f"no connection ({error})") from error


def check_redirects(response: requests.Response) -> None:
    """Make sure that no redirect of `response` led from https to http.

    Raises
    ------
    TransferError
        One did.
    """
    addresses = [answer.url for answer in (*response.history, response)]
    unsafe = [address for address in addresses if not address.startswith("https://")]
    if unsafe and addresses[0].startswith("https://"):
        raise TransferError(f"redirects to {unsafe[0]}, which isn't safe")


def _range(response: requests.Response, have: int, version: str | None, part: Path) -> tuple[int, int | None]:
    """Return the byte at which the answer starts, and the length of the whole file (None: unknown)."""
    if response.status_code != requests.codes.partial_content:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length else None
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    versions = [response.headers[name] for name in ("ETag", "Last-Modified") if name in response.headers]
    if match is None or int(match[1]) != have or (versions and version not in versions):
        discard(part)
        raise _TemporaryError("the file there has changed since its first part was received: starting again")
    return have, None if match[3] == "*" else int(match[3])


def _version_of_part(url: str, part: Path) -> str | None:
    """Return the version (ETag or date) of the file that `part` began with; None if there is nothing to resume."""
    try:
        state = json.loads(_record(part).read_text(encoding="utf-8"))
        return state["validator"] if part.is_file() and state["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _begin(url: str, part: Path, response: requests.Response) -> None:
    discard(part)
    part.touch()
    etag = response.headers.get("ETag", "")
    # files with the same weak ETag need not have the same bytes
    version = response.headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
    if version:
        write_json({"url": url, "validator": version}, _record(part))


def _save(response: requests.Response, part: Path, start: int, total: int | None, stall_s: float) -> None:
    begun = logged = marked = time.monotonic()
    done = at_mark = start
    with part.open("ab") as stream:
        while piece := response.raw.read1(_PIECE_BYTES):
            try:
                stream.write(piece)
            except OSError as error:
                raise InputError(f"{part}: can't be written ({error.strerror}). Make room, and run again.") from error
            done += len(piece)
            now = time.monotonic()
            if now - marked >= stall_s:
                if done - at_mark < _SLOWEST * stall_s:
                    raise _TemporaryError(f"only {done - at_mark} bytes came in {now - marked:.3g} s")
                marked, at_mark = now, done
            if now - logged >= _LOG_EVERY_S:
                logged, rate = now, (done - start) / (now - begun)
                left = f" of {total / 1e6:.1f} MB, {(total - done) / max(rate, 1.0):.0f} s left" if total else " MB"
                LOGGER.info("%s: %.1f%s (%.2f MB/s)", part.stem, done / 1e6, left, rate / 1e6)
