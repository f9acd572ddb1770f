"""Extends the holds of running attempts; if the balance does not allow it, warns the owner and later stops the attempt."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.compute.execution import lifecycle
from pearlstreet.compute.execution.metering import hold_amount
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.compute.execution.owners import Owner
from pearlstreet.compute.execution.settings import ExecutionSettings
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.ledger.holds import extend_hold
from pearlstreet.store.core import Row, Tx


def keep_covered(tx: Tx, owner: Owner, settings: ExecutionSettings, attempt: Row) -> None:
    """Extend the hold of an attempt whose covered time ends within a quarter of the hold window.

    If the balance does not suffice, the owner is warned once; `stop_notice_s` before the covered time ends, the attempt is
    stopped.
    """
    ran_s = (tx.now_us - attempt["started_us"]) / US_PER_S
    covered_s = attempt["covered_s"]
    if attempt["stop_reason"] is not None or covered_s >= attempt["time_limit_s"]:
        return
    if ran_s < covered_s - settings.hold_window_s / 4:
        return
    until_s = min(attempt["time_limit_s"], ran_s + settings.hold_window_s)
    amount = hold_amount(Money(attempt["hourly_micro"]), until_s, until_s)
    if attempt["hold_id"] is None or extend_hold(tx, attempt["hold_id"], amount):
        tx.execute(sa.update(attempts).where(attempts.c.id == attempt["id"]).values(covered_s=until_s))
    elif ran_s >= covered_s - settings.stop_notice_s:
        reason = text("The balance does not cover more of it; top up and submit it again")
        lifecycle.request_stop(tx, owner, attempt, StopReason.BALANCE, reason)
    elif attempt["warned_us"] is None:
        left_s = covered_s - ran_s - settings.stop_notice_s
        owner.on_low_balance(tx, attempt, max(0, int(left_s / 60)))
        tx.execute(sa.update(attempts).where(attempts.c.id == attempt["id"]).values(warned_us=tx.now_us))
