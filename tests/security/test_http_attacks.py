"""Strangers at the HTTP server of a real process: honest requests are answered and the loops go on.

How long /health takes meanwhile is measured by `make security` (tests/security/http_siege.py), not asserted here.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pearlstreet.http.request_guard import IDLE_S
from pearlstreet.storage.upload_reservations import RUNNING_MAX
from tests.crash.server import Server
from tests.security.http_attackers import ATTACKS
from tests.security.http_siege import ask_health, besiege, refused

ALL = bool(os.environ.get("PEARL_SECURITY_ALL"))
SAMPLE = ("slow_headers", "half_open", "endless_header", "pipelining", "slow_reader")
SHORT = {"PEARL_HTTP_HEADER_S": "2", "PEARL_HTTP_TRANSFER_GRACE_S": "2", "PEARL_HTTP_KEEP_ALIVE_S": "2"}
EXPECTED = {
    "slow_headers": {"header_time"},
    "slow_body": {"body_rate"},
    "half_open": {"evicted", "header_time"},
    "header_flood": {"header_fields"},
    "endless_header": {"header_bytes"},
    "endless_request_line": {"request_line"},
    "endless_chunk_extension": {"chunk_overhead"},
    "compressed_transfer": {"malformed"},
    "slow_reader": {"response_rate"},
}
"""What the server must say it refused, by attack."""
LOWERED = (
    "-c",
    "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 400));"
    "runpy.run_module('pearlstreet.app', run_name='__main__', alter_sys=True)",
)
"""Starts a server that may open 400 descriptors."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    rates = {"PEARL_RATE_SIGN_INS_PER_MINUTE": "0"}
    running = Server(
        tmp_path_factory.mktemp("siege"), "--simulate", "4x8xH100-80G", environment=SHORT | rates
    )
    try:
        running.start()
        running.make_tenant()
        with running.http() as anybody:
            anybody.get("/openapi.json")  # what slow readers ask for: made once
        yield running
    finally:
        running.clean_up()


@pytest.mark.parametrize("attack", ATTACKS if ALL else SAMPLE)
def test_honest_requests_are_answered_and_loops_go_on(server: Server, attack: str) -> None:
    before = refused(server)
    siege = besiege(server, attack, 10.0 if attack == "slow_reader" else 6.0)
    assert siege.seconds and len(siege.failures) <= len(siege.seconds) / 10, siege
    assert siege.job_state == "succeeded"
    after = refused(server)
    for reason in EXPECTED.get(attack, ()):
        assert after.get(reason, 0) > before.get(reason, 0), (attack, siege.answers, after)


def _answer(server: Server, *parts: bytes) -> bytes:
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as asking:
        with contextlib.suppress(OSError):
            for part in parts:
                asking.sendall(part)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while got := asking.recv(65536):
                answer += got
        return answer


GET = b"GET /health HTTP/1.1\r\nhost: center\r\n"
POST = b"POST /api/v1/sign-in HTTP/1.1\r\nhost: center\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([GET + b"x: " + b"a" * 70_000 + b"\r\n\r\n"], b"431"),
        ([GET + b"x: y\r\n" * 100 + b"\r\n"], b"431"),
        ([b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"], b"414"),
        ([POST + b"transfer-encoding: chunked\r\n\r\n1;x=", b"a" * 65_536], b"400"),
        ([POST + b"transfer-encoding: gzip, chunked\r\n\r\n"], b"501"),
        ([POST + b"content-encoding: gzip\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"], b"422"),
        ([POST + b"connection: close\r\ncontent-length: 70000\r\n\r\n" + b" " * 70_000], b"413"),
        ([GET + b"x: y"], b"408"),
        ([POST + b"content-length: 9\r\n\r\n{"], b"408"),
        ([b"\x16\x03\x01 not HTTP\r\n\r\n"], b"400"),
    ],
    ids=["header bytes", "header fields", "request line", "chunk extension", "transfer coding", "content coding",
         "large sign-in", "slow header", "slow body", "no HTTP"],
)  # fmt: skip
def test_a_request_beyond_a_limit_is_told_so(server: Server, parts: list[bytes], status: bytes) -> None:
    answer = _answer(server, *parts)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    asked = [GET + b"\r\n", POST + b"content-length: 2\r\n\r\n{}"] * 30 + [GET + b"connection: close\r\n\r\n"]
    answers = _answer(server, b"".join(asked)).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"422"] * 30 + [b"200"]


def test_an_upload_in_many_chunks_arrives_whole(server: Server) -> None:
    content = os.urandom(3 << 20) + b"\r\n\r\n0\r\n\r\n" * 1000
    parts = (content[start : start + 70_001] for start in range(0, len(content), 70_001))
    with server.tenant() as http:
        kept = http.post("/uploads", params={"name": "data.bin"}, content=parts)
        assert kept.status_code == 201 and kept.json()["size_bytes"] == len(content)


def test_running_uploads_of_one_tenant_are_bounded_and_end_with_their_senders(server: Server) -> None:
    begin = (
        "POST /api/v1/uploads?name=slow.bin HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
        f"authorization: Bearer {server.keys['tenant']}\r\n\r\n0123456789"
    )
    senders = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(RUNNING_MAX)]
    with server.tenant() as http:

        def one_more(expected: int) -> None:
            until = time.monotonic() + 30
            while http.post("/uploads?name=a.txt", content=b"x").status_code != expected:
                assert time.monotonic() < until, expected
                time.sleep(0.1)

        try:
            for sender in senders:
                sender.sendall(begin.encode())
            # A file of ours that runs beside the last sender would take its place and then end.
            time.sleep(1.0)
            one_more(429)
        finally:
            for sender in senders:
                sender.close()
        one_more(201)


def test_streams_of_one_user_are_bounded(server: Server) -> None:
    job = server.submit(name="long", command=["true"], per_task={"cpus": 1, "memory_gib": 1}, simulate="100h")
    key = server.keys["tenant"]
    ask = (
        f"GET /api/v1/jobs/{job}/logs?follow=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"
    )
    followers, statuses = [], []
    try:
        for _ in range(257):
            follower = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            followers.append(follower)
            follower.sendall(ask.encode())
            statuses.append(follower.recv(65536)[9:12])
        assert statuses == [b"200"] * 256 + [b"429"]
    finally:
        for follower in followers:
            follower.close()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as follower:
            follower.sendall(ask.encode())
            if follower.recv(65536)[9:12] == b"200":
                return
        time.sleep(0.2)
    raise AssertionError("closed streams still count")


def test_loops_and_database_open_what_they_need_beside_every_connection(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    held: list[socket.socket] = []
    try:
        server.start(LOWERED)
        server.make_tenant()
        assert server.process is not None
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        assert limits.split("Max open files")[1].split()[:2] == ["400", "400"]
        assert any(line.get("event") == "fewer connections" for line in server.log())
        for _ in range(600):  # asked once, then kept
            with contextlib.suppress(OSError):
                kept = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                held.append(kept)
                kept.sendall(GET + b"\r\n")
                kept.recv(4096)
        time.sleep(2 * IDLE_S)  # only what has waited so long makes room
        job = server.submit(
            name="works", command=["sh", "-c", "echo out"], per_task={"cpus": 1, "memory_gib": 0.5}
        )
        assert server.wait(job)["state"] == "succeeded"
        assert b"out" in server.log_of(job)
        assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 400
        assert not [line for line in server.log() if "Too many open files" in str(line)]
        ask_health(server.port)
    finally:
        for kept in held:
            kept.close()
        server.clean_up()


def test_a_tls_handshake_that_never_ends_is_ended(tmp_path: Path) -> None:
    from tests.faults.test_tls import _certificate

    authority = _certificate(tmp_path, "authority")
    _certificate(tmp_path, "center", host="127.0.0.1", by=authority)
    files = ("--tls-cert", str(tmp_path / "center.pem"), "--tls-key", str(tmp_path / "center.key"))
    server = Server(tmp_path / "data", "--simulate", "1x8xH100-80G", *files)
    try:
        server.start(PEARL_HTTP_HANDSHAKE_S="1")
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as silent:
            silent.sendall(b"\x16\x03\x01\x02\x00\x01")  # the begin of a ClientHello
            assert silent.recv(100) == b""
        context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as asking,
        ):
            asking.sendall(GET + b"x: y\r\n" * 101 + b"\r\n")
            assert asking.recv(4096).startswith(b"HTTP/1.1 431 ")
    finally:
        server.clean_up()
