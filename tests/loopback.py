"""Keeps tests on this machine: a connection to any other address is refused, and the test that tried it fails."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_tried: list[str] = []


def install() -> None:
    """Look at every connection and datagram of this process from now on; for good, as audit hooks are."""
    sys.addaudithook(_refuse_others)


@contextmanager
def stays_here() -> Iterator[None]:
    """Fail when something inside tried to reach another machine, whoever caught the refusal."""
    _tried.clear()
    yield
    assert not _tried, f"tests stay on loopback, but this one connects to {', '.join(_tried)}"


def _refuse_others(event: str, args: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto") or args[0].family not in _INTERNET:
        return
    if event == "socket.connect" and args[0].type == socket.SOCK_DGRAM:  # sends nothing yet
        return
    host = str(args[1][0])
    try:
        here = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        here = host in ("localhost", "")
    if not here:
        _tried.append(host)
        raise OSError(errno.ENETUNREACH, "tests stay on loopback")
