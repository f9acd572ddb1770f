"""Sign-in of a program through a browser on the same machine, as in `pearl login --oidc`.

The browser is redirected to the program's port on loopback with a code. The code starts a session only together with the
verifier that the program keeps secret (RFC 7636, RFC 8252).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import InvalidInput, Problem, Unauthenticated
from pearlstreet.base.text import text
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy import sessions
from pearlstreet.tenancy.model import Standing, User
from pearlstreet.tenancy.sessions import SignedIn
from pearlstreet.tenancy.tables import terminal_codes, users
from pearlstreet.tenancy.users import as_user

CODE_LIFE_US = 120 * US_PER_S
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
PORTS = range(1024, 65_536)


@dataclass(frozen=True, slots=True)
class Terminal:
    """The waiting program: its port on loopback, and the SHA-256 challenge of its secret verifier."""

    port: int
    challenge: str


@dataclass(frozen=True, slots=True)
class Left:
    """The program's `url` with the code, to which the browser is redirected."""

    url: str = field(repr=False)


def terminal_from(port: int | None, challenge: str | None) -> Terminal | None:
    """Return the waiting program that a request describes, or None. Raises InvalidInput."""
    if port is None and challenge is None:
        return None
    if port is None or port not in PORTS:
        message = text("{port} is not a port from 1024 to 65535", port=str(port))
        raise InvalidInput(message, problems=[Problem("port", message)])
    if challenge is None or not _CHALLENGE.fullmatch(challenge):
        message = text("The challenge is not a SHA-256 in base64url")
        raise InvalidInput(message, problems=[Problem("challenge", message)])
    return Terminal(port, challenge)


def challenge_of(verifier: str) -> str:
    """Return the digest of a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def leave(tx: Tx, user: User, provider: str, terminal: Terminal) -> Left:
    """Store a code for the program; the caller has authenticated the user. Returns the redirect."""
    code = tx.token_bytes(32).hex()
    tx.execute(sa.delete(terminal_codes).where(terminal_codes.c.until_us <= tx.now_us))
    tx.execute(
        sa.insert(terminal_codes).values(
            code_hash=_hash(code),
            user_id=user.id,
            provider=provider,
            challenge=terminal.challenge,
            until_us=tx.now_us + CODE_LIFE_US,
        )
    )
    return Left(f"http://127.0.0.1:{terminal.port}/?code={code}")


def pick_up(store: Store, code: str, verifier: str, *, peer: str) -> SignedIn:
    """Start a session with the code of a browser's sign-in. Each code works once. Raises Unauthenticated."""

    mine = terminal_codes.c.code_hash == _hash(code)

    def command(tx: Tx) -> SignedIn:
        row = tx.first(sa.select(terminal_codes).where(mine))
        user = tx.first(sa.select(users).where(users.c.id == row["user_id"])) if row is not None else None
        if (
            row is None
            or row["until_us"] <= tx.now_us
            or not hmac.compare_digest(row["challenge"], challenge_of(verifier))
            or user is None
            or user["state"] != Standing.ACTIVE.value
        ):
            raise Unauthenticated(
                text("This sign-in has ended, or was started elsewhere"), hint=text("Start it again")
            )
        tx.execute(sa.delete(terminal_codes).where(mine))
        return sessions.start_session(tx, as_user(user), peer, how=f"oidc {row['provider']}")

    try:
        return store.write(command)
    except Unauthenticated:
        # The rollback kept the code; it is deleted here, because after a wrong verifier it must not be tried again.
        replace(store, claim=None).write(lambda tx: tx.execute(sa.delete(terminal_codes).where(mine)))
        raise


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()
