"""Errors carry what doors need: a stable code, a status, and problems in both languages."""

from __future__ import annotations

import pytest

from pearlstreet.base import errors
from pearlstreet.base.errors import BugError, InvalidInput, PearlError, Problem, check
from pearlstreet.base.text import text


def _every(kind: type[PearlError]) -> list[type[PearlError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in _every(below))]


def test_codes_are_distinct_and_statuses_are_http() -> None:
    kinds = [kind for kind in _every(PearlError) if kind.__module__ == errors.__name__]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(400 <= kind.status < 600 for kind in kinds)


def test_a_broken_promise_raises_even_when_python_drops_asserts() -> None:
    check(True, "all is well")
    with pytest.raises(BugError, match=r"sums to zero .*'sum': 3"):
        check(False, "sums to zero", sum=3)


def test_an_error_keeps_its_problems() -> None:
    problem = Problem("a.b", text("It is empty"), line=3)
    refused = InvalidInput(text("It is empty"), problems=[problem])
    assert refused.problems == (problem,)
    assert refused.message.render("zh-CN") == "内容为空"
    assert str(InvalidInput("plain {text}")) == "plain {text}"
