"""Draining nodes of Slurm: through slurmrestd, and never against what an administrator of the cluster decided."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.outcome import Done, Refused, Retry
from pearlstreet.compute.engines.slurm.engine import SlurmEngine, SlurmSettings
from pearlstreet.compute.engines.slurm.model import SlurmJob, SlurmNode, Submission
from pearlstreet.compute.engines.slurm.rest import RestTransport
from pearlstreet.compute.engines.slurm.transport import NotReachedError, RejectedError, TransportError
from pearlstreet.compute.engines.slurm.users import TenantUsers


class Controller:
    """A cluster with one node, which behaves as scontrol does. `fails`: what the next change raises."""

    names_nodes = True

    def __init__(self) -> None:
        self.states, self.reason = ("IDLE",), ""
        self.fails: TransportError | None = None

    def jobs(self) -> Sequence[SlurmJob]:
        return ()

    def nodes(self) -> Sequence[SlurmNode]:
        return [SlurmNode("n1", self.states, 8, 1024, partitions=("main",), reason=self.reason)]

    def topology(self) -> str:
        return ""

    def submit(self, job: Submission) -> int:
        raise AssertionError("nothing is submitted")

    def set_drain(self, node: str, reason: str | None) -> None:
        if self.fails is not None:
            raise self.fails
        assert node == "n1"
        self.states = ("IDLE",) if reason is None else ("IDLE", "DRAIN")
        self.reason = reason or ""

    def cancel(self, job_id: int, user: str) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def controller() -> Controller:
    return Controller()


@pytest.fixture
def engine(tmp_path: Path, controller: Controller) -> SlurmEngine:
    shared = tmp_path / "shared"
    shared.mkdir()
    settings = SlurmSettings(shared=shared, partition="main")
    users = TenantUsers(tmp_path, ("news",))
    return SlurmEngine(
        tmp_path / "engine",
        settings,
        controller,
        users,
        node_name=lambda node: f"cluster:{node}",
        clock=VirtualClock(),
    )


def test_a_drain_and_its_end_reach_the_node_by_its_name_in_slurm(
    engine: SlurmEngine, controller: Controller
) -> None:
    assert engine.set_drain("cluster:n1", "2 memory errors") == Done(None)
    assert (controller.states, controller.reason) == (("IDLE", "DRAIN"), "pearlstreet: 2 memory errors")
    nodes = engine.nodes()
    assert isinstance(nodes, Done) and not nodes.value[0].healthy
    assert engine.set_drain("cluster:n1", None) == Done(None)
    assert (controller.states, controller.reason) == (("IDLE",), "")


@pytest.mark.parametrize("reason", ["2 memory errors", None])
def test_a_drain_of_an_administrator_is_neither_changed_nor_ended(
    engine: SlurmEngine, controller: Controller, reason: str | None
) -> None:
    controller.states, controller.reason = ("IDLE", "DRAIN"), "fan broken"
    assert engine.set_drain("cluster:n1", reason) == Done(None)
    assert (controller.states, controller.reason) == (("IDLE", "DRAIN"), "fan broken")


def test_a_node_in_service_is_not_resumed(engine: SlurmEngine, controller: Controller) -> None:
    controller.fails = RejectedError("there is nothing to change")
    assert engine.set_drain("cluster:n1", None) == Done(None)
    assert engine.set_drain("cluster:gone", "errors") == Done(None)


def test_what_slurm_refuses_is_told_from_what_can_be_tried_again(
    engine: SlurmEngine, controller: Controller
) -> None:
    controller.fails = RejectedError("no")
    assert isinstance(engine.set_drain("cluster:n1", "errors"), Refused)
    controller.fails = NotReachedError("down")
    assert isinstance(engine.set_drain("cluster:n1", "errors"), Retry)


Calls = list[tuple[str, object]]


@pytest.fixture
def rest() -> Iterator[tuple[str, Calls, list[str]]]:
    """A stand-in of slurmrestd: its address, the bodies that it got, and the versions that it offers."""
    calls: Calls = []
    versions = ["v0.0.42"]

    class Daemon(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"paths": {f"/slurm/{version}/nodes": {} for version in versions}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            calls.append((self.path, body))
            self._answer({"errors": []})

        def _answer(self, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Daemon)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", calls, versions
    server.shutdown()
    server.server_close()


def test_slurmrestd_gets_state_and_reason(rest: tuple[str, Calls, list[str]]) -> None:
    address, calls, _ = rest
    transport = RestTransport(address, lambda: b"k" * 32, api_user="root", clock=VirtualClock())
    transport.set_drain("n1", "pearlstreet: errors")
    transport.set_drain("n1", None)
    transport.close()
    assert calls == [
        ("/slurm/v0.0.42/node/n1", {"state": ["DRAIN"], "reason": "pearlstreet: errors"}),
        ("/slurm/v0.0.42/node/n1", {"state": ["RESUME"]}),
    ]


def test_an_older_slurmrestd_cannot_drain_and_says_so(rest: tuple[str, Calls, list[str]]) -> None:
    address, calls, versions = rest
    versions[:] = ["v0.0.38"]
    transport = RestTransport(address, lambda: b"k" * 32, api_user="root", clock=VirtualClock())
    with pytest.raises(RejectedError, match="scontrol"):
        transport.set_drain("n1", "errors")
    transport.close()
    assert not calls
