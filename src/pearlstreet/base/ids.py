"""Prefixed ids: `job_` + UUIDv7 (RFC 9562) in 26 characters of Crockford base32. They sort by creation time."""

from __future__ import annotations

import re

from pearlstreet.base.clock import Clock
from pearlstreet.base.rng import Rng

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PATTERN = re.compile(r"^[a-z]{2,8}_[0-9a-hjkmnp-tv-z]{26}\Z")


def encode(number: int) -> str:
    """Return a 128-bit number as 26 base32 characters; larger numbers sort later."""
    digits = []
    for _ in range(26):
        digits.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(reversed(digits))


def new_id(prefix: str, clock: Clock, rng: Rng) -> str:
    """Return a new id such as `job_01k…`; ids of later milliseconds sort later."""
    millis = (clock.now_us() // 1000) & ((1 << 48) - 1)
    noise = int.from_bytes(rng.token_bytes(10), "big")
    number = (millis << 80) | (0x7 << 76) | ((noise >> 64 & 0xFFF) << 64)
    number |= (0b10 << 62) | (noise & ((1 << 62) - 1))
    return f"{prefix}_{encode(number)}"


def is_id(value: str, prefix: str) -> bool:
    """Return whether `value` has the form of an id with this prefix."""
    return value.startswith(prefix + "_") and _PATTERN.match(value) is not None
