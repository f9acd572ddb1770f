"""The format of all credentials, `<kind>_<public id>_<secret>`, and the hash that is stored of the secret.

A secret is 256 random bits, so a SHA-256 hash without salt or stretching is safe to store: a secret cannot be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from pearlstreet.base.ids import encode
from pearlstreet.store.core import Tx

SECRET_BYTES = 32
_HALF = SECRET_BYTES // 2
_SHAPE = re.compile(r"([a-z]+)_([0-9a-hjkmnp-tv-z]{26})_([0-9a-hjkmnp-tv-z]{52})")

KEY = "pearl"
"""Kind of an API key."""
SESSION = "pearlsession"
"""Kind of a session."""
LINK = "pearllink"
"""Kind of a one-time link that sets a password."""
INVITATION = "pearlinvite"
"""Kind of the code in an invitation by e-mail."""
ID_PREFIX = {KEY: "key", SESSION: "ses", LINK: "lnk", INVITATION: "inv"}


@dataclass(frozen=True, slots=True)
class Credential:
    """The parts of a credential; its repr leaves the secret out."""

    kind: str
    row_id: str
    secret: str = field(repr=False)


def parse(value: str) -> Credential | None:
    """Return the parts of a credential, or None when `value` is not a credential. Never raises."""
    match = _SHAPE.fullmatch(value)
    if match is None or match[1] not in ID_PREFIX:
        return None
    return Credential(match[1], f"{ID_PREFIX[match[1]]}_{match[2]}", match[3])


def mint(tx: Tx, kind: str) -> tuple[Credential, str]:
    """Return a new credential and its full text, which is shown once and never stored."""
    row_id = tx.new_id(ID_PREFIX[kind])
    noise = tx.token_bytes(SECRET_BYTES)
    secret = encode(int.from_bytes(noise[:_HALF], "big")) + encode(int.from_bytes(noise[_HALF:], "big"))
    public = row_id.split("_", 1)[1]
    return Credential(kind, row_id, secret), f"{kind}_{public}_{secret}"


def digest(secret: str) -> str:
    """Return the SHA-256 hash of a secret, in hexadecimal, as the database stores it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_right(secret: str, kept: str) -> bool:
    """Return whether `secret` has the stored hash `kept`. Compares in constant time."""
    return hmac.compare_digest(digest(secret), kept)
