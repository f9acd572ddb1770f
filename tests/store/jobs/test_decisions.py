"""The planner's decisions: kept, planned again, and found out when somebody changed them."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import Conflict, Forbidden, NotFound
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.queueing.decisions import service
from pearlstreet.compute.queueing.decisions.log import SUFFIX, DecisionLog, DecisionSettings
from pearlstreet.compute.queueing.decisions.record import DecisionHeader
from pearlstreet.compute.queueing.policy import service as policies
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.scopes import OperatorRole

ON = DecisionSettings(mode="on", beside=False)
SECRET = "hunter2-0451"


def _busy(folder: Path, decisions: DecisionSettings = ON) -> Center:
    """A center on which gangs, arrays, parts of cards and urgent jobs come and go under changing policies."""
    center = Center(
        folder,
        cluster="2x8xH100-80G,1x4xA100-80G",
        settings=JobsSettings(decisions=decisions),
        balance="9999",
    )
    dice = SeededRng(5)
    shapes = (
        {"per_task": {"accelerator": "any", "count": 1}},
        {"per_task": {"accelerator": "H100", "count": 8}, "tasks": 2},
        {"per_task": {"accelerator": "any", "fraction": {"memory_gib": 20}}},
        {"per_task": {"accelerator": "H100", "count": 4}, "priority": 80},
        {"per_task": {"cpus": 2}, "array": {"size": 3, "max_running": 2}},
    )
    for number in range(30):
        shape = shapes[int(dice.uniform() * len(shapes))]
        center.submit(
            **shape,
            name="secret-name",
            variables={"PASSWORD": SECRET},
            preemptible=number % 2 == 0,
            simulate=f"{5 + int(dice.uniform() * 60)}s",
        )
        if number == 10:
            policies.set_policy(center.store, SYSTEM, center.runtime, {"order": "fifo", "min_run_s": 0})
        if number == 20:
            policies.set_policy(
                center.store, SYSTEM, center.runtime, {"order": "shortest", "backfill": "greedy"}
            )
        center.run(3)
    return center


def test_every_decision_of_a_busy_center_is_the_same_when_planned_again(tmp_path: Path) -> None:
    center = _busy(tmp_path)
    found = service.list_decisions(SYSTEM, center.runtime, limit=1000)
    assert len(found) > 10
    assert {one.policy for one in found} == {0, 1, 2}
    assert sum(one.placed for one in found) >= 20
    for one in found:
        replayed = service.replay_decision(center.store, SYSTEM, center.runtime, one.id)
        assert replayed.identical, (one, replayed.differences)
        assert replayed.sealed is True
    kept = b"".join(
        zlib.decompress(file.read_bytes().partition(b"\n")[2]) for file in tmp_path.glob("decisions/*")
    )
    for word in (SECRET.encode(), b"PASSWORD", b"secret-name", SYSTEM.label.encode()):
        assert word not in kept


def test_one_that_was_tampered_with_is_found(tmp_path: Path) -> None:
    center = _busy(tmp_path)
    one = next(item for item in service.list_decisions(SYSTEM, center.runtime) if item.placed)
    file = tmp_path / "decisions" / f"{one.id}{SUFFIX}"
    header, _, body = file.read_bytes().partition(b"\n")
    whole = json.loads(zlib.decompress(body))
    whole["plan"]["placements"][0][4][0][0] = "another-node"
    file.write_bytes(header + b"\n" + zlib.compress(json.dumps(whole).encode()))
    replayed = service.replay_decision(center.store, SYSTEM, center.runtime, one.id)
    assert replayed.sealed is False
    assert not replayed.identical
    assert [(found.what, found.job) for found in replayed.differences] == [
        ("placements", whole["plan"]["placements"][0][0])
    ]
    file.write_bytes(
        header.replace(b'"placed":', b'"placed":9'),
    )
    with pytest.raises(Conflict):
        service.read_decision(center.store, SYSTEM, center.runtime, one.id)


def test_off_keeps_none_and_sampled_one_in_a_while(tmp_path: Path) -> None:
    off = _busy(tmp_path / "off", replace(ON, mode="off"))
    assert service.list_decisions(SYSTEM, off.runtime) == []
    some = _busy(tmp_path / "some", replace(ON, mode="sampled", every_s=20))
    found = service.list_decisions(SYSTEM, some.runtime)
    assert 2 <= len(found) <= 6
    times = [one.at_us for one in found]
    assert all(later - earlier >= 20e6 for later, earlier in pairwise(times))


def test_the_folder_is_bounded_by_size_and_by_age(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, replace(ON, bytes_max=2500, kept_s=100))
    rng = SeededRng(1)
    for second in range(10):
        header = DecisionHeader(
            f"dec_{second * 1_000_000:016d}_1", second * 1_000_000, 0, 1, 1, 1, 1, 0, 0, "x"
        )
        log._write(
            json.dumps({"format": 1, **{n: getattr(header, n) for n in header.__slots__}}).encode()
            + b"\n"
            + bytes(800),
            header,
            rng,
        )
    assert [one.at_us for one in log.headers()] == [9_000_000, 8_000_000]
    log.prune(200_000_000)
    assert log.headers() == []


def test_a_thread_of_its_own_writes_the_same(tmp_path: Path) -> None:
    center = _busy(tmp_path, replace(ON, beside=True))
    center.runtime.decisions.flush()
    found = service.list_decisions(SYSTEM, center.runtime)
    assert found
    assert service.replay_decision(center.store, SYSTEM, center.runtime, found[0].id).identical


def test_only_who_looks_on_may_read_them(tmp_path: Path) -> None:
    center = Center(tmp_path)
    security = Actor(label="s", user_id="usr_s", operator_roles=frozenset({OperatorRole.SECURITY}))
    auditor = Actor(label="a", user_id="usr_a", operator_roles=frozenset({OperatorRole.AUDIT}))
    with pytest.raises(Forbidden):
        service.list_decisions(security, center.runtime)
    assert service.list_decisions(auditor, center.runtime) == []
    for name in ("dec_1", "../../pearl.db", "dec_0000000000000000_1"):
        with pytest.raises(NotFound):
            service.read_decision(center.store, auditor, center.runtime, name)
