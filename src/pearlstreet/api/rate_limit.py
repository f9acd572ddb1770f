"""How many requests an address and a key may make: token buckets, in memory, of a bounded number.

Each refills at a steady rate up to its burst. Signing in has buckets of its own, far smaller: what guesses passwords
comes through there. One process answers for a center, so one process counts.
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
from pearlstreet.center import Rates
from pearlstreet.http.addresses import address_key

BURST_S = 10.0
"""A burst is what comes together in so many seconds."""
BUCKETS_MAX = 50_000
"""Of one kind; beyond it the longest unused are dropped, which are full again or nearly so."""
SIGN_IN = ("sign-in", "set-password", "password", "oidc")
"""First parts of addresses, under the prefix, at which somebody proves who they are."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float


@dataclass(frozen=True, slots=True)
class RateDecision:
    """What a bucket says to a request: `wait_s` > 0 refuses it."""

    name: str
    burst: int
    window_s: int
    left: int
    wait_s: float

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        policy = f'"{self.name}";q={self.burst};w={self.window_s}'
        now = f'"{self.name}";r={self.left};t={math.ceil(self.wait_s)}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", now.encode())]

    @property
    def refusal(self) -> TooMany:
        """The error for a request that is one too many."""
        return TooMany(
            text("Too many requests; wait {seconds} s", seconds=math.ceil(self.wait_s)),
            hint=text("Ask less often, or for more at once"),
            retry_after_s=max(1, math.ceil(self.wait_s)),
        )


class Buckets:
    """One kind of bucket for many callers. For one thread: the event loop."""

    def __init__(self, name: str, per_s: float, burst: float, most: int = BUCKETS_MAX) -> None:
        self._name, self._per_s, self._burst, self._most = name, per_s, max(1.0, burst), most
        self._known: OrderedDict[bytes, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def take(self, who: bytes, now_s: float) -> RateDecision:
        """Count one request of somebody's."""
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
    """The buckets of a center. A rate of 0 is no limit."""

    def __init__(self, rates: Rates, clock: Clock, prefix: str) -> None:
        self._clock, self._prefix = clock, prefix + "/"
        self._address = _buckets("address", rates.address_per_s)
        self._key = _buckets("key", rates.key_per_s)
        per_s = rates.sign_ins_per_minute / 60
        self._sign_in = Buckets("sign-in", per_s, rates.sign_ins_per_minute) if per_s else None

    def is_sign_in(self, path: str) -> bool:
        """Whether somebody proves at this path who they are."""
        return path.startswith(self._prefix) and path.removeprefix(self._prefix).split("/")[0] in SIGN_IN

    def take(self, scope: Scope) -> RateDecision | None:
        """Count a request; what the tightest of its buckets says. None: nothing limits it."""
        path = str(scope["path"])
        if not path.startswith(self._prefix):
            return None
        now_s = self._clock.monotonic_s()
        client = scope.get("client")
        address = address_key(str(client[0]) if client else "-")
        found: list[RateDecision] = []
        if self._sign_in is not None and self.is_sign_in(path):
            found.append(self._sign_in.take(address, now_s))
        if self._address is not None:
            found.append(self._address.take(address, now_s))
        credential = _credential(scope)
        if self._key is not None and credential is not None:
            found.append(self._key.take(credential, now_s))
        return _tightest(found)


def _buckets(name: str, per_s: float) -> Buckets | None:
    return Buckets(name, per_s, per_s * BURST_S) if per_s else None


def _tightest(found: Sequence[RateDecision]) -> RateDecision | None:
    return max(found, key=lambda taken: (taken.wait_s, -taken.left), default=None)


def _credential(scope: Scope) -> bytes | None:
    """A digest: no credential is kept."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return hashlib.sha256(value).digest()[:16]
    return None
