"""Downloads from servers that misbehave: the right file or a clear error, in bounded time, never half a file."""

import gzip
import hashlib
import io
import json
import logging
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from urllib.request import Request

import numpy as np
import pytest
import yaml
from astropy.io import fits
from flawed_server import Site, serving

from clustermass.download.fetch import download_files
from clustermass.download.transfer import Patience, TransferError, _SafeRedirects, receive
from clustermass.errors import InputError

ROOT = Path(__file__).parents[2]
CONTENT = np.random.default_rng(1).bytes(300_000)
QUICK = Patience(tries=4, stall_s=0.3, pause_s=0.01)
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


def vizier(rows, date="2026-01-01"):
    """Return a table as VizieR's asu-tsv gives it."""
    lines = [f"#   Date: {date}", "#Column\tName", "", "Name\tlogM", " \t[Msun]", "-----\t----"]
    lines += [f"J{number}\t14.0" for number in range(rows)] + ["", "#END#"]
    return "\n".join(lines).encode()


class Kind(NamedTuple):
    """Of a member that is no regular file."""

    type: bytes


def archive(members):
    """Return a .tar.gz of (name, content or Kind)."""
    with tarfile.open(fileobj=(stream := io.BytesIO()), mode="w:gz") as tape:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if not isinstance(content, Kind):
                info.size = len(content)
                tape.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content.type, "/etc/passwd"
                tape.addfile(info)
    return stream.getvalue()


def config(path, *urls, **entry):
    return {"files": {"it": {"urls": list(urls), "path": str(path), **entry}}, "tries": 4, "stall_s": 0.3, "pause_s": 0}


def download(path, site, **entry):
    """Serve `site` and download it to `path`."""
    with serving(site) as url:
        download_files(config(path, url, **entry))


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


# one address


@pytest.mark.parametrize(
    ("acts", "ranges"),
    [
        (("whole",), [None]),
        (("breaks off", "whole"), [None, "bytes=150000-"]),
        (
            ("breaks off", "breaks off", "breaks off", "whole"),
            [None, "bytes=150000-", "bytes=225000-", "bytes=262500-"],
        ),
        (("stalls", "whole"), [None, "bytes=150000-"]),
        (("trickles", "whole"), [None, "few"]),
        (("breaks off", "ignores Range"), [None, "bytes=150000-"]),
        ((500, 503, "whole"), [None, None, None]),
        ((429, "whole"), [None, None]),
        (("redirect", "whole"), [None, None]),
        (("breaks off", "redirect", "whole"), [None, "bytes=150000-", "bytes=150000-"]),
        (("says nothing",), [None]),
        (("says too much", "whole"), [None, "bytes=300000-", None]),
    ],
)
def test_the_whole_file_comes_in_the_end(tmp_path, acts, ranges):
    with serving(site := Site(CONTENT, acts)) as url:
        receive(url, tmp_path / "file.part", QUICK)
    assert (tmp_path / "file.part").read_bytes() == CONTENT
    asked = [request[1] for request in site.requests]
    if ranges[-1] == "few":  # a trickle is given up long before it ends
        assert 0 < int(asked[-1].strip("bytes=-")) < 100
        asked[-1] = "few"
    assert asked == ranges
    assert all((request[1] is None) == (request[2] is None) for request in site.requests), "Range only with If-Range"


@pytest.mark.parametrize("act", ["changed", "ignores If-Range"])
def test_a_file_that_changed_meanwhile_is_received_anew(tmp_path, act):
    with serving(site := Site(CONTENT, ("breaks off", act, "whole"))) as url:
        receive(url, tmp_path / "file.part", QUICK)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[::-1] == site.content


@pytest.mark.parametrize(
    ("known", "resumed"),
    [
        ({"etag": '"strong"'}, True),
        ({"etag": 'W/"weak"'}, False),
        ({"etag": "", "modified": "Tue, 03 May 2022 10:00:00 GMT"}, True),
        ({"etag": 'W/"weak"', "modified": "Tue, 03 May 2022 10:00:00 GMT"}, True),
        ({"etag": ""}, False),
    ],
)
def test_what_is_there_is_used_only_where_the_server_can_confirm_it(tmp_path, known, resumed):
    with serving(site := Site(CONTENT, ("breaks off", "whole"), **known)) as url:
        receive(url, tmp_path / "file.part", QUICK)
    assert (tmp_path / "file.part").read_bytes() == CONTENT
    assert site.requests[1][1] == ("bytes=150000-" if resumed else None)


def test_a_later_run_goes_on_where_the_first_gave_up(tmp_path):
    with serving(site := Site(CONTENT, ("breaks off", 503, 503, 503, "whole"))) as url:
        with pytest.raises(TransferError, match=r"HTTP 503 .*try 4 of 4"):
            receive(url, tmp_path / "file.part", QUICK)
        assert (tmp_path / "file.part").stat().st_size == 150_000
        receive(url, tmp_path / "file.part", QUICK)
    assert site.requests[-1][1] == "bytes=150000-"
    assert (tmp_path / "file.part").read_bytes() == CONTENT


def test_what_another_address_began_is_not_gone_on_with(tmp_path):
    with serving(Site(b"x" * 300_000, ("breaks off", 404))) as url, pytest.raises(TransferError, match="404"):
        receive(url, tmp_path / "file.part", QUICK)
    with serving(site := Site(CONTENT)) as url:
        receive(url, tmp_path / "file.part", QUICK)
    assert site.requests[0][1] is None
    assert (tmp_path / "file.part").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("acts", "message", "requests"),
    [
        ((404,), "HTTP 404", 1),
        ((403,), "HTTP 403", 1),
        ((500,), r"HTTP 500 .*try 4 of 4", 4),
        (("web page",), "a web page instead of the file", 1),
        (("stalls",), r"nothing came for 0\.3 s", 4),
        (("redirect",), "redirect", None),
        (
            (("answer", 302, b"", [("Location", "file:///etc/passwd")]),),
            r"HTTP 302 .*file:///etc/passwd. is not allowed",
            1,
        ),
        ((("answer", 206, b"part", [("Content-Range", "bytes 7-10/11")]),), "has changed", 4),
    ],
)
def test_an_address_that_never_gives_it_says_why(tmp_path, acts, message, requests):
    with serving(site := Site(CONTENT, acts)) as url, pytest.raises(TransferError, match=message):
        receive(url, tmp_path / "file.part", QUICK)
    assert requests is None or len(site.requests) == requests


def test_nobody_listens(tmp_path):
    with serving(Site(CONTENT)) as url:
        pass
    with pytest.raises(TransferError, match=r"no connection .*try 4 of 4"):
        receive(url, tmp_path / "file.part", QUICK)


def test_the_server_says_when_to_come_again(tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr("clustermass.download.transfer.time.sleep", pauses.append)
    answer = ("answer", 503, b"", [("Retry-After", "7")])
    with serving(Site(CONTENT, (answer, 500, 500, "whole"))) as url:
        receive(url, tmp_path / "file.part", Patience(4, 0.3, 5.0))
    assert pauses == [7.0, 10.0, 20.0]


def test_redirects_never_leave_https():
    request = Request("https://example.org/file")
    with pytest.raises(TransferError, match=r"http://example\.org/file, which isn't safe"):
        _SafeRedirects().redirect_request(request, io.BytesIO(), 302, "Found", {}, "http://example.org/file")
    assert _SafeRedirects().redirect_request(request, io.BytesIO(), 302, "Found", {}, "https://a.org/b").host == "a.org"


def test_a_disk_that_is_too_small_is_told_before(tmp_path, monkeypatch):
    monkeypatch.setattr("clustermass.download.transfer.shutil.disk_usage", lambda _: SimpleNamespace(free=200_000))
    with (
        serving(Site(CONTENT)) as url,
        pytest.raises(InputError, match=r"0\.3 MB are to come, but 0\.2 MB are free\. Make room"),
    ):
        receive(url, tmp_path / "file.part", QUICK)


# whole downloads


def test_a_good_file_is_checked_recorded_and_not_fetched_again(tmp_path, caplog):
    content = gzip.compress(table(542))
    path = tmp_path / "data" / "cat.fits.gz"
    with serving(site := Site(content)) as url, caplog.at_level(logging.INFO, "clustermass"):
        for _ in range(2):
            download_files(config(path, url, rows=542))
    assert path.read_bytes() == content
    assert len(site.requests) == 1
    assert "there already, checked" in caplog.text
    assert leftovers(path.parent) == ["cat.fits.gz", "cat.fits.gz.sha256.json"]
    recorded = json.loads((path.parent / "cat.fits.gz.sha256.json").read_text())["sha256"]
    assert recorded == {"cat.fits.gz": hashlib.sha256(content).hexdigest()}


SMALL = table(10)


@pytest.mark.parametrize(
    ("site", "entry", "message"),
    [
        (Site(b"", ("web page as data",)), {}, "a web page, not the file"),
        (Site(SMALL, kind="text/html"), {}, "a web page instead of the file"),
        (Site(SMALL), {"rows": 542}, "10 rows, but 542 are expected"),
        (Site(SMALL), {"bytes": 5}, rf"has {len(SMALL)} bytes, but 5 are expected"),
        (Site(SMALL, ("says nothing",)), {"bytes": 5}, rf"{len(SMALL)} bytes, but 5 are expected"),
        (Site(SMALL), {"sha256": "0" * 64}, rf"SHA-256 is {hashlib.sha256(SMALL).hexdigest()}, but 0000"),
        (Site(SMALL, ("says too little",)), {}, "truncated or damaged FITS file"),
        (Site(SMALL, ("says too much",)), {}, r"ended after \d+ of \d+ bytes|shorter than what was received"),
        (Site(b"neither"), {}, "no .fits file"),
        (Site(SMALL, (404,)), {}, "HTTP 404"),
    ],
)
def test_a_wrong_file_never_gets_the_name(tmp_path, site, entry, message):
    path = tmp_path / "cat.fits"
    with pytest.raises(InputError, match=message) as told:
        download(path, site, **entry)
    assert site.url in str(told.value)
    assert f"put it at {path}, and run this again" in str(told.value)
    assert not path.exists()
    assert not (tmp_path / "cat.fits.sha256.json").exists()


def test_a_gzipped_file_cut_short_is_noticed(tmp_path):
    content = gzip.compress(table(542))
    with pytest.raises(InputError, match="truncated or damaged"):
        download(tmp_path / "cat.fits.gz", Site(content[:-200]), rows=542)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (vizier(456), "456 rows, but 457 are expected"),
        (b"#INFO\n#**** No such source\n", "no table in it"),
        (b"", "no table in it"),
    ],
)
def test_vizier_answers_200_to_anything(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        download(tmp_path / "chiu.tsv", Site(content), rows=457)
    assert leftovers(tmp_path) == []


def test_a_table_of_vizier_is_the_same_whatever_its_date(tmp_path):
    path = tmp_path / "chiu.tsv"
    download(path, Site(vizier(457, "today")), rows=457)
    path.unlink()
    download(path, Site(vizier(457, "tomorrow")), rows=457)
    path.unlink()
    with pytest.raises(InputError, match=r"that of the first download was .*delete .*chiu.tsv.sha256.json too"):
        download(path, Site(vizier(457).replace(b"14.0", b"14.1")), rows=457)
    assert leftovers(tmp_path) == ["chiu.tsv.sha256.json"]


def test_a_mirror_is_tried_where_the_first_address_fails(tmp_path):
    with serving(Site(b"", (404,))) as gone, serving(Site(table(3))) as wrong, serving(Site(table(10))) as good:
        download_files(config(tmp_path / "cat.fits", gone, wrong, good, rows=10))
    assert (tmp_path / "cat.fits").read_bytes() == table(10)
    assert leftovers(tmp_path) == ["cat.fits", "cat.fits.sha256.json"]


def test_a_file_put_there_by_hand_is_checked_and_kept(tmp_path):
    path = tmp_path / "cat.fits"
    path.write_bytes(table(9))
    with serving(site := Site(table(10))) as url:
        with pytest.raises(InputError, match=r"cat.fits: 9 rows, but 10 are expected. Delete it"):
            download_files(config(path, url, rows=10))
        path.write_bytes(table(10))
        download_files(config(path, url, rows=10))
        path.write_bytes(table(10, OBJECT="another"))
        with pytest.raises(InputError, match=r"that of the first download was"):
            download_files(config(path, url, rows=10))
    assert site.requests == []


def test_one_failure_keeps_no_other_file_from_coming(tmp_path):
    with serving(Site(table(10))) as good, serving(Site(b"", (404,))) as gone:
        block = config(tmp_path / "lost.fits", gone)
        block["files"]["fine"] = {"urls": [good], "path": str(tmp_path / "fine.fits")}
        block["files"]["unwanted"] = {"urls": [gone], "path": str(tmp_path / "unwanted.fits"), "fetch": False}
        with pytest.raises(InputError, match=r"1 of 2 downloads failed.\nit: .*lost\.fits"):
            download_files(block)
    assert (tmp_path / "fine.fits").is_file()


def test_nothing_to_fetch():
    with pytest.raises(InputError, match=r"--configfile config/efeds\.yaml"):
        download_files({})


# archives

WANTED = ["a.fits", "b.fits"]
PAIR = [("eFEDS/", Kind(tarfile.DIRTYPE)), ("eFEDS/a.fits", table(1)), ("eFEDS/other.fits", b"x"), ("b.fits", table(2))]


def test_only_what_is_wanted_is_unpacked_and_the_archive_may_go_then(tmp_path):
    path = tmp_path / "eFEDS.tar.gz"
    with serving(site := Site(archive(PAIR), ("breaks off", "whole"))) as url:
        block = config(path, url, unpack=WANTED)
        download_files(block)
        assert leftovers(tmp_path) == ["a.fits", "b.fits", "eFEDS.tar.gz", "eFEDS.tar.gz.sha256.json"]
        assert (tmp_path / "a.fits").read_bytes() == table(1)
        assert (tmp_path / "b.fits").read_bytes() == table(2)
        path.unlink()
        download_files(block)
        assert len(site.requests) == 2
        (tmp_path / "b.fits").write_bytes(table(3))
        with pytest.raises(InputError, match=r"b\.fits: its SHA-256 is .*first download"):
            download_files(block)


def test_an_archive_put_there_by_hand_is_unpacked(tmp_path):
    (tmp_path / "eFEDS.tar.gz").write_bytes(archive(PAIR))
    download_files(config(tmp_path / "eFEDS.tar.gz", "http://127.0.0.1:9/", unpack=WANTED))
    assert (tmp_path / "a.fits").read_bytes() == table(1)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([*PAIR[:2]], r"lacks b\.fits. It holds a\.fits"),
        ([*PAIR, ("again/b.fits", b"other")], r"holds b\.fits twice"),
        ([PAIR[1], ("../b.fits", table(2))], r"outside the destination"),
        ([PAIR[1], ("b.fits", Kind(tarfile.SYMTYPE))], "no regular file"),
        ([PAIR[1], ("b.fits", Kind(tarfile.LNKTYPE))], "no regular file"),
        ([PAIR[1], ("b.fits", Kind(tarfile.FIFOTYPE))], "no regular file"),
        ([PAIR[1], ("b.fits", b"no FITS")], r"eFEDS\.tar\.gz: its b\.fits is wrong: no \.fits file"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be(tmp_path, members, message):
    folder = tmp_path / "in" / "here"
    with pytest.raises(InputError, match=message):
        download(folder / "eFEDS.tar.gz", Site(archive(members)), unpack=WANTED)
    assert leftovers(tmp_path) == ["in"]
    assert leftovers(tmp_path / "in") == ["here"]
    assert not {*leftovers(folder)} & {*WANTED}


@pytest.mark.parametrize("missing", [500_000, 200_000, 1_000, 4])
def test_an_archive_cut_short_leaves_nothing_unpacked(tmp_path, missing):
    members = [("a.fits", table(1) + CONTENT), ("b.fits", table(2) + CONTENT)]
    content = archive(members)
    with pytest.raises(InputError, match="damaged or cut short"):
        download(tmp_path / "eFEDS.tar.gz", Site(content[:-missing]), unpack=WANTED)
    assert not any((tmp_path / name).exists() for name in WANTED)


# the configuration


def test_the_files_that_the_configuration_reads_are_those_it_downloads():
    efeds = yaml.safe_load((ROOT / "config" / "efeds.yaml").read_text())
    (realization,) = efeds["skies"]["efeds"]["realizations"].values()
    made = set()
    for entry in efeds["downloads"]["files"].values():
        path = Path(entry["path"])
        made |= {str(path)} | {str(path.with_name(name)) for name in entry.get("unpack", [])}
    assert {*realization["events"], realization["catalogue"]} <= made
