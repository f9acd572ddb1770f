"""Tokens of the exchange: one with which the nodes of an attempt report, and one for each node that did. Each is valid for its attempt alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

KEY_FILE = "exchange.key"
KEY_BYTES = 32


class Tokens:
    """Makes and checks tokens with a key that only the server can read. A token holds no state, so a restart loses none."""

    def __init__(self, folder: Path) -> None:
        self._key = _read_key(folder / KEY_FILE)

    def of_attempt(self, attempt_id: str) -> str:
        """Return the token that the job of an attempt carries. It is good for one thing: that each node reports once."""
        return self._sign("attempt", attempt_id)

    def of_node(self, attempt_id: str, number: int, nonce: str) -> str:
        """Return the token of a node that reported with `nonce`, with which it reads its files and writes its results."""
        return self._sign("node", attempt_id, str(number), nonce)

    def _sign(self, *parts: str) -> str:
        return hmac.new(self._key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()


def is_same(given: str, right: str) -> bool:
    """Compare two tokens in a time that tells nothing about where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


def _read_key(path: Path) -> bytes:
    """Return the key, a new one where there is none. Raises OSError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        key = path.read_bytes()
        if len(key) == KEY_BYTES:
            return key
        raise OSError(f"{path} is damaged") from None
    with open(handle, "wb") as file:
        file.write(key := secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(handle)
    return key
