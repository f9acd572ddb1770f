"""Commands and queries on what-if questions. The replay itself is done by the loop, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, NotFound, Problem, TooMany
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.engines.simulated.layout import nodes_from
from pearlstreet.compute.jobs.tables import what_ifs
from pearlstreet.compute.replay.asking import parse_policy
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org

ASKED = "what_ifs"
"""Hint topic: somebody asked."""
WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
OPEN = (WAITING, RUNNING)
OPEN_MAX = 2
"""Questions of one organisation, or of the operators, that are not answered yet."""
WAITING_MAX = 20
KEPT = 20
"""Answers that are kept of each."""
DAYS_MAX = 92
POLICIES_MAX = 4
CARDS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    days: int = 30
    """How far back the jobs go."""
    policies: tuple[str, ...] = ()
    """Such as `fifo` or `order=shortest,backfill=greedy`; beside the one that rules."""
    cluster: str = ""
    """`4x8xH100-80G`; empty: the center's own nodes."""
    extra: str = ""
    """Nodes added to them."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A question with its answer, as far as there is one."""

    id: str
    org_id: str | None
    """None: of the whole center."""
    asked_by: str
    asked_us: int
    question: Question
    state: str
    progress: float
    result: Mapping[str, Any] | None
    message: Text | None
    ended_us: int | None


def ask_what_if(store: Store, actor: Actor, question: Question, org: str | None) -> WhatIf:
    """Ask; `org` None: over all tenants' jobs. Raises InvalidInput, NotFound, Forbidden, TooMany."""
    check_question(question)

    def command(tx: Tx) -> WhatIf:
        org_id = _owner(tx, actor, org)
        here = what_ifs.c.org_id.is_(None) if org_id is None else what_ifs.c.org_id == org_id
        open_ones = what_ifs.c.state.in_(OPEN)
        count = sa.select(sa.func.count()).select_from(what_ifs)
        if int(tx.scalar(count.where(open_ones, here)) or 0) >= OPEN_MAX:
            raise TooMany(
                text("{most} questions are not answered yet", most=OPEN_MAX),
                hint=text("Wait for an answer, or stop a question"),
                retry_after_s=30,
            )
        if int(tx.scalar(count.where(open_ones)) or 0) >= WAITING_MAX:
            raise TooMany(text("Too many questions wait for an answer"), retry_after_s=60)
        _forget_old(tx, here)
        row = {
            "id": tx.new_id("wif"),
            "org_id": org_id,
            "asked_by": actor.label,
            "asked_us": tx.now_us,
            "question": asdict(question),
            "state": WAITING,
            "progress": 0.0,
            "result": None,
            "message": None,
            "ended_us": None,
        }
        tx.execute(sa.insert(what_ifs).values(**row))
        tx.hint(ASKED)
        return _what_if(row)

    return store.write(command)


def _owner(tx: Tx, actor: Actor, org: str | None) -> str | None:
    if org is not None:
        return find_org(tx, actor, org, "jobs:read").id
    if actor.orgs_with("jobs:read") is not None:
        raise InvalidInput(
            text("Say for which organisation"), problems=[Problem("org", text("Say for which organisation"))]
        )
    return None


def _forget_old(tx: Tx, here: sa.ColumnElement[bool]) -> None:
    newest = sa.select(what_ifs.c.id).where(here).order_by(what_ifs.c.id.desc()).offset(KEPT - 1)
    old = [row["id"] for row in tx.rows(newest.limit(KEPT))]
    tx.execute(sa.delete(what_ifs).where(what_ifs.c.id.in_(old), what_ifs.c.state.not_in(OPEN)))


def list_what_ifs(store: Store, actor: Actor, org: str | None = None) -> Sequence[WhatIf]:
    """Questions of an organisation, or all that the actor may see, newest first; without their answers."""

    def query(tx: Tx) -> Sequence[WhatIf]:
        columns = [column for column in what_ifs.c if column.name != "result"]
        wanted = sa.select(*columns).order_by(what_ifs.c.id.desc()).limit(200)
        if org is not None:
            wanted = wanted.where(what_ifs.c.org_id == find_org(tx, actor, org, "jobs:read").id)
        elif (mine := actor.orgs_with("jobs:read")) is not None:
            wanted = wanted.where(what_ifs.c.org_id.in_(sorted(mine)))
        return [_what_if(row) for row in tx.rows(wanted)]

    return store.read(query)


def get_what_if(store: Store, actor: Actor, what_if_id: str) -> WhatIf:
    """One question with its answer. Raises NotFound."""
    return store.read(lambda tx: _what_if(_find(tx, actor, what_if_id)))


def stop_what_if(store: Store, actor: Actor, what_if_id: str) -> WhatIf:
    """Stop one that is not answered yet; of one that is nothing changes. Raises NotFound."""

    def command(tx: Tx) -> WhatIf:
        row = _find(tx, actor, what_if_id)
        if row["state"] in OPEN:
            here = what_ifs.c.id == row["id"]
            tx.execute(sa.update(what_ifs).where(here).values(state=STOPPED, ended_us=tx.now_us))
        return _what_if(_find(tx, actor, what_if_id))

    return store.write(command)


def _find(tx: Tx, actor: Actor, what_if_id: str) -> Row:
    absent = text("There is no question {what_if}", what_if=what_if_id[:80])
    row = tx.first(sa.select(what_ifs).where(what_ifs.c.id == what_if_id))
    if row is None:
        raise NotFound(absent)
    if row["org_id"] is not None:
        actor.require("jobs:read", row["org_id"], missing=absent)
    elif actor.orgs_with("jobs:read") is not None:
        raise NotFound(absent)
    return row


def _what_if(row: Row) -> WhatIf:
    question = row["question"]
    return WhatIf(
        id=row["id"],
        org_id=row["org_id"],
        asked_by=row["asked_by"],
        asked_us=row["asked_us"],
        question=Question(**{**question, "policies": tuple(question["policies"])}),
        state=row["state"],
        progress=row["progress"],
        result=row.get("result"),
        message=from_json(row["message"]) if row["message"] else None,
        ended_us=row["ended_us"],
    )


def check_question(question: Question) -> None:
    """PURE: raise InvalidInput with every problem."""
    problems: list[Problem] = []
    if not 1 <= question.days <= DAYS_MAX:
        problems.append(Problem("days", text("It is a whole number from 1 to {most}", most=DAYS_MAX)))
    if len(question.policies) > POLICIES_MAX:
        problems.append(Problem("policies", text("At most {most} may be named", most=POLICIES_MAX)))
    for policy in question.policies[:POLICIES_MAX]:
        try:
            parse_policy(policy[:400], PlannerConfig(), ReplaySettings())
        except InvalidInput as error:
            problems.append(Problem("policies", error.message, hint=error.hint))
    cards = 0
    for name, cluster in (("cluster", question.cluster), ("extra", question.extra)):
        if cluster:
            try:
                cards += sum(len(node.devices) for node in nodes_from(cluster[:400]))
            except InvalidInput as error:
                problems.append(Problem(name, error.message, hint=error.hint))
    if cards > CARDS_MAX:
        problems.append(Problem("cluster", text("At most {most} cards can be played with", most=CARDS_MAX)))
    if not (question.policies or question.extra or question.cluster):
        message = text("Name another policy, or more cards")
        problems.append(Problem("policies", message))
    if problems:
        raise InvalidInput(text("The question cannot be answered like this"), problems=problems)
