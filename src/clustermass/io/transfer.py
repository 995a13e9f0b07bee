"""One address into one file over HTTP: resumed where it broke off, tried again a few times, never taken for whole."""

import http.client
import json
import re
import shutil
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import clustermass
from clustermass.errors import InputError
from clustermass.io.files import write_json
from clustermass.io.log import LOGGER

_PIECE = 1 << 18
_EVERY_S = 5.0
_LONGEST_PAUSE_S = 60.0
#: fewer bytes a second than this over `stall_s` are a stall too
_SLOWEST = 100
#: answers that may be another at the next try
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class TransferError(Exception):
    """The address doesn't give the file, however often it is asked."""


class _PassingError(Exception):
    """The next try may go better, after `after_s` if the server said so."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


@dataclass(frozen=True)
class Patience:
    """How often an address is tried, how long silence is borne, and the first pause between tries (then doubled)."""

    tries: int = 6
    stall_s: float = 60.0
    pause_s: float = 2.0


class _SafeRedirects(HTTPRedirectHandler):
    """Follow redirects, but not from https to anything less."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            fp.close()
            raise TransferError(f"redirects to {newurl}, which isn't safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def receive(url: str, part: Path, patience: Patience, size: int | None = None) -> None:
    """Receive a file into `part`, going on from what is there already.

    What is there is used only if it began with the same address and the server confirms by ETag or Last-Modified
    (header If-Range) that the file hasn't changed; otherwise the file is received from its start.

    Parameters
    ----------
    url
        http or https.
    part
        File to write. After a failure it stays, with `<part>.json` beside it, to be resumed.
    patience
        Tries, pauses and time-outs.
    size
        Bytes that the file must have, where that is known.

    Raises
    ------
    TransferError
        The address doesn't give the file; nothing is said of its content if it does.
    InputError
        The disk is full.
    """
    reason = ""
    for number in range(1, patience.tries + 1):
        try:
            return _attempt(url, part, patience.stall_s, size)
        except _PassingError as error:
            reason = str(error)
            if number < patience.tries:
                pause = min(error.after_s or patience.pause_s * 2 ** (number - 1), _LONGEST_PAUSE_S)
                LOGGER.warning("%s: %s; try %d of %d in %.3g s", url, reason, number + 1, patience.tries, pause)
                time.sleep(pause)
    raise TransferError(f"{reason} (try {patience.tries} of {patience.tries})")


def state_of(part: Path) -> Path:
    """Return the file beside `part` that says where it comes from."""
    return part.with_name(f"{part.name}.json")


def discard(part: Path) -> None:
    """Remove a partial file and what is known of it."""
    part.unlink(missing_ok=True)
    state_of(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, stall_s: float, size: int | None) -> None:
    validator = _validator_of_part(url, part)
    have = part.stat().st_size if validator else 0
    headers = {"User-Agent": f"clustermass/{clustermass.__version__}", "Accept-Encoding": "identity"}
    if validator and have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with _answer(Request(url, headers=headers), part, stall_s) as response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise TransferError("answers with a web page instead of the file")
        start, total = _range(response, have, validator, part)
        if size is not None and total is not None and total != size:
            raise TransferError(f"the file there has {total} bytes, but {size} are expected")
        _check_disk(part, (total or 0) - start)
        if start == 0:
            _begin(url, part, response.headers)
        _pour(response, part, start, total, stall_s)


@contextmanager
def _answer(request: Request, part: Path, stall_s: float) -> Iterator[http.client.HTTPResponse]:
    try:
        with build_opener(_SafeRedirects).open(request, timeout=stall_s) as response:
            yield response
    except HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                discard(part)
                raise _PassingError("the file there is shorter than what was received of it: anew") from None
            answer = f"HTTP {error.code} {error.reason}"
            if error.code not in _PASSING:
                raise TransferError(answer) from None
            raise _PassingError(answer, _seconds(error.headers.get("Retry-After"))) from None
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise TransferError(f"its certificate can't be verified ({error.reason.verify_message})") from error
        raise _PassingError(f"no connection ({error.reason})") from error
    except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise _PassingError(_why(error, stall_s)) from error


def _why(error: Exception, stall_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {stall_s:g} s"
    return f"the connection broke ({type(error).__name__}: {error})"


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.strip().isdigit() else None


def _range(response: http.client.HTTPResponse, have: int, validator: str | None, part: Path) -> tuple[int, int | None]:
    """Where in the file the answer starts, and how long the whole file is (None: not said)."""
    length = response.headers.get("Content-Length")
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0, int(length) if length else None
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    changed = validator not in (response.headers.get("ETag"), response.headers.get("Last-Modified"))
    named = "ETag" in response.headers or "Last-Modified" in response.headers
    if match is None or int(match[1]) != have or (named and changed):
        discard(part)
        raise _PassingError("the file there has changed since its first part was received: anew")
    return have, None if match[3] == "*" else int(match[3])


def _validator_of_part(url: str, part: Path) -> str | None:
    """Return what the server said of the file that `part` began with; None = there is nothing to resume."""
    try:
        state: Mapping[str, Any] = json.loads(state_of(part).read_text(encoding="utf-8"))
        return state["validator"] if part.is_file() and state["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _begin(url: str, part: Path, headers: Message) -> None:
    discard(part)
    part.touch()
    etag = headers.get("ETag", "")
    # a weak ETag names files that are alike, not files of the same bytes
    validator = headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
    if validator:
        write_json({"url": url, "validator": validator}, state_of(part))


def _check_disk(part: Path, wanted: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if wanted > free:
        raise InputError(f"{part}: {wanted / 1e6:.1f} MB are to come, but {free / 1e6:.1f} MB are free. Make room.")


def _pour(response: http.client.HTTPResponse, part: Path, start: int, total: int | None, stall_s: float) -> None:
    begun = told = marked = time.monotonic()
    done = at_mark = start
    with part.open("ab") as stream:
        while piece := response.read1(_PIECE):
            _write(stream, piece, part)
            done += len(piece)
            now = time.monotonic()
            if now - marked >= stall_s:
                if done - at_mark < _SLOWEST * stall_s:
                    raise _PassingError(f"only {done - at_mark} bytes came in {now - marked:.3g} s")
                marked, at_mark = now, done
            if now - told >= _EVERY_S:
                told = now
                _tell(part, done, total, (done - start) / (now - begun))
    if total is not None and done != total:
        if done > total:
            discard(part)
        raise _PassingError(f"it ended after {done} of {total} bytes")


def _write(stream: IO[bytes], piece: bytes, part: Path) -> None:
    try:
        stream.write(piece)
    except OSError as error:
        raise InputError(f"{part}: can't be written ({error.strerror}). Make room, and run again to go on.") from error


def _tell(part: Path, done: int, total: int | None, rate: float) -> None:
    share = f" of {total / 1e6:.1f} MB, {(total - done) / max(rate, 1.0):.0f} s left" if total else " MB"
    LOGGER.info("%s: %.1f%s (%.2f MB/s)", part.name.removesuffix(".part"), done / 1e6, share, rate / 1e6)
