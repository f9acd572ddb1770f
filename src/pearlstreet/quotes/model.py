"""What a quote is: the question, the offers that answer it, and where it stands. Frozen values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.building import Model

CHEAPEST, FASTEST, SOONEST, GREENEST = "cheapest", "fastest", "soonest", "greenest"
NAMES = (CHEAPEST, FASTEST, SOONEST, GREENEST)
"""What an offer may be best at: price, run time, expected end, carbon."""


class Kind(StrEnum):
    """What a workload is."""

    TRAIN = "train"
    INFER = "infer"
    """A number of requests, answered as fast as the hardware does."""
    SERVE = "serve"
    """A model that answers for some hours."""
    CUSTOM = "custom"
    """The tenant measured it on a named accelerator."""
    HISTORY = "history"
    """The tenant's own finished jobs of a name."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be done. Which fields count follows from `kind`."""

    kind: Kind = Kind.TRAIN
    model: Model = field(default_factory=Model)
    precision: str = "bf16"
    mode: str = "pretrain"
    tokens: float | None = None
    samples: float | None = None
    epochs: float = 1.0
    sequence: int | None = None
    batch_tokens: float | None = None
    recompute: str | None = None
    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    input_tokens: int = 1024
    output_tokens: int = 256
    concurrency: float | None = None
    requests_per_s: float | None = None
    requests: float | None = None
    engine: str = "vLLM"
    hours: float | None = None
    """`serve`: how long; `custom`: how long it took where it was measured."""
    accelerator: str = ""
    """`custom`: on what it was measured."""
    count: int = 1
    """`custom`: on how many."""
    job_name: str = ""
    """`history`: the jobs' name."""
    recipe: str = ""
    """Under which finished runs teach later estimates; empty: the job's name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the tenant narrows the offers to."""

    accelerators: tuple[str, ...] = ()
    count: int | None = None
    """Exactly so many accelerators."""
    most: int | None = None
    """At most so many."""
    hypothetical: str = ""
    """`128x8xH100-80G`: hardware that the center does not have. Such offers cannot be accepted."""


@dataclass(frozen=True, slots=True)
class Question:
    """A workload, the job that would do it, and what is wanted of the offers."""

    workload: Workload
    draft: Mapping[str, Any] | None = None
    """A job specification without accelerators, tasks and time limit. None: to plan with, not to accept."""
    wanted: Wanted = field(default_factory=Wanted)
    project: str | None = None


@dataclass(frozen=True, slots=True)
class PriceLine:
    """What one resource costs of the likely price."""

    resource: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Price:
    """What a run costs, from the band of its time."""

    p10: Money
    median: Money
    p90: Money
    hourly: Money
    lines: tuple[PriceLine, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """When it would start, were it submitted now."""

    basis: str
    """`free`: at once; `limits`: enforced time limits; `predictions` of what runs; `unknown`: too far back in line."""
    earliest_us: int | None = None
    likely_us: int | None = None
    latest_us: int | None = None
    position: int | None = None
    why: Text | None = None
    pace: float = 1.0
    """How many times faster than the clock the center worked: its moments are the clock's, lengths of work its own."""


@dataclass(frozen=True, slots=True)
class Served:
    """How a model serves on an offer."""

    output_tokens_per_s: Band
    requests_per_s: Band
    ttft_s: Band
    tpot_s: Band
    carried_tokens_per_s: float
    """Output tokens a second at the load that was given; all it can do when none was."""
    price_per_mtoken: Money | None
    """Per 10⁶ output tokens at that load."""


@dataclass(frozen=True, slots=True)
class GreenStart:
    """A later start that would emit clearly less, where carbon is known by the hour."""

    start_us: int
    carbon_kg: float
    """Likely, of the same energy."""
    less: float
    """Than at the expected start, as a share of that."""


@dataclass(frozen=True, slots=True)
class Energy:
    """What it draws and emits."""

    it_kwh: Band
    facility_kwh: Band | None
    carbon_kg: Band | None
    cost: Money | None
    """What the site pays for the likely energy; None without a tariff."""
    basis: Text | None
    """Which site facts it stands on."""
    greenest: GreenStart | None = None
    """None: no start within two days is clearly greener than the expected one, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to run it."""

    id: str
    """`1`, `2` … within its quote."""
    names: tuple[str, ...]
    accelerator: str
    tasks: int
    per_task: int
    owned: bool
    elapsed_s: Band
    device_s: Band
    price: Price | None
    energy: Energy | None
    start: Start | None
    layout: Mapping[str, int | str]
    memory_gib: float | None
    """Of each device; None where nobody knows."""
    device_memory_gib: float
    served: Served | None
    utilisation: float | None
    """Share of the rated peak."""
    assumed: tuple[Text, ...]
    warnings: tuple[Text, ...]
    time_limit_s: float
    spec: Mapping[str, Any] | None
    """The job specification that accepting submits; None: it cannot be accepted."""
    untaught_device_s: float
    """Likely device time of the work itself without what was learnt: with start-up added, a finished run is compared with it."""
    overhead_s: Band | None = None
    """Time by the clock for start-up, reading weights and writing the last checkpoint, part of `elapsed_s` unless the work
    serves for a fixed time. None: not known (hours that were measured elsewhere contain it; older quotes lack it)."""

    @property
    def count(self) -> int:
        """Accelerators in all."""
        return self.tasks * self.per_task

    @property
    def overhead_device_s(self) -> float:
        """Likely device time of the overhead; 0 where none is known."""
        return 0.0 if self.overhead_s is None else self.overhead_s.median * self.count


class State(StrEnum):
    """Where a quote is. `expired` follows from the time and is not kept."""

    OPEN = "open"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Quote:
    """A question with its offers."""

    id: str
    org_id: str
    project_id: str
    owner: str
    created_us: int
    valid_until_us: int
    state: State
    question: Question
    offers: tuple[Offer, ...]
    price_version_id: str
    price_number: int
    considered: int
    """How many ways were estimated."""
    recipe: str
    accepted: str | None = None
    job_id: str | None = None

    @property
    def can_be_accepted(self) -> bool:
        """Whether any offer is a whole job."""
        return self.state is State.OPEN and any(offer.spec is not None for offer in self.offers)
