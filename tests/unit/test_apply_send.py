"""A mass catalogue sent by SAMP: what tools on astropy's hub get, and what is said without a hub or a tool."""

import socket
import threading
import time
import warnings
from contextlib import suppress

import numpy as np
import pytest
from astropy.table import Table

from clustermass.apply.send import send_catalogue
from clustermass.cli import main
from clustermass.errors import InputError
from clustermass.io import samp
from clustermass.io.samp import lock_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # astropy 8 recommends pyvo's copy of it
    from astropy.samp import SAMPHubServer, SAMPIntegratedClient, conf

OK = {"samp.status": "samp.ok", "samp.result": {}}
LOAD, LOAD_FITS, POINT = "table.load.votable", "table.load.fits", "coord.pointAt.sky"


@pytest.fixture
def catalogue(tmp_path):
    columns = {"NAME": ["X J1", "X J2"], "ID_SRC": [7, 3], "RA": [359.0, 3.0], "DEC": [10.0, 10.0]}
    columns["ID_CAT"] = ["A 1689", "b"]
    Table(columns, meta={"EXTNAME": "MASSES"}).write(tmp_path / "masses.fits")
    (tmp_path / "masses.vot").touch()
    return tmp_path / "masses.fits"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Start a hub of this test alone."""
    lock = tmp_path / "hub.samp"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lock.as_uri()}")
    with conf.set_temp("use_internet", False):
        server = SAMPHubServer(web_profile=False, mode="multiple", lockfile=str(lock))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def tool(hub):
    """Return a function that connects a tool, which answers `answer` to some types of messages, and keeps them."""
    clients = []

    def connect(name, *mtypes, answer=OK):
        client, got = SAMPIntegratedClient(name=name), []

        def receive(key, sender, message, mtype, parameters, extra):
            got.append((mtype, parameters))
            # astropy's hub loses an answer that comes before it has begun to wait
            threading.Timer(0.5, client.reply, (message, answer)).start()

        client.connect(hub=hub)
        clients.append(client)
        for mtype in mtypes:
            client.bind_receive_call(mtype, receive)
        return got

    yield connect
    time.sleep(0.1)
    for client in clients:
        client.disconnect()


def test_tools_get_the_table_they_read_and_the_middle_of_the_field(catalogue, tool):
    topcat, ds9, other = tool("TOPCAT", LOAD, LOAD_FITS), tool("DS9", LOAD_FITS, POINT), tool("editor", "script.run")
    lines = send_catalogue(catalogue)
    assert sorted(lines) == ["DS9: masses.fits", "DS9: the middle of the field", "TOPCAT: masses.fits"]
    ((mtype, table),) = topcat
    assert (mtype, table["url"]) == (LOAD, catalogue.with_suffix(".vot").as_uri())
    (loaded, pointed) = ds9
    assert (loaded[0], loaded[1]["url"]) == (LOAD_FITS, catalogue.as_uri())
    assert pointed[0] == POINT
    # the great circle between the two positions reaches its highest declination in the middle
    middle = np.degrees(np.arctan2(np.tan(np.radians(10)), np.cos(np.radians(2))))
    assert [float(pointed[1][axis]) for axis in ("ra", "dec")] == pytest.approx([1.0, middle], abs=1e-5)
    assert other == []


@pytest.mark.parametrize("name", ["X J2", "3", "b"])
def test_viewers_are_pointed_at_a_cluster(catalogue, tool, name, capsys):
    aladin = tool("Aladin", POINT)
    assert main(["send", str(catalogue), name]) == 0
    assert capsys.readouterr().out == "Aladin: X J2\n"
    assert [(mtype, float(at["ra"]), float(at["dec"])) for mtype, at in aladin] == [(POINT, 3.0, 10.0)]


def test_what_a_tool_refuses_is_said(catalogue, tool):
    tool("Old", LOAD, answer={"samp.status": "samp.error", "samp.error": {"samp.errortxt": "out of memory"}})
    assert send_catalogue(catalogue) == ["Old: did not take masses.fits (out of memory)"]


@pytest.fixture
def other_program(tmp_path, monkeypatch):
    """Return a function that starts a server with one answer, to which the file of the hub leads."""
    servers = []

    def start(answer, url="http://127.0.0.1:{}/"):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve():
            with suppress(OSError):
                while True:
                    connection = server.accept()[0]
                    if answer is not None:
                        connection.settimeout(1)
                        with suppress(OSError):
                            connection.recv(1 << 16)
                            connection.sendall(answer)
                        connection.close()
                    else:
                        servers.append(connection)

        threading.Thread(target=serve, daemon=True).start()
        lock = tmp_path / "other"
        lock.write_text(f"samp.secret=x\nsamp.hub.xmlrpc.url={url.format(server.getsockname()[1])}\n")
        monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lock.as_uri()}")

    yield start
    for server in servers:
        server.close()


PAGE = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: 19\r\n\r\n<html><br>\x1b[2J</html"


@pytest.mark.parametrize(
    ("answer", "url"),
    [
        (PAGE, "http://127.0.0.1:{}/"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "http://127.0.0.1:{}/"),
        (b"", "http://127.0.0.1:{} 80/a b"),
        (b"", "http://127.0.0.1:x{}/"),
        (b"", "ftp://127.0.0.1:{}/"),
        (b"", "http://nowhere.invalid:{}/"),
        (None, "http://127.0.0.1:{}/"),
    ],
    ids=["page", "ssh", "blank", "port", "ftp", "host", "silent"],
)
def test_another_program_in_the_place_of_the_hub_is_a_sentence(catalogue, other_program, monkeypatch, answer, url):
    monkeypatch.setattr(samp, "_PATIENCE_OF_HUB_S", 1.0)
    other_program(answer, url)
    with pytest.raises(InputError, match=r"other: the SAMP hub doesn't work \(.*\)\. Restart TOPCAT") as refusal:
        send_catalogue(catalogue)
    assert str(refusal.value).isprintable()


def test_a_file_s_name_reaches_tools_without_control_characters(catalogue, tool):
    hostile = catalogue.rename(catalogue.with_name("a\x1b[2J\x01.fits"))
    topcat = tool("TOPCAT", LOAD_FITS)
    send_catalogue(hostile)
    ((_, table),) = topcat
    assert table["name"] == r"a\x1b[2J\x01.fits"
    assert table["url"] == hostile.as_uri()


def test_without_a_tool_a_cluster_or_a_hub_one_sentence_says_so(catalogue, hub, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no tool on the SAMP hub loads tables"):
        send_catalogue(catalogue)
    with pytest.raises(InputError, match=r"no cluster has the id or name 'X J3'\. Did you mean X J"):
        send_catalogue(catalogue, "X J3")
    lock = lock_file().read_text()
    hub.stop()
    (tmp_path / "a stale one").write_text(lock)  # of a hub that was killed
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'a stale one').as_uri()}")
    with pytest.raises(InputError, match=r"stale one: no SAMP hub is running\. Start TOPCAT"):
        send_catalogue(catalogue)
    for content in (b"nothing", b"\xff=\xff"):
        (tmp_path / "a stale one").write_bytes(content)
        with pytest.raises(InputError, match="the SAMP hub doesn't work"):
            send_catalogue(catalogue)
    monkeypatch.delenv("SAMP_HUB")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"\.samp: no such file: no SAMP hub is running"):
        send_catalogue(catalogue)
