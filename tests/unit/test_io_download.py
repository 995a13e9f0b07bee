"""Whole downloads from servers that misbehave: the right file by its name or a clear error, never half a file."""

import gzip
import hashlib
import io
import json
import logging
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from download_inputs import (  # noqa: F401, the fixture `bounded`
    CONTENT,
    Site,
    bounded,
    config,
    download,
    leftovers,
    serving,
    table,
)

from clustermass import limits
from clustermass.errors import InputError
from clustermass.io.download import download_files

ROOT = Path(__file__).parents[2]


def vizier(rows, date="2026-01-01"):
    """Return a table as VizieR's asu-tsv gives it."""
    lines = [f"#   Date: {date}", "#Column\tName", "", "Name\tlogM", " \t[Msun]", "-----\t----"]
    lines += [f"J{number}\t14.0" for number in range(rows)] + ["", "#END#"]
    return "\n".join(lines).encode()


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
        (Site(SMALL, ("says nothing",)), {"bytes": 5}, "sends more than 5 bytes"),
        (Site(SMALL), {"sha256": "0" * 64}, rf"SHA-256 is {hashlib.sha256(SMALL).hexdigest()}, but 0000"),
        (Site(SMALL, ("says too little",)), {}, "truncated or damaged FITS file"),
        (Site(SMALL, ("says too much",)), {}, r"ended after \d+ of \d+ bytes|shorter than what was received"),
        (Site(b"neither"), {}, "no .fits file"),
        (Site(SMALL, (404,)), {}, "HTTP 404"),
    ],
)
def test_a_wrong_file_never_gets_the_name(tmp_path, site, entry, message):
    path = tmp_path / "cat.fits"
    with pytest.raises(InputError, match=message) as caught:
        download(path, site, **entry)
    assert site.url in str(caught.value)
    assert f"put it at {path}, and run this again" in str(caught.value)
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


# the configuration


def test_the_files_that_the_configuration_reads_are_those_it_downloads():
    efeds = yaml.safe_load((ROOT / "config" / "efeds.yaml").read_text())
    (realization,) = efeds["skies"]["efeds"]["realizations"].values()
    made = set()
    for entry in efeds["downloads"]["files"].values():
        path = Path(entry["path"])
        made |= {str(path)} | {str(path.with_name(name)) for name in entry.get("unpack", [])}
    assert {*realization["events"], realization["catalogue"]} <= made


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


def test_what_lies_there_is_not_replaced_by_what_is_in_an_archive(tmp_path):
    (tmp_path / "b.fits").write_bytes(table(5))
    with serving(Site(archive(PAIR))) as url:
        download_files(config(tmp_path / "eFEDS.tar.gz", url, unpack=WANTED))
    assert (tmp_path / "a.fits").read_bytes() == table(1)
    assert (tmp_path / "b.fits").read_bytes() == table(5)


def header_of(kind, size):
    """Return the header of a member that says to be this large."""
    info = tarfile.TarInfo("a.fits")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header_of(tarfile.XHDTYPE, 10**9) + bytes(10**7), "damaged or cut short"),
        (header_of(tarfile.GNUTYPE_LONGNAME, 10**9) + bytes(10**7), "damaged or cut short"),
        (header_of(tarfile.REGTYPE, 10**15), "damaged or cut short|MB to unpack"),
        (header_of(tarfile.GNUTYPE_SPARSE, 10**15), "damaged or cut short|MB to unpack"),
        (header_of(tarfile.DIRTYPE, 0) * 100_001, "more than 100000 files in an archive"),
        (bytes(3 * 10**7), "more than 20000000 bytes in an archive after unpacking"),
    ],
)
def test_an_archive_of_invented_size_is_refused(tmp_path, monkeypatch, content, message):
    if not any(content):
        monkeypatch.setattr(limits, "ARCHIVE_BYTES", limits.ARCHIVE_BYTES._replace(most=20_000_000))
    path = tmp_path / "eFEDS.tar.gz"
    path.write_bytes(gzip.compress(content, 1))
    with pytest.raises(InputError, match=message):
        download_files(config(path, "http://127.0.0.1:9/", unpack=["a.fits"]))
    assert leftovers(tmp_path) == ["eFEDS.tar.gz"]
