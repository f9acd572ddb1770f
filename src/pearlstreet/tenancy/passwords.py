"""Strength rules and hashing of passwords (argon2id, RFC 9106).

The rules follow NIST SP 800-63B: a minimum length and a list of common passwords, but no required character classes and
no required changes.
"""

from __future__ import annotations

import re
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import Text, text

MIN_LENGTH = 12
MAX_LENGTH = 256
SALT_BYTES = 16

# RFC 9106 section 4, the second recommended option: 64 MiB, 3 passes, 4 lanes.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
_AT_ONCE = threading.BoundedSemaphore(2)
"""Semaphore that limits hashing to two at a time, so that sign-ins use at most 2 × 64 MiB of memory."""
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$cGVhcmxzdHJlZXQtMDAwMA$9K4qYwSlnPEEEfxLC6Mk7oyppu3PQDCuqHpgTBfsfYM"
"""Hash that no password has, verified when the user is unknown, so that the response time does not reveal it."""

_COMMON = frozenset(
    {
        "abc",
        "abcdef",
        "access",
        "admin",
        "administrator",
        "asdf",
        "asdfgh",
        "asdfghjkl",
        "changeme",
        "computer",
        "default",
        "dragon",
        "football",
        "guest",
        "iloveyou",
        "letmein",
        "login",
        "master",
        "monkey",
        "passwd",
        "passphrase",
        "password",
        "passwort",
        "pearl",
        "pearlstreet",
        "princess",
        "qazwsx",
        "qwer",
        "qwert",
        "qwerty",
        "qwertyuiop",
        "root",
        "secret",
        "shadow",
        "starwars",
        "sunshine",
        "superman",
        "supersecret",
        "system",
        "test",
        "trustno",
        "user",
        "welcome",
        "woaini",
        "zxcvbn",
        "zxcvbnm",
    }
)
_LEET = str.maketrans("013457@$!", "oieastasi")
_RUNS = ("01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm")


def normal(password: str) -> str:
    """Return the password in Unicode form NFKC, so that different input methods give the same password."""
    return unicodedata.normalize("NFKC", password)


def _bytes(password: str) -> bytes:
    """Return the bytes to hash, of at most MAX_LENGTH characters; callers refuse longer passwords."""
    return normal(password[:MAX_LENGTH]).encode("utf-8", "surrogatepass")


def weakness(password: str, name: str) -> Text | None:
    """Return the reason why the password is too weak for the user `name`, or None."""
    word = normal(password)
    if len(word) < MIN_LENGTH:
        return text("The password is shorter than {count} characters", count=MIN_LENGTH)
    if max(len(password), len(word)) > MAX_LENGTH:
        return text("The password is longer than {count} characters", count=MAX_LENGTH)
    lower = word.lower()
    if len(name) >= 3 and name in lower and sum(map(str.isalpha, lower.replace(name, ""))) < 4:
        return text("The password is little more than the login name")
    if _is_pattern(lower) or _is_common(lower):
        return text("The password is too easy to guess")
    return None


def check_password(password: str, name: str) -> str:
    """Return the password in NFKC. Raises InvalidInput when it is too weak."""
    problem = weakness(password, name)
    if problem is not None:
        hint = text("Four or more unrelated words make a good password")
        raise InvalidInput(problem, hint=hint, problems=[Problem("password", problem, hint=hint)])
    return normal(password)


def hash_password(password: str, rng: Rng) -> str:
    """Return the hash to store. Takes about 0.1 s and 64 MiB, so it must not run inside a transaction."""
    with _AT_ONCE:
        return _HASHER.hash(_bytes(password), salt=rng.token_bytes(SALT_BYTES))


def is_password(password: str, kept: str | None) -> bool:
    """Return whether the password has the stored hash `kept`.

    With None (unknown user, or user without a password) the result is False after the same amount of work.
    """
    whole = len(password) <= MAX_LENGTH
    with _AT_ONCE:
        try:
            return _HASHER.verify(kept or _NOBODY, _bytes(password)) and kept is not None and whole
        except (VerificationError, InvalidHashError):
            return False


def _is_pattern(lower: str) -> bool:
    """Return whether the password repeats a short piece or runs along the keyboard or the alphabet."""
    if len(set(lower)) < 5:
        return True
    for size in range(1, len(lower) // 2 + 1):
        piece = lower[:size]
        if size <= 6 and (piece * (len(lower) // size + 1))[: len(lower)] == lower:
            return True
    runs = [line * 3 for line in _RUNS] + [line[::-1] * 3 for line in _RUNS]
    return any(lower in run for run in runs)


def _is_common(lower: str) -> bool:
    """Return whether the password consists of common words surrounded by digits and signs."""
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lower)
    plain, spelled = (re.findall(r"[^\W\d_]+", word) for word in (core, core.translate(_LEET)))
    return any(all(word in _COMMON for word in words) for words in (plain, spelled))
