"""Small files to download, and a server on this machine that stalls, breaks off, redirects and sends wrong files."""

import io
import re
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from astropy.io import fits

from clustermass.io.download import download_files


@dataclass
class Site:
    """What the server serves, and its fault at each request (`acts`; the last entry is repeated)."""

    content: bytes
    acts: tuple = ("whole",)
    etag: str = '"one"'
    modified: str = ""
    kind: str = "application/octet-stream"
    requests: list = field(default_factory=list)  # (path, Range, If-Range, what was done)
    url: str = ""

    def act(self):
        """Return the fault for this request."""
        return self.acts[min(len(self.requests), len(self.acts) - 1)]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        """Answer a request, with the fault that the site has for it."""
        site = self.server.site
        act = site.act()
        site.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range"), act))
        self.close_connection = True
        if isinstance(act, int):
            self.plain(act, b"<html>an error</html>", [("Content-Type", "text/html")])
        elif isinstance(act, tuple) and act[0] == "answer":
            self.plain(*act[1:])
        elif act == "redirect":
            self.plain(302, b"", [("Location", f"{site.url}moved")])
        elif act == "web page":
            self.plain(200, b"<!DOCTYPE html><html>No such catalogue</html>", [("Content-Type", "text/html")])
        elif act == "web page as data":
            self.plain(200, b"<!DOCTYPE html><html>No such catalogue</html>", [])
        else:
            self.file(site, act)

    def plain(self, status, body, headers):
        """Answer with a small body."""
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), "Connection": "close", **dict(headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def file(self, site, act):
        """Answer with the file or a part of it."""
        if act == "changed":
            site.content, site.etag = site.content[::-1], '"two"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        same = self.headers.get("If-Range") in (site.etag, site.modified) or act == "ignores If-Range"
        start = int(asked[1]) if asked and same and act != "ignores Range" else 0
        if start and start >= len(site.content):
            return self.plain(416, b"", [("Content-Range", f"bytes */{len(site.content)}")])
        if act == "ignores If-Range":
            site.content, site.etag = site.content[::-1], '"two"'
        body = site.content[start:]
        self.send_response(206 if start else 200)
        stated = {"says too much": len(body) + 100, "says too little": len(body) - 100}.get(act, len(body))
        if act not in ("says nothing", "never ends"):
            self.send_header("Content-Length", str(stated))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        for key, value in (("ETag", site.etag), ("Last-Modified", site.modified), ("Content-Type", site.kind)):
            if value:
                self.send_header(key, value)
        self.end_headers()
        if act == "breaks off":
            self.wfile.write(body[: len(body) // 2])
        elif act == "stalls":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.released.wait(20)
        elif act == "never ends":
            with suppress(OSError):
                while not self.server.released.is_set():
                    self.wfile.write(body)
        elif act == "trickles":
            for number in range(200):
                if self.server.released.is_set():
                    return None
                self.wfile.write(body[number : number + 1])
                time.sleep(0.02)
        else:
            self.wfile.write(body)
        return None


@contextmanager
def serving(site):
    """Serve `site` on a free port of this machine; sets and yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.site, server.released = site, threading.Event()
    server.handle_error = lambda *_: None  # clients that give up are what is tested
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        yield site.url
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


CONTENT = np.random.default_rng(1).bytes(300_000)
#: bound on what any of these may take: tries x (time-out + pause), with room for a busy machine
BOUND_S = 10.0


@pytest.fixture(autouse=True)
def bounded(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    start = time.monotonic()
    yield
    assert time.monotonic() - start < BOUND_S


def table(rows, **header):
    """Bytes of a FITS file with a table."""
    hdu = fits.BinTableHDU.from_columns([fits.Column("ID_SRC", "J", array=np.arange(rows))], name="CATALOGUE")
    for key, value in header.items():
        hdu.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(stream := io.BytesIO())
    return stream.getvalue()


def config(path, *urls, **entry):
    return {"files": {"it": {"urls": list(urls), "path": str(path), **entry}}, "tries": 4, "stall_s": 0.3, "pause_s": 0}


def download(path, site, **entry):
    """Serve `site` and download it to `path`."""
    with serving(site) as url:
        download_files(config(path, url, **entry))


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())
