"""What words of the program's own are called for people, and in which tone they are shown."""

from __future__ import annotations

from collections.abc import Mapping

from pearlstreet.base.text import Text, text

LABELS: Mapping[str, Text] = {
    "queued": text("queued"),
    "placed": text("placed"),
    "starting": text("starting"),
    "running": text("running"),
    "stopping": text("stopping"),
    "finishing": text("finishing"),
    "succeeded": text("succeeded"),
    "failed": text("failed"),
    "cancelled": text("cancelled"),
    "active": text("active"),
    "suspended": text("suspended"),
    "closed": text("closed"),
    "owner": text("owner"),
    "member": text("member"),
    "viewer": text("viewer"),
    "system": text("system operator"),
    "security": text("security operator"),
    "audit": text("audit operator"),
    "pending": text("waits for approval"),
    "posted": text("booked"),
    "rejected": text("rejected"),
    "healthy": text("healthy"),
    "unhealthy": text("unhealthy"),
    "drained": text("drained"),
    "gone": text("gone"),
    "ended": text("ended"),
    "given_up": text("given up"),
    "retrying": text("is tried again"),
    "revoked": text("revoked"),
    "expired": text("expired"),
    "closing": text("closing"),
    "disabled": text("switched off"),
    "due": text("on its way"),
    "delivered": text("delivered"),
}
TONES: Mapping[str, str] = {
    "running": "good",
    "succeeded": "done",
    "active": "good",
    "healthy": "good",
    "posted": "done",
    "queued": "wait",
    "placed": "wait",
    "starting": "wait",
    "stopping": "wait",
    "finishing": "wait",
    "pending": "wait",
    "drained": "wait",
    "suspended": "wait",
    "due": "wait",
    "delivered": "done",
    "disabled": "bad",
    "failed": "bad",
    "unhealthy": "bad",
    "gone": "bad",
    "given_up": "bad",
    "retrying": "wait",
    "rejected": "bad",
}
"""Shown by colour and by a sign; whatever is not here is quiet."""
ENDS = frozenset({"succeeded", "failed", "cancelled"})
