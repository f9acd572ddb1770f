"""Specifications of one organisation are limited in bytes, and another's are not held up by it."""

from __future__ import annotations

import pytest

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import TooMany
from pearlstreet.compute.jobs.spec_volume import BURST_BYTES, PER_DAY_BYTES, SpecVolume, stored_bytes

MIB = 1 << 20


def test_a_burst_then_a_steady_rate_for_each_organisation() -> None:
    volume, sent = SpecVolume(), 0
    with pytest.raises(TooMany) as refused:
        while True:
            volume.take("org_a", 4 * MIB, 0)
            sent += 4 * MIB
    assert sent == BURST_BYTES
    wait_s = refused.value.retry_after_s or 0
    assert 0 < wait_s <= 4 * MIB * 86_400 / PER_DAY_BYTES + 2
    volume.take("org_b", 4 * MIB, 0)
    volume.take("org_a", 4 * MIB, wait_s * US_PER_S)
    with pytest.raises(TooMany):
        volume.take("org_a", 4 * MIB, wait_s * US_PER_S)


def test_ordinary_specifications_never_reach_it() -> None:
    volume = SpecVolume()
    for _ in range(100_000):
        volume.take("org_a", 3_000, 0)


def test_bytes_are_those_that_the_database_keeps() -> None:
    assert stored_bytes({"command": ["x" * 1000]}) == 1_017
