"""Idempotency-Key: a repeated write with the same key and body returns the first response again, for 24 hours.

For each caller at most the newest `ANSWERS_MAX` responses and `BYTES_MAX` bytes are stored.

The response is stored in the command's own transaction, so neither exists without the other. Failed commands store
nothing, so a repetition tries again. Stored responses are encrypted, because some contain secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import IdempotencyMismatch, InvalidInput
from pearlstreet.base.text import text
from pearlstreet.store.core import Replayed, Row, Tx
from pearlstreet.store.tables import idempotency

__all__ = ["OnceClaim", "Replayed", "fingerprint", "forget_old"]

T = TypeVar("T")
KEPT_US = 24 * 3600 * US_PER_S
KEY_MAX = 255
ANSWERS_MAX = 100_000
"""Largest number of stored responses of one caller; beyond it the oldest are deleted."""
BYTES_MAX = 256 << 20
"""Largest total size of the stored responses of one caller, in bytes."""


@dataclass(frozen=True, slots=True)
class OnceClaim:
    """One Idempotency-Key of one caller. `encode` turns the command's result into the response to store."""

    scope: str
    key: str
    fingerprint: str
    encode: Callable[[object], bytes]

    def __post_init__(self) -> None:
        if not (0 < len(self.key) <= KEY_MAX and self.key.isprintable()):
            raise InvalidInput(
                text("An Idempotency-Key has 1 to {most} printable characters", most=KEY_MAX),
                hint=text("Use a random UUID"),
            )

    def run(self, tx: Tx, command: Callable[[Tx], T]) -> T:
        """Run the command and store its response. Raises Replayed, or IdempotencyMismatch for another body."""
        context = f"idempotency:{self.scope}:{self.key}"
        if self._kept(tx) is not None:
            tx.execute(
                sa.delete(idempotency).where(idempotency.c.scope == self.scope, idempotency.c.key == self.key)
            )
        result = command(tx)
        body = self.encode(result)
        tx.execute(
            sa.insert(idempotency).values(
                scope=self.scope,
                key=self.key,
                fingerprint=self.fingerprint,
                body=tx.sealer.seal(body, context) if tx.sealer else body,
                at_us=tx.now_us,
            )
        )
        return result

    def check(self, tx: Tx) -> None:
        """Raise Replayed if the command was run before, or IdempotencyMismatch for another body."""
        self._kept(tx)

    def _kept(self, tx: Tx) -> Row | None:
        """Return the stored row of the key if it has expired, or None. Raises Replayed or IdempotencyMismatch otherwise."""
        kept = tx.first(
            sa.select(idempotency).where(idempotency.c.scope == self.scope, idempotency.c.key == self.key)
        )
        if kept is None or kept["at_us"] <= tx.now_us - KEPT_US:
            return kept
        if kept["fingerprint"] != self.fingerprint:
            raise IdempotencyMismatch(
                text("Idempotency-Key {key} was used before with another request", key=self.key),
                hint=text("Use a fresh key for a different request"),
            )
        body = bytes(kept["body"])
        raise Replayed(tx.sealer.open(body, f"idempotency:{self.scope}:{self.key}") if tx.sealer else body)


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return the hash by which two requests with the same key count as the same request."""
    digest = hashlib.sha256(f"{method} {path}\n".encode())
    digest.update(body)
    return digest.hexdigest()


def forget_old(tx: Tx) -> int:
    """Delete responses older than 24 h and the oldest of callers with too many; returns the number deleted."""
    gone = tx.execute(sa.delete(idempotency).where(idempotency.c.at_us <= tx.now_us - KEPT_US)).rowcount
    return gone + sum(_shrink(tx, scopes) for scopes in _full_callers(tx))


def _full_callers(tx: Tx) -> Iterable[Sequence[str]]:
    """Yield the scopes of each caller that exceeds a limit; all keys and sessions of one login are one caller."""
    size = sa.func.coalesce(sa.func.sum(sa.func.length(idempotency.c.body)), 0)
    totals = sa.select(idempotency.c.scope, sa.func.count().label("count"), size.label("bytes"))
    callers: dict[str, list[Row]] = {}
    for row in tx.rows(totals.group_by(idempotency.c.scope)):
        login = row["scope"].partition(" ")[0]
        # Callers without an account share the login "public", but must not displace each other's responses.
        callers.setdefault(row["scope"] if login == "public" else login, []).append(row)
    for rows in callers.values():
        if sum(row["count"] for row in rows) > ANSWERS_MAX or sum(row["bytes"] for row in rows) > BYTES_MAX:
            yield [row["scope"] for row in rows]


def _shrink(tx: Tx, scopes: Sequence[str]) -> int:
    """Delete the oldest responses of these scopes beyond the limits; returns the number deleted."""
    own = idempotency.c.scope.in_(scopes)
    newest = sa.select(idempotency.c.at_us, sa.func.length(idempotency.c.body).label("size")).where(own)
    count = size = 0
    for row in tx.execute(newest.order_by(idempotency.c.at_us.desc())):
        count, size = count + 1, size + row.size
        if count > ANSWERS_MAX or size > BYTES_MAX:
            return tx.execute(sa.delete(idempotency).where(own, idempotency.c.at_us <= row.at_us)).rowcount
    return 0
