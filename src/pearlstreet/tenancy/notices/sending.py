"""The loop that sends deliveries at least once, with growing pauses between tries, and gives up after three days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
import structlog

from pearlstreet.base.clock import US_PER_S, Clock, to_rfc3339
from pearlstreet.base.text import Text, text
from pearlstreet.base.urls import Resolve
from pearlstreet.store import outbox
from pearlstreet.store.core import Row, Tx, must_be_sealed
from pearlstreet.store.loop import Loop, RowLoop
from pearlstreet.tenancy.notices import deliveries as queue
from pearlstreet.tenancy.notices import posting
from pearlstreet.tenancy.notices.channel_protocol import NoticeChannel
from pearlstreet.tenancy.notices.deliveries import WEBHOOK, Event, State
from pearlstreet.tenancy.notices.kinds import Channel
from pearlstreet.tenancy.notices.owners import CENTER
from pearlstreet.tenancy.notices.posting import Answered, Post
from pearlstreet.tenancy.notices.tables import deliveries, webhooks
from pearlstreet.tenancy.outgoing import resolve as resolve_by_machine

PAUSES_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)
"""Pause in seconds before each further try; after the last one a delivery is given up."""
LANES, WORKERS = 4, 8
"""Number of lanes, and of deliveries sent in parallel in each lane. A batch is as large as its workers, so a lane takes
no longer than one delivery with a slow receiver, and one tenant's deliveries never occupy all lanes."""
TRIED_S = 3 * 86_400
"""Age in seconds at which a delivery is given up, even if the back-off of its receiver prevented all tries."""
SWITCHED_OFF_AFTER_S = 5 * 86_400
"""Time in seconds for which all deliveries of a webhook must fail before it is switched off."""
log = structlog.get_logger("notices")


@dataclass(frozen=True)
class Channels:
    """Outgoing channels in the operator's settings: the mailer, further ones by name, and the rules for webhook addresses."""

    mailer: NoticeChannel | None = None
    private: bool = False
    """Whether webhooks may have addresses on the internal network and use plain HTTP."""
    resolve: Resolve = field(default=resolve_by_machine)
    named: Mapping[str, NoticeChannel] = field(default_factory=dict)
    """Channels of the tables [notices.NAME], which receivers may choose beside e-mail."""

    def offered(self, *, is_person: bool) -> tuple[str, ...]:
        """Return the names of the channels that an owner may choose; only users have an inbox."""
        return (*([Channel.INBOX.value] if is_person else []), Channel.EMAIL.value, *self.named)

    def sender(self, channel: str) -> NoticeChannel | None:
        """Return the sender of a channel that reaches receivers by e-mail address; None if the center has none."""
        return self.mailer if channel == Channel.EMAIL else self.named.get(channel)


@dataclass(frozen=True, slots=True)
class Task:
    """A delivery with the fields of its receiver."""

    event: Event
    channel: str
    address: str
    language: str
    tries: int
    created_us: int
    active: bool
    """Whether the receiver exists and is switched on."""
    rests_until_us: int
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """The decision about a delivery: send it, wait until `due_us`, or (0) give it up."""

    task: Task
    send: bool
    due_us: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a try to send. With `final` the delivery is not tried again; with `gone` the webhook is switched off."""

    ok: bool
    problem: Text | None = None
    final: bool = False
    gone: bool = False


def sending_loop(channels: Channels, clock: Clock) -> Loop:
    """Return the loop that sends due deliveries."""

    def act(step: Step) -> Result | None:
        if not step.send:
            return None
        task = step.task
        if task.channel == WEBHOOK:
            request = Post(task.address, task.event, task.secret)
            now_s = clock.now_us() // US_PER_S
            answered: Answered = posting.post(request, now_s, channels.resolve, private=channels.private)
            return Result(answered.ok, answered.problem, final=answered.gone, gone=answered.gone)
        return _send(channels.sender(task.channel), task)

    return RowLoop(
        name="send_notices",
        table=deliveries,
        conditions=(deliveries.c.state == State.DUE.value,),
        account=sa.func.coalesce(deliveries.c.org_id, deliveries.c.target_id),
        load=load,
        decide=decide,
        act=act,
        apply=apply,
        hints=(queue.TOPIC,),
        interval_s=5.0,
        batch=WORKERS,
        workers=WORKERS,
        lanes=LANES,
        lease_s=300.0,
    )


def _send(sender: NoticeChannel | None, task: Task) -> Result:
    """Send a delivery to an e-mail address by mail or by another channel."""
    if sender is None:
        problem = (
            text("The center has no mail server")
            if task.channel == Channel.EMAIL
            else text("The center has no channel {channel}", channel=task.channel)
        )
        return Result(False, problem, final=True)
    try:
        sent = sender.send(task.event, task.address, task.language)
    except Exception as error:
        if task.channel == Channel.EMAIL:
            raise
        log.warning("channel failed", channel=task.channel, exc_info=error)
        failed = text(
            "The channel {channel} fails: {problem}", channel=task.channel, problem=type(error).__name__
        )
        return Result(False, failed)
    return Result(sent.ok, sent.problem, final=sent.final)


def load(tx: Tx, ids: Sequence[str]) -> Mapping[str, Task]:
    """Return deliveries with the fields of their receivers, by id."""
    rows = tx.rows(sa.select(deliveries).where(deliveries.c.id.in_(ids)))
    targets = {row["target_id"] for row in rows if row["channel"] == WEBHOOK}
    hooks = {row["id"]: row for row in tx.rows(sa.select(webhooks).where(webhooks.c.id.in_(targets)))}
    return {row["id"]: _task(tx, row, hooks.get(row["target_id"])) for row in rows}


def _task(tx: Tx, row: Row, hook: Row | None) -> Task:
    is_mail = row["channel"] != WEBHOOK
    secret, address, rests_until_us = "", str(row["address"] or ""), 0
    if hook is not None:
        secret = must_be_sealed(tx).open(bytes(hook["secret"]), f"webhook {hook['id']}").decode()
        address, rests_until_us = hook["url"], hook["rests_until_us"] or 0
    return Task(
        event=Event(row["event_id"], row["kind"], row["org_id"], row["payload"], row["at_us"]),
        channel=row["channel"],
        address=address,
        language=row["language"],
        tries=row["tries"],
        created_us=row["created_us"],
        active=is_mail or (hook is not None and hook["state"] == "active"),
        rests_until_us=rests_until_us,
        secret=secret,
    )


def decide(task: Task, now_us: int) -> Step:
    """PURE: Return whether to send a delivery now, wait for the receiver's back-off to end, or give it up."""
    if not task.active or task.created_us + TRIED_S * US_PER_S <= now_us:
        return Step(task, send=False)
    if task.rests_until_us > now_us:
        return Step(task, send=False, due_us=task.rests_until_us)
    return Step(task, send=True)


def apply(tx: Tx, row_id: str, token: str, task: Task, step: Step, result: Result | None) -> int | None:
    """Store the result of a try; returns the time of the next try (µs since 1970), or None when the delivery ended."""
    has_code = task.channel != WEBHOOK and "code" in task.event.payload
    if result is None:
        if step.due_us:
            return step.due_us
        _end(tx, row_id, State.GIVEN_UP, task.tries, None, has_code=has_code)
        return None
    if task.channel == WEBHOOK:
        _note_receiver(tx, row_id, result)
    tries = task.tries + 1
    if result.ok:
        _end(tx, row_id, State.DELIVERED, tries, None, has_code=has_code)
        return None
    if result.final or tries > len(PAUSES_S):
        _end(tx, row_id, State.GIVEN_UP, tries, result.problem, has_code=has_code)
        return None
    _update(tx, row_id, tries=tries, last_error=_json(result.problem))
    return tx.now_us + PAUSES_S[tries - 1] * US_PER_S


def _end(
    tx: Tx, row_id: str, state: State, tries: int, problem: Text | None, *, has_code: bool = False
) -> None:
    values: dict[str, object] = {"state": state.value, "tries": tries, "ended_us": tx.now_us}
    if has_code:
        values["payload"] = {}  # a mailed code is a credential, of which the database may keep only the hash
    if problem is not None:
        values["last_error"] = _json(problem)
    _update(tx, row_id, **values)


def _update(tx: Tx, row_id: str, **values: object) -> None:
    tx.execute(sa.update(deliveries).where(deliveries.c.id == row_id).values(**values))


def _json(problem: Text | None) -> dict[str, object] | None:
    return problem.to_json() if problem is not None else None


def _note_receiver(tx: Tx, row_id: str, result: Result) -> None:
    """Update the webhook after a try: clear its failures, or start a back-off and switch it off after five days."""
    target = sa.select(deliveries.c.target_id).where(deliveries.c.id == row_id).scalar_subquery()
    hook = tx.first(sa.select(webhooks).where(webhooks.c.id == target))
    if hook is None or hook["state"] != "active":
        return
    update = sa.update(webhooks).where(webhooks.c.id == hook["id"])
    if result.ok:
        cleared = {"failures": 0, "failing_since_us": None, "rests_until_us": None, "last_error": None}
        tx.execute(update.values(**cleared, last_success_us=tx.now_us))
        return
    since_us = hook["failing_since_us"] or tx.now_us
    values: dict[str, object] = {"failing_since_us": since_us, "last_error": _json(result.problem)}
    if (hook["rests_until_us"] or 0) <= tx.now_us:  # parallel failures count as one
        failures = hook["failures"] + 1
        pause_s = PAUSES_S[min(failures, len(PAUSES_S)) - 1]
        values |= {"failures": failures, "rests_until_us": tx.now_us + pause_s * US_PER_S}
    if result.gone or tx.now_us - since_us >= SWITCHED_OFF_AFTER_S * US_PER_S:
        values["state"] = "disabled"
        queue.give_up(tx, hook["id"])
        _emit_disabled(tx, hook, since_us, result.problem)
    tx.execute(update.values(**values))


def _emit_disabled(tx: Tx, hook: Row, since_us: int, problem: Text | None) -> None:
    payload = {
        "webhook": hook["id"],
        "url": hook["url"],
        "since": to_rfc3339(since_us)[:16].replace("T", " "),
        "problem": _json(problem),
    }
    org_id = None if hook["owner_id"] == CENTER else hook["owner_id"]
    outbox.emit(tx, "webhook.disabled", payload, org_id=org_id)
