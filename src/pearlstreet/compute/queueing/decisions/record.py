"""PURE: the file format of a recorded decision, and the differences when it is planned again.

A file is one line of JSON, the header, followed by the compressed body. About tenants it contains ids and resource requests,
but no names, commands, variables or files; users appear only as digests.
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
"""Compression level; the fastest, because jobs wait while the planner writes."""
HEADER_MAX = 4096
BODY_MAX = 1 << 30
"""Maximum bytes of one uncompressed decision."""
SHOWN = 20
"""Number of differences that are shown per kind."""


@dataclass(frozen=True, slots=True)
class DecisionHeader:
    """Summary of a decision, as lists show it."""

    id: str
    at_us: int
    policy: int
    """Version number of the scheduling policy."""
    waiting: int
    running: int
    nodes: int
    placed: int
    preempted: int
    resized: int
    program: str
    """Version of the program that made the decision."""
    mac: str = ""
    """Message authentication code over everything else, under the center's key; empty without a key."""


def pack(
    snapshot: Snapshot, config: PlannerConfig, answer: Plan, header: DecisionHeader, sealer: Sealer | None
) -> bytes:
    """Return the bytes of a decision's file."""
    whole = {"snapshot": snapshot.to_json(), "config": config.to_json(), "plan": plan_json(answer)}
    body = zlib.compress(json.dumps(whole, separators=(",", ":")).encode(), LEVEL)
    mac = sealer.mac(_sealed(header, body)) if sealer is not None else ""
    return _line(replace(header, mac=mac)) + b"\n" + body


def read_header(start: bytes) -> DecisionHeader:
    """Return the header from the first bytes of a file. Raises Conflict for another format."""
    try:
        value = json.loads(start[:HEADER_MAX].partition(b"\n")[0])
        if value.pop("format") != FORMAT:
            raise ValueError("another format")
        return DecisionHeader(**value)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Conflict(text("The file of the decision cannot be read")) from None


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision that was read from its file."""

    header: DecisionHeader
    whole: Mapping[str, Any]
    """Body of the file, with the keys `snapshot`, `config` and `plan`."""
    sealed: bool | None
    """Whether the authentication code is correct; None: there is none, or no key to check it."""


def unpack(data: bytes, sealer: Sealer | None) -> StoredDecision:
    """Return the decision in a file. Raises Conflict if it cannot be read."""
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


def plan_json(answer: Plan) -> dict[str, list[list[object]]]:
    """Return the decisions of a plan, without explanations."""
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
    """A row of the plan that differs when planned again. `job` is the first column of both rows."""

    what: str
    """`placements`, `preemptions`, `resizes` or `waits`."""
    job: str
    was: object
    """Row of the recorded plan; None: it had none."""
    now: object


@dataclass(frozen=True, slots=True)
class ReplayedDecision:
    """Result of planning a decision again."""

    header: DecisionHeader
    sealed: bool | None
    differences: tuple[PlanDifference, ...]
    """Differences between the plans, at most `SHOWN` of each kind."""
    more: int
    """Number of differences that are not shown."""

    @property
    def identical(self) -> bool:
        """Whether both plans are equal, down to each device."""
        return not self.differences


def replay(decision: StoredDecision) -> ReplayedDecision:
    """Plan a decision again and compare. Raises InvalidInput if this program version cannot plan it."""
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
