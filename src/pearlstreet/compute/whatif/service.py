"""Commands and queries on what-if questions. The loop replays them in a separate process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput, NotFound, Problem, TooMany
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.engines.simulated.layout import nodes_from
from pearlstreet.compute.pool.inventory import all_nodes
from pearlstreet.compute.replay.policy_args import parse_policy
from pearlstreet.compute.replay.scenario_overrides import (
    Supposed,
    check_nodes,
    held,
    owners,
    parse_quota,
    parse_window,
    with_queue,
    without,
)
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.rows import NodeRow, node_row
from pearlstreet.compute.whatif.tables import what_ifs
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org, find_project

ASKED = "what_ifs"
"""Hint topic: a question was asked."""
WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
OPEN = (WAITING, RUNNING)
OPEN_MAX = 2
"""Maximum number of unanswered questions of one organisation, or of the operators."""
WAITING_MAX = 20
KEPT = 20
"""Number of answers kept for each organisation, and for the operators."""
DAYS_MAX = 92
POLICIES_MAX = 4
CARDS_MAX = 20_000
CHANGES_MAX = 8
"""Maximum number of quotas, of queues and of windows that one question may change."""
CASES_MAX = 12
LINE_MAX = 400


@dataclass(frozen=True, slots=True)
class WhatIfQuestion:
    """A what-if question: the jobs to replay, and what is different from the center."""

    days: int = 30
    """Days before now from which the jobs are taken."""
    policies: tuple[str, ...] = ()
    """Policies to compare with the one in force, such as `fifo` or `order=shortest,backfill=greedy`."""
    cluster: str = ""
    """Cluster to replay on, such as `4x8xH100-80G`; empty: the center's own nodes."""
    extra: str = ""
    """Nodes added to the cluster, in the same notation."""
    less: str = ""
    """Nodes removed from the cluster, by name or as `2x8xH100`."""
    quotas: tuple[str, ...] = ()
    """Changed quotas. `compute/replay/scenario_overrides.py` defines the notation of quotas, queues and windows."""
    queues: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()

    @property
    def supposed(self) -> Supposed:
        """Changes other than policies and nodes."""
        return Supposed(self.quotas, self.queues, self.windows)

    @property
    def cases(self) -> int:
        """Number of replays: each policy with and without the changed nodes and the other changes."""
        machines = 2 if self.extra or self.less else 1
        return machines * (2 if self.supposed else 1) * (1 + len(self.policies))


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A question and its answer, if there is one yet."""

    id: str
    org_id: str | None
    """Organisation whose jobs are replayed; None: all organisations."""
    asked_by: str
    asked_us: int
    question: WhatIfQuestion
    state: str
    progress: float
    result: Mapping[str, Any] | None
    message: Text | None
    ended_us: int | None


def ask_what_if(store: Store, actor: Actor, question: WhatIfQuestion, org: str | None) -> WhatIf:
    """Queue a question; `org` None: about all tenants' jobs. Raises InvalidInput, NotFound, Forbidden, TooMany."""
    check_question(question)

    def command(tx: Tx) -> WhatIf:
        org_id = _owner(tx, actor, org)
        _check_place(tx, actor, question)
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
    """Return the questions of an organisation, or all that the actor may see, newest first, without answers."""

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
    """Return one question with its answer. Raises NotFound."""
    return store.read(lambda tx: _what_if(_find(tx, actor, what_if_id)))


def stop_what_if(store: Store, actor: Actor, what_if_id: str) -> WhatIf:
    """Stop an unanswered question; an answered one does not change. Raises NotFound."""

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


def question_of(row: Row) -> WhatIfQuestion:
    """Return the question in a row."""
    said: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in row["question"].items()
    }
    return WhatIfQuestion(**said)


def _what_if(row: Row) -> WhatIf:
    return WhatIf(
        id=row["id"],
        org_id=row["org_id"],
        asked_by=row["asked_by"],
        asked_us=row["asked_us"],
        question=question_of(row),
        state=row["state"],
        progress=row["progress"],
        result=row.get("result"),
        message=from_json(row["message"]) if row["message"] else None,
        ended_us=row["ended_us"],
    )


def check_question(question: WhatIfQuestion) -> None:
    """PURE: raise InvalidInput with all problems that can be found without reading the center's state."""
    problems: list[Problem] = []
    if not 1 <= question.days <= DAYS_MAX:
        problems.append(Problem("days", text("It is a whole number from 1 to {most}", most=DAYS_MAX)))
    problems += _each("policies", question.policies, _policy_is_right, POLICIES_MAX)
    problems += _each("quotas", question.quotas, parse_quota)
    problems += _each("queues", question.queues, lambda said: with_queue(PlannerConfig(), said))
    problems += _each("windows", question.windows, parse_window)
    cards = 0
    for name, cluster in (("cluster", question.cluster), ("extra", question.extra)):
        if cluster:
            try:
                cards += sum(len(node.devices) for node in nodes_from(cluster[:LINE_MAX]))
            except InvalidInput as error:
                problems.append(Problem(name, error.message, hint=error.hint))
    if cards > CARDS_MAX:
        problems.append(Problem("cluster", text("At most {most} cards can be played with", most=CARDS_MAX)))
    if not (question.policies or question.extra or question.cluster or question.less or question.supposed):
        message = text("Name another policy, other machines, or another limit, queue or window")
        problems.append(Problem("policies", message))
    if question.cases > CASES_MAX:
        message = text(
            "It asks for {count} cases; at most {most} are played", count=question.cases, most=CASES_MAX
        )
        problems.append(Problem("policies", message, hint=text("Name fewer policies, or ask two questions")))
    if problems:
        raise InvalidInput(_NOT_LIKE_THIS, problems=problems)


_NOT_LIKE_THIS = text("The question cannot be answered like this")


def _policy_is_right(said: str) -> None:
    parse_policy(said, PlannerConfig(), ReplaySettings())


def _each(
    name: str, lines: Sequence[str], check: Callable[[str], object], most: int = CHANGES_MAX
) -> Iterable[Problem]:
    if len(lines) > most:
        yield Problem(name, text("At most {most} may be named", most=most))
    for said in lines[:most]:
        try:
            check(said[:LINE_MAX])
        except InvalidInput as error:
            yield Problem(name, error.message, hint=error.hint)


def _check_place(tx: Tx, actor: Actor, question: WhatIfQuestion) -> None:
    """Raise InvalidInput if it names nodes, organisations or projects that do not exist or the actor may not see."""
    problems: list[Problem] = []
    nodes = base_nodes(tx, question)

    def held_there(said: str) -> None:
        check_nodes(said, nodes)
        held(said, "-", nodes, tx.now_us / US_PER_S)

    if question.less:
        problems += _each("less", [question.less], lambda said: without(nodes, said))
    problems += _each("windows", question.windows, held_there)
    for name, supposed in (
        ("quotas", Supposed(quotas=question.quotas)),
        ("windows", Supposed(windows=question.windows)),
    ):
        for org, project in owners(supposed):
            try:
                place_of(tx, actor, org, project)
            except NotFound as error:
                problems.append(Problem(name, error.message, hint=error.hint))
    if problems:
        raise InvalidInput(_NOT_LIKE_THIS, problems=problems)


def base_nodes(tx: Tx, question: WhatIfQuestion) -> list[NodeRow]:
    """Return the nodes of the replay before nodes are added or removed."""
    if question.cluster:
        return [node_row(report) for report in nodes_from(question.cluster)]
    return [node_row(node.report) for node in all_nodes(tx) if node.present]


def place_of(tx: Tx, actor: Actor, org: str, project: str) -> tuple[str, str]:
    """Return the ids of an organisation and of its project ("" without a project). Raises NotFound."""
    if project:
        found = find_project(tx, actor, org, project, "jobs:read")
        return found.org_id, found.id
    return find_org(tx, actor, org, "jobs:read").id, ""
