"""The loops that create notices, send deliveries and remind of expiring keys."""

from __future__ import annotations

from functools import partial

from pearlstreet.base.clock import Clock
from pearlstreet.store import outbox
from pearlstreet.store.loop import CycleLoop, Loop
from pearlstreet.tenancy.notices.expiry_reminders import watch
from pearlstreet.tenancy.notices.routing import route
from pearlstreet.tenancy.notices.sending import Channels, sending_loop


def notice_loops(channels: Channels, clock: Clock) -> tuple[Loop, ...]:
    """Return the loops of notices."""
    return (
        CycleLoop(
            "route_notices",
            partial(route, named=frozenset(channels.named)),
            hints=(outbox.TOPIC,),
            interval_s=5.0,
            rest=5.0,
        ),
        sending_loop(channels, clock),
        CycleLoop("watch_notices", watch, interval_s=600.0),
    )
