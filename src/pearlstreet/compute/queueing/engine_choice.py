"""PURE: the engines that may run a request, from what it needs itself and from the queue in which it waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pearlstreet.compute.scheduling.rows import NO_DOMAIN, Request


def common_engines(own: Sequence[str], of_queue: Sequence[str]) -> tuple[str, ...]:
    """Return the engines that both allow; empty: all. (`NO_DOMAIN`,) if both name engines and have none in common."""
    if not own or not of_queue:
        return tuple(own or of_queue)
    return tuple(sorted(set(own) & set(of_queue))) or (NO_DOMAIN,)


def within_queue(request: Request, of_queue: Sequence[str]) -> Request:
    """Return the request restricted to the engines of its queue; empty: unchanged."""
    return replace(request, domains=common_engines(request.domains, of_queue)) if of_queue else request
