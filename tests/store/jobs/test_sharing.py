"""How jobs share devices is recorded, told and priced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.jobs.harness import Center

from pearlstreet.compute.engines.protocol import Capabilities
from pearlstreet.compute.engines.simulated import SimulatedEngine
from pearlstreet.compute.jobs.costs import job_cost
from pearlstreet.compute.jobs.views import why
from pearlstreet.ledger.invoices.model import resource_label
from pearlstreet.ledger.model import Unit, model_of
from pearlstreet.ledger.prices import parse_prices, publish_prices
from pearlstreet.ledger.pricing import PriceRule, PriceVersion
from pearlstreet.tenancy.model import SYSTEM

HALF = {"accelerator": "H100", "fraction": {"memory_gib": 40}, "cpus": 1, "memory_gib": 1}
PRICES = """
[[price]]
resource = "accelerator/*"
kind = "card_hour"
yuan = "20"
[[price]]
resource = "accelerator/*/{kind}"
kind = "card_hour"
yuan = "10"
[[price]]
resource = "cpu"
kind = "core_hour"
yuan = "0"
[[price]]
resource = "memory"
kind = "gib_hour"
yuan = "0"
[[price]]
resource = "storage"
kind = "gib_month"
yuan = "0"
"""


def _with_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = SimulatedEngine.capabilities

    def capabilities(engine: SimulatedEngine) -> Capabilities:
        return replace(plain(engine), sharing="mps")

    monkeypatch.setattr(SimulatedEngine, "capabilities", capabilities)


def _sharing_of(center: Center, job: str) -> str:
    return str(center.attempts(job)[-1]["usage"]["sharing"])


def test_each_attempt_says_how_its_devices_are_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    center = Center(tmp_path, cluster="1x4xH100-80G")
    whole = center.submit(per_task={"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1})
    half, none = center.submit(per_task=HALF), center.submit(per_task={"cpus": 1, "memory_gib": 1})
    center.run(5)
    assert [_sharing_of(center, job) for job in (whole, half, none)] == ["exclusive", "time_slice", "none"]
    here = why(center.store, SYSTEM, center.runtime, half).here
    assert here is not None and here.sharing == "time_slice"
    _with_mps(monkeypatch)
    enforced = Center(tmp_path / "mps", cluster="1x4xH100-80G")
    half = enforced.submit(per_task=HALF)
    enforced.run(5)
    assert _sharing_of(enforced, half) == "mps"


@pytest.mark.parametrize(("kind", "yuan_an_hour"), [("time_slice", 5.0), ("mps", 10.0)])
def test_a_price_list_may_price_a_kind_of_sharing(tmp_path: Path, kind: str, yuan_an_hour: float) -> None:
    center = Center(tmp_path, cluster="1x4xH100-80G")
    publish_prices(center.store, SYSTEM, parse_prices(PRICES.format(kind=kind)))
    half = center.submit(per_task=HALF, simulate="3000s", time_limit="2h")
    center.run(5)
    row = center.attempts(half)[-1]
    assert row["hourly_micro"] == yuan_an_hour * 1e6, (
        "half a card, at the price of its kind or else of the device"
    )
    resource = "accelerator/h100-sxm-80g" + ("/time_slice" if kind == "time_slice" else "")
    center.clock.advance(600)
    center.run(40)
    lines = job_cost(center.store, SYSTEM, half).lines
    assert resource in {line.resource for line in lines}
    center.check_books()


def test_the_most_special_rule_wins_and_the_devices_own_is_the_last() -> None:
    def rule(resource: str) -> PriceRule:
        return PriceRule(resource, "card_hour", 1)

    def found(*resources: str) -> str:
        version = PriceVersion("p", 1, 0, "UTC", "", tuple(map(rule, resources)))
        match = version.find("accelerator/t4/mps", Unit.CARD_BP, None)
        return match.resource if match else ""

    assert (
        found("accelerator/*", "accelerator/t4", "accelerator/*/mps", "accelerator/t4/mps")
        == "accelerator/t4/mps"
    )
    assert found("accelerator/*", "accelerator/t4", "accelerator/*/mps") == "accelerator/*/mps"
    assert found("accelerator/*", "accelerator/t4", "accelerator/*/time_slice") == "accelerator/t4"
    assert found("accelerator/*") == "accelerator/*"
    assert model_of("accelerator/t4/mps") == "t4" and "MPS" in str(resource_label("accelerator/t4/mps"))
