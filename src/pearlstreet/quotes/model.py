"""Values of a quote: the question, the offers and the state. All are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pearlstreet.base.money import Money
from pearlstreet.base.text import Text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.building import Model

CHEAPEST, FASTEST, SOONEST, GREENEST = "cheapest", "fastest", "soonest", "greenest"
NAMES = (CHEAPEST, FASTEST, SOONEST, GREENEST)
"""Names of the best offer by price, run time, expected end and carbon."""


class Kind(StrEnum):
    """Kind of a workload."""

    TRAIN = "train"
    INFER = "infer"
    """Batch inference: a number of requests, answered as fast as possible."""
    SERVE = "serve"
    """Serving: a model answers requests for some hours."""
    CUSTOM = "custom"
    """Run time measured by the tenant on a named accelerator."""
    HISTORY = "history"
    """Run times of the tenant's own finished jobs of a name."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Work to be quoted. `kind` decides which fields count."""

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
    """Hours to serve (`serve`), or hours that the measured run took (`custom`)."""
    accelerator: str = ""
    """Accelerator of the measured run (`custom`)."""
    count: int = 1
    """Number of accelerators of the measured run (`custom`)."""
    job_name: str = ""
    """Name of the finished jobs (`history`)."""
    recipe: str = ""
    """Name under which finished runs calibrate later estimates; empty: the job's name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Restrictions on the offers that the tenant asks for."""

    accelerators: tuple[str, ...] = ()
    count: int | None = None
    """Exact number of accelerators; None: any."""
    most: int | None = None
    """Largest number of accelerators; None: no limit."""
    hypothetical: str = ""
    """`128x8xH100-80G`: hardware that the center does not have. Such offers cannot be accepted."""


@dataclass(frozen=True, slots=True)
class Question:
    """A workload, the draft of its job, and restrictions on the offers."""

    workload: Workload
    draft: Mapping[str, object] | None = None
    """A job specification without accelerators, tasks and time limit. None: to plan with, not to accept."""
    wanted: Wanted = field(default_factory=Wanted)
    project: str | None = None


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One resource's part of the likely price."""

    resource: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a run with its range, from the range of its run time."""

    p10: Money
    median: Money
    p90: Money
    hourly: Money
    lines: tuple[PriceLine, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Expected start if it were submitted now."""

    basis: str
    """Basis of the expectation: `free` (at once), enforced `limits`, `predictions` of what runs, or `unknown` (too far back in the queue)."""
    earliest_us: int | None = None
    likely_us: int | None = None
    latest_us: int | None = None
    position: int | None = None
    why: Text | None = None
    pace: float = 1.0
    """Speed of the center's jobs relative to real time; start times are real time, run times are not."""


@dataclass(frozen=True, slots=True)
class Served:
    """Serving rates and times of an offer."""

    output_tokens_per_s: Band
    requests_per_s: Band
    ttft_s: Band
    tpot_s: Band
    carried_tokens_per_s: float
    """Output tokens/s at the given load; without a load, the maximum."""
    price_per_mtoken: Money | None
    """Price per 10⁶ output tokens at that load."""


@dataclass(frozen=True, slots=True)
class GreenStart:
    """A later start with clearly lower emissions; needs hourly carbon data."""

    start_us: int
    carbon_kg: float
    """Likely emissions of the same energy, in kg CO2e."""
    less: float
    """Emissions saved, as a share of those at the expected start."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy and emissions of an offer."""

    it_kwh: Band
    facility_kwh: Band | None
    carbon_kg: Band | None
    cost: Money | None
    """Cost of the likely energy for the site; None without a tariff."""
    basis: Text | None
    """The site facts that were used."""
    greenest: GreenStart | None = None
    """A clearly greener start within two days; None: there is none, or carbon is not known by the hour."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to run a workload, with time, price, energy and start."""

    id: str
    """Number within its quote, from `1`."""
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
    """Device memory needed in GiB; None: not known."""
    device_memory_gib: float
    served: Served | None
    utilisation: float | None
    """Share of the rated peak (MFU) during the steps; None: not known."""
    assumed: tuple[Text, ...]
    warnings: tuple[Text, ...]
    time_limit_s: float
    spec: Mapping[str, object] | None
    """Job specification that accepting submits; None: the offer cannot be accepted."""
    untaught_device_s: float
    """Likely device seconds of the work itself before calibration; with the overhead added, finished runs are compared with it."""
    overhead_s: Band | None = None
    """Seconds by the clock for start-up, reading weights and writing the last checkpoint.

    Part of `elapsed_s` unless the work serves for a fixed time. None: not known (measured hours contain it, older quotes lack it)."""
    engines: tuple[str, ...] = ()
    """Engines of the center whose nodes can run it; empty: not known, or hypothetical."""

    @property
    def count(self) -> int:
        """Accelerators in all."""
        return self.tasks * self.per_task

    @property
    def overhead_device_s(self) -> float:
        """Likely device time of the overhead; 0 where none is known."""
        return 0.0 if self.overhead_s is None else self.overhead_s.median * self.count


class State(StrEnum):
    """State of a quote. `expired` follows from the time and is not stored."""

    OPEN = "open"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Quote:
    """A question with its offers and state."""

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
    """Number of candidates that were estimated."""
    recipe: str
    accepted: str | None = None
    job_id: str | None = None

    @property
    def can_be_accepted(self) -> bool:
        """Return whether the quote is open and an offer has a complete job specification."""
        return self.state is State.OPEN and any(offer.spec is not None for offer in self.offers)
