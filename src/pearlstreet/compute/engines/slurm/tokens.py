"""Signs JSON web tokens that name the Slurm user of a request to slurmrestd (RFC 7519, HS256). Pure.

Who has the key can act as every user of the cluster, root included.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from pearlstreet.base.clock import US_PER_S

TOKEN_LASTS_S = 600
"""Lifetime of a token; a new one is signed when half of it is over."""


def sign_token(key: bytes, user: str, *, now_us: int, lasts_s: int = TOKEN_LASTS_S) -> str:
    """Return a token for a user of the cluster, valid from now on."""
    now_s = now_us // US_PER_S
    head = _part({"alg": "HS256", "typ": "JWT"})
    body = head + b"." + _part({"exp": now_s + lasts_s, "iat": now_s, "sun": user})
    return (body + b"." + _encode(hmac.new(key, body, hashlib.sha256).digest())).decode()


def _part(value: Mapping[str, object]) -> bytes:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
