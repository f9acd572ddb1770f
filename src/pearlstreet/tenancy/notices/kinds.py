"""Kinds of notices as data: the event of the outbox, its audience, and the texts.

A package that needs a new notice emits an event to the outbox and adds a kind here; nothing else is needed.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pearlstreet.base.text import Text, from_json, plural, text


class Channel(StrEnum):
    """Channel on which a user gets notices."""

    INBOX = "inbox"
    EMAIL = "email"


class Audience(StrEnum):
    """Recipients of a kind of notice."""

    PERSON = "person"
    """The user that the event names, and its organisation's address and webhooks."""
    ORGANISATION = "organisation"
    """Members of the organisation with the kind's scope, and its address and webhooks."""
    CENTER = "center"
    """Operators with the kind's scope, and the operators' address and webhooks."""


NONE: frozenset[Channel] = frozenset()
INBOX = frozenset({Channel.INBOX})
BOTH = frozenset({Channel.INBOX, Channel.EMAIL})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of notice. `usual` holds the default channels."""

    name: str
    topic: str
    audience: Audience
    usual: frozenset[Channel]
    scope: str = ""
    """Scope that members or operators need to get the notice; empty for notices to a user."""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Permitted values of payload fields, by field; other events are not of this kind."""

    def is_about(self, topic: str, payload: Mapping[str, object]) -> bool:
        """Return whether an event is of this kind. Array elements cause no notices; their array does."""
        if topic != self.topic or payload.get("array"):
            return False
        return all(payload.get(name) in values for name, values in self.only.items())


_ORG, _PERSON, _CENTER = Audience.ORGANISATION, Audience.PERSON, Audience.CENTER
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("job.ended", "job.ended", _PERSON, NONE, only={"state": ("succeeded", "cancelled")}),
        Kind("job.failed", "job.ended", _PERSON, BOTH, only={"state": ("failed",)}),
        Kind("job.stopping", "job.stopping", _PERSON, BOTH),
        Kind("job.maintenance", "job.maintenance", _PERSON, BOTH),
        Kind("job.deadline_missed", "job.deadline_missed", _PERSON, BOTH),
        Kind("job.idle", "job.idle", _PERSON, BOTH),
        Kind("job.idle_released", "job.idle_released", _PERSON, BOTH),
        Kind("outputs.expiring", "outputs.expiring", _PERSON, BOTH),
        Kind("budget.reached", "budget.reached", _ORG, BOTH, "notices:write"),
        Kind("balance.low", "balance.low", _ORG, BOTH, "notices:write"),
        Kind("invoice.issued", "invoice.issued", _ORG, BOTH, "notices:write"),
        Kind("webhook.disabled", "webhook.disabled", _ORG, BOTH, "notices:write"),
        Kind("key.expiring", "key.expiring", _PERSON, BOTH),
        Kind("invitation.received", "invitation.received", _PERSON, BOTH),
        Kind("invitation.answered", "invitation.answered", _ORG, INBOX, "users:write"),
        Kind("member.removed", "member.removed", _PERSON, BOTH),
        Kind("credit.approval_needed", "credit.approval_needed", _CENTER, INBOX, "credit:approve"),
        Kind("node.unhealthy", "node.unhealthy", _CENTER, BOTH, "nodes:write"),
        Kind("node.warning", "node.warning", _CENTER, INBOX, "nodes:write"),
        Kind("node.drained", "node.drained", _CENTER, BOTH, "nodes:write"),
        Kind("node.returned", "node.returned", _CENTER, INBOX, "nodes:write"),
        Kind("engine.silent", "engine.silent", _CENTER, BOTH, "nodes:write"),
        Kind("incident", "incident", _CENTER, BOTH, "settings:write"),
        Kind("backup.failed", "backup.failed", _CENTER, BOTH, "backup:write"),
        Kind("test", "notice.test", _PERSON, BOTH),
    )
}
"""Kinds of notices by name."""

WHAT: Mapping[str, str] = {
    "job.ended": "A job of yours has succeeded or was cancelled",
    "job.failed": "A job of yours has failed",
    "job.stopping": "A job of yours will be stopped because the balance runs out",
    "job.maintenance": "A job of yours will be stopped for maintenance of its node",
    "job.deadline_missed": "A job of yours has missed its deadline",
    "job.idle": "The accelerators of a job of yours are idle",
    "job.idle_released": "A job of yours will be stopped because its accelerators are idle",
    "outputs.expiring": "Outputs of a job of yours are about to be deleted",
    "budget.reached": "Spending has reached a threshold of a budget",
    "balance.low": "The balance has fallen below the limit you set",
    "invoice.issued": "An invoice was issued",
    "webhook.disabled": "A webhook was switched off because its receiver does not answer",
    "key.expiring": "An API key of yours is about to expire",
    "invitation.received": "An organisation invites you",
    "invitation.answered": "Somebody has accepted or declined an invitation of the organisation",
    "member.removed": "You were removed from an organisation",
    "credit.approval_needed": "A top-up waits for a second person's approval",
    "node.unhealthy": "A node has become unhealthy or is gone",
    "node.warning": "A device of a node counts more errors than usual",
    "node.drained": "A node was drained because of errors of its devices",
    "node.returned": "A node that was drained because of errors is used again",
    "engine.silent": "An engine does not answer, so that its nodes take no new work",
    "incident": "A background task stopped retrying after repeated failures",
    "backup.failed": "A backup could not be made",
    "test": "A requested test",
}
"""Descriptions of the kinds, shown where a user chooses channels."""

TITLES: Mapping[str, str] = {
    "job.ended": "Job {name} has ended: {state}",
    "job.failed": "Job {name} has failed",
    "job.stopping": "Job {name} will be stopped: the balance runs out",
    "job.maintenance": "Job {name} will be stopped for maintenance",
    "job.deadline_missed": "Job {name} has missed its deadline",
    "job.idle": "The accelerators of job {name} are idle",
    "job.idle_released": "Job {name} will be stopped: its accelerators are idle",
    "outputs.expiring": "Outputs of the job {name} are deleted on {expires}",
    "budget.reached": "{percent} % of the budget of {month} is spent",
    "balance.low": "The balance is low: {available} yuan",
    "invoice.issued": "Invoice {number} was issued",
    "webhook.disabled": "The webhook {url} is switched off",
    "key.expiring": "The API key {label} expires on {expires}",
    "invitation.received": "{org} invites you",
    "invitation.answered": "{invitee} has {answer} the invitation",
    "member.removed": "You are no longer a member of {org}",
    "credit.approval_needed": "A top-up of {amount} yuan waits for approval",
    "node.unhealthy": "Node {node} is {state}",
    "node.warning": "Node {node} counts errors",
    "node.drained": "Node {node} was drained",
    "node.returned": "Node {node} is used again",
    "engine.silent": "The engine {engine} does not answer",
    "incident": "The background task {loop} stopped retrying {row}",
    "backup.failed": "The backup {name} failed",
    "test": "This is a test",
    "address.confirm": "Confirm this address for notices",
    "invitation.mailed": "{org} invites you",
}
BODIES: Mapping[str, str] = {
    "job.ended": "The job {name} ({job}) has ended: {state}. See it: pearl job {job}",
    "job.failed": "The job {name} ({job}) has failed: {reason}. See why: pearl job {job}; pearl logs {job}",
    "job.stopping": "The balance does not cover the job {name} ({job}) much longer: it is stopped in about {minutes}. "
    "Top up to let it run on.",
    "job.maintenance": "Its node {node} is under maintenance from {begins} to {ends}: {reason}. Unless the job {name} ({job}) "
    "is over before, it is stopped then and goes back to the queue. Let it keep a checkpoint.",
    "job.idle": "The job {name} ({job}) has used none of its accelerators ({cards}) for {hours} h, and they are billed. If it needs them no "
    "more: pearl cancel {job}",
    "job.idle_released": "The job {name} ({job}) has used none of its accelerators ({cards}) for {hours} h. The center stops jobs that are idle "
    "for {release_hours} h: it gets the signal to save a checkpoint, and is billed until then. Work on the accelerators prevents that.",
    "job.deadline_missed": "The job {name} ({job}) should have ended by {deadline}. See why it waits: pearl why {job}",
    "outputs.expiring": "Outputs of the job {name} ({job}) are deleted on {expires} ({files}). Take them: pearl artefacts "
    "{job} --to FOLDER. Keep them: pearl storage pin",
    "budget.reached": "{spent} of {budget} yuan of the budget for {month} were spent ({subject}). A budget does not stop jobs.",
    "balance.low": "{available} yuan are available, which is less than {below}. Running jobs are stopped when it is used up.",
    "invoice.issued": "The invoice {number} for {total} yuan was issued. See it: pearl invoice {month}",
    "webhook.disabled": "No delivery to {url} has succeeded since {since}: {problem}. When it works again: pearl webhooks enable {webhook}",
    "key.expiring": "The API key {label} ({key}) expires on {expires}. Create a new one: pearl keys create",
    "invitation.received": "{inviter} invites you to the organisation {org} with the role {role}. Nothing changes unless you accept "
    "by {until}: pearl invitations accept {invitation}. Members see your login name, your display name and your role.",
    "invitation.answered": "{invitee} has {answer} the invitation to {org} with the role {role}.",
    "member.removed": "An owner of {org} has ended your membership. Your keys that were tied to it are revoked; your account and "
    "your other organisations stay as they are.",
    "credit.approval_needed": "{who} requested a top-up of {amount} yuan. Approve it with: pearl credit approve {top_up}",
    "node.unhealthy": "The node {node} is {state} since {since}: {reason}. New work is not placed on it.",
    "node.warning": "{reason}. The node {node} stays in use. See: pearl nodes health {node}",
    "node.drained": "{reason}. New work is not placed on the node {node}; running jobs continue. See: pearl nodes health {node}. "
    "Use it again in spite of this: pearl nodes undrain {node}",
    "node.returned": "The node {node}, drained since {since}, has had no new errors and takes work again.",
    "engine.silent": "The engine {engine} has not answered since {since}. New work goes to other engines; jobs that run there go on and "
    "are seen again when it answers. See: pearl engines check {engine}",
    "incident": "The background task {loop} failed {failures} times on {row} and does not retry it: {problem}. See: pearl incidents",
    "backup.failed": "The backup {name} failed: {problem}. Until a backup succeeds, only older backups can be restored.",
    "test": "It shows that notices reach you here.",
    "address.confirm": "The code is {code}. Confirm within a day: pearl notices confirm {code}. If you did not request it, do nothing; no further mail is sent to this address.",
    "invitation.mailed": "{inviter} invites you to the organisation {org} with the role {role}. To see it, sign in and give this "
    "code by {until}: pearl invitations claim {code}. If you do not know {org}, do nothing: nobody becomes a member without accepting.",
}


@dataclass(frozen=True, slots=True)
class Words:
    """Title and body of a notice in the reader's language."""

    title: str
    body: str


def kind_of(topic: str, payload: Mapping[str, object]) -> Kind | None:
    """Return the kind of an event, or None for an event without notices."""
    return next((kind for kind in KINDS.values() if kind.is_about(topic, payload)), None)


def words_of(kind: str, payload: Mapping[str, object], language: str) -> Words:
    """Return title and body of a notice; for a kind that no longer exists, its name and an empty body."""
    if kind not in TITLES:
        return Words(kind, "")
    title, body = TITLES[kind], BODIES[kind]
    values = _values(title + body, payload)
    return Words(text(TITLES[kind], **values).render(language), text(BODIES[kind], **values).render(language))


def what_of(kind: str, language: str) -> str:
    """Return the description of a kind in a language."""
    return text(WHAT[kind]).render(language)


STATE_WORDS: Mapping[str, str] = {
    "succeeded": "succeeded",
    "cancelled": "cancelled",
    "failed": "failed",
    "unhealthy": "unhealthy",
    "absent": "absent",
}
"""Payload values that are translated in all fields."""


ENUMERATED = ("answer", "role")
"""Payload fields in which `ENUMERATED_WORDS` are translated. Elsewhere the same word may be a login name."""
ENUMERATED_WORDS: Mapping[str, str] = {
    "accepted": "accepted",
    "declined": "declined",
    "owner": "owner",
    "member": "member",
    "viewer": "viewer",
}


COUNTS: Mapping[str, Callable[[int], Text]] = {
    "files": lambda count: plural("{count} file", "{count} files", count=count),
    "minutes": lambda count: plural("{count} minute", "{count} minutes", count=count),
}
"""Fields of payloads that are counts, with their unit."""


def _values(template: str, payload: Mapping[str, object]) -> dict[str, object]:
    """Return the values of the template's placeholders; "-" for a field that an older event lacks."""
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    return {
        name: _enumerated(payload.get(name))
        if name in ENUMERATED
        else _value(payload.get(name), COUNTS.get(name))
        for name in names
    }


def _enumerated(value: Any) -> Text | str:
    return text(ENUMERATED_WORDS[value]) if value in ENUMERATED_WORDS else _value(value)


def _value(value: Any, counted: Callable[[int], Text] | None = None) -> Text | str:
    if counted is not None and isinstance(value, int):
        return counted(value)
    if isinstance(value, Mapping) and "template" in value:
        return from_json(value)
    if isinstance(value, str) and value in STATE_WORDS:
        return text(STATE_WORDS[value])
    return "-" if value is None or value == "" else str(value)
