"""Results of the client's methods, as the center answers them: plain dictionaries with known keys.

Written by `python -m pearlstreet.api.client_types` from the models of the API; a test fails when it is not current.
Times are RFC 3339 text in UTC, amounts of money exact decimal text in yuan.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class Accelerator(TypedDict):
    """What a maker rates a card at; null or a missing precision means unknown."""

    id: str
    family: str
    vendor: str
    name: str
    aliases: list[str]
    form_factor: str
    release: str
    peak_tflops: dict[str, float]
    memory_gib: float | None
    memory_type: str
    bandwidth_gbs: float | None
    link: str
    link_gbs: float | None
    power_w: float | None
    domestic_cn: bool
    dies: int
    source: str
    source_date: str
    notes: str


class Accepted(TypedDict):
    """An accepted quote and its job."""

    quote: Quote
    job: Job


class Alert(TypedDict):
    """The notice `balance.low` is given once the available balance is not above this."""

    below: str


class Alternative(TypedDict):
    """A node that was not taken."""

    node: str
    score: float
    more: float
    code: Literal["loses_more", "packs_worse", "scores_worse"]


class Archive(TypedDict):
    """Everything of the organisation, to be handed over; GET /orgs/{org}/export gives it."""

    name: str
    size_bytes: int
    sha256: str


class Artefact(TypedDict):
    """A file a job left."""

    id: str
    attempt_id: str
    path: str
    size_bytes: int
    sha256: str
    at: str
    expires_at: str | None
    pinned: bool


class Attempt(TypedDict):
    """One try at running a job."""

    id: str
    number: int
    engine: str
    state: str
    placement: dict[str, Any]
    tasks: int
    why_here: str | None
    wall: str | None
    placed: str
    started: str | None
    ended: str | None
    stop_reason: str | None
    next_tasks: int | None
    end_reason: str | None
    exit_code: int | None
    message: str | None
    price_per_hour: str


class AttemptEnergy(TypedDict):
    """What one attempt used; `basis`: measured, rated, cores, or unknown."""

    attempt_id: str
    model: str
    start: str
    end: str
    basis: str
    it_kwh: float | None


class Audit(TypedDict):
    """One thing that was done."""

    seq: int
    at: str
    actor: str
    org_id: str | None
    action: str
    target: str
    details: dict[str, Any]
    hash: str


class Backup(TypedDict):
    """A backup in the center's own folder; `pearl restore` reads it."""

    name: str
    size_bytes: int
    at: str


class Balance(TypedDict):
    """What an organisation has and may still use, now."""

    org_id: str
    balance: str
    held: str
    credit_limit: str
    available: str


class Band(TypedDict):
    """Four of five outcomes lie between p10 and p90."""

    p10: float
    median: float
    p90: float


class Bands(TypedDict):
    """Hours of a tariff to start from; the prices are those of the site's contract."""

    id: str
    title: str
    names: list[str]
    zone: str
    periods: list[Period]
    source: str
    as_of: str


class Billing(TypedDict):
    """The center as a seller, and its rules of money."""

    seller: NotRequired[Party]
    time_zone: NotRequired[str]
    tax_rate_bp: NotRequired[int]
    """Basis points: 600 is 6 %."""
    approval_above: NotRequired[str]
    invoice_prefix: NotRequired[str]


class Budget(TypedDict):
    """A monthly budget of an organisation or a project."""

    owner: str
    owner_id: str
    org_id: str
    project_id: str | None
    monthly: str
    thresholds: list[int]


class CalibrationReset(TypedDict):
    """How many lessons were forgotten."""

    lessons: int


class Capacity(TypedDict):
    """The pool in cards and PFLOPS."""

    nodes: int
    cards: int
    cards_healthy: int
    cards_given: float
    peak_pflops: float
    measured_pflops: float
    normalised_pflops: float
    measured_cards: int
    assumed_cards: int
    unknown_cards: int
    cpu_pflops: float


class Carbon(TypedDict):
    """Location-based CO2e of a kilowatt hour from the grid: a constant, or an imported series."""

    kind: CarbonKind
    g_per_kwh: NotRequired[float | None]
    series: NotRequired[str | None]
    source: str
    """A document, an address, a meter."""
    as_of: str
    """The day it was true or published."""


CarbonKind = Literal["constant", "hourly"]


class CarbonPreset(TypedDict):
    """A carbon factor to start from."""

    id: str
    title: str
    g_per_kwh: float
    source: str
    as_of: str


class Center(TypedDict):
    """What this center is."""

    name: str
    version: str
    started: str | None
    engines: dict[str, Any]
    minimum_isolation: str
    notices: list[str]
    languages: list[str]
    sign_in: list[str]


class Changed(TypedDict):
    """How many were changed."""

    changed: int


class Chosen(TypedDict):
    """What a node was chosen among. Lower scores are better."""

    policy: str
    score: float
    equal: int
    alternatives: list[Alternative]


class Closing(TypedDict):
    """How far the end of a tenant is."""

    org_id: str
    slug: str
    phase: Phase
    asked_by: str
    asked: str
    reason: str
    cancel_jobs: bool
    invoices: list[str]
    balance: str | None
    archive: Archive | None
    closed: str | None


class Compared(TypedDict):
    """One measure, as it was quoted and as it was."""

    measure: str
    quoted: Band | None
    actual: float | None
    error: float | None
    inside: bool | None


class Comparison(TypedDict):
    """Quoted beside actual."""

    quote_id: str
    offer: Offer
    job: Job
    rows: list[Compared]
    is_over: bool
    attempts: int
    taught: bool
    notes: list[str]


class Core(TypedDict):
    """What a busy CPU core draws with its share of the machine; counts for work without accelerators."""

    watts: float
    source: str
    """A document, an address, a meter."""
    as_of: str
    """The day it was true or published."""


class Cost(TypedDict):
    """What a job has been charged so far, refunds taken off."""

    job_id: str
    total: str
    price_per_hour: str
    lines: list[CostLine]
    energy: EnergyUse


class CostLine(TypedDict):
    """What one resource has cost."""

    resource: str
    label: str
    quantity: str
    quantity_exact: str
    unit: str
    amount: str


Days = Literal["all", "workdays", "weekends", "holidays"]


class Decision(TypedDict):
    """A cycle of the planner that placed, preempted or resized something."""

    id: str
    at: str
    policy: int
    waiting: int
    running: int
    nodes: int
    placed: int
    preempted: int
    resized: int
    program: str


class DefaultOrg(TypedDict):
    """The organisation for requests that name none, by slug."""

    default_org: str | None


class Delivery(TypedDict):
    """One event on its way to a webhook, or there."""

    id: str
    event_id: str
    kind: str
    state: Literal["due", "delivered", "given_up"]
    tries: int
    last_error: str | None
    created: str
    ended: str | None
    next_try: str | None


class Device(TypedDict):
    """One accelerator."""

    index: int
    vendor: str
    model: str
    memory_gib: float
    uuid: str
    healthy: bool
    health_reason: str | None
    untested: bool
    temperature_c: float | None
    utilization_percent: float | None
    memory_used_gib: float | None
    power_w: float | None
    normalised_pflops: float
    normalised_basis: str
    given_percent: float
    jobs: list[str]


class Difference(TypedDict):
    """Where planning again comes to something else; null: not there."""

    what: str
    job: str
    was: Any
    now: Any


class Drain(TypedDict):
    """Whether new work goes to a node."""

    name: str
    drained: bool
    drain_reason: str | None


class Elastic(TypedDict):
    """Between how many tasks an elastic job may run."""

    min_tasks: int
    max_tasks: int


class Ended(TypedDict):
    """What is over."""

    ended: str | None


class EnergyUse(TypedDict):
    """Energy of the machines and of the facility apart, the PUE applied once; null: not known, `notes` say why."""

    it_kwh: float | None
    it_kwh_low: float | None
    it_kwh_high: float | None
    facility_kwh: float | None
    carbon_kg: float | None
    """CO2e, location-based."""
    energy_cost: str | None
    """What the site paid for it; shown, not charged."""
    facts: list[int]
    """Versions of the site's facts it was reckoned with."""
    notes: list[str]


class Factor(TypedDict):
    """One factor of a device, or of a recipe on it."""

    device: str
    recipe: str
    org_id: str | None
    factor: float
    deviation: float
    runs: int
    benches: int


class Facts(TypedDict):
    """One version of the facts; versions never change."""

    number: int
    valid_from: str
    current: bool
    pue: Pue
    tariff: Tariff | None
    carbon: Carbon | None
    core: Core | None
    note: str
    set_by: str | None
    set: str


class FairShare(TypedDict):
    """Who is ahead, and why."""

    half_life_s: float
    items: list[StandingOut]


class ForgottenNode(TypedDict):
    """What is no longer known."""

    forgotten: str


class GreenStart(TypedDict):
    """A later start that would emit clearly less."""

    start: str
    carbon_kg: float
    less: float


class Health(TypedDict):
    """Whether requests can be answered."""

    status: Literal["ok", "down"]
    why: NotRequired[str | None]


class Held(TypedDict):
    """A node of a window; devices null: all of it."""

    node: str
    devices: list[int] | None


class Here(TypedDict):
    """A placement and how it came about."""

    why: str | None
    model: str
    nodes: list[str]
    tasks: int
    position: int | None
    backfilled: bool
    borrowing: bool
    chosen: Chosen | None


class Hour(TypedDict):
    """An hour and its value."""

    start: str
    value: float


class Hours(TypedDict):
    """A part of a series, oldest first."""

    series: Series
    unit: str
    items: list[Hour]


class Identity(TypedDict):
    """An account's identity at a sign-in provider."""

    issuer: str
    subject: str
    user_id: str


class Imported(TypedDict):
    """What an import did."""

    series: Series
    added: int


class Incident(TypedDict):
    """A row that a loop of the center fails on."""

    loop: str
    row: str
    failures: int
    given_up: bool
    error: str
    at: str


class Invitation(TypedDict):
    """An offer of a role. `invitee`: the login name or e-mail address as it was written."""

    id: str
    org: str
    invitee: str
    role: OrgRole
    state: InvitationState
    invited_by: str
    created: str
    expires: str
    ended: str | None


InvitationState = Literal["pending", "accepted", "declined", "withdrawn", "expired"]


class Invited(TypedDict):
    """An account and the one-time token that sets its password within 72 hours; shown this once."""

    user: User
    token: str


class Invoice(TypedDict):
    """An invoice; a draft has neither id nor number. `total` = `net` + `tax` exactly."""

    id: str | None
    number: str | None
    org: str
    org_id: str
    month: str
    time_zone: str
    start: str
    end: str
    issued: str | None
    currency: str
    seller: Party
    buyer: Party
    tax_rate_percent: str
    lines: list[InvoiceLine]
    used: str
    carried_in: str
    carried_out: str
    net: str
    tax: str
    total: str
    energy: EnergyUse | None


class InvoiceLine(TypedDict):
    """One resource at one price."""

    resource: str
    label: str
    kind: str
    is_refund: bool
    quantity: str
    quantity_exact: str
    unit: str
    unit_price: str
    per: int
    amount: str


class IssuedKey(TypedDict):
    """A fresh key. `key` is the whole credential, shown this once."""

    id: str
    user_id: str
    org_id: str | None
    project_id: str | None
    place: str | None
    label: str
    scopes: list[str]
    created: str
    expires: str
    revoked: str | None
    last_used: str | None
    parent_id: str | None
    key: str


class Job(TypedDict):
    """A job, an array, or one element of an array."""

    id: str
    name: str
    org_id: str
    project_id: str
    owner: str
    state: JobState
    reason_code: str | None
    reason: str | None
    queue: str
    priority: int
    submitted: str
    started: str | None
    ended: str | None
    exit_code: int | None
    attempts: int
    attempt_id: str | None
    array_id: str | None
    array_index: int | None
    array_size: int | None
    counts: dict[str, int] | None
    price_per_hour: str
    quote_id: str | None
    notices: list[str]
    elastic: Elastic | None
    spec: dict[str, Any] | None


class JobEnergy(TypedDict):
    """What a job, or all elements of an array, used so far."""

    job_id: str
    energy: EnergyUse
    attempts: list[AttemptEnergy]


JobState = Literal[
    "queued", "placed", "starting", "running", "stopping", "finishing", "succeeded", "failed", "cancelled"
]


class Kept(TypedDict):
    """What was kept."""

    id: str


class Key(TypedDict):
    """What is known of a key: never its secret. `place`: where it works, such as `acme` or `acme/research`."""

    id: str
    user_id: str
    org_id: str | None
    project_id: str | None
    place: str | None
    label: str
    scopes: list[str]
    created: str
    expires: str
    revoked: str | None
    last_used: str | None
    parent_id: str | None


class Left(TypedDict):
    """The organisation that was left."""

    left: str


class Me(TypedDict):
    """Who asks, and what they may do. `tie` null: wherever the user does."""

    user: User
    orgs: list[MemberOf]
    default_org: str | None
    """Slug of the organisation for requests that name none."""
    operator_roles: list[OperatorRole]
    scopes: list[str]
    key_id: str | None
    session_id: str | None
    tie: Tie | None


class Member(TypedDict):
    """A user's role in an organisation, and all that the organisation sees of the user."""

    user_id: str
    user: str
    display_name: str
    org_id: str
    org: str
    role: OrgRole
    joined: str


class MemberOf(TypedDict):
    """A role in an organisation."""

    org_id: str
    slug: str
    role: OrgRole
    suspended: bool


class NewWebhook(TypedDict):
    """A fresh webhook. `secret` signs what is posted; it is shown this once."""

    id: str
    org_id: str | None
    url: str
    kinds: list[str]
    state: Literal["active", "disabled"]
    created: str
    created_by: str
    failures: int
    failing_since: str | None
    last_error: str | None
    last_success: str | None
    secret: str


class Node(TypedDict):
    """One machine, what it has, and what is in use."""

    name: str
    engine: str
    present: bool
    healthy: bool
    health_reason: str | None
    drained: bool
    drain_reason: str | None
    cpus: float
    cpus_given: float
    cpu_pflops: float | None
    memory_gib: float
    memory_given_gib: float
    disk_gib: float
    rack: str
    pod: str
    isolation: str
    isolation_gaps: list[str]
    facts: dict[str, str]
    devices: list[Device]
    changed: str


class Nodes(TypedDict):
    """Every machine, and the pool as a whole."""

    items: list[Node]
    capacity: Capacity


class Notice(TypedDict):
    """One thing a person was told of, in the language asked for. `data` are the values behind the words."""

    id: str
    event_id: str
    kind: str
    org_id: str | None
    title: str
    text: str
    data: dict[str, Any]
    at: str
    read: str | None


class NoticeKind(TypedDict):
    """One kind of notice; `usual`: where people who chose nothing hear of it."""

    name: str
    what: str
    concerns: Literal["person", "organisation", "center"]
    usual: list[Literal["inbox", "email"]]


class Offer(TypedDict):
    """One way to run it."""

    id: str
    names: list[str]
    accelerator: str
    tasks: int
    per_task: int
    count: int
    owned: bool
    can_be_accepted: bool
    elapsed_s: Band
    overhead_s: Band | None
    device_s: Band
    price: Price | None
    energy: OfferEnergy | None
    start: Start | None
    layout: dict[str, int | str]
    memory_gib: float | None
    device_memory_gib: float
    served: Served | None
    utilisation: float | None
    assumed: list[str]
    warnings: list[str]
    time_limit_s: float
    job: dict[str, Any] | None


class OfferEnergy(TypedDict):
    """What it draws and emits. Null: the site has no fact to reckon it with."""

    it_kwh: Band
    facility_kwh: Band | None
    carbon_kg: Band | None
    cost: str | None
    basis: str | None
    greenest_start: GreenStart | None


OperatorRole = Literal["system", "security", "audit"]


class Org(TypedDict):
    """A tenant."""

    id: str
    slug: str
    name: str
    state: Standing
    created: str


OrgRole = Literal["owner", "member", "viewer"]


class Party(TypedDict):
    """A buyer or seller as invoices name them."""

    name: NotRequired[str]
    tax_id: NotRequired[str]
    address: NotRequired[str]
    phone: NotRequired[str]
    bank: NotRequired[str]
    bank_account: NotRequired[str]


class Past(TypedDict):
    """A job that ran and ended: what it asked for and how long it ran. No command, no name, no files."""

    job: str
    org: str
    project: str
    user: str
    submitted: str
    duration_s: float
    state: str
    tasks: int
    accelerators: list[str]
    count: int
    fraction_memory_gib: float
    fraction_compute_percent: float
    cpus: float
    memory_gib: float
    priority: int
    queue: str
    time_limit_s: float
    preemptible: bool
    ran_on: str
    min_tasks: int
    max_tasks: int


class Period(TypedDict):
    """Hours that cost the same; the hour that begins at 8:00 is 8."""

    name: str
    yuan_per_kwh: str
    months: NotRequired[list[int]]
    days: NotRequired[Days]
    hours: NotRequired[list[int]]


Phase = Literal["stopping", "settling", "archiving", "erasing", "closed"]


class PolicyShown(TypedDict):
    """The policy that rules, and the names that its settings take."""

    number: int
    settings: dict[str, str | int | float | bool | list[float] | None]
    default_queue: str
    made: str | None
    made_by: str | None
    note: str
    back_to: int | None
    choices: dict[str, list[str]]
    labels: dict[str, dict[str, str]]


class Posted(TypedDict):
    """A transaction in the books."""

    transaction_id: str


class Preferences(TypedDict):
    """What is heard of where. `email_confirmed`: whether mail is sent to the address already."""

    language: Literal["en", "zh-CN"]
    email: str | None
    email_confirmed: bool
    mail_available: bool
    kinds: dict[str, list[Literal["inbox", "email"]]]


class Presets(TypedDict):
    """What can be started from; nothing of it is set by itself."""

    carbon: list[CarbonPreset]
    tariff_hours: list[Bands]


class Price(TypedDict):
    """What a run costs, from the range of its time."""

    p10: str
    median: str
    p90: str
    hourly: str
    lines: list[QuoteLine]


class PriceRule(TypedDict):
    """Yuan including tax for each `per` units of the kind's quantity."""

    resource: str
    kind: str
    unit: str
    yuan: str
    per: int


class Prices(TypedDict):
    """A price list; it never changes."""

    id: str
    number: int
    valid_from: str
    time_zone: str
    note: str
    is_current: bool
    rules: list[PriceRule]


class Project(TypedDict):
    """A part of an organisation that jobs and secrets belong to."""

    id: str
    org_id: str
    slug: str
    name: str
    created: str


class ProjectStorage(TypedDict):
    """Storage of one project. `left_bytes` null: no limit; `kept_days` 0: for ever; `month_cost` in yuan."""

    org_id: str
    project_id: str
    project: str
    stored_bytes: int
    left_bytes: int | None
    kept_days: int
    month_cost: str


class Proof(TypedDict):
    """What the proof of the books looked at, and the first row that does not fit."""

    is_right: bool
    checked: dict[str, int]
    problem: str | None
    row: str | None


class Pue(TypedDict):
    """Facility energy over the energy of the machines."""

    value: float
    source: str
    """A document, an address, a meter."""
    as_of: str
    """The day it was true or published."""


class Queue(TypedDict):
    """A queue. What it has of its own; null: as the center."""

    name: str
    title: str
    is_default: bool
    rank: int
    settings: dict[str, str | int | float | bool | list[float] | None]
    allowed: list[str]


class Quota(TypedDict):
    """A quota."""

    id: str
    owner: str
    owner_id: str
    org_id: str
    project_id: str | None
    resource: str
    guaranteed: float | None
    maximum: float | None
    borrow: bool


class Quote(TypedDict):
    """A question with its offers."""

    id: str
    org_id: str
    project_id: str
    owner: str
    created: str
    valid_until: str
    state: State
    workload: dict[str, Any]
    wanted: dict[str, Any]
    job_draft: dict[str, Any] | None
    offers: list[Offer]
    considered: int
    price_version: int
    recipe: str
    accepted: str | None
    job_id: str | None


class QuoteLine(TypedDict):
    """What one resource costs of the likely price."""

    resource: str
    amount: str


class Reading(TypedDict):
    """How many tokens the rule means at one utilisation."""

    mfu: float
    tokens: float
    tokens_a_parameter: float


class Removed(TypedDict):
    """What is gone."""

    removed: str


class Replayed(TypedDict):
    """What planning it again came to."""

    id: str
    at: str
    policy: int
    waiting: int
    running: int
    nodes: int
    placed: int
    preempted: int
    resized: int
    program: str
    sealed: bool | None
    identical: bool
    differences: list[Difference]
    more: int


class Retention(TypedDict):
    """A rule; `days` 0: for ever."""

    org_id: str
    project_id: str | None
    days: int


class Retried(TypedDict):
    """How many are tried again."""

    retried: int


class Sample(TypedDict):
    """What was measured at one moment."""

    at: str
    rank: int
    kind: str
    values: dict[str, float]


class Scenario(TypedDict):
    """A rule with its tokens and utilisation explicit, and what the estimates say."""

    rule: ScenarioRule
    mfu: float
    tokens: float
    flops: float
    rule_days: float
    readings: list[Reading]
    optimal_days: float
    offers: list[Offer]
    unfit: list[str]
    notes: list[str]


class ScenarioRule(TypedDict):
    """A rule of thumb that can be worked out."""

    name: str
    title: str
    params: float
    exaflops: float
    days: float


class Secret(TypedDict):
    """What can be seen of a secret: never its value."""

    id: str
    owner: str
    owner_id: str
    org_id: str
    project_id: str | None
    name: str
    updated: str
    updated_by: str


class Series(TypedDict):
    """An imported series of hours."""

    id: str
    name: str
    kind: SeriesKind
    hours: int
    first: str | None
    until: str | None
    source: str
    as_of: str
    made: str


SeriesKind = Literal["carbon", "price"]


class Served(TypedDict):
    """How a model serves."""

    output_tokens_per_s: Band
    requests_per_s: Band
    ttft_s: Band
    tpot_s: Band
    carried_tokens_per_s: float
    price_per_mtoken: str | None


class Session(TypedDict):
    """A sign-in that lasts."""

    id: str
    created: str
    expires: str
    last_seen: str
    peer: str
    current: bool


class Share(TypedDict):
    """A weight."""

    owner: str
    owner_id: str
    org_id: str
    project_id: str | None
    weight: float


class SignedIn(TypedDict):
    """A fresh session. The token is shown this once: send it as `Authorization: Bearer …`."""

    token: str
    session_id: str
    expires: str
    user: User


class Site(TypedDict):
    """The facts that hold now; null: none are set."""

    facts: Facts | None
    time_zone: str


class Span(TypedDict):
    """A stretch of use of one resource."""

    source: str
    attempt_id: str
    resource: str
    sequence: int
    start: str
    end: str
    unit: str
    amount: int
    pflops: float | None
    pflops_basis: str
    price_version_id: str
    billable: bool
    why_not: str
    state: str
    charge_id: str | None


Standing = Literal["active", "suspended", "closing", "closed"]


class StandingOut(TypedDict):
    """Where a project stands; the smallest rank is served first. Shares are of the whole center, over the weight."""

    rank: int
    owner: str
    owner_id: str
    org_id: str
    project_id: str
    org_weight: float
    weight: float
    org_share: float
    share: float
    dominant: str
    recent: dict[str, float]
    why: str


class Start(TypedDict):
    """When it would start, were it submitted when the quote was made."""

    basis: Literal["free", "limits", "predictions", "unknown"]
    earliest: str | None
    likely: str | None
    latest: str | None
    position: int | None
    why: str | None


State = Literal["open", "accepted", "expired", "withdrawn"]


class StatementLine(TypedDict):
    """One transaction as it changed what the organisation has."""

    id: str
    seq: int
    at: str
    kind: TxKind
    memo: str
    amount: str
    balance: str
    actor: str
    use: Use | None
    energy: EnergyUse | None
    """Of accelerators, and of work without any."""


class StoredArtefact(TypedDict):
    """An output; `expires_at` null: it is kept for ever."""

    id: str
    job_id: str
    path: str
    size_bytes: int
    pinned: bool
    expires_at: str | None


class Tariff(TypedDict):
    """What a kilowatt hour costs the site: flat, by month, day and hour, or an imported series. A tariff by day may name public holidays (`days: holidays` is a period of theirs; at other hours they count as weekends) and Saturdays and Sundays that are worked."""

    kind: TariffKind
    yuan_per_kwh: NotRequired[str | None]
    """Of a flat one."""
    zone: NotRequired[str | None]
    """Of time of use; left out: that of the bills."""
    periods: NotRequired[list[Period]]
    holidays: NotRequired[list[str]]
    working_days: NotRequired[list[str]]
    series: NotRequired[str | None]
    """Of an hourly one: name or id."""
    source: str
    """A document, an address, a meter."""
    as_of: str
    """The day it was true or published."""


TariffKind = Literal["flat", "time_of_use", "hourly"]


class Test(TypedDict):
    """A test is on its way."""

    sent: bool


class Tie(TypedDict):
    """The one organisation, or the one project of it, in which the key works."""

    org_id: str
    project_id: str | None
    place: str


class Timeline(TypedDict):
    """One change of state."""

    at: str
    from_state: str | None
    to_state: str
    event: str
    reason: str | None


class TopUp(TypedDict):
    """A top-up and where it is."""

    id: str
    org_id: str
    kind: TxKind
    amount: str
    memo: str
    state: TopUpState
    requested_by: str
    requested: str
    decided_by: str | None
    decided: str | None
    transaction_id: str | None


TopUpState = Literal["pending", "posted", "rejected"]

TxKind = Literal["charge", "top_up", "grant", "refund", "correction", "tax"]


class Unread(TypedDict):
    """How many notices are not read."""

    count: int


class Upload(TypedDict):
    """A kept file."""

    id: str
    name: str
    size_bytes: int
    sha256: str
    owner: str
    at: str
    project_id: str | None


class Use(TypedDict):
    """The use behind a charge."""

    source: str
    attempt_id: str
    job_id: str
    project_id: str
    resource: str
    resource_label: str
    first_sequence: int
    last_sequence: int
    month: str
    quantity: str
    quantity_exact: str
    unit: str
    price_version_id: str


class User(TypedDict):
    """An account. Of a fellow member only id, name and display name are shown; the rest is null."""

    id: str
    name: str
    display_name: str
    email: str | None
    state: Standing | None
    operator_role: OperatorRole | None
    created: str | None


class Verify(TypedDict):
    """Whether the log is whole. Keep `head`: the next time it must still be in the log."""

    is_right: bool
    rows: int
    head: str
    broken_at: int | None
    problem: str | None


class Version(TypedDict):
    """A version and what it changed: setting → [was, is]."""

    number: int
    settings: dict[str, str | int | float | bool | list[float] | None]
    default_queue: str
    made: str | None
    made_by: str | None
    note: str
    back_to: int | None
    changed: dict[str, Any]


class Webhook(TypedDict):
    """A webhook; its secret is never shown again."""

    id: str
    org_id: str | None
    url: str
    kinds: list[str]
    state: Literal["active", "disabled"]
    created: str
    created_by: str
    failures: int
    failing_since: str | None
    last_error: str | None
    last_success: str | None


class WhatIf(TypedDict):
    """A question, and how far it is."""

    id: str
    org_id: str | None
    asked: str
    question: WhatIfQuestion
    state: str
    progress: float
    message: str | None
    ended: str | None


class WhatIfQuestion(TypedDict):
    """What was asked."""

    days: int
    policies: list[str]
    cluster: str
    extra: str
    less: str
    quotas: list[str]
    queues: list[str]
    windows: list[str]


class WholeDecision(TypedDict):
    """All that is kept of it: what the planner saw, how it was set, what it answered."""

    id: str
    at: str
    policy: int
    waiting: int
    running: int
    nodes: int
    placed: int
    preempted: int
    resized: int
    program: str
    sealed: bool | None
    snapshot: dict[str, Any]
    config: dict[str, Any]
    plan: dict[str, Any]


class WholeWhatIf(TypedDict):
    """A question with its answer: figures and curves of each case."""

    id: str
    org_id: str | None
    asked: str
    question: WhatIfQuestion
    state: str
    progress: float
    message: str | None
    ended: str | None
    result: dict[str, Any] | None


class Why(TypedDict):
    """Why a job waits, or why it runs where it does."""

    sentence: str
    code: str
    position: int | None
    waiting: int | None
    unblock: str | None
    details: list[dict[str, Any]]
    start_earliest: str | None
    start_likely: str | None
    start_latest: str | None
    start_rough: bool
    here: Here | None


_Window = TypedDict("_Window", {"from": "str"})


class Window(_Window):
    """Nodes or cards that are kept free for a while."""

    id: str
    kind: WindowKind
    held: list[Held]
    model: str | None
    cards: int | None
    owner: str | None
    owner_id: str | None
    org_id: str | None
    until: str
    reason: str
    made: str
    made_by: str | None
    ended: str | None


WindowKind = Literal["maintenance", "reservation"]
