"""What a price list changes against another."""

from __future__ import annotations

from pearlstreet.ledger.price_changes import price_changes
from pearlstreet.ledger.pricing import PriceRule

CPU = PriceRule("cpu", "core_hour", 120_000)
MEMORY = PriceRule("memory", "gib_hour", 20_000)


def test_equal_prices_are_no_change_however_they_are_written() -> None:
    assert price_changes([CPU, MEMORY], [MEMORY, CPU]) == []
    assert price_changes([CPU], [PriceRule("cpu", "core_hour", 1_200_000, per=10)]) == []


def test_dearer_new_and_dropped_prices_are_told_apart() -> None:
    dearer = PriceRule("cpu", "core_hour", 180_000)
    new = PriceRule("storage", "gib_month", 600_000)
    found = price_changes([CPU, MEMORY], [dearer, new])
    assert [(one.resource, one.before, one.after) for one in found] == [
        ("cpu", CPU, dearer),
        ("storage", None, new),
        ("memory", MEMORY, None),
    ]
    assert [one.ratio for one in found] == [1.5, None, None]


def test_a_price_that_was_nothing_has_no_ratio() -> None:
    free = PriceRule("cpu", "core_hour", 0)
    (found,) = price_changes([free], [CPU])
    assert found.ratio is None
    (back,) = price_changes([CPU], [free])
    assert back.ratio == 0
