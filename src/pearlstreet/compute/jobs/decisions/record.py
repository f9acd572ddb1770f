"""One decision as bytes, and what differs when it is planned again. Pure.

A file is one line of JSON, the header, and behind it the compressed rest. What is in it of tenants are ids and what
their jobs ask for: no names, commands, variables or files, and people only as digests.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pearlstreet.base.errors import Conflict, InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.scheduling.config import PlannerConfig, config_from_json
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import Snapshot, snapshot_from_json
from pearlstreet.compute.scheduling.plan import Plan
from pearlstreet.store.sealing import Sealer

FORMAT = 1
LEVEL = 1
"""Of compression: the planner writes these while people wait."""
HEADER_MAX = 4096
BODY_MAX = 1 << 30
"""Of one decision, unpacked."""
SHOWN = 20
"""Differences that are told of one kind."""


@dataclass(frozen=True, slots=True)
class DecisionHeader:
    """What a list of decisions shows."""

    id: str
    at_us: int
    policy: int
    """Number of the policy's version."""
    waiting: int
    running: int
    nodes: int
    placed: int
    preempted: int
    resized: int
    program: str
    """Version of the program that decided."""
    mac: str = ""
    """Over everything else, under the center's key."""


def pack(
    snapshot: Snapshot, config: PlannerConfig, answer: Plan, header: DecisionHeader, sealer: Sealer | None
) -> bytes:
    """A decision's file."""
    whole = {"snapshot": snapshot.to_json(), "config": config.to_json(), "plan": plan_json(answer)}
    body = zlib.compress(json.dumps(whole, separators=(",", ":")).encode(), LEVEL)
    mac = sealer.mac(_sealed(header, body)) if sealer is not None else ""
    return _line(replace(header, mac=mac)) + b"\n" + body


def read_header(start: bytes) -> DecisionHeader:
    """The header of a file, from its first bytes. Raises Conflict for one that is none of ours."""
    try:
        value = json.loads(start[:HEADER_MAX].partition(b"\n")[0])
        if value.pop("format") != FORMAT:
            raise ValueError("another format")
        return DecisionHeader(**value)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Conflict(text("The file of the decision cannot be read")) from None


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A file that was read."""

    header: DecisionHeader
    whole: Mapping[str, Any]
    """`snapshot`, `config` and `plan`."""
    sealed: bool | None
    """Whether the seal is right; None: it was written without a key."""


def unpack(data: bytes, sealer: Sealer | None) -> StoredDecision:
    """A decision from its file. Raises Conflict for one that cannot be read."""
    header = read_header(data)
    _, _, body = data.partition(b"\n")
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(body, BODY_MAX)
        whole = json.loads(raw)
        if (
            unpacker.unconsumed_tail
            or not isinstance(whole, dict)
            or not {"snapshot", "config", "plan"} <= whole.keys()
        ):
            raise ValueError("not a decision")
    except (zlib.error, ValueError):
        raise Conflict(text("The file of the decision cannot be read")) from None
    sealed = None
    if header.mac and sealer is not None:
        sealed = sealer.mac_is_right(_sealed(header, body), header.mac)
    return StoredDecision(header, whole, sealed)


def _line(header: DecisionHeader) -> bytes:
    return json.dumps({"format": FORMAT, **asdict(header)}, separators=(",", ":")).encode()


def _sealed(header: DecisionHeader, body: bytes) -> bytes:
    return _line(replace(header, mac="")) + b"\n" + body


def plan_json(answer: Plan) -> dict[str, Any]:
    """What a plan decides, without its sentences."""
    return {
        "placements": [
            [
                one.job_id,
                one.model,
                one.backfilled,
                one.borrowing,
                [
                    [task.node, [[d.index, d.memory_mib, d.compute_bp, d.whole] for d in task.devices]]
                    for task in one.tasks
                ],
            ]
            for one in answer.placements
        ],
        "preemptions": [
            [one.attempt_id, one.job_id, one.for_job_id, one.grace_s] for one in answer.preemptions
        ],
        "resizes": [[one.attempt_id, one.job_id, one.tasks, one.grace_s] for one in answer.resizes],
        "waits": [[one.job_id, one.position, one.reason.code.value] for one in answer.waits],
    }


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """Where planning again comes to something else. `job` is the first column of both rows."""

    what: str
    """`placements`, `preemptions`, `resizes` or `waits`."""
    job: str
    was: Any
    """None: it was not there."""
    now: Any


@dataclass(frozen=True, slots=True)
class ReplayedDecision:
    """What planning a decision again came to."""

    header: DecisionHeader
    sealed: bool | None
    differences: tuple[PlanDifference, ...]
    """The first of each kind."""
    more: int
    """Differences that are not shown."""

    @property
    def identical(self) -> bool:
        """Whether the plan is the same to the last device."""
        return not self.differences


def replay(decision: StoredDecision) -> ReplayedDecision:
    """Plan it again and compare. Raises InvalidInput for one that this program cannot plan."""
    try:
        snapshot = snapshot_from_json(decision.whole["snapshot"])
        config = config_from_json(decision.whole["config"])
        now = plan_json(plan(snapshot, config))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InvalidInput(
            text(
                "The decision cannot be planned by this version of the program: {problem}",
                problem=repr(error)[:200],
            )
        ) from None
    found = list(_differences(decision.whole["plan"], json.loads(json.dumps(now))))
    shown: list[PlanDifference] = []
    for kind in now:
        shown += [one for one in found if one.what == kind][:SHOWN]
    return ReplayedDecision(decision.header, decision.sealed, tuple(shown), len(found) - len(shown))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[PlanDifference]:
    for kind, rows in now.items():
        was: Sequence[Any] = before.get(kind, [])
        if was == rows:
            continue
        old = {str(row[0]): row for row in was if isinstance(row, list) and row}
        new = {str(row[0]): row for row in rows}
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        for name in changed:
            yield PlanDifference(kind, name, old.get(name), new.get(name))
        if not changed:
            yield PlanDifference(kind, "", [row[0] for row in was][:SHOWN], [row[0] for row in rows][:SHOWN])
