"""Buckets of requests: a burst passes, then a steady rate, and what is kept has an end."""

from __future__ import annotations

from typing import Any

import pytest

from pearlstreet.base.clock import VirtualClock
from pearlstreet.http.rate_limiter import Buckets, RateLimiter, Rates

PREFIX = "/api/v1"


def asked(path: str = "/api/v1/jobs", host: str = "192.0.2.1", key: str | None = None) -> dict[str, Any]:
    """An ASGI scope."""
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return {"path": path, "client": (host, 1), "headers": headers}


def test_a_burst_passes_and_then_the_rate() -> None:
    buckets = Buckets("key", per_s=2, burst=4)
    assert [buckets.take(b"a", 0.0).wait_s for _ in range(4)] == [0.0] * 4
    refused = buckets.take(b"a", 0.0)
    assert refused.wait_s == pytest.approx(0.5)
    assert buckets.take(b"b", 0.0).wait_s == 0, "everybody has their own"
    assert buckets.take(b"a", 0.5).wait_s == 0
    assert buckets.take(b"a", 0.5).wait_s > 0
    assert [buckets.take(b"a", 100.0).wait_s for _ in range(4)] == [0.0] * 4, "never more than the burst"
    assert buckets.take(b"a", 100.0).wait_s > 0


def test_waiting_as_long_as_was_said_is_enough() -> None:
    buckets = Buckets("key", per_s=3, burst=1)
    buckets.take(b"a", 0.0)
    wait_s = buckets.take(b"a", 0.0).wait_s
    assert buckets.take(b"a", wait_s + 1e-9).wait_s == 0


def test_memory_has_an_end_and_the_longest_unused_go_first() -> None:
    buckets = Buckets("key", per_s=1, burst=1, most=100)
    buckets.take(b"kept", 0.0)
    for number in range(1000):
        buckets.take(str(number).encode(), 0.0)
        assert buckets.take(b"kept", 0.0).wait_s > 0, "who keeps asking is not forgotten"
    assert len(buckets) == 100


def test_keys_and_addresses_are_counted_apart_and_the_tighter_one_speaks() -> None:
    limiter = RateLimiter(
        Rates(key_per_s=0.1, address_per_s=1, sign_ins_per_minute=0), VirtualClock(), PREFIX
    )
    first = limiter.take(asked(key="k1"))
    assert first is not None and first.name == "key" and first.wait_s == 0
    again = limiter.take(asked(key="k1", host="192.0.2.2"))
    assert again is not None and again.wait_s > 0, "the key is the same from everywhere"
    other = limiter.take(asked(key="k2"))
    assert other is not None and other.wait_s == 0
    for number in range(20):
        last = limiter.take(asked(key=f"fresh{number}"))
    assert last is not None and last.name == "address" and last.wait_s > 0, "fresh keys help nobody"


def test_signing_in_is_stricter_and_by_address() -> None:
    limiter = RateLimiter(Rates(0, 0, sign_ins_per_minute=3), VirtualClock(), PREFIX)
    for path in ("/api/v1/sign-in", "/api/v1/set-password", "/api/v1/oidc/campus/start"):
        taken = limiter.take(asked(path))
        assert taken is not None and taken.wait_s == 0
    refused = limiter.take(asked("/api/v1/sign-in/terminal"))
    assert refused is not None and refused.wait_s == pytest.approx(20)
    assert limiter.take(asked("/api/v1/jobs")) is None
    elsewhere = limiter.take(asked("/api/v1/sign-in", host="192.0.2.2"))
    assert elsewhere is not None and elsewhere.wait_s == 0


def test_one_ipv6_network_is_one_address_and_mapped_ones_are_ipv4() -> None:
    limiter = RateLimiter(Rates(0, 0, sign_ins_per_minute=1), VirtualClock(), PREFIX)
    waits = [
        limiter.take(asked("/api/v1/sign-in", host=host)).wait_s  # type: ignore[union-attr]
        for host in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.9", "::ffff:192.0.2.9")
    ]
    assert [wait > 0 for wait in waits] == [False, True, False, False, True]


def test_what_is_not_the_api_is_not_counted_and_zero_is_no_limit() -> None:
    limiter = RateLimiter(Rates(0.1, 0.1, 0.1), VirtualClock(), PREFIX)
    assert all(limiter.take(asked("/health")) is None for _ in range(10))
    free = RateLimiter(Rates(0, 0, 0), VirtualClock(), PREFIX)
    assert free.take(asked(key="k")) is None
