"""Two functions: one that a test calls, and one that none does."""

from __future__ import annotations


def admit(role: str, wanted: str) -> bool:
    """Whether a role may."""
    return role == wanted


def count_next(number: int) -> int:
    """The number after."""
    return number + 1
