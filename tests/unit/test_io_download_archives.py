"""Archives that are downloaded: what is wanted is unpacked, and nothing of one that is wrong."""

import io
import tarfile
from typing import NamedTuple

import pytest
from download_inputs import CONTENT, bounded, config, download, leftovers, table  # noqa: F401, the fixture `bounded`
from flawed_server import Site, serving

from clustermass.errors import InputError
from clustermass.io.download import download_files


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
