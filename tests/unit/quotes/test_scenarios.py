"""The rule of thumb with its tokens and utilisation explicit."""

from __future__ import annotations

import pytest

from pearlstreet.quotes.scenarios import RULES


def test_the_rule_is_arithmetic_that_can_be_checked() -> None:
    rule = RULES["1t-50-days"]
    seconds = rule.days * 86_400
    tokens = rule.exaflops * 1e18 * seconds * rule.mfu / (6 * rule.params)
    assert tokens == pytest.approx(288e9), "at 40 % of the peak it means 288 billion tokens"
