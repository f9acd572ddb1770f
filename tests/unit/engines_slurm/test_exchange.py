"""What a node without a shared folder may ask of the center, and what nobody may: a real listener on loopback."""

from __future__ import annotations

import http.client
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.engines.slurm_cluster import free_ports

from pearlstreet.compute.engines.cluster import node_folders
from pearlstreet.compute.engines.cluster.exchange.client import Center, Refused
from pearlstreet.compute.engines.cluster.exchange.listener import Exchange, Listener
from pearlstreet.compute.engines.cluster.exchange.mirror import MirroredAttempt
from pearlstreet.compute.engines.cluster.exchange.service import split_stages
from pearlstreet.compute.engines.cluster.exchange.states import clean_plan, clean_state
from pearlstreet.compute.engines.cluster.exchange.tokens import Tokens
from pearlstreet.compute.engines.cluster.exchange.upload import CheckpointUpload, LogUpload, TreeUpload
from pearlstreet.compute.engines.protocol import Stage
from pearlstreet.objects.model import BlobReference

NONCE = "0" * 32
LOG = "logs/0-00000000000000000000.log"
SOON_S = 2.0


@dataclass
class Site:
    """A listener with the attempts that it knows."""

    folder: Path
    tokens: Tokens
    attempts: dict[str, MirroredAttempt]
    port: int
    centers: list[Center] = field(default_factory=list)

    def add(self, attempt_id: str, *, nodes: int = 1, disk_gib: float = 0.001) -> MirroredAttempt:
        folder = self.folder / attempt_id
        node_folders.make_attempt_folders(folder, nodes)
        limits = {"disk_gib": disk_gib, "log_bytes": 1000}
        order = {"order": {"limits": limits, "tasks": [{}] * nodes, "mounts": []}}
        (folder / node_folders.ORDER).write_text(json.dumps(order))
        checkpoint = self.folder / f"{attempt_id}-kept"
        checkpoint.mkdir()
        made = MirroredAttempt(attempt_id, folder, nodes, 1, checkpoint, None)
        self.attempts[attempt_id] = made
        return made

    def center(self, attempt_id: str, number: int = 0) -> Center:
        self.centers.append(Center(f"http://127.0.0.1:{self.port}", attempt_id, number))
        return self.centers[-1]

    def node(self, attempt_id: str, number: int = 0) -> Center:
        center = self.center(attempt_id, number)
        center.claim(self.tokens.of_attempt(attempt_id), NONCE, within_s=SOON_S)
        return center


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    port, tokens = free_ports(1)[0], Tokens(tmp_path)
    made = Site(tmp_path, tokens, {}, port)

    def order(attempt: MirroredAttempt) -> Any:
        return json.loads((attempt.folder / node_folders.ORDER).read_text())

    def archive(attempt: MirroredAttempt, name: str) -> Path | None:
        return {"work": attempt.folder / "work", "checkpoint": attempt.checkpoint}.get(name)

    listener = Listener(
        Exchange(
            {"0" * 64: b"program"}.get, tokens, made.attempts.get, order, archive, lambda token, told: False
        ),
        "127.0.0.1",
        port,
    )
    yield made
    listener.close()
    for center in made.centers:
        center.close()


def refused(call: Any) -> int:
    """Return the status with which the center refuses a call."""
    with pytest.raises(Refused) as failure:
        call()
    return failure.value.status


def put(center: Center, path: str, data: bytes = b"x", offset: int = 0) -> int:
    return center.put_part(path, offset, data, within_s=SOON_S)


def test_a_token_is_good_for_its_own_attempt_and_node_alone(site: Site) -> None:
    one, other = site.add("att_1", nodes=2), site.add("att_2")
    node = site.node("att_1")
    assert put(node, LOG, b"mine") == 4
    for thief in (site.center("att_2"), site.center("att_1", 1), site.center("att_3")):
        thief.token = node.token
        assert refused(lambda thief=thief: put(thief, LOG)) in (401, 404)
        assert refused(lambda thief=thief: thief.call("GET", "order", within_s=SOON_S)) in (401, 404)
    stranger = site.center("att_1")
    for token in ("", "x", site.tokens.of_attempt("att_1"), site.tokens.of_node("att_1", 0, "1" * 32)):
        stranger.token = token
        assert refused(lambda: stranger.call("GET", "order", within_s=SOON_S)) == 401
    assert (one.folder / LOG).read_bytes() == b"mine"
    assert not list((other.folder / "logs").iterdir())


def test_a_node_reports_once_and_a_repeated_report_is_the_same(site: Site) -> None:
    site.add("att_1")
    first, again, second = (site.center("att_1") for _ in range(3))
    token = site.tokens.of_attempt("att_1")
    first.claim(token, NONCE, within_s=SOON_S)
    again.claim(token, NONCE, within_s=SOON_S)
    assert first.token == again.token
    assert refused(lambda: second.claim(token, "f" * 32, within_s=SOON_S)) == 409
    assert refused(lambda: site.center("att_1").claim("wrong", NONCE, within_s=SOON_S)) == 401
    assert refused(lambda: site.center("att_1", 1).claim(token, NONCE, within_s=SOON_S)) == 404


def test_an_ended_attempt_takes_nothing_more(site: Site) -> None:
    site.add("att_1")
    node = site.node("att_1")
    del site.attempts["att_1"]
    assert refused(lambda: put(node, LOG)) == 404


@pytest.mark.parametrize(
    "path",
    [
        "logs/1-00000000000000000000.log",  # the log of a rank on another node
        "logs/../order.json",
        "order.json",
        "state.json",
        "outputs/../../order.json",
        "outputs//x",
        "outputs/.",
        "outputs/",
        "/etc/passwd",
        "outputs/" + "/".join("d" * 65),
        "outputs/" + "x" * 300,
        "work/x",
        "",
    ],
)
def test_a_node_writes_only_where_its_results_belong(site: Site, path: str) -> None:
    attempt = site.add("att_1", nodes=2)
    before = (attempt.folder / node_folders.ORDER).read_bytes()
    node = site.node("att_1")
    assert refused(lambda: put(node, path)) in (400, 403)
    assert (attempt.folder / node_folders.ORDER).read_bytes() == before


def test_a_link_that_is_in_the_way_is_not_followed(site: Site) -> None:
    attempt, secret = site.add("att_1"), site.folder / "secret"
    secret.write_text("kept")
    (attempt.folder / LOG).symlink_to(secret)
    node = site.node("att_1")
    assert refused(lambda: put(node, LOG)) == 403
    assert secret.read_text() == "kept"


def test_limits_hold(site: Site) -> None:
    site.add("att_1", disk_gib=0.001)
    node, part = site.node("att_1"), b"x" * (1 << 20)
    assert put(node, "outputs/a", part) == len(part)
    assert refused(lambda: put(node, "outputs/a", part, len(part))) == 403
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=5)
    headers = {"Authorization": f"Bearer {node.token}", "Content-Length": str(5 << 20)}
    connection.putrequest("PUT", "/attempts/att_1/nodes/0/files?path=outputs/b&offset=0")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.will_close) == (413, True)
    answer.read()
    connection.close()


def test_a_file_goes_on_where_the_center_has_it(site: Site, tmp_path: Path) -> None:
    attempt = site.add("att_1")
    node = site.node("att_1")
    assert put(node, LOG, b"hello") == 5
    assert put(node, LOG, b"lo world", 3) == 11
    assert (attempt.folder / LOG).read_bytes() == b"hello world"
    with pytest.raises(Refused) as failure:
        put(node, LOG, b"later", 99)
    assert (failure.value.status, failure.value.content) == (409, {"size": 11})


def test_logs_outputs_and_checkpoints_arrive_whole(site: Site, tmp_path: Path) -> None:
    attempt = site.add("att_1", disk_gib=1)
    node, place, kept = site.node("att_1"), tmp_path / "node", tmp_path / "kept"
    for folder in (place / "logs", place / "outputs" / "d" / "e", kept / "step-1"):
        folder.mkdir(parents=True)
    (place / LOG).write_bytes(b"first ")
    logs = LogUpload(node, place, range(1))
    logs.send()
    with (place / LOG).open("ab") as file:
        file.write(b"second")
    logs.send()
    assert (attempt.folder / LOG).read_bytes() == b"first second"
    big = os.urandom((2 << 20) + 17)
    (place / "outputs" / "d" / "e" / "big").write_bytes(big)
    (place / "outputs" / "empty").touch()
    (place / "outputs" / os.fsdecode(b"\xff+ &")).write_bytes(b"odd")
    (place / "outputs" / "link").symlink_to("/etc/passwd")
    assert TreeUpload(node, place / "outputs", "outputs").send(within_s=SOON_S)
    node.call("POST", "keep", {"kind": "outputs"}, within_s=SOON_S)
    outputs = attempt.folder / "outputs"
    assert (outputs / "d" / "e" / "big").read_bytes() == big
    assert (outputs / "empty").read_bytes() == b""
    assert (outputs / os.fsdecode(b"\xff+ &")).read_bytes() == b"odd"
    assert not (outputs / "link").is_symlink()
    assert attempt.checkpoint is not None
    (attempt.checkpoint / "old").write_text("of an earlier attempt")
    saved = CheckpointUpload(node.copy(), kept)
    (kept / "step-2").mkdir()
    (kept / "step-2" / "weights").write_bytes(b"w")
    (kept / "last.tmp").write_bytes(b"half")
    saved.finish()
    assert {path.name for path in attempt.checkpoint.iterdir()} == {"step-2"}
    assert (attempt.checkpoint / "step-2" / "weights").read_bytes() == b"w"


def test_of_outputs_with_one_name_that_of_the_first_node_counts(site: Site) -> None:
    attempt = site.add("att_1", nodes=2)
    for number in (1, 0):
        node = site.node("att_1", number)
        put(node, "outputs/model", b"%d" % number)
        put(node, f"outputs/shard-{number}", b"x")
        node.call("POST", "keep", {"kind": "outputs"}, within_s=SOON_S)
    assert (attempt.folder / "outputs" / "model").read_bytes() == b"0"
    assert {path.name for path in (attempt.folder / "outputs").iterdir()} == {"model", "shard-0", "shard-1"}


def test_a_checkpoint_cannot_be_kept_outside_its_folder(site: Site) -> None:
    site.add("att_1")
    node = site.node("att_1")
    for entries in (["../att_1"], [".."], ["a/b"], [7], "x"):
        value = {"kind": "checkpoint", "entries": entries, "present": None}
        assert refused(lambda value=value: node.call("POST", "keep", value, within_s=SOON_S)) in (400, 403)


def test_archives_arrive_with_their_links_and_rights(site: Site, tmp_path: Path) -> None:
    attempt = site.add("att_1")
    work = attempt.folder / "work"
    (work / "bin").mkdir()
    (work / "bin" / "run").write_text("#!/bin/sh\n")
    (work / "bin" / "run").chmod(0o755)
    (work / "python").symlink_to("/usr/bin/python3")
    target = tmp_path / "here"
    target.mkdir()
    node = site.node("att_1")
    node.unpack("work", str(target), within_s=SOON_S)
    assert (target / "bin" / "run").stat().st_mode & 0o777 == 0o755
    assert os.readlink(target / "python") == "/usr/bin/python3"
    assert refused(lambda: node.unpack("mount-0", str(target), within_s=SOON_S)) == 404


GOOD_TASK = {"rank": 0, "state": "exited", "exit_code": 0, "signal": None, "started_us": 1, "ended_us": 2} | {
    "cpu_s": 0.5,
    "memory_peak_bytes": 7,
}
GOOD = {
    "state": "exited",
    "tasks": [GOOD_TASK],
    "started_us": 1,
    "ended_us": 2,
    "exit_code": 0,
    "saved_us": None,
} | {
    "end_reason": "exited",
    "message": {"template": "Task {rank}", "params": {"rank": 0}},
}


@pytest.mark.parametrize(
    "change",
    [
        {"state": "gone"},
        {"tasks": [{**GOOD_TASK, "rank": 1}]},
        {"tasks": [GOOD_TASK, GOOD_TASK]},
        {"tasks": [{**GOOD_TASK, "cpu_s": -1}]},
        {"tasks": 7},
        {"end_reason": "won"},
        {"end_reason": None},
        {"ended_us": "now"},
        {"ended_us": True},
        {"message": {"template": "x", "params": {"a": {}}}},
        {"message": {"template": "x" * 5000, "params": {}}},
    ],
)
def test_a_state_that_no_supervisor_writes_is_refused(change: dict[str, Any]) -> None:
    assert clean_state(GOOD, range(1)) == GOOD
    assert clean_state({**GOOD, **change}, range(1)) is None


def test_a_plan_names_its_own_ranks_and_holds_nothing_else() -> None:
    plan = {
        "wall": "bubblewrap",
        "node": "n1",
        "tasks": [{"rank": 0, "devices": [1], "variables": {"S": "x"}}],
    }
    assert clean_plan(plan, range(1)) == {
        "wall": "bubblewrap",
        "node": "n1",
        "tasks": [{"rank": 0, "devices": [1]}],
    }
    assert clean_plan({**plan, "tasks": [{"rank": 1, "devices": []}]}, range(1)) is None
    assert clean_plan({**plan, "node": "n\n1"}, range(1)) is None


def test_inputs_with_an_address_are_read_by_the_node_unless_another_lies_at_their_place() -> None:
    stored = BlobReference("0" * 64, 1, url="https://store/x?signature=1")
    direct, own = Stage(stored, "data/a"), Stage("/here/code.tar", "code", "archive")
    assert split_stages((own, direct)) == ([own], [direct])
    inside = replace(own, target="./data")
    assert split_stages((inside, direct)) == ([inside, direct], [])


def test_a_damaged_archive_is_not_unpacked_outside(tmp_path: Path) -> None:
    from pearlstreet.compute.engines.cluster.exchange.client import _unpack

    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    with path.open("rb") as file, pytest.raises(tarfile.TarError):
        _unpack(file, str(tmp_path / "in"))  # type: ignore[arg-type]
