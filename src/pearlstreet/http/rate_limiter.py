"""Rate limits per address and per API key: token buckets in memory, bounded in number.

Each bucket refills at a steady rate up to its burst. Sign-in has far smaller buckets of its own, against password
guessing. One process serves a center, so the counts need not be shared.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope

from pearlstreet.base.clock import Clock
from pearlstreet.base.errors import TooMany
from pearlstreet.base.text import text
from pearlstreet.http.addresses import address_key

BURST_S = 10.0
"""Size of a bucket, in seconds of its refill rate."""
BUCKETS_MAX = 50_000
"""Maximum number of buckets of one kind; beyond it the least recently used, which are nearly full again, are dropped."""
SIGN_IN = ("sign-in", "set-password", "password", "oidc")
"""First path segments, below the prefix, of the routes that authenticate by password or identity provider."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rate limits of requests and of new accounts; 0: no limit. Bursts may have ten seconds' worth of requests."""

    key_per_s: float = 500.0
    address_per_s: float = 1_000.0
    sign_ins_per_minute: float = 120.0
    org_accounts_per_day: int = 100
    """Accounts that owners of one organisation make in 24 h."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Decision of a bucket about one request; it is refused if `wait_s` > 0."""

    name: str
    burst: int
    window_s: int
    left: int
    wait_s: float

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers)."""
        policy = f'"{self.name}";q={self.burst};w={self.window_s}'
        now = f'"{self.name}";r={self.left};t={math.ceil(self.wait_s)}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", now.encode())]

    @property
    def refusal(self) -> TooMany:
        """The error for a refused request."""
        return TooMany(
            text("Too many requests; wait {seconds} s", seconds=math.ceil(self.wait_s)),
            hint=text("Send fewer requests, or request more rows at once"),
            retry_after_s=max(1, math.ceil(self.wait_s)),
        )


class Buckets:
    """The buckets of one kind, one per caller, for use on one event loop."""

    def __init__(self, name: str, per_s: float, burst: float, most: int = BUCKETS_MAX) -> None:
        self._name, self._per_s, self._burst, self._most = name, per_s, max(1.0, burst), most
        self._known: OrderedDict[bytes, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def take(self, who: bytes, now_s: float) -> RateDecision:
        """Count one request of the caller `who`."""
        bucket = self._known.get(who)
        if bucket is None:
            bucket = self._known[who] = _Bucket(self._burst, now_s)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(who)
            bucket.left = min(self._burst, bucket.left + max(0.0, now_s - bucket.at_s) * self._per_s)
            bucket.at_s = now_s
        wait_s = 0.0
        if bucket.left >= 1:
            bucket.left -= 1
        else:
            wait_s = (1 - bucket.left) / self._per_s
        window_s = max(1, round(self._burst / self._per_s))
        return RateDecision(self._name, int(self._burst), window_s, int(bucket.left), wait_s)


class RateLimiter:
    """The rate limits of a center, the same buckets for the API and the hub. A rate of 0 means no limit."""

    def __init__(self, rates: Rates, clock: Clock, prefix: str, other_prefixes: Sequence[str] = ()) -> None:
        """`prefix`: of the API, which has the routes of sign-in; `other_prefixes`: further paths that are limited."""
        self._clock, self._prefix = clock, prefix + "/"
        self._prefixes = (self._prefix, *(other + "/" for other in other_prefixes))
        self._address = _buckets("address", rates.address_per_s)
        self._key = _buckets("key", rates.key_per_s)
        per_s = rates.sign_ins_per_minute / 60
        self._sign_in = Buckets("sign-in", per_s, rates.sign_ins_per_minute) if per_s else None

    def is_sign_in(self, path: str) -> bool:
        """Return whether the path is one of SIGN_IN."""
        return path.startswith(self._prefix) and path.removeprefix(self._prefix).split("/")[0] in SIGN_IN

    def take(self, scope: Scope) -> RateDecision | None:
        """Count a request and return the decision of its tightest bucket, or None if no limit applies."""
        path = str(scope["path"])
        if not path.startswith(self._prefixes):
            return None
        now_s = self._clock.monotonic_s()
        client = scope.get("client")
        address = address_key(str(client[0]) if client else "-")
        decisions: list[RateDecision] = []
        if self._sign_in is not None and self.is_sign_in(path):
            decisions.append(self._sign_in.take(address, now_s))
        if self._address is not None:
            decisions.append(self._address.take(address, now_s))
        credential = _credential(scope)
        if self._key is not None and credential is not None:
            decisions.append(self._key.take(credential, now_s))
        return _tightest(decisions)


def _buckets(name: str, per_s: float) -> Buckets | None:
    return Buckets(name, per_s, per_s * BURST_S) if per_s else None


def _tightest(decisions: Sequence[RateDecision]) -> RateDecision | None:
    return max(decisions, key=lambda decision: (decision.wait_s, -decision.left), default=None)


def _credential(scope: Scope) -> bytes | None:
    """Return a digest of the credential, so that no credential stays in memory."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return hashlib.sha256(value).digest()[:16]
    return None
