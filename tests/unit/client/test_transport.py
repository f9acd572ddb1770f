"""What the client repeats, what it never repeats, and how it goes on reading a log."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from pearlstreet.client import ApiError, Client, Unreachable
from pearlstreet.client import client as client_module
from pearlstreet.client import transport as transport_module


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "PAUSE_S", 0.001)
    monkeypatch.setattr(client_module, "RECONNECT_S", 0.001)


Handler = Callable[[httpx.Request], httpx.Response]


def a_client(handler: Handler) -> Client:
    return Client("http://center", "key", http=httpx.MockTransport(handler))


def answers(*found: httpx.Response | Exception) -> tuple[list[httpx.Request], Handler]:
    """A center that gives these answers in turn, and what it was asked."""
    asked: list[httpx.Request] = []
    left = list(found)

    def handler(request: httpx.Request) -> httpx.Response:
        request.read()
        asked.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return asked, handler


def test_a_write_whose_answer_was_lost_is_repeated_under_the_same_key() -> None:
    asked, handler = answers(
        httpx.ReadError("cut"), httpx.Response(503), httpx.Response(201, json={"id": "j"})
    )
    with a_client(handler) as client:
        assert client.jobs.submit({"command": "x"})["id"] == "j"
    keys = {request.headers["idempotency-key"] for request in asked}
    assert (len(asked), len(keys)) == (3, 1)


def test_two_writes_have_two_keys() -> None:
    asked, handler = answers(*[httpx.Response(200, json={}) for _ in range(2)])
    with a_client(handler) as client:
        client.request("POST", "/orgs", {})
        client.request("POST", "/orgs", {})
    assert len({request.headers["idempotency-key"] for request in asked}) == 2


def test_an_upload_is_sent_whole_again(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"x" * 3_000_000)
    asked, handler = answers(httpx.WriteError("cut"), httpx.Response(201, json={"id": "u"}))
    told: list[int] = []
    with a_client(handler) as client:
        assert client.files.upload(tmp_path / "data.bin", progress=told.append)["id"] == "u"
    assert [len(request.content) for request in asked] == [3_000_000, 3_000_000]
    assert told[-1] == 3_000_000


def test_what_was_refused_is_not_repeated() -> None:
    problem = {
        "code": "invalid_input",
        "detail": "no",
        "problems": [{"field": "a", "message": "b", "line": 3}],
    }
    asked, handler = answers(httpx.Response(422, json=problem))
    with a_client(handler) as client, pytest.raises(ApiError) as refused:
        client.request("GET", "/me")
    assert len(asked) == 1
    assert (refused.value.code, refused.value.status) == ("invalid_input", 422)
    assert [(item.field, item.line) for item in refused.value.problems] == [("a", 3)]


@pytest.mark.parametrize("wait", ["3600", "tomorrow"])
def test_a_long_wait_is_left_to_the_caller(wait: str) -> None:
    answer = httpx.Response(429, json={"detail": "locked"}, headers={"retry-after": wait})
    asked, handler = answers(*[answer] * transport_module.TRIES)
    with a_client(handler) as client, pytest.raises(ApiError):
        client.request("POST", "/sign-in", {})
    assert len(asked) == (1 if wait == "3600" else transport_module.TRIES)


def test_nobody_there_is_said_at_once() -> None:
    asked, handler = answers(httpx.ConnectError("refused"))
    with a_client(handler) as client, pytest.raises(Unreachable, match="No center answers"):
        client.request("GET", "/me")
    assert len(asked) == 1


def test_what_is_no_problem_document_is_an_error_all_the_same() -> None:
    _, handler = answers(httpx.Response(502, text="bad gateway"))
    with a_client(handler) as client, pytest.raises(ApiError, match="bad gateway"):
        client.request("GET", "/me")


class Cut(httpx.SyncByteStream):
    """A stream that breaks after its first part."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"hello "
        raise httpx.ReadError("cut")


def test_a_followed_log_goes_on_where_it_broke() -> None:
    asked, handler = answers(
        httpx.Response(200, stream=Cut()),
        httpx.ConnectError("restarting"),
        httpx.Response(200, content=b"world"),
    )
    with a_client(handler) as client:
        assert b"".join(client.jobs.logs("j", follow=True)) == b"hello world"
    assert [request.url.params["offset"] for request in asked] == ["0", "6", "6"]


def test_a_long_log_is_read_to_its_end_part_by_part() -> None:
    _, handler = answers(
        httpx.Response(200, content=b"one ", headers={"x-next-offset": "4", "x-ended": "false"}),
        httpx.Response(200, content=b"two", headers={"x-next-offset": "7", "x-ended": "true"}),
    )
    with a_client(handler) as client:
        assert b"".join(client.jobs.logs("j")) == b"one two"


def test_waiting_bears_a_restart() -> None:
    _, handler = answers(
        httpx.Response(200, json={"state": "running"}),
        httpx.ConnectError("restarting"),
        httpx.Response(200, json={"state": "succeeded"}),
    )
    with a_client(handler) as client:
        assert client.jobs.wait("j", pause_s=0.001)["state"] == "succeeded"


def test_waiting_has_an_end() -> None:
    _, handler = answers(*[httpx.Response(200, json={"state": "running"})] * 2)
    with a_client(handler) as client, pytest.raises(TimeoutError):
        client.jobs.wait("j", timeout_s=0, pause_s=0.001)


def test_pages_are_walked() -> None:
    asked, handler = answers(
        httpx.Response(200, json={"items": [{"id": 1}], "next_cursor": "c"}),
        httpx.Response(200, json={"items": [{"id": 2}], "next_cursor": None}),
    )
    with a_client(handler) as client:
        assert [row["id"] for row in client.jobs.list(state=["queued", "running"])] == [1, 2]
    assert asked[1].url.params["cursor"] == "c"
    assert asked[0].url.params.get_list("state") == ["queued", "running"]


def test_an_artefact_cannot_leave_its_folder(tmp_path: Path) -> None:
    _, handler = answers(httpx.Response(200, json={"items": [{"id": "a", "path": "../out.txt"}]}))
    with a_client(handler) as client, pytest.raises(Exception, match="would leave the folder"):
        client.files.download_all("j", tmp_path / "in")
    assert not (tmp_path / "out.txt").exists()


def test_importing_the_package_is_light_and_the_client_is_there() -> None:
    code = (
        "import sys, pearlstreet\nassert 'httpx' not in sys.modules\n"
        "from pearlstreet import Client\nfrom pearlstreet.client import ApiError, Unreachable\nprint(Client.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Client\n"
