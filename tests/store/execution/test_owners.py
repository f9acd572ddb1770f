"""Whatever owns an attempt, it is started, watched, metered, stopped and collected in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from tests.store.execution.counter import RUNS_S, Counter, free_of_charge
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.text import text
from pearlstreet.compute.execution.lifecycle import find_attempt, request_stop
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.tables import allocations
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.queueing.quotas import QuotaWish, set_quota
from pearlstreet.compute.queueing.tables import waiting
from pearlstreet.ledger.funds import balance
from pearlstreet.ledger.tables import spans, streams
from pearlstreet.store.core import Row
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.tables import projects

CARD = {"accelerator": "H100", "count": 1}


def _center(folder: Path, counter: Counter, balance: str = "10000") -> Center:
    center = Center(folder, balance=balance, cluster="2x1xH100-80G", wrap=Working, owners=(counter,))
    counter.org_id = center.org.id
    query = sa.select(projects.c.id).where(projects.c.org_id == center.org.id)
    counter.project_id = center.store.read(lambda tx: tx.scalar(query))
    return center


def _spans(center: Center) -> Sequence[Row]:
    query = sa.select(spans, streams.c.resource).join(streams, streams.c.id == spans.c.stream_id)
    return center.store.read(lambda tx: tx.rows(query.where(streams.c.reference == "counter_1")))


def _attempt(center: Center, attempt_id: str) -> Row:
    row = center.store.read(lambda tx: find_attempt(tx, attempt_id))
    assert row is not None
    return row


def _ask(center: Center, counter: Counter, within_s: float = 10) -> str:
    """Let the counter ask for a card, and return the id of the attempt that the planner places."""
    center.store.write(counter.ask)
    center.run(within_s)
    return counter.placed[-1]


def _waiting(center: Center) -> list[str]:
    return list(center.store.read(lambda tx: tx.execute(sa.select(waiting.c.id)).scalars().all()))


def test_an_owner_that_nothing_else_knows_is_planned_and_runs_to_its_end(tmp_path: Path) -> None:
    counter = Counter("", "")
    center = _center(tmp_path, counter)
    before = balance(center.store, SYSTEM, center.org.id).balance
    attempt = _ask(center, counter)
    center.run(60)
    assert counter.seen == ["placed", "running", "kept", "ended: exited"]
    assert _waiting(center) == []
    assert _attempt(center, attempt)["state"] == "ended"
    assert center.held_devices() == 0
    spent = before.micro - balance(center.store, SYSTEM, center.org.id).balance.micro
    assert spent > 0
    held = _spans(center)
    assert {row["resource"] for row in held} == {"accelerator/h100-sxm-80g", "cpu", "memory"}
    assert all(row["end_us"] - row["start_us"] <= (RUNS_S + 1) * 1e6 for row in held)
    center.check_books()


def test_what_an_owner_is_not_billed_for_is_metered_and_costs_nothing(tmp_path: Path) -> None:
    counter = free_of_charge(Counter("", ""), text("Counting is free"))
    center = _center(tmp_path, counter)
    before = balance(center.store, SYSTEM, center.org.id).balance
    _ask(center, counter)
    center.run(60)
    assert balance(center.store, SYSTEM, center.org.id).balance == before
    assert {row["why_not"] for row in _spans(center)} == {"Counting is free"}
    center.check_books()


def test_jobs_and_others_share_one_queue_and_quota(tmp_path: Path) -> None:
    counter = Counter("", "")
    center = _center(tmp_path, counter)
    set_quota(center.store, SYSTEM, ORG, QuotaWish("cards", maximum=1.0))
    first = center.submit(per_task=CARD, simulate="30s")
    center.run(5)
    center.store.write(counter.ask)
    center.run(10)
    assert counter.seen == ["waits: quota"]
    assert _waiting(center) == ["counter_1"]
    center.finish(first, within_s=120)
    center.run(60)
    assert counter.seen[1:] == ["placed", "running", "kept", "ended: exited"]


def test_the_planner_leaves_it_what_it_holds(tmp_path: Path) -> None:
    counter = Counter("", "")
    center = _center(tmp_path, counter)
    _ask(center, counter)
    first, second = (center.submit(per_task=CARD, simulate="5s") for _ in range(2))
    center.run(3)
    rows = center.store.read(lambda tx: tx.rows(sa.select(allocations)))
    assert sorted(row["node"] for row in rows) == ["h100-0001", "h100-0002"]
    ended = center.finish(first, second, within_s=120)
    assert [job.state for job in ended] == [JobState.SUCCEEDED] * 2


def test_an_owner_may_give_up_when_nobody_pays_or_wait(tmp_path: Path) -> None:
    counter = Counter("", "", gives_up=True)
    center = _center(tmp_path, counter, balance="1")
    center.store.write(counter.ask)
    center.run(10)
    assert counter.seen == ["refused"]
    assert _waiting(center) == []
    counter.gives_up = False
    center.store.write(counter.ask)
    center.run(10)
    assert counter.seen == ["refused", "waits: balance"]
    assert _waiting(center) == ["counter_1"]


def test_a_lost_attempt_is_its_owners_to_try_again(tmp_path: Path) -> None:
    counter = Counter("", "")
    center = _center(tmp_path, counter)
    lost = _ask(center, counter, within_s=12)
    center.simulated.cluster.break_node(_attempt(center, lost)["placement"]["tasks"][0]["node"])
    center.run(5)
    center.simulated.cluster.repair()
    center.run(60)
    assert counter.seen[:4] == ["placed", "running", "kept", "ended: engine_lost"]
    assert counter.succeeded == 1 and len(counter.placed) >= 2
    center.check_books()


def test_a_stop_reaches_it_with_its_reason(tmp_path: Path) -> None:
    counter = Counter("", "", until=0)
    center = _center(tmp_path, counter)
    attempt_id = _ask(center, counter)
    why = text("Enough counted")
    row = _attempt(center, attempt_id)
    center.store.write(lambda tx: request_stop(tx, counter, row, StopReason.CANCELLED, why))
    center.run(20)
    assert counter.seen == ["placed", "running", "stopping: cancelled", "kept", "ended: stopped"]


def test_the_sweep_leaves_it_alone(tmp_path: Path) -> None:
    counter = Counter("", "")
    center = _center(tmp_path, counter)
    _ask(center, counter)
    center.sweep()
    center.run(40)
    assert counter.seen[-1] == "ended: exited"
