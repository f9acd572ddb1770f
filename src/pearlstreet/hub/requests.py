"""Requests for access to gated repositories, decisions on them, and roles of persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict, NotFound
from pearlstreet.base.text import text
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.model import Gate, RepoKind, RepoRole, Repository, RequestState
from pearlstreet.hub.tables import access_requests, roles
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.tables import users

DAY_US = 86_400 * US_PER_S


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A person's request for the files of a gated repository."""

    id: str
    user_name: str
    display_name: str
    state: RequestState
    note: str
    at_us: int
    decided_by: str | None
    expires_us: int | None
    is_expired: bool = False
    """Whether the request was accepted for a time that is over."""


def request_access(
    store: Store, actor: Actor, kind: RepoKind, full_name: str, note: str = ""
) -> AccessRequest:
    """Request the files of a gated repository, which also accepts its licence; one in force is returned unchanged.

    Raises RepoNotFound, and Conflict if the repository has no gate or the request waits or was rejected.
    """

    def command(tx: Tx) -> AccessRequest:
        repo = find_repo(tx, actor, kind, full_name)
        if repo.gate is Gate.NONE or not actor.user_id:
            raise Conflict(text("{name} is not gated", name=repo.full_name))
        own = (access_requests.c.repo_id == repo.id) & (access_requests.c.user_id == actor.user_id)
        before = next(iter(_list(tx, own)), None)
        if before is not None and before.state is RequestState.PENDING:
            raise Conflict(text("Your request for {name} waits for a decision", name=repo.full_name))
        if before is not None and before.state is RequestState.REJECTED:
            raise Conflict(text("Your request for {name} was rejected", name=repo.full_name))
        if before is not None and not before.is_expired:
            return before
        tx.execute(sa.delete(access_requests).where(own))
        state = RequestState.ACCEPTED if repo.gate is Gate.AUTO else RequestState.PENDING
        request_id = tx.new_id("req")
        tx.execute(
            sa.insert(access_requests).values(
                id=request_id,
                repo_id=repo.id,
                user_id=actor.user_id,
                state=state.value,
                note=note[:500],
                at_us=tx.now_us,
                expires_us=_expiry(tx, repo) if state is RequestState.ACCEPTED else None,
            )
        )
        # The licence as it was shown to the person: the card may name another one later.
        licence = {"licence": repo.card.get("license"), "state": state.value}
        _audit(tx, actor, "hub.access.request", repo, user=actor.login, **licence)
        return _list(tx, access_requests.c.id == request_id)[0]

    return store.write(command)


def own_request(store: Store, actor: Actor, kind: RepoKind, full_name: str) -> AccessRequest | None:
    """Return the caller's request for a repository, if there is one. Raises RepoNotFound."""

    def query(tx: Tx) -> AccessRequest | None:
        repo = find_repo(tx, actor, kind, full_name)
        own = (access_requests.c.repo_id == repo.id) & (access_requests.c.user_id == actor.user_id)
        return next(iter(_list(tx, own)), None)

    return store.read(query)


def list_requests(
    store: Store, actor: Actor, kind: RepoKind, full_name: str, state: RequestState | None = None
) -> Sequence[AccessRequest]:
    """Return the requests for a repository. Raises RepoNotFound, Forbidden."""

    def query(tx: Tx) -> Sequence[AccessRequest]:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        condition = access_requests.c.repo_id == repo.id
        return _list(tx, condition if state is None else condition & (access_requests.c.state == state.value))

    return store.read(query)


def decide_request(
    store: Store,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    user: str,
    state: RequestState,
    note: str = "",
    *,
    grant: bool = False,
) -> AccessRequest:
    """Decide a request, named by its person or its id; `pending` withdraws a decision, `grant` needs no request.

    Raises RepoNotFound, Forbidden, NotFound.
    """

    def command(tx: Tx) -> AccessRequest:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        of_repo = access_requests.c.repo_id == repo.id
        user_id = tx.scalar(sa.select(users.c.id).where(users.c.name == user))
        if user_id is None:
            by_id = sa.select(access_requests.c.user_id).where(of_repo, access_requests.c.id == user)
            user_id = tx.scalar(by_id)
        here = of_repo & (access_requests.c.user_id == user_id)
        before = next(iter(_list(tx, here)), None)
        if user_id is None or (before is None and not grant):
            raise NotFound(text("{user} has not requested access", user=ascii(user[:80])[1:-1]))
        values = {
            "state": state.value,
            "decided_by": actor.login,
            "decided_us": tx.now_us,
            "expires_us": _expiry(tx, repo) if state is RequestState.ACCEPTED else None,
        }
        if not tx.execute(sa.update(access_requests).where(here).values(**values)).rowcount:
            values |= {"id": tx.new_id("req"), "repo_id": repo.id, "user_id": user_id}
            tx.execute(sa.insert(access_requests).values(note="", at_us=tx.now_us, **values))
        decided = _list(tx, here)[0]
        said = {"before": before.state.value if before else None, "state": state.value, "note": note[:500]}
        _audit(tx, actor, "hub.access.decide", repo, user=decided.user_name, **said)
        return decided

    return store.write(command)


def set_role(
    store: Store, actor: Actor, kind: RepoKind, full_name: str, user: str, role: RepoRole | None
) -> None:
    """Give a person a role in a repository, or (None) take it away. Raises RepoNotFound, Forbidden, NotFound."""

    def command(tx: Tx) -> None:
        repo = find_repo(tx, actor, kind, full_name, admin=True)
        user_id = tx.scalar(sa.select(users.c.id).where(users.c.name == user))
        if user_id is None:
            raise NotFound(text("There is no user {user}", user=user[:80]))
        tx.execute(sa.delete(roles).where(roles.c.repo_id == repo.id, roles.c.user_id == user_id))
        if role is not None:
            values = {"repo_id": repo.id, "user_id": user_id, "role": role.value, "given_by": actor.login}
            tx.execute(sa.insert(roles).values(given_us=tx.now_us, **values))
        _audit(tx, actor, "hub.role", repo, user=user, role=role.value if role else None)

    store.write(command)


def _expiry(tx: Tx, repo: Repository) -> int | None:
    return tx.now_us + repo.gate_days * DAY_US if repo.gate_days else None


def _list(tx: Tx, condition: sa.ColumnElement[bool]) -> list[AccessRequest]:
    query = (
        sa.select(access_requests, users.c.name, users.c.display_name)
        .join(users, users.c.id == access_requests.c.user_id)
        .where(condition)
        .order_by(access_requests.c.at_us.desc())
        .limit(1000)
    )
    return [
        AccessRequest(
            row["id"],
            row["name"],
            row["display_name"],
            RequestState(row["state"]),
            row["note"],
            row["at_us"],
            row["decided_by"],
            row["expires_us"],
            row["expires_us"] is not None and row["expires_us"] <= tx.now_us,
        )
        for row in tx.rows(query)
    ]


def _audit(tx: Tx, actor: Actor, action: str, repo: Repository, **details: object) -> None:
    audit.record(tx, actor=actor.label, action=action, target=repo.id, org_id=repo.org_id, details=details)
