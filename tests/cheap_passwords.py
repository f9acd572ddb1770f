"""Passwords hashed with hardly any work, for tests about who is let in: what guessing costs has tests of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from argon2 import PasswordHasher

from pearlstreet.base.rng import SeededRng
from pearlstreet.tenancy import passwords


@contextmanager
def cheap_passwords() -> Iterator[None]:
    """One pass over 64 KiB instead of three over 64 MiB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        patch.setattr(passwords, "_NOBODY", passwords.hash_password("nobody has this one", SeededRng(1)))
        yield
