"""PURE: prices of whole devices for policies that weigh placements by cost."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.execution.metering import AttemptUsage
from pearlstreet.compute.pool.slices import FULL_BP
from pearlstreet.ledger.pricing import PriceVersion, hourly_rate


def device_hours(version: PriceVersion, rates: Mapping[str, float]) -> dict[str, int]:
    """Return the price of one whole device for an hour in micro-yuan, by model; models without a price are left out.

    `rates`: model → PFLOPS of one device, since price lists may charge by PFLOPS; 0 where unknown.
    """
    found: dict[str, int] = {}
    for model, pflops in rates.items():
        usage = AttemptUsage(model, FULL_BP, 0, 0, pflops or None, "")
        with contextlib.suppress(InvalidInput):  # a model without a price is left out
            found[model] = hourly_rate(version, usage.demands()).micro
    return found
