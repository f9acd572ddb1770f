"""Passwords: what is good enough, and how they are kept (argon2id, RFC 9106).

Rules follow NIST SP 800-63B: length and a list of bad choices, no forced mixtures, no forced changes.
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
"""Bounds the memory that sign-ins take to twice 64 MiB."""
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$cGVhcmxzdHJlZXQtMDAwMA$9K4qYwSlnPEEEfxLC6Mk7oyppu3PQDCuqHpgTBfsfYM"
"""A hash no password has: verified against when there is no user, so that the work is the same."""

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
    """One spelling for what looks the same on every keyboard (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def _bytes(password: str) -> bytes:
    """At most MAX_LENGTH characters, which bounds the work; a longer password is refused besides."""
    return normal(password[:MAX_LENGTH]).encode("utf-8", "surrogatepass")


def weakness(password: str, name: str) -> Text | None:
    """Why this password will not do for the user `name`, or None."""
    word = normal(password)
    if len(word) < MIN_LENGTH:
        return text("The password is shorter than {count} characters", count=MIN_LENGTH)
    if max(len(password), len(word)) > MAX_LENGTH:
        return text("The password is longer than {count} characters", count=MAX_LENGTH)
    lower = word.lower()
    if len(name) >= 3 and name in lower and sum(map(str.isalpha, lower.replace(name, ""))) < 4:
        return text("The password is little more than the login name")
    if _is_pattern(lower) or _is_common(lower):
        return text("The password is one of those that are guessed first")
    return None


def check_password(password: str, name: str) -> str:
    """The password in its normal spelling. Raises InvalidInput when it is too weak."""
    problem = weakness(password, name)
    if problem is not None:
        hint = text("Four or more unrelated words make a good one")
        raise InvalidInput(problem, hint=hint, problems=[Problem("password", problem, hint=hint)])
    return normal(password)


def hash_password(password: str, rng: Rng) -> str:
    """What the database keeps. Takes about a tenth of a second and 64 MiB: never inside a transaction."""
    with _AT_ONCE:
        return _HASHER.hash(_bytes(password), salt=rng.token_bytes(SALT_BYTES))


def is_password(password: str, kept: str | None) -> bool:
    """Whether `password` is the one. None (no such user, or one without a password) costs the same and is False."""
    whole = len(password) <= MAX_LENGTH
    with _AT_ONCE:
        try:
            return _HASHER.verify(kept or _NOBODY, _bytes(password)) and kept is not None and whole
        except (VerificationError, InvalidHashError):
            return False


def _is_pattern(lower: str) -> bool:
    """A short piece repeated, or one run of neighbours on the keyboard or in the alphabet."""
    if len(set(lower)) < 5:
        return True
    for size in range(1, len(lower) // 2 + 1):
        piece = lower[:size]
        if size <= 6 and (piece * (len(lower) // size + 1))[: len(lower)] == lower:
            return True
    runs = [line * 3 for line in _RUNS] + [line[::-1] * 3 for line in _RUNS]
    return any(lower in run for run in runs)


def _is_common(lower: str) -> bool:
    """Well-known words with nothing but digits and signs around them."""
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lower)
    plain, spelled = (re.findall(r"[^\W\d_]+", word) for word in (core, core.translate(_LEET)))
    return any(all(word in _COMMON for word in words) for words in (plain, spelled))
