"""Sending of messages by SAMP, the IVOA's protocol between desktop tools.

TOPCAT, Aladin and DS9 start a hub, which is a program that passes messages on to all tools. A sender makes XML-RPC
calls to the hub.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.request import url2pathname
from xml.parsers.expat import ExpatError
from xmlrpc.client import Error, Fault, ServerProxy, Transport

from clustermass.errors import InputError
from clustermass.io.files import reason
from clustermass.io.log import printable

_NO_HUB = "no SAMP hub is running. Start TOPCAT, Aladin or DS9 on this machine first, and send again."
#: seconds within which a tool must answer, and the hub, which waits for the tool
_PATIENCE, _PATIENCE_OF_HUB_S = "60", 90.0


class _Impatient(Transport):
    """Connections that end with TimeoutError if the hub doesn't answer."""

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = _PATIENCE_OF_HUB_S
        return connection


#: exceptions if no hub is at its address, or if the hub is another program
_OF_HUBS = (Error, ExpatError, HTTPException, OSError)


class Hub:
    """A connection to the SAMP hub, as the client `clustermass`."""

    def __init__(self, server: Any, key: str) -> None:
        self._hub, self._key = server, key

    def tools(self, mtype: str) -> dict[str, str]:
        """Return the tools that understand the message type `mtype`, as a dict from the id of a tool to its name."""
        ids = self._hub.getSubscribedClients(self._key, mtype)
        return {one: self._hub.getMetadata(self._key, one).get("samp.name", one) for one in ids}

    def call(self, tool: str, mtype: str, parameters: Mapping[str, str]) -> str:
        """Send a message to a tool. Return the tool's complaint, or "" if it did what was asked."""
        message = {"samp.mtype": mtype, "samp.params": dict(parameters)}
        try:
            answer = self._hub.callAndWait(self._key, tool, message, _PATIENCE)
        except Fault as fault:  # the tool has gone, or doesn't answer
            return str(fault.faultString)
        done = answer.get("samp.status") in ("samp.ok", "samp.warning")
        return "" if done else str(answer.get("samp.error", {}).get("samp.errortxt", "it doesn't say why"))


@contextmanager
def hub() -> Iterator[Hub]:
    """Yield a connection to the running hub; InputError if no hub is running, or if the hub fails."""
    lock = lock_file()
    lines = lock.read_text(errors="replace").splitlines()
    cards = dict(line.split("=", 1) for line in lines if line[:1] != "#" and "=" in line)
    try:
        with ServerProxy(cards["samp.hub.xmlrpc.url"], _Impatient()) as proxy:
            server: Any = proxy.samp.hub
            key = server.register(cards["samp.secret"])["samp.private-key"]
            server.declareMetadata(key, {"samp.name": "clustermass"})
            try:
                yield Hub(server, key)
            finally:
                server.unregister(key)
    except ConnectionRefusedError as error:  # a hub that ended without removing its file
        raise InputError(f"{lock}: {_NO_HUB}") from error
    except (*_OF_HUBS, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{lock}: the SAMP hub doesn't work ({printable(reason(error))}). Restart TOPCAT, Aladin or DS9."
        ) from error


def lock_file() -> Path:
    """Return the path of the file that holds the address of the running hub; InputError if there is none."""
    named = os.environ.get("SAMP_HUB", "").removeprefix("std-lockurl:").removeprefix("file://")
    path = Path(url2pathname(named)) if named else Path.home() / ".samp"
    if not path.is_file():
        raise InputError(f"{path}: no such file: {_NO_HUB}")
    return path
