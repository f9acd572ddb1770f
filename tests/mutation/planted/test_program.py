"""Tests of the planted program, which leave one of its functions out."""

from __future__ import annotations

from tests.mutation.planted import program


def test_its_own_role_is_admitted() -> None:
    assert program.admit("owner", "owner")
