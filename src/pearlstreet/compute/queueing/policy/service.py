"""Commands and queries on the scheduling policy and its queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import text
from pearlstreet.compute.execution.owners import Owners
from pearlstreet.compute.queueing.policy import model
from pearlstreet.compute.queueing.policy.model import Access, Policy
from pearlstreet.compute.queueing.policy.new_version import write_version
from pearlstreet.compute.queueing.policy.rows import PolicyReader, version, versions
from pearlstreet.compute.queueing.runtime import QueueingRuntime
from pearlstreet.compute.scheduling.config import QueuePolicy
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org, find_project

READ, WRITE, LOOK_BACK = "scheduling:read", "scheduling:write", "decisions:read"
NOTE_MAX = 500


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue as one actor may see it."""

    name: str
    title: str
    is_default: bool
    policy: QueuePolicy
    allowed: tuple[tuple[str, str], ...]
    """(Organisation id, project id or "") pairs that may use it; empty: all may, or the actor is a tenant."""
    engines: tuple[str, ...] = ()
    """Engines whose nodes alone run its jobs; empty: all."""


@dataclass(frozen=True, slots=True)
class QueueWish:
    """Requested properties of a queue. None: unchanged, or the default for a new queue."""

    rank: int | None = None
    title: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    """Overrides of the center's settings; None for one of them removes it."""
    allowed: Sequence[str] | None = None
    """`org` or `org/project` that may use it, by slug or id; empty: all may."""
    engines: Sequence[str] | None = None
    """Engines whose nodes alone run its jobs; empty: all."""


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A version of the policy and its changes."""

    policy: Policy
    changed: Mapping[str, list[object]]
    """[Before, after] by changed setting."""


def show_policy(store: Store, actor: Actor, runtime: QueueingRuntime) -> Policy:
    """Return the policy in force. Raises Forbidden. Callers must not show other tenants' queues (see `list_queues`)."""
    actor.require(READ)
    return store.read(runtime.policy.current)


def history(
    store: Store, actor: Actor, runtime: QueueingRuntime, *, before: int | None = None, limit: int = 100
) -> Sequence[PolicyVersion]:
    """Return the versions with their changes, newest first, without the policy of the settings. Raises Forbidden."""
    actor.require(LOOK_BACK)

    def query(tx: Tx) -> Sequence[PolicyVersion]:
        found = list(versions(tx, before=before, limit=limit))
        older = [*found[1:], *_before(tx, found, runtime.policy.initial)]
        return [
            PolicyVersion(one, model.differences(was, one)) for one, was in zip(found, older, strict=True)
        ]

    return store.read(query)


def _before(tx: Tx, found: Sequence[Policy], initial: Policy) -> list[Policy]:
    return [version(tx, found[-1].number - 1, initial)] if found else []


def set_policy(
    store: Store,
    actor: Actor,
    runtime: QueueingRuntime,
    changes: Mapping[str, object],
    *,
    default_queue: str | None = None,
    note: str = "",
) -> Policy:
    """Change settings of the planner; the next cycle plans with them. Raises InvalidInput, Forbidden."""
    actor.require(WRITE)
    check_note(note)
    if not changes and default_queue is None:
        message = text("Nothing is to be changed")
        raise InvalidInput(message, hint=text("Name at least one setting, such as order"))

    def command(tx: Tx) -> Policy:
        before = runtime.policy.current(tx)
        after = model.with_settings(before, changes, default_queue)
        return _rule(tx, actor, runtime.owners, before, after, note, "policy.set")

    return store.write(command)


def roll_back(store: Store, actor: Actor, runtime: QueueingRuntime, number: int, *, note: str = "") -> Policy:
    """Put a copy of an earlier version in force; 0 is the policy of the settings. Raises NotFound, Forbidden."""
    actor.require(WRITE)
    check_note(note)

    def command(tx: Tx) -> Policy:
        before = runtime.policy.current(tx)
        wanted = version(tx, number, runtime.policy.initial)
        return _rule(tx, actor, runtime.owners, before, wanted, note, "policy.rollback", back_to=number)

    return store.write(command)


def list_queues(store: Store, actor: Actor, runtime: QueueingRuntime) -> Sequence[QueueView]:
    """Return the queues: all for operators, otherwise those that the actor's organisations or project may use."""
    actor.require(READ)

    def query(tx: Tx) -> Sequence[QueueView]:
        policy = runtime.policy.current(tx)
        full = sees_everything(actor)
        own = actor.project_id
        return [
            _view(policy, name, access, full=full)
            for name, access in sorted(
                policy.queues.items(), key=lambda item: (item[0] != policy.default_queue, item[0])
            )
            if full
            or not access.allowed
            or any(org in actor.orgs and own in (None, project or own) for org, project in access.allowed)
        ]

    return store.read(query)


def sees_everything(actor: Actor) -> bool:
    """Return whether an actor may see other tenants' names in the policy."""
    return actor.everything or bool(actor.operator_roles)


def set_queue(
    store: Store, actor: Actor, runtime: QueueingRuntime, name: str, wish: QueueWish, *, note: str = ""
) -> QueueView:
    """Add or change a queue. Raises InvalidInput, NotFound (organisation, project), Forbidden."""
    actor.require(WRITE)
    check_note(note)

    def command(tx: Tx) -> QueueView:
        before = runtime.policy.current(tx)
        access = before.queues.get(name, Access())
        if wish.title is not None:
            access = replace(access, title=wish.title)
        if wish.allowed is not None:
            access = replace(access, allowed=_places(tx, actor, wish.allowed))
        if wish.engines is not None:
            access = replace(access, engines=_engines(runtime, wish.engines))
        after = model.with_queue(before, name, rank=wish.rank, settings=wish.settings, access=access)
        made = _rule(tx, actor, runtime.owners, before, after, note, "queue.set")
        return _view(made, name, made.queues[name], full=True)

    return store.write(command)


def remove_queue(
    store: Store, actor: Actor, runtime: QueueingRuntime, name: str, *, note: str = ""
) -> QueueView:
    """Remove a queue; jobs that wait in it move to the default queue. Raises InvalidInput, NotFound, Forbidden."""
    actor.require(WRITE)
    check_note(note)

    def command(tx: Tx) -> QueueView:
        before = runtime.policy.current(tx)
        if name not in before.queues:
            hint = model.queue_hint(name, before.queues)
            raise NotFound(text("There is no queue {queue}", queue=name[:80]), hint=hint)
        gone = _view(before, name, before.queues[name], full=True)
        _rule(tx, actor, runtime.owners, before, model.without_queue(before, name), note, "queue.remove")
        return gone

    return store.write(command)


def queue_for(reader: PolicyReader, tx: Tx, name: str | None, org_id: str, project_id: str) -> str:
    """Return the queue of a new job. Raises InvalidInput, with the same message for a queue of others as for an unknown one."""
    policy = reader.current(tx)
    wanted = policy.default_queue if name is None else name
    access = policy.queues.get(wanted)
    if access is not None and access.admits(org_id, project_id):
        return wanted
    usable = policy.usable(org_id, project_id)
    if name is None:
        message = text("The default queue, {queue}, is not for this project", queue=wanted)
        hint = text("Name another queue: {names}", names=", ".join(usable[:20]) or "-")
    else:
        message = text("There is no queue {queue} for this project", queue=wanted[:80])
        hint = model.queue_hint(wanted, usable)
    raise InvalidInput(message, hint=hint, problems=[Problem("queue", message, hint=hint)])


def _rule(
    tx: Tx,
    actor: Actor,
    owners: Owners,
    before: Policy,
    after: Policy,
    note: str,
    action: str,
    back_to: int | None = None,
) -> Policy:
    """Write a version and its audit record, unless it is equal to the policy in force."""
    changed = model.differences(before, after)
    if not changed:
        return before
    made = write_version(tx, owners, after, made_by=actor.label, note=note.strip(), back_to=back_to)
    details = {"from": before.number, "to": made.number, "changed": changed, "note": note.strip() or None}
    if back_to is not None:
        details["back_to"] = back_to
    audit.record(tx, actor=actor.label, action=action, target=f"policy {made.number}", details=details)
    return made


def check_note(note: str) -> None:
    """Raise InvalidInput for a note that is too long."""
    if len(note) > NOTE_MAX:
        message = text("At most {most} characters fit", most=NOTE_MAX)
        raise InvalidInput(message, problems=[Problem("note", message)])


def _places(tx: Tx, actor: Actor, allowed: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    if len(allowed) > model.ALLOWED_MAX:
        message = text("At most {most} may be named", most=model.ALLOWED_MAX)
        raise InvalidInput(message, problems=[Problem("allowed", message)])
    for index, written in enumerate(allowed):
        org, slash, project = written.strip().partition("/")
        try:
            if slash:
                place = find_project(tx, actor, org, project, "orgs:read")
                found.append((place.org_id, place.id))
            else:
                found.append((find_org(tx, actor, org, "orgs:read").id, ""))
        except NotFound as error:
            hint = text("Write an organisation, or organisation/project, by slug")
            raise InvalidInput(
                error.message, problems=[Problem(f"allowed[{index}]", error.message, hint=hint)]
            ) from None
    return tuple(dict.fromkeys(found))


def _engines(runtime: QueueingRuntime, names: Sequence[str]) -> tuple[str, ...]:
    """Return the named engines, each once. Raises InvalidInput naming every one that the center does not have."""
    known = sorted(runtime.engines)
    wanted = [name.strip() for name in names]
    problems = [
        Problem(
            f"engines[{index}]",
            text("There is no engine {name}", name=name[:80]),
            hint=text("Engines are: {names}", names=", ".join(known) or "-"),
        )
        for index, name in enumerate(wanted[: model.ENGINES_MAX + 1])
        if name not in known
    ]
    model.refuse(problems)
    return tuple(sorted(set(wanted)))


def _view(policy: Policy, name: str, access: Access, *, full: bool) -> QueueView:
    return QueueView(
        name=name,
        title=access.title,
        is_default=name == policy.default_queue,
        policy=policy.queue(name),
        allowed=access.allowed if full else (),
        engines=access.engines,
    )
