"""One file from one address of a server that misbehaves: whole in the end or a clear error, in bounded time."""

from types import SimpleNamespace

import pytest
from download_inputs import CONTENT, Site, bounded, serving  # noqa: F401, the fixture `bounded`

from clustermass.errors import InputError
from clustermass.io.download import TransferError, check_redirects, receive

QUICK = {"tries": 4, "stall_s": 0.3, "pause_s": 0.01}


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
            r"redirects to an address that is not allowed .*file:///etc/passwd",
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
    monkeypatch.setattr("clustermass.io.download.time.sleep", pauses.append)
    answer = ("answer", 503, b"", [("Retry-After", "7")])
    with serving(Site(CONTENT, (answer, 500, 500, "whole"))) as url:
        receive(url, tmp_path / "file.part", QUICK | {"pause_s": 5.0})
    assert pauses == [7.0, 10.0, 20.0]


def test_redirects_never_leave_https():
    def answer(*urls):
        return SimpleNamespace(url=urls[-1], history=[SimpleNamespace(url=url) for url in urls[:-1]])

    with pytest.raises(TransferError, match=r"http://example\.org/file, which isn't safe"):
        check_redirects(answer("https://example.org/file", "http://example.org/file", "https://example.org/file"))
    check_redirects(answer("https://example.org/file", "https://a.org/b"))
    check_redirects(answer("http://127.0.0.1/file", "http://127.0.0.1/moved"))


def test_a_disk_that_is_too_small_is_reported_before(tmp_path, monkeypatch):
    monkeypatch.setattr("clustermass.io.download.shutil.disk_usage", lambda _: SimpleNamespace(free=200_000))
    with (
        serving(Site(CONTENT)) as url,
        pytest.raises(InputError, match=r"0\.3 MB to come, but 0\.2 MB free\. Make room"),
    ):
        receive(url, tmp_path / "file.part", QUICK)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (("answer", 200, b"", [("Content-Length", "abc")]), r"says that the file has 'abc' bytes"),
        (("answer", 200, b"", [("Content-Length", "-5")]), r"says that the file has '-5' bytes"),
        (("answer", 503, b"", [("Retry-After", "²")]), "HTTP 503"),
        (("answer", 503, b"", [("Retry-After", "9" * 5000)]), "HTTP 503"),
        (("answer", 206, b"part", [("Content-Range", "bytes ²-10/11")]), "has changed"),
        (
            ("answer", 302, b"", [("Location", "gopher://a\x1b]0;b/")]),
            "not allowed|can't be read",
        ),
        (("answer", 302, b"", [("Location", "http://[")]), "names an address that can't be read"),
    ],
)
def test_odd_headers_are_one_reason(tmp_path, monkeypatch, act, message):
    monkeypatch.setattr("clustermass.io.download.time.sleep", lambda _: None)
    with serving(Site(CONTENT, (act,))) as url, pytest.raises(TransferError, match=message) as caught:
        receive(url, tmp_path / "file.part", QUICK)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("size", [None, 200_000])
def test_a_body_without_end_is_stopped(tmp_path, monkeypatch, size):
    monkeypatch.setattr("clustermass.io.download.shutil.disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    with (
        serving(Site(CONTENT, ("never ends",))) as url,
        pytest.raises(TransferError, match=f"sends more than {size or 9_000_000} bytes"),
    ):
        receive(url, tmp_path / "file.part", QUICK, size)
    assert not list(tmp_path.iterdir())
