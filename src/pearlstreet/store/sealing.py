"""Encryption of stored secrets: AES-256-GCM (NIST SP 800-38D) with a key that is never in the database.

A sealed value is `key id ‖ nonce ‖ ciphertext`, so that keys can be rotated. `store.keyring` refuses to start without the
key with which the database's values are sealed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import text

KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A sealing key with its public id, which is a prefix of its hash."""

    secret: bytes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(b"pearlstreet key id" + self.secret).digest()[:_ID_BYTES]

    def to_text(self) -> str:
        """Return the key in the form of a key file."""
        return base64.urlsafe_b64encode(self.secret).decode()

    @staticmethod
    def from_text(value: str) -> SealingKey:
        """Read a key file's content. Raises ConfigurationError unless it is 32 bytes in base64."""
        try:
            secret = base64.b64decode(value.strip().encode(), altchars=b"-_", validate=True)
        except ValueError:
            secret = b""
        if len(secret) != KEY_BYTES:
            raise ConfigurationError(
                text("The encryption key is not {count} bytes in base64", count=KEY_BYTES),
                hint=text("Put back the key file that this center was started with"),
            )
        return SealingKey(secret)


class Sealer:
    """Encrypts values with the first key, and decrypts them with any of the keys."""

    def __init__(self, keys: tuple[SealingKey, ...], rng: Rng) -> None:
        self._current = keys[0]
        self._keys: Mapping[bytes, SealingKey] = {key.key_id: key for key in keys}
        self._rng = rng

    def seal(self, plain: bytes, context: str) -> bytes:
        """Return the encrypted value. `context`, such as the row's id, must be the same on opening."""
        nonce = self._rng.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._current.secret).encrypt(nonce, plain, context.encode())
        return self._current.key_id + nonce + cipher

    def open(self, sealed: bytes, context: str) -> bytes:
        """Return the decrypted value. Raises ConfigurationError when the key is missing or the value was tampered with."""
        key = self._keys.get(sealed[:_ID_BYTES])
        if key is None:
            raise ConfigurationError(
                text(
                    "A secret was encrypted with the key {key}, which is missing",
                    key=sealed[:_ID_BYTES].hex(),
                ),
                hint=text("Put back the key file that this center was started with"),
            )
        nonce = sealed[_ID_BYTES : _ID_BYTES + _NONCE_BYTES]
        try:
            return AESGCM(key.secret).decrypt(nonce, sealed[_ID_BYTES + _NONCE_BYTES :], context.encode())
        except (InvalidTag, ValueError):
            raise ConfigurationError(
                text("A stored secret ({context}) was changed outside the program", context=context)
            ) from None

    def mac(self, message: bytes) -> str:
        """Return the HMAC-SHA-256 of a message with the first key, in hexadecimal."""
        derived = hmac.digest(self._current.secret, b"pearlstreet mac", "sha256")
        return hmac.new(derived, message, "sha256").hexdigest()

    def mac_is_right(self, message: bytes, mac: str) -> bool:
        """Return whether `mac` is the HMAC of `message` with any of the keys."""
        for key in self._keys.values():
            derived = hmac.digest(key.secret, b"pearlstreet mac", "sha256")
            if hmac.compare_digest(hmac.new(derived, message, "sha256").hexdigest(), mac):
                return True
        return False
