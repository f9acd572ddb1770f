"""The guard that keeps tests on this machine sees an attempt that the product's code swallowed."""

from __future__ import annotations

import contextlib
import socket

import pytest
from tests.loopback import stays_here


def test_a_connection_to_another_machine_is_refused_and_told() -> None:
    with pytest.raises(AssertionError, match=r"192\.0\.2\.1"), stays_here(), contextlib.suppress(OSError):
        socket.create_connection(("192.0.2.1", 443), timeout=1)
    with stays_here():
        pass


def test_loopback_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, stays_here():
        socket.create_connection(server.getsockname(), timeout=5).close()
