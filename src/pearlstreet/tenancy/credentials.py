"""The one format of every credential: `<kind>_<public id>_<secret>`, and what is kept of it.

A secret is 256 random bits, so SHA-256 without salt or stretching is enough to keep: there is nothing to guess.
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
"""An API key."""
SESSION = "pearlsession"
"""A sign-in."""
LINK = "pearllink"
"""A link to set a password once."""
INVITATION = "pearlinvite"
"""The code of an invitation that was sent to an e-mail address."""
ID_PREFIX = {KEY: "key", SESSION: "ses", LINK: "lnk", INVITATION: "inv"}


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential taken apart. The secret stays out of its repr."""

    kind: str
    row_id: str
    secret: str = field(repr=False)


def parse(value: str) -> Credential | None:
    """The parts of a credential, or None for anything that is not one. Never raises."""
    match = _SHAPE.fullmatch(value)
    if match is None or match[1] not in ID_PREFIX:
        return None
    return Credential(match[1], f"{ID_PREFIX[match[1]]}_{match[2]}", match[3])


def mint(tx: Tx, kind: str) -> tuple[Credential, str]:
    """A fresh credential and its full text, which is shown once and kept nowhere."""
    row_id = tx.new_id(ID_PREFIX[kind])
    noise = tx.token_bytes(SECRET_BYTES)
    secret = encode(int.from_bytes(noise[:_HALF], "big")) + encode(int.from_bytes(noise[_HALF:], "big"))
    public = row_id.split("_", 1)[1]
    return Credential(kind, row_id, secret), f"{kind}_{public}_{secret}"


def digest(secret: str) -> str:
    """What the database keeps."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_right(secret: str, kept: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(digest(secret), kept)
