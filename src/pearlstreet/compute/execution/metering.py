"""Meters running attempts: writes usage spans of what each holds, at the prices fixed when its job was submitted.

Each resource of an attempt is one stream of spans without overlaps or gaps, from the time when all tasks run to the end that
the engine reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.money import MICRO, Money
from pearlstreet.base.text import Text, text
from pearlstreet.compute.execution.fair_use import add_use
from pearlstreet.compute.execution.model import INTERRUPTING_STOP_REASONS
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.hardware.catalogue.mig import is_mig
from pearlstreet.compute.hardware.normalise import NormalisedRate
from pearlstreet.compute.hardware.sharing import PRICED_APART
from pearlstreet.compute.pool.inventory import Node
from pearlstreet.compute.pool.slices import FULL_BP, Share, card_bp, device_total
from pearlstreet.compute.scheduling.plan import Placement
from pearlstreet.ledger.holds import settle_hold
from pearlstreet.ledger.model import Demand, Span, Unit
from pearlstreet.ledger.prices import prices
from pearlstreet.ledger.pricing import hourly_rate
from pearlstreet.ledger.refunds import refund_attempt
from pearlstreet.ledger.spans import append_span
from pearlstreet.store.core import Row, Tx

SOURCE = "compute"
_METERED = sa.update(attempts).where(attempts.c.id == sa.bindparam("of_attempt"))
GFLOPS_PER_PFLOPS = 1_000_000
LOST = text("Work lost to the platform is not billed")
SAVING = text("Saving its work because the center stops it")


@dataclass(frozen=True, slots=True)
class AttemptUsage:
    """Resources that one attempt holds until it ends."""

    model: str
    """Model of its accelerators; empty without any."""
    card_bp: int
    """Accelerators in 1/10,000 of a card, over all tasks."""
    cpu_milli: int
    memory_mib: int
    pflops_per_card: float | None
    pflops_basis: str
    pace: float = 1.0
    """Speed of its work as a multiple of real time; other than 1 only in simulations."""
    sharing: str = ""
    """How it holds its accelerators apart from other jobs (`hardware/sharing.py`); empty: not recorded."""
    is_priced_apart: bool = False
    """Whether its price list has rules for that kind of sharing."""

    def demands(self) -> list[Demand]:
        """Return the priced resources."""
        found = []
        if self.card_bp:
            resource = f"accelerator/{self.model}" + (f"/{self.sharing}" if self.is_priced_apart else "")
            found.append(Demand(resource, Unit.CARD_BP, self.card_bp, self.pflops_per_card))
        if self.cpu_milli:
            found.append(Demand("cpu", Unit.CPU_MILLI, self.cpu_milli))
        if self.memory_mib:
            found.append(Demand("memory", Unit.MEMORY_MIB, self.memory_mib))
        return found

    def to_json(self) -> dict[str, object]:
        """Return the value stored in the attempt's row."""
        return {name: getattr(self, name) for name in self.__slots__}


def work_s(attempt: Row, until_us: int) -> float:
    """Return how many seconds an attempt had worked by `until_us`, multiplied by the speed of its engine."""
    us: int = until_us - attempt["started_us"]
    return us / US_PER_S * AttemptUsage(**attempt["usage"]).pace


def usage_of(
    placement: Placement,
    cpu_milli: int,
    memory_mib: int,
    rates: Mapping[str, NormalisedRate],
    nodes: Mapping[str, Node],
    of_shares: str = "time_slice",
) -> AttemptUsage:
    """Return the resources of a placement whose tasks each have `cpu_milli` and `memory_mib`.

    `of_shares`: how its engine keeps shares of one device apart.

    A fraction of a device counts as the larger of its shares of memory and compute.
    """
    held_bp = 0
    for task in placement.tasks:
        totals = {device.index: device_total(device.memory_gib) for device in nodes[task.node].report.devices}
        held_bp += sum(
            FULL_BP
            if given.whole
            else card_bp(Share(given.memory_mib, given.compute_bp), totals[given.index])
            for given in task.devices
        )
    rate = rates.get(placement.model)
    return AttemptUsage(
        model=placement.model,
        card_bp=held_bp,
        cpu_milli=cpu_milli * len(placement.tasks),
        memory_mib=memory_mib * len(placement.tasks),
        pflops_per_card=float(rate.pflops) if rate is not None and rate.pflops else None,
        pflops_basis=rate.basis.value if rate is not None else "unknown",
        sharing=_sharing(placement, of_shares),
    )


def _sharing(placement: Placement, of_shares: str) -> str:
    given = [device for task in placement.tasks for device in task.devices]
    if not given:
        return "none"
    if any(not device.whole for device in given):
        return of_shares
    return "mig" if is_mig(placement.model) else "exclusive"


def priced_apart(tx: Tx, price_version_id: str, usage: AttemptUsage) -> AttemptUsage:
    """Return the usage, marked if the price list has rules for its kind of sharing (`accelerator/*/mps`)."""
    ending = f"/{usage.sharing}"
    rules = prices(tx, price_version_id).rules if usage.sharing in PRICED_APART else ()
    return replace(usage, is_priced_apart=any(rule.resource.endswith(ending) for rule in rules))


def rate_of(tx: Tx, price_version_id: str, usage: AttemptUsage) -> Money:
    """Return the price of an hour of a usage under a price version."""
    return hourly_rate(prices(tx, price_version_id), usage.demands())


def hold_amount(rate: Money, time_limit_s: float, window_s: float) -> Money:
    """Return the amount held when an attempt is placed: its price for min(time limit, window), rounded up."""
    covered_us = int(min(time_limit_s, window_s) * US_PER_S)
    return Money(-(-rate.micro * covered_us // (3600 * US_PER_S)))


def meter(
    tx: Tx, attempt: Row, until_us: int, *, unbilled: Text | None = None, lost_from_us: int | None = None
) -> None:
    """Append the usage spans from the end of the last one to `until_us`; nothing for an attempt that never ran.

    `unbilled`: why no time of this attempt is billed; None: it is. `lost_from_us`: time from which on its work is lost.
    """
    from_us = attempt["metered_until_us"]
    if from_us is None or until_us <= from_us:
        return
    usage = AttemptUsage(**attempt["usage"])
    parts = _parts(attempt, from_us, until_us, unbilled, lost_from_us)
    for number, (start_us, end_us, why_not) in enumerate(parts):
        for demand in usage.demands():
            append_span(
                tx,
                Span(
                    source=SOURCE,
                    external_id=attempt["id"],
                    resource=demand.resource,
                    sequence=attempt["span_sequence"] + number,
                    org_id=attempt["org_id"],
                    project_id=attempt["project_id"],
                    reference=attempt["owner_id"],
                    start_us=start_us,
                    end_us=end_us,
                    unit=demand.unit,
                    amount=demand.amount,
                    price_version_id=attempt["price_version_id"],
                    pflops=demand.pflops,
                    pflops_basis=usage.pflops_basis if demand.unit is Unit.CARD_BP else "",
                    billable=why_not is None,
                    why_not=why_not,
                ),
            )
    hours = (until_us - from_us) / US_PER_S / 3600
    add_use(
        tx,
        attempt["org_id"],
        attempt["project_id"],
        pflops_h=(usage.pflops_per_card or 0.0) * usage.card_bp / FULL_BP * hours,
        cpu_h=usage.cpu_milli / 1000 * hours,
        memory_gib_h=usage.memory_mib / 1024 * hours,
    )
    values = {"metered_until_us": until_us, "span_sequence": attempt["span_sequence"] + len(parts)}
    tx.execute(_METERED, {"of_attempt": attempt["id"], **values})


def _parts(
    attempt: Row, from_us: int, until_us: int, unbilled: Text | None, lost_from_us: int | None
) -> list[tuple[int, int, Text | None]]:
    """Split the time into (start, end, why it is not billed).

    Neither lost work is billed, nor saving work after the center asked for a stop.
    """
    saves_from_us = attempt["stop_asked_us"] if attempt["stop_reason"] in INTERRUPTING_STOP_REASONS else None
    cuts = {us for us in (saves_from_us, lost_from_us) if us is not None and from_us < us < until_us}
    bounds = [from_us, *sorted(cuts), until_us]

    def why_not(start_us: int) -> Text | None:
        if unbilled is not None:
            return unbilled
        if lost_from_us is not None and start_us >= lost_from_us:
            return LOST
        return SAVING if saves_from_us is not None and start_us >= saves_from_us else None

    return [(start, end, why_not(start)) for start, end in pairwise(bounds)]


def settle_attempt(tx: Tx, attempt: Row, lost_from_us: int | None) -> None:
    """Release the rest of the hold of an ended, metered attempt, and refund its lost work: all from `lost_from_us` on.

    A charge that bills time before and after `lost_from_us` is refunded whole, in favour of the tenant.
    """
    if lost_from_us is not None:
        refund_attempt(tx, attempt["id"], LOST, lost_from_us)
    if attempt["hold_id"] is not None:
        settle_hold(tx, attempt["hold_id"])


def cost_so_far(rate_micro: int, started_us: int | None, until_us: int) -> Money:
    """Return the cost of an attempt so far, rounded down to micro-yuan; the ledger has the exact amount."""
    if started_us is None:
        return Money(0)
    return Money(rate_micro * max(0, until_us - started_us) // (3600 * MICRO))
