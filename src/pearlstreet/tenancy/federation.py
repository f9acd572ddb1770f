"""Sign-in through an OpenID Connect provider: the state of the flow, and the account of an identity."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict, Forbidden, NotFound, Unauthenticated
from pearlstreet.base.text import text
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx, must_be_sealed
from pearlstreet.tenancy import sessions
from pearlstreet.tenancy.grants import require_account
from pearlstreet.tenancy.members import insert_member, read_memberships
from pearlstreet.tenancy.model import SYSTEM, Actor, Standing, User
from pearlstreet.tenancy.names import EMAIL, LOGIN
from pearlstreet.tenancy.oidc import Identity, OidcProvider
from pearlstreet.tenancy.oidc_client import OidcClient
from pearlstreet.tenancy.sessions import SignedIn
from pearlstreet.tenancy.tables import identities, oidc_flows, orgs, users
from pearlstreet.tenancy.terminal import Left, Terminal, leave
from pearlstreet.tenancy.users import as_user, get_user, insert_user

FLOW_LIFE_US = 600 * US_PER_S
FLOWS_MAX = 10_000
"""Largest number of unfinished sign-ins; beyond it the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The provider's `url` for the browser, and the cookie value `binding` that binds the sign-in to this browser."""

    url: str = field(repr=False)
    binding: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkedIdentity:
    """An identity at a provider (issuer and subject) and the account it is linked to."""

    issuer: str
    subject: str
    user_id: str


def begin(store: Store, client: OidcClient, *, redirect_uri: str, terminal: Terminal | None = None) -> Begun:
    """Start a sign-in, to be finished within 10 min. Raises Unavailable while the provider does not answer.

    With `terminal` the session goes to a program on the browser's machine.
    """
    state, nonce, verifier, binding = (_noise(store) for _ in range(4))
    url = client.authorization_url(state=state, nonce=nonce, verifier=verifier, redirect_uri=redirect_uri)

    def command(tx: Tx) -> None:
        _drop_oldest(tx)
        state_hash = _hash(state)
        kept: dict[str, object] = {"nonce": nonce, "verifier": verifier}
        if terminal is not None:
            kept["terminal"] = [terminal.port, terminal.challenge]
        plain = json.dumps(kept).encode()
        tx.execute(
            sa.insert(oidc_flows).values(
                state_hash=state_hash,
                provider=client.provider.name,
                binding_hash=_hash(binding),
                redirect_uri=redirect_uri,
                sealed=must_be_sealed(tx).seal(plain, f"oidc flow {state_hash}"),
                created_us=tx.now_us,
            )
        )

    replace(store, claim=None).write(command)
    return Begun(url, binding)


def finish(
    store: Store,
    client: OidcClient,
    *,
    state: str,
    code: str,
    binding: str,
    peer: str,
    issuer: str | None = None,
) -> SignedIn:
    """Turn the provider's redirect into a session of this browser. Raises like `finish_or_leave`.

    Also raises Unauthenticated if the sign-in was started by a program.
    """
    found = finish_or_leave(store, client, state=state, code=code, binding=binding, peer=peer, issuer=issuer)
    if isinstance(found, Left):
        raise _stale()
    return found


def finish_or_leave(
    store: Store,
    client: OidcClient,
    *,
    state: str,
    code: str,
    binding: str,
    peer: str,
    issuer: str | None = None,
) -> SignedIn | Left:
    """Turn the provider's redirect into a session, or into a code for the program that started the sign-in.

    `issuer` is the `iss` parameter of the redirect (RFC 9207), if it has one. Each state can be used once.
    Raises Unauthenticated, or Forbidden when the identity has no account here.
    """
    provider = client.provider
    store = replace(store, claim=None)
    flow = store.write(lambda tx: _take(tx, state, binding, provider))
    if not flow.verifier or (issuer is not None and issuer != provider.issuer):
        raise _stale()
    token = client.exchange(code=code, verifier=flow.verifier, redirect_uri=flow.redirect_uri)
    identity = client.identity(token, nonce=flow.nonce)

    def command(tx: Tx) -> SignedIn | Left:
        user = _account(tx, identity, provider)
        if user.state is not Standing.ACTIVE:
            raise Unauthenticated(text("This account is suspended or closed"))
        if flow.terminal is not None:
            return leave(tx, user, provider.name, flow.terminal)
        return sessions.start_session(tx, user, peer, how=f"oidc {provider.name}")

    return store.write(command)


def link_identity(store: Store, actor: Actor, user: str, issuer: str, subject: str) -> LinkedIdentity:
    """Link an identity to an account before its first sign-in. Raises Conflict when it is linked already."""
    actor.require("users:write")
    found = get_user(store, actor, user)

    def command(tx: Tx) -> LinkedIdentity:
        account = as_user(tx.rows(sa.select(users).where(users.c.id == found.id))[0])
        require_account(actor, account, read_memberships(tx, account.id))
        if _linked(tx, issuer, subject) is not None:
            raise Conflict(text("This identity belongs to an account already"))
        _insert(tx, actor, issuer, subject, found.id)
        return LinkedIdentity(issuer, subject, found.id)

    return store.write(command)


def unlink_identity(store: Store, actor: Actor, issuer: str, subject: str) -> None:
    """Remove the link of an identity to its account. Raises NotFound."""
    actor.require("users:write")

    def command(tx: Tx) -> None:
        row = _linked(tx, issuer, subject)
        if row is None:
            raise NotFound(text("No account has this identity"))
        tx.execute(sa.delete(identities).where(identities.c.digest == _digest(issuer, subject)))
        audit.record(
            tx, actor=actor.label, action="identity.unlink", target=row["id"], details={"issuer": issuer}
        )

    store.write(command)


def list_identities(store: Store, actor: Actor, user: str) -> Sequence[LinkedIdentity]:
    """Return the identities linked to an account: the actor's own, or with `users:write` any account."""
    found = get_user(store, actor, user)
    if found.id != actor.user_id:
        actor.require("users:write")
    query = sa.select(identities).where(identities.c.user_id == found.id).order_by(identities.c.created_us)
    return store.read(
        lambda tx: [LinkedIdentity(r["issuer"], r["subject"], r["user_id"]) for r in tx.rows(query)]
    )


@dataclass(frozen=True, slots=True)
class _Flow:
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str
    terminal: Terminal | None = None


def _take(tx: Tx, state: str, binding: str, provider: OidcProvider) -> _Flow:
    state_hash = _hash(state)
    row = tx.first(sa.select(oidc_flows).where(oidc_flows.c.state_hash == state_hash))
    bound = row is not None and hmac.compare_digest(row["binding_hash"], _hash(binding))
    # A state that arrives from another browser is not used up, so that it cannot cancel the sign-in of the right one.
    if row is None or not bound or row["provider"] != provider.name:
        raise _stale()
    tx.execute(sa.delete(oidc_flows).where(oidc_flows.c.state_hash == state_hash))
    plain = json.loads(must_be_sealed(tx).open(bytes(row["sealed"]), f"oidc flow {state_hash}"))
    if row["created_us"] <= tx.now_us - FLOW_LIFE_US:
        # An exception would roll the deletion back, so an empty flow is returned and the caller raises.
        return _Flow("", "", "")
    terminal = Terminal(*plain["terminal"]) if "terminal" in plain else None
    return _Flow(plain["nonce"], plain["verifier"], row["redirect_uri"], terminal)


def _account(tx: Tx, identity: Identity, provider: OidcProvider) -> User:
    row = _linked(tx, identity.issuer, identity.subject)
    if row is not None:
        return as_user(row)
    rule = provider.auto_create
    if rule is None:
        raise Forbidden(
            text("The sign-in provider knows you, but you have no account here"),
            hint=text("Ask a security operator to link your identity ({subject})", subject=identity.subject),
        )
    org = tx.first(sa.select(orgs).where(orgs.c.slug == rule.org, orgs.c.state == Standing.ACTIVE))
    if org is None:
        raise Forbidden(text("The organisation for new accounts does not exist or is suspended"))
    login = _free_login(tx, identity)
    email = identity.email if identity.email and EMAIL.fullmatch(identity.email) else None
    user = insert_user(tx, SYSTEM, login, identity.display_name or login, email, None, org_id=org["id"])
    insert_member(tx, SYSTEM, user.id, org["id"], rule.role)
    _insert(tx, SYSTEM, identity.issuer, identity.subject, user.id)
    return user


def _free_login(tx: Tx, identity: Identity) -> str:
    """Return an unused login name, so that an identity never takes over an account that has the wished name."""
    wish = (identity.login or identity.email or "").split("@")[0].lower()
    wish = re.sub(r"[^a-z0-9._-]+", "-", wish).strip("._-")[:32].strip("._-")
    tail = _digest(identity.issuer, identity.subject)
    for name in (wish, f"{wish}-{tail[:6]}".lstrip("-"), f"oidc-{tail[:32]}"):
        if LOGIN.fullmatch(name) and not tx.scalar(sa.select(users.c.id).where(users.c.name == name)):
            return name
    raise Conflict(text("This identity belongs to an account already"))


def _linked(tx: Tx, issuer: str, subject: str) -> RowMapping | None:
    return tx.first(
        sa.select(users)
        .join(identities, identities.c.user_id == users.c.id)
        .where(identities.c.digest == _digest(issuer, subject))
    )


def _insert(tx: Tx, actor: Actor, issuer: str, subject: str, user_id: str) -> None:
    tx.execute(
        sa.insert(identities).values(
            digest=_digest(issuer, subject),
            issuer=issuer,
            subject=subject,
            user_id=user_id,
            created_us=tx.now_us,
        )
    )
    audit.record(
        tx,
        actor=actor.label,
        action="identity.link",
        target=user_id,
        details={"issuer": issuer, "subject": subject},
    )


def _drop_oldest(tx: Tx) -> None:
    tx.execute(sa.delete(oidc_flows).where(oidc_flows.c.created_us <= tx.now_us - FLOW_LIFE_US))
    count = tx.scalar(sa.select(sa.func.count()).select_from(oidc_flows))
    if count >= FLOWS_MAX:
        oldest = sa.select(oidc_flows.c.state_hash).order_by(oidc_flows.c.created_us).limit(FLOWS_MAX // 10)
        tx.execute(sa.delete(oidc_flows).where(oidc_flows.c.state_hash.in_(oldest)))


def _noise(store: Store) -> str:
    return base64.urlsafe_b64encode(store.rng.token_bytes(32)).rstrip(b"=").decode()


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


def _digest(issuer: str, subject: str) -> str:
    return hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()


def _stale() -> Unauthenticated:
    return Unauthenticated(
        text("This sign-in has ended, or was started in another browser"), hint=text("Start it again")
    )
