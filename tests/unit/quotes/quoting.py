"""A small center's snapshot and questions about it, for the tests of pure parts."""

from __future__ import annotations

from pearlstreet.compute.engines.simulated import nodes_from
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.building import Model
from pearlstreet.compute.estimate.learning import NOTHING
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.rows import node_row
from pearlstreet.ledger.pricing import PriceRule, PriceVersion
from pearlstreet.quotes.candidates import Candidate, candidates
from pearlstreet.quotes.estimating import Background, Unfit, Work, estimate
from pearlstreet.quotes.model import Energy, Offer, Start, Wanted, Workload
from pearlstreet.quotes.offer_spec import Draft, read_draft
from pearlstreet.quotes.offers import Terms, make_offers
from pearlstreet.workload.spec.model import JobSpec

NOW_US = 1_700_000_000_000_000
PFLOPS = {"h100-sxm-80g": 0.6, "ascend-910b1": 0.2}
PRICES = PriceVersion(
    "price_1",
    1,
    0,
    "Asia/Shanghai",
    "",
    (
        PriceRule("accelerator/*", "pflops_hour", 25_000_000),
        PriceRule("accelerator/*", "card_hour", 5_000_000),
        PriceRule("cpu", "core_hour", 120_000),
        PriceRule("memory", "gib_hour", 20_000),
    ),
)
TUNING = Workload(model=Model("Llama 3.1 8B"), tokens=1e9, mode="full")
KNOWN = Background(catalogue(), NOTHING, "")


def snapshot(cluster: str = "4x8xH100-80G,2x8xAscend910B") -> Snapshot:
    """A center in which nothing runs."""
    return build(
        now_us=NOW_US,
        nodes=[node_row(report) for report in nodes_from(cluster)],
        pflops_of=lambda model: PFLOPS.get(model, 0.1),
    )


def draft() -> Draft:
    """A job without what offers decide."""
    return read_draft({"command": ["python", "train.py"], "name": "tune"})


def no_facts(it_kwh: Band, start_us: int, elapsed_s: Band) -> Energy:
    """A site that states nothing."""
    return Energy(it_kwh, None, None, None, None)


def at_once(spec: JobSpec, elapsed_s: Band) -> Start:
    """A planner that has room for everything."""
    return Start("free", NOW_US, NOW_US, NOW_US)


def terms(work: Workload = TUNING, **changes: object) -> Terms:
    """What makes estimates offers; `changes` are fields of Terms."""
    usual: dict[str, object] = {
        "workload": work, "draft": draft(), "prices": PRICES, "footprint": no_facts, "greenest": lambda *_: None,
        "start_of": at_once, "now_us": NOW_US,
    }  # fmt: skip
    return Terms(**(usual | changes))  # type: ignore[arg-type]


def estimated(work: Workload, wanted: Wanted, seen: Snapshot | None = None) -> list[tuple[Candidate, Work]]:
    """Every candidate that runs, with its estimate."""
    found = [(one, estimate(work, one, KNOWN)) for one in candidates(seen or snapshot(), wanted)]
    return [(one, made) for one, made in found if not isinstance(made, Unfit)]


def offers(work: Workload = TUNING, wanted: Wanted | None = None, **changes: object) -> tuple[Offer, ...]:
    """The offers for a workload."""
    return make_offers(estimated(work, wanted or Wanted()), terms(work, **changes))
