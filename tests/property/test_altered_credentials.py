"""Every kind of credential: with any one character altered it is refused, and so it is when what is kept of it is altered."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from tests.cheap_passwords import cheap_passwords
from tests.conftest import make_store

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import Forbidden, InvalidInput, Unauthenticated
from pearlstreet.base.rng import SeededRng
from pearlstreet.console import cookies
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy import credentials, federation, keys, passwords, sessions, terminal, users
from pearlstreet.tenancy.authentication import authenticate, changed
from pearlstreet.tenancy.model import SYSTEM, Actor, User
from pearlstreet.tenancy.notices import preferences
from pearlstreet.tenancy.notices.owners import ME
from pearlstreet.tenancy.notices.posting import new_secret, signature
from pearlstreet.tenancy.notices.tables import deliveries
from pearlstreet.tenancy.notices.tables import preferences as preference_rows
from pearlstreet.tenancy.oidc import Identity, OidcProvider
from pearlstreet.tenancy.tables import api_keys, oidc_flows, password_links, terminal_codes
from pearlstreet.tenancy.tables import sessions as session_rows

PASSWORD = "correct horse battery staple"
PEER = "192.0.2.7"
REFUSED = (Unauthenticated, Forbidden, InvalidInput)
PROVIDER = OidcProvider("school", "https://id.example", "client", "secret")


class Provider:
    """A sign-in provider that lets everybody in as ada: what is under test is what comes back to us."""

    provider = PROVIDER

    def authorization_url(self, *, state: str, nonce: str, verifier: str, redirect_uri: str) -> str:
        return f"{PROVIDER.issuer}/authorize?state={state}"

    def exchange(self, *, code: str, verifier: str, redirect_uri: str) -> str:
        return "token"

    def identity(self, id_token: str, *, nonce: str) -> Identity:
        return Identity(PROVIDER.issuer, "ada", "ada", "Ada", None)


@dataclass
class World:
    store: Store
    clock: VirtualClock
    user: User
    actor: Actor
    hashed: str
    current: dict[str, str]
    """What goes with the credential that was made last, such as the binding of a state."""

    def pick_up(self, code: str, verifier: str) -> object:
        return terminal.pick_up(self.store, code, verifier, peer=PEER)

    def finish(self, state: str, binding: str) -> object:
        client: object = Provider()
        return federation.finish(
            self.store,
            client,  # type: ignore[arg-type]
            state=state,
            code="code",
            binding=binding,
            peer=PEER,
        )

    def confirm(self, code: str) -> object:
        self.store.write(lambda tx: tx.execute(sa.update(preference_rows).values(code_tries=0)))
        return preferences.confirm_address(self.store, self.actor, ME, code)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with cheap_passwords():
        clock = VirtualClock()
        store = replace(make_store("sqlite://"), clock=clock)
        invited = users.create_user(store, SYSTEM, "ada")
        sessions.set_password(store, invited.token, PASSWORD)
        federation.link_identity(store, SYSTEM, "ada", PROVIDER.issuer, "ada")
        signed_in = sessions.sign_in(store, "ada", PASSWORD, peer=PEER)
        hashed = passwords.hash_password(PASSWORD, store.rng)
        yield World(store, clock, invited.user, authenticate(store, signed_in.credential), hashed, {})
        store.close()


def _make_key(world: World) -> str:
    return keys.create_key(world.store, world.actor).credential


def _make_session(world: World) -> str:
    return world.store.write(lambda tx: sessions.start_session(tx, world.user, PEER, how="test")).credential


def _make_link(world: World) -> str:
    return users.issue_password_link(world.store, SYSTEM, "ada").token


def _make_terminal(world: World) -> tuple[str, str]:
    verifier = base64.urlsafe_b64encode(world.store.rng.token_bytes(32)).rstrip(b"=").decode()
    waiting = terminal.Terminal(5000, terminal.challenge_of(verifier))
    left = world.store.write(lambda tx: terminal.leave(tx, world.user, "school", waiting))
    return parse_qs(urlsplit(left.url).query)["code"][0], verifier


def _make_code(world: World) -> str:
    code, world.current["verifier"] = _make_terminal(world)
    return code


def _make_verifier(world: World) -> str:
    world.current["code"], verifier = _make_terminal(world)
    return verifier


def _begin(world: World) -> tuple[str, str]:
    client: object = Provider()
    begun = federation.begin(world.store, client, redirect_uri="https://pearl.example/back")  # type: ignore[arg-type]
    return parse_qs(urlsplit(begun.url).query)["state"][0], begun.binding


def _make_state(world: World) -> str:
    state, world.current["binding"] = _begin(world)
    return state


def _make_binding(world: World) -> str:
    world.current["state"], binding = _begin(world)
    return binding


def _make_mail_code(world: World) -> str:
    world.clock.advance(1)  # ids of one millisecond have no order
    preferences.set_preferences(
        world.store,
        world.actor,
        ME,
        preferences.Change(email=f"{world.store.rng.token_bytes(6).hex()}@x.example"),
    )
    newest = sa.select(deliveries.c.payload).order_by(deliveries.c.id.desc()).limit(1)
    return str(world.store.read(lambda tx: tx.scalar(newest))["code"])


@dataclass(frozen=True)
class Kind:
    make: Callable[[World], str]
    use: Callable[[World, str], object]
    """Raises one of REFUSED, or answers."""
    kept: sa.Column[str] | None = None
    """Where what is kept of it stands."""
    spent: bool = False
    """A wrong one ends the right one."""
    trimmed: bool = False
    """Spaces around it are not looked at: people type it."""


def _right(answer: bool) -> None:
    if not answer:
        raise Unauthenticated("wrong")  # type: ignore[arg-type]


KINDS = {
    "key": Kind(_make_key, lambda w, value: authenticate(w.store, value), api_keys.c.secret_hash),
    "session": Kind(_make_session, lambda w, value: authenticate(w.store, value), session_rows.c.secret_hash),
    "one-time token": Kind(
        _make_link,
        lambda w, value: sessions.set_password(w.store, value, PASSWORD),
        password_links.c.secret_hash,
    ),
    "password": Kind(lambda w: PASSWORD, lambda w, value: _right(passwords.is_password(value, w.hashed))),
    "terminal code": Kind(_make_code, lambda w, value: w.pick_up(value, w.current["verifier"])),
    "terminal verifier": Kind(
        _make_verifier,
        lambda w, value: w.pick_up(w.current["code"], value),
        terminal_codes.c.challenge,
        spent=True,
    ),
    "sign-in state": Kind(_make_state, lambda w, value: w.finish(value, w.current["binding"])),
    "sign-in cookie": Kind(
        _make_binding, lambda w, value: w.finish(w.current["state"], value), oidc_flows.c.binding_hash
    ),
    "mail code": Kind(
        _make_mail_code, lambda w, value: w.confirm(value), preference_rows.c.code_hash, trimmed=True
    ),
    "form token": Kind(
        lambda w: cookies.form_token("pearlsession_x"),
        lambda w, value: cookies.check_token("pearlsession_x", value),
    ),
}


def _altered(value: str) -> Iterator[str]:
    """Each character another one, in the other case, away, twice; and what is put around the whole."""
    for at, letter in enumerate(value):
        for other in ("0" if letter != "0" else "1", letter.swapcase(), " ", "é", "\0"):
            yield value[:at] + other + value[at + 1 :]
        yield value[:at] + value[at + 1 :]
        yield value[:at] + letter + value[at:]
        yield value[:at]
    yield from (value + "0", value + "\0", value * 2, value[::-1], value.upper(), value.title())
    yield from (f" {value}", f"{value} ", f"{value}\n", f"\t{value}", f"{value}\u200b", f'"{value}"')


def _refused(world: World, kind: Kind, value: str) -> bool:
    try:
        kind.use(world, value)
    except REFUSED:
        return True
    return False


@pytest.mark.parametrize("name", sorted(KINDS))
def test_any_one_character_altered_is_refused(world: World, name: str) -> None:
    kind = KINDS[name]
    right = kind.make(world)
    for number in range(len(list(_altered(right)))):
        wrong = list(_altered(right))[number]
        if wrong == right or (kind.trimmed and wrong.strip() == right):
            continue
        assert _refused(world, kind, wrong), repr(wrong)
        if kind.spent:
            right = kind.make(
                world
            )  # as long as the one before, so that the next alteration is the next place's
    assert not _refused(world, kind, right), "and the right one is not"


@given(name=st.sampled_from(sorted(KINDS)), place=st.integers(0, 200), other=st.characters(codec="utf-8"))
def test_any_character_may_be_the_other_one(world: World, name: str, place: int, other: str) -> None:
    kind = KINDS[name]
    right = kind.make(world)
    place %= len(right)
    wrong = right[:place] + other + right[place + 1 :]
    if passwords.normal(wrong) != right and not (kind.trimmed and wrong.strip() == right):
        assert _refused(world, kind, wrong), repr(wrong)


@pytest.mark.parametrize("name", sorted(name for name, kind in KINDS.items() if kind.kept is not None))
def test_what_is_kept_is_compared_to_its_last_character(world: World, name: str) -> None:
    """A secret with the same beginning of its hash cannot be tried here: so the kept hash is altered instead."""
    kind = KINDS[name]
    assert kind.kept is not None
    place, table = kind.kept, kind.kept.table

    def put(tx: Tx, old: str, new: str) -> None:
        assert tx.execute(sa.update(table).where(place == old).values({place: new})).rowcount == 1
        changed(tx)

    before = set(world.store.read(lambda tx: list(tx.execute(sa.select(place)).scalars())))
    right = kind.make(world)
    after = set(world.store.read(lambda tx: list(tx.execute(sa.select(place)).scalars())))
    (kept,) = after - before
    for at in range(len(kept)):
        wrong = kept[:at] + ("0" if kept[at] != "0" else "1") + kept[at + 1 :]
        world.store.write(lambda tx, old=kept, new=wrong: put(tx, old, new))
        assert _refused(world, kind, right), f"what is kept is altered at {at}"
        if kind.spent:
            before = set(world.store.read(lambda tx: list(tx.execute(sa.select(place)).scalars())))
            right = kind.make(world)
            after = set(world.store.read(lambda tx: list(tx.execute(sa.select(place)).scalars())))
            (kept,) = after - before
        else:
            world.store.write(lambda tx, old=wrong, new=kept: put(tx, old, new))
    assert not _refused(world, kind, right)


def test_a_key_hash_is_compared_whole() -> None:
    kept = credentials.digest("secret")
    assert credentials.is_right("secret", kept)
    for at, letter in enumerate(kept):
        wrong = kept[:at] + ("0" if letter != "0" else "1") + kept[at + 1 :]
        assert not credentials.is_right("secret", wrong)
        assert not credentials.is_right("secret", kept[:at])


def test_a_password_as_long_as_one_may_be_has_no_tail() -> None:
    with cheap_passwords():
        longest = "".join(chr(ord("a") + place * 7 % 26) for place in range(passwords.MAX_LENGTH))
        kept = passwords.hash_password(longest, SeededRng(1))
        assert passwords.is_password(longest, kept)
        assert not passwords.is_password(longest + "x", kept)
        assert not passwords.is_password(longest[:-1], kept)


@given(
    secret=st.binary(min_size=24, max_size=24),
    event=st.text(st.characters(codec="ascii", exclude_characters="."), min_size=1, max_size=40),
    at_s=st.integers(0, 2**40),
    body=st.binary(min_size=1, max_size=80),
    place=st.integers(0, 1000),
    change=st.integers(1, 255),
)
def test_a_webhooks_signature_is_of_every_byte(
    secret: bytes, event: str, at_s: int, body: bytes, place: int, change: int
) -> None:
    right = signature(new_secret(secret), event, at_s, body)

    def turned(content: bytes) -> bytes:
        at = place % len(content)
        return content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]

    others = {
        signature(new_secret(turned(secret)), event, at_s, body),
        signature(new_secret(secret), event, at_s, turned(body)),
        signature(new_secret(secret), event, at_s + change, body),
        signature(new_secret(secret), event + "x", at_s, body),
        signature(new_secret(secret), event, at_s, body + b"x"),
        signature(new_secret(secret), event, at_s, body[:-1]),
    }
    assert right not in others and len(others) >= 5
