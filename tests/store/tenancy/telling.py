"""Steps the loops of notices by hand."""

from __future__ import annotations

from typing import Any

from tests.store.tenancy.conftest import Center

from pearlstreet.store import outbox
from pearlstreet.store.core import Store
from pearlstreet.tenancy.notices.loops import notice_loops
from pearlstreet.tenancy.notices.sending import Channels

INNER = Channels(private=True)
"""Webhooks may go to this machine."""


def emit(store: Store, topic: str, payload: dict[str, Any], org_id: str | None = None) -> None:
    """Something happened."""
    store.write(lambda tx: outbox.emit(tx, topic, payload, org_id=org_id))


def step(center: Center, channels: Channels = INNER) -> None:
    """Every loop of notices until it has nothing more to do at this moment."""
    center.clock.advance(0.002)  # ids of one millisecond have no order
    for loop in notice_loops(channels, center.clock):
        while loop.step(center.store):
            pass


def failed(user: str, name: str = "train", **more: Any) -> dict[str, Any]:
    """The payload of a job that failed."""
    return {"job": "job_1", "name": name, "state": "failed", "user": user, **more}
