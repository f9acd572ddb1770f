"""Results of the client's methods, as the center answers them: plain dictionaries with known keys.

Written by `python -m pearlstreet.api.client_types` from the models of the API; a test fails when it is not current.
Times are RFC 3339 text in UTC, amounts of money exact decimal text in yuan.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class Accelerator(TypedDict):
    """Vendor's ratings of a card; null or a missing precision means unknown."""

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


class AccessRequest(TypedDict):
    """A person's request for the files of a gated repository."""

    id: str
    user: str
    state: RequestState
    note: str
    at: str
    decided_by: str | None
    expires_at: str | None


class AccountDifference(TypedDict):
    """An attempt whose metered time differs by more than a second from what the cluster accounts."""

    attempt: str
    owner: str
    org: str
    cluster_job: str
    start: str
    end: str
    account_start: str
    account_end: str
    excess_s: float
    corrected: bool


class Alert(TypedDict):
    """Threshold of the notice `balance.low`: it is sent when the available balance is at or below it."""

    below: str


class Alternative(TypedDict):
    """A node that was considered and not chosen."""

    node: str
    score: float
    more: float
    code: Literal["loses_more", "packs_worse", "scores_worse"]


ApprovalState = Literal["pending", "approved", "rejected", "revoked"]


class Archive(TypedDict):
    """The archive of the organisation's data, returned by GET /orgs/{org}/export."""

    name: str
    size_bytes: int
    sha256: str


class Artefact(TypedDict):
    """A file that a job wrote to its outputs folder."""

    id: str
    attempt_id: str
    path: str
    size_bytes: int
    sha256: str
    at: str
    expires_at: str | None
    pinned: bool


class Attempt(TypedDict):
    """One run of a job."""

    id: str
    number: int
    engine: str
    state: str
    placement: dict[str, Any]
    tasks: int
    why_here: str | None
    wall: str | None
    sharing: Literal["exclusive", "mig", "mps", "time_slice", "none"] | None
    placed: str
    started: str | None
    ended: str | None
    stop_reason: str | None
    next_tasks: int | None
    saved: str | None
    ready: bool | None
    restarts: int
    endpoints: list[Endpoint]
    lost_s: float | None
    end_reason: str | None
    exit_code: int | None
    message: str | None
    price_per_hour: str


class AttemptEnergy(TypedDict):
    """Energy use of one attempt; `basis`: measured, rated, cores or unknown."""

    attempt_id: str
    model: str
    start: str
    end: str
    basis: str
    it_kwh: float | None


class Audit(TypedDict):
    """One audit entry: an action of an actor on a target."""

    seq: int
    at: str
    actor: str
    org_id: str | None
    action: str
    target: str
    target_name: str
    details: dict[str, Any]
    hash: str


class Backup(TypedDict):
    """A backup in the center's backup folder; `pearl restore` restores it."""

    name: str
    size_bytes: int
    at: str


class Balance(TypedDict):
    """Balance of an organisation, and the amount it can still spend."""

    org_id: str
    balance: str
    held: str
    credit_limit: str
    available: str


class Band(TypedDict):
    """A range: four of five outcomes lie between p10 and p90."""

    p10: float
    median: float
    p90: float


class Bands(TypedDict):
    """Published hours of a time-of-use tariff; prices must be taken from the site's contract."""

    id: str
    title: str
    names: list[str]
    zone: str
    periods: list[Period]
    source: str
    as_of: str


class Billing(TypedDict):
    """Billing settings of the center: seller, time zone, tax rate, approval limit and invoice prefix."""

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


class Build(TypedDict):
    """A build of an environment, image or source, which jobs wait for."""

    id: str
    kind: Literal["environment", "image", "source"]
    name: str
    owner: str
    owner_id: str
    state: Literal["waiting", "building", "ready", "failed"]
    reason: str | None
    jobs: list[str]
    asked_by: str | None
    engine: str | None
    node: str | None
    started: str | None
    ended: str | None
    duration_s: float | None
    billed: bool
    changed: str
    size_bytes: int | None
    log: str | None


class BurnIn(TypedDict):
    """One burn-in of a node."""

    id: str
    node: str
    state: Literal["waiting", "running", "done", "lost"]
    requested: str
    requested_by: str
    ended: str | None
    figures: dict[str, float]
    errors: list[str]
    notices: list[str]
    message: str | None


class CalibrationReset(TypedDict):
    """Number of deleted calibration entries."""

    lessons: int


class Capacity(TypedDict):
    """Capacity of the pool in cards and PFLOPS."""

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
    """Location-based CO2e per kilowatt hour from the grid: a constant or an imported series."""

    kind: CarbonKind
    g_per_kwh: NotRequired[float | None]
    series: NotRequired[str | None]
    source: str
    """Source of the value: a document, a URL or a meter."""
    as_of: str
    """Date of the value or of its publication."""


CarbonKind = Literal["constant", "hourly"]


class CarbonPreset(TypedDict):
    """A published carbon factor."""

    id: str
    title: str
    g_per_kwh: float
    source: str
    as_of: str


class Center(TypedDict):
    """Description of the center."""

    name: str
    version: str
    started: str | None
    engines: dict[str, Any]
    minimum_isolation: str
    notices: list[str]
    languages: list[str]
    sign_in: list[str]


class Changed(TypedDict):
    """Number of changed notices."""

    changed: int


class Checkpoint(TypedDict):
    """A file or folder in place in the job's checkpoint folder."""

    name: str
    size_bytes: int
    saved: str


class Checkpoints(TypedDict):
    """The checkpoints of a job, newest first."""

    engine: str | None
    stored_bytes: int
    stored_at: str | None
    items: list[Checkpoint]


class Chosen(TypedDict):
    """The choice of a node: its score, and the alternatives. Lower scores are better."""

    policy: str
    score: float
    equal: int
    alternatives: list[Alternative]


class Closing(TypedDict):
    """Progress of closing an organisation."""

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
    """One measure, quoted and actual."""

    measure: str
    quoted: Band | None
    actual: float | None
    error: float | None
    inside: bool | None


class Comparison(TypedDict):
    """Comparison of a quote with its job."""

    quote_id: str
    offer: Offer
    job: Job
    rows: list[Compared]
    is_over: bool
    attempts: int
    taught: bool
    notes: list[str]


class Core(TypedDict):
    """Power of a busy CPU core with its share of the machine; used for jobs without accelerators."""

    watts: float
    source: str
    """Source of the value: a document, a URL or a meter."""
    as_of: str
    """Date of the value or of its publication."""


class Cost(TypedDict):
    """Charges of a job up to now, less refunds."""

    job_id: str
    total: str
    price_per_hour: str
    lines: list[CostLine]
    energy: EnergyUse


class CostLine(TypedDict):
    """Cost of one resource."""

    resource: str
    label: str
    quantity: str
    quantity_exact: str
    unit: str
    amount: str


Days = Literal["all", "workdays", "weekends", "holidays"]


class Decision(TypedDict):
    """A planning cycle that placed, preempted or resized jobs."""

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
    """The default organisation of requests, by slug."""

    default_org: str | None


class Delivery(TypedDict):
    """Delivery of one event to a webhook."""

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
    counters: dict[str, float]


class Difference(TypedDict):
    """A difference between the recorded plan and the replay; null where one of them has no value."""

    what: str
    job: str
    was: Any
    now: Any


class Drain(TypedDict):
    """Whether a node is drained."""

    name: str
    drained: bool
    drain_reason: str | None


class Elastic(TypedDict):
    """Range of the number of tasks of an elastic job."""

    min_tasks: int
    max_tasks: int


class Ended(TypedDict):
    """Id of the ended session or removed identity."""

    ended: str | None


class Endpoint(TypedDict):
    """A port of one task of a service."""

    rank: int
    port: str


class EnergyUse(TypedDict):
    """Energy of the machines, and of the facility after applying the PUE once; null if unknown, with the reason in `notes`."""

    it_kwh: float | None
    it_kwh_low: float | None
    it_kwh_high: float | None
    facility_kwh: float | None
    carbon_kg: float | None
    """CO2e, location-based."""
    energy_cost: str | None
    """Electricity cost of the site; informative, not charged."""
    facts: list[int]
    """Versions of the site's energy facts behind the figures."""
    notes: list[str]


class Engine(TypedDict):
    """An engine: a pool of machines of one kind. Only operators see `details`."""

    name: str
    kind: str
    capabilities: list[str]
    details: EngineDetails | None


class EngineCheck(TypedDict):
    """Result of one check of an engine."""

    name: str
    title: str
    ok: bool
    blocking: bool
    problem: str | None
    fix: str | None


class EngineChecks(TypedDict):
    """Results of the checks of an engine; `ok`: no check failed that keeps jobs from running."""

    engine: str
    ok: bool
    checks: list[EngineCheck]


class EngineDetails(TypedDict):
    """State of an engine, what it owns, and what runs on it."""

    state: Literal["answering", "silent", "unknown"]
    since: str | None
    inventory: str | None
    error: str | None
    error_at: str | None
    wall: str
    placement: str
    notices: list[str]
    nodes: int
    nodes_available: int
    drained: int
    devices: int
    devices_healthy: int
    cards_given: float
    pflops: float
    attempts: int


class Factor(TypedDict):
    """Calibration factor of a device, or of a recipe on it."""

    device: str
    recipe: str
    org_id: str | None
    factor: float
    deviation: float
    runs: int
    benches: int


class Facts(TypedDict):
    """One version of the facts. Versions never change."""

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
    """The fair-share ranking of projects, with reasons."""

    half_life_s: float
    items: list[StandingOut]


class FilePreview(TypedDict):
    """What a file holds. `kind`: `table`, `text`, `image`, `audio`, `safetensors`, `pickle`, `none`, `empty`, `broken` or `too_large`; `facts` has what belongs to it: columns and first rows, text, tensors and parameters, or the imports of a pickle with their rating."""

    path: str
    commit: str
    sha256: str
    size_bytes: int
    kind: str
    facts: dict[str, Any]


class Finding(TypedDict):
    """A health rule that a device breaks."""

    counter: str
    device: int
    level: Literal["warn", "drain"]
    amount: float
    words: str


class FolderEntry(TypedDict):
    """A file, or a folder without size and digest."""

    path: str
    is_folder: bool
    size_bytes: int | None
    sha256: str | None


class ForgottenNode(TypedDict):
    """Name of the removed node."""

    forgotten: str


Gate = Literal["", "auto", "manual"]


class GreenStart(TypedDict):
    """A later start with clearly lower emissions."""

    start: str
    carbon_kg: float
    less: float


class Health(TypedDict):
    """Health of the server."""

    status: Literal["ok", "down"]
    why: NotRequired[str | None]


class Held(TypedDict):
    """A node of a window; `devices` null: the whole node."""

    node: str
    devices: list[int] | None


class Here(TypedDict):
    """A placement and the reasons for it."""

    why: str | None
    engine: str
    sharing: Literal["exclusive", "mig", "mps", "time_slice", "none"] | None
    model: str
    nodes: list[str]
    tasks: int
    position: int | None
    backfilled: bool
    borrowing: bool
    chosen: Chosen | None


class Hour(TypedDict):
    """One hour and its value."""

    start: str
    value: float


class Hours(TypedDict):
    """Hours of a series, oldest first."""

    series: Series
    unit: str
    items: list[Hour]


class HubCommit(TypedDict):
    """A revision; `made_by_job`: whether a job made it, which its lineage tells."""

    id: str
    number: int
    parent: str | None
    title: str
    message: str
    author: str
    at: str
    files: int
    size_bytes: int
    made_by_job: bool


class HubDone(TypedDict):
    """Name of what was changed."""

    name: str


class HubDownload(TypedDict):
    """Files and bytes that a person downloaded of a revision within an hour."""

    user: str
    commit: str
    hour: str
    files: int
    size_bytes: int


class HubRef(TypedDict):
    """A branch or tag."""

    kind: RefKind
    name: str
    commit: str
    message: str


class Identity(TypedDict):
    """A user's identity at a sign-in provider."""

    issuer: str
    subject: str
    user_id: str


class IdleProject(TypedDict):
    """Idle accelerators of the jobs of one project."""

    org: str
    project: str
    attempts: int
    hours: float
    cost: str
    warned: int
    released: int
    saved: str


class Imported(TypedDict):
    """Result of an import."""

    series: Series
    added: int


class Incident(TypedDict):
    """A row on which a background loop fails."""

    loop: str
    row: str
    failures: int
    given_up: bool
    error: str
    at: str


class Input(TypedDict):
    """How much input the command has taken."""

    offset: int


class Invitation(TypedDict):
    """An invitation to a role. `invitee`: the login name or e-mail address, as entered."""

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
    """A user account and a one-time token to set its password within 72 hours. The token is shown only once."""

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
    """A new key. `key` is the complete credential, shown only once."""

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
    engine: str | None
    notices: list[str]
    withheld: str | None
    revisions: list[JobRevision]
    elastic: Elastic | None
    spec: dict[str, Any] | None


class JobEnergy(TypedDict):
    """Energy use of a job, or of all elements of an array, up to now."""

    job_id: str
    energy: EnergyUse
    attempts: list[AttemptEnergy]


class JobRevision(TypedDict):
    """A revision of the hub that the job reads (`input`), or that its files become (`output`)."""

    direction: Literal["input", "output"]
    name: str
    type: RepoKind
    repository: str
    commit: str | None
    state: Literal["waiting", "done", "failed", "dropped", "withheld"]
    message: str | None


JobState = Literal[
    "queued", "placed", "starting", "running", "stopping", "finishing", "succeeded", "failed", "cancelled"
]


class Kept(TypedDict):
    """Id of the stored benchmark."""

    id: str


class Key(TypedDict):
    """An API key without its secret. `place`: the organisation or project it is tied to, such as `acme/research`."""

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
    """The organisation that the caller left."""

    left: str


class Lineage(TypedDict):
    """What a revision was made from and what was made from it; `hidden` counts what the caller may not see."""

    commit: str
    job: str | None
    facts: dict[str, Any]
    sources: list[LineageRevision]
    jobs: list[LineageJob]
    hidden: int
    openlineage: list[dict[str, Any]]


class LineageJob(TypedDict):
    """A job that read the revision, and what it made."""

    job: str
    at: str
    made: list[LineageRevision]


class LineageRevision(TypedDict):
    """A revision in a lineage; `name`: name of the job's input, or pattern of its output."""

    type: RepoKind
    repository: str
    commit: str
    name: str


class Me(TypedDict):
    """The caller and their permissions. `tie` is null if the credential works everywhere the user does."""

    user: User
    orgs: list[MemberOf]
    default_org: str | None
    """Slug of the default organisation of requests."""
    operator_roles: list[OperatorRole]
    scopes: list[str]
    key_id: str | None
    session_id: str | None
    tie: Tie | None


class Member(TypedDict):
    """A member of an organisation: the role, and everything the organisation sees of the user."""

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
    """A new webhook. `secret` signs the deliveries and is shown only once."""

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
    """One node, its resources and their use."""

    name: str
    engine: str
    present: bool
    healthy: bool
    health_reason: str | None
    drained: bool
    drain_reason: str | None
    health: NodeHealth
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


class NodeHealth(TypedDict):
    """What the health rules found on a node."""

    level: Literal["ok", "warn", "drain"]
    findings: list[Finding]
    automatic: bool
    drained_by_rules: str | None


class NodeHealthRules(TypedDict):
    """Whether health rules may drain a node."""

    name: str
    automatic: bool


class Nodes(TypedDict):
    """All nodes, and the capacity of the pool."""

    items: list[Node]
    capacity: Capacity


class Notice(TypedDict):
    """A notice in the language of Accept-Language. `data` contains the values in its text."""

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
    """One kind of notice; `usual`: its default channels."""

    name: str
    what: str
    concerns: Literal["person", "organisation", "center"]
    usual: list[Literal["inbox", "email"]]


class Offer(TypedDict):
    """One way to run the workload."""

    id: str
    names: list[str]
    engines: list[str]
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
    """Energy, carbon and electricity cost of the run; null where the site has no energy facts."""

    it_kwh: Band
    facility_kwh: Band | None
    carbon_kg: Band | None
    cost: str | None
    basis: str | None
    greenest_start: GreenStart | None


OperatorRole = Literal["system", "security", "audit"]


class Org(TypedDict):
    """An organisation."""

    id: str
    slug: str
    name: str
    state: Standing
    created: str


OrgRole = Literal["owner", "member", "viewer"]


class Party(TypedDict):
    """A buyer or seller on invoices."""

    name: NotRequired[str]
    tax_id: NotRequired[str]
    address: NotRequired[str]
    phone: NotRequired[str]
    bank: NotRequired[str]
    bank_account: NotRequired[str]


class Past(TypedDict):
    """A finished job: its resource request and run time, without command, name and files."""

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
    """Hours with one price; hour 8 begins at 8:00."""

    name: str
    yuan_per_kwh: str
    months: NotRequired[list[int]]
    days: NotRequired[Days]
    hours: NotRequired[list[int]]


Phase = Literal["stopping", "settling", "archiving", "erasing", "closed"]


class Pickle(TypedDict):
    """A pickle, which can run programs when it is loaded; `rating`: `expected`, `unknown` or `dangerous`, by its imports."""

    path: str
    rating: str
    imports: list[str]
    is_complete: bool


class PolicyShown(TypedDict):
    """The policy in force, and the possible values of its settings."""

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
    """A posted transaction."""

    transaction_id: str


class Preferences(TypedDict):
    """Notification settings: channels per kind. `email_confirmed`: whether mail is sent to the address yet."""

    language: Literal["en", "zh-CN"]
    email: str | None
    email_confirmed: bool
    mail_available: bool
    channels: list[str]
    kinds: dict[str, list[str]]


class Presets(TypedDict):
    """Presets to choose from; none is used until it is set."""

    carbon: list[CarbonPreset]
    tariff_hours: list[Bands]


class Price(TypedDict):
    """Price of the run, over the range of its run time."""

    p10: str
    median: str
    p90: str
    hourly: str
    lines: list[QuoteLine]


class PriceRule(TypedDict):
    """Price in yuan, including tax, for `per` units of a resource."""

    resource: str
    kind: str
    unit: str
    yuan: str
    per: int


class Prices(TypedDict):
    """A price list. Price lists never change."""

    id: str
    number: int
    valid_from: str
    time_zone: str
    note: str
    is_current: bool
    rules: list[PriceRule]


class Project(TypedDict):
    """A project: a part of an organisation with its own jobs and secrets."""

    id: str
    org_id: str
    slug: str
    name: str
    created: str


class ProjectApproval(TypedDict):
    """A project's request to use a repository in its jobs; `project` is `organisation/project`."""

    id: str
    project: str
    state: ApprovalState
    reason: str
    requested_by: str
    at: str
    decided_by: str | None
    decided_at: str | None
    note: str
    expires_at: str | None
    is_expired: bool


class ProjectStorage(TypedDict):
    """Storage of one project. `left_bytes` null: unlimited; `kept_days` 0: without end; `month_cost` in yuan."""

    org_id: str
    project_id: str
    project: str
    stored_bytes: int
    left_bytes: int | None
    kept_days: int
    month_cost: str


class Proof(TypedDict):
    """Result of verifying the ledger: the number of checked rows, and the first inconsistent one."""

    is_right: bool
    checked: dict[str, int]
    problem: str | None
    row: str | None


class Pue(TypedDict):
    """Power usage effectiveness: facility energy divided by the energy of the machines."""

    value: float
    source: str
    """Source of the value: a document, a URL or a meter."""
    as_of: str
    """Date of the value or of its publication."""


class Queue(TypedDict):
    """A queue, with the settings in which it differs from the center's policy."""

    name: str
    title: str
    is_default: bool
    rank: int
    settings: dict[str, str | int | float | bool | list[float] | None]
    allowed: list[str]
    engines: list[str]


class Quota(TypedDict):
    """A quota on one resource."""

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
    """A quote: the request and its offers."""

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
    """Cost of one resource in the median price."""

    resource: str
    amount: str


class Reading(TypedDict):
    """Number of tokens that the rule implies at one utilisation."""

    mfu: float
    tokens: float
    tokens_a_parameter: float


class Reconciliation(TypedDict):
    """Comparison of metered attempts with the accounting of the engine's cluster."""

    engine: str
    compared: int
    unaccounted: int
    differences: list[AccountDifference]


RefKind = Literal["branch", "tag"]


class Removed(TypedDict):
    """Id or name of the removed row."""

    removed: str


class Replayed(TypedDict):
    """Result of replaying a decision."""

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


RepoKind = Literal["model", "dataset", "recipe"]

RepoRole = Literal["read", "write", "admin"]


class Repository(TypedDict):
    """A repository; `name` is `organisation/name`. `parameters` and `pickles` are of the newest commit on `main`."""

    id: str
    type: RepoKind
    name: str
    visibility: Visibility
    gate: Gate
    gate_days: int | None
    jobs_only: bool
    tags: list[str]
    card: dict[str, Any]
    size_bytes: int
    downloads: int
    parameters: int | None
    pickles: list[Pickle]
    created_by: str
    created_at: str
    updated_at: str


class RepositoryAccess(TypedDict):
    """Who may use a repository beside its organisation."""

    roles: list[RepositoryRole]
    shared_with: list[str]
    requests: list[AccessRequest]


class RepositoryRights(TypedDict):
    """Rights of the caller."""

    download: bool
    write: bool
    admin: bool


class RepositoryRole(TypedDict):
    """Role of a person in a repository."""

    user: str
    role: RepoRole
    given_by: str
    given_at: str


class RepositoryView(TypedDict):
    """A repository at a revision."""

    repository: Repository
    commit: HubCommit
    refs: list[HubRef]
    rights: RepositoryRights


RequestState = Literal["pending", "accepted", "rejected"]


class Retention(TypedDict):
    """A retention rule; `days` 0: without end."""

    org_id: str
    project_id: str | None
    days: int


class Retried(TypedDict):
    """Number of rows that are tried again."""

    retried: int


class Sample(TypedDict):
    """Values measured at one time."""

    at: str
    rank: int
    kind: str
    values: dict[str, float]


class Scenario(TypedDict):
    """A rule of thumb with explicit tokens and utilisation, beside the estimates."""

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
    """A rule of thumb for training a large model."""

    name: str
    title: str
    params: float
    exaflops: float
    days: float


class Secret(TypedDict):
    """A secret without its value."""

    id: str
    owner: str
    owner_id: str
    org_id: str
    project_id: str | None
    name: str
    updated: str
    updated_by: str


class Series(TypedDict):
    """An imported hourly series."""

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
    """Throughput and latency of serving a model."""

    output_tokens_per_s: Band
    requests_per_s: Band
    ttft_s: Band
    tpot_s: Band
    carried_tokens_per_s: float
    price_per_mtoken: str | None


class Session(TypedDict):
    """A session."""

    id: str
    created: str
    expires: str
    last_seen: str
    peer: str
    current: bool


class Share(TypedDict):
    """Fair-share weight of an organisation or project."""

    owner: str
    owner_id: str
    org_id: str
    project_id: str | None
    weight: float


class Shell(TypedDict):
    """A command that somebody runs inside a task. Only who opened it sees it."""

    id: str
    job_id: str
    rank: int
    command: list[str]
    terminal: bool
    ended: bool
    exit_code: int | None


class SignedIn(TypedDict):
    """A new session. The token is shown only once; send it as `Authorization: Bearer …`."""

    token: str
    session_id: str
    expires: str
    user: User


class Site(TypedDict):
    """The current energy facts; null if none are set."""

    facts: Facts | None
    time_zone: str


class Span(TypedDict):
    """A usage span: use of one resource from `start` to `end`."""

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
    """Fair-share rank of a project; the lowest is served first. Shares are fractions of the center divided by the weight."""

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
    """Expected start, if the job had been submitted when the quote was made."""

    basis: Literal["free", "limits", "predictions", "unknown"]
    earliest: str | None
    likely: str | None
    latest: str | None
    position: int | None
    why: str | None


State = Literal["open", "accepted", "expired", "withdrawn"]


class StatementLine(TypedDict):
    """One transaction with the balance after it."""

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
    """Energy use of charges for accelerators and CPU-only jobs."""


class StoredArtefact(TypedDict):
    """An artefact; `expires_at` null: kept without end."""

    id: str
    job_id: str
    path: str
    size_bytes: int
    pinned: bool
    expires_at: str | None


class Tariff(TypedDict):
    """Price of a kilowatt hour for the site: flat, by month, day and hour, or an imported series. A time-of-use tariff may name public holidays (with periods of their own, `days: holidays`; otherwise they count as weekends) and working Saturdays and Sundays."""

    kind: TariffKind
    yuan_per_kwh: NotRequired[str | None]
    """Price of a flat tariff."""
    zone: NotRequired[str | None]
    """Time zone of a time-of-use tariff; by default that of the invoices."""
    periods: NotRequired[list[Period]]
    holidays: NotRequired[list[str]]
    working_days: NotRequired[list[str]]
    series: NotRequired[str | None]
    """Series of an hourly tariff, by name or id."""
    source: str
    """Source of the value: a document, a URL or a meter."""
    as_of: str
    """Date of the value or of its publication."""


TariffKind = Literal["flat", "time_of_use", "hourly"]


class Test(TypedDict):
    """Whether a test notice was sent."""

    sent: bool


class Tie(TypedDict):
    """The organisation, or its project, that the key is restricted to."""

    org_id: str
    project_id: str | None
    place: str


class Timeline(TypedDict):
    """One state change."""

    at: str
    from_state: str | None
    to_state: str
    event: str
    reason: str | None


class TopUp(TypedDict):
    """A top-up and its state."""

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
    """Number of unread notices."""

    count: int


class Upload(TypedDict):
    """An uploaded file."""

    id: str
    name: str
    size_bytes: int
    sha256: str
    owner: str
    at: str
    project_id: str | None


class Use(TypedDict):
    """The usage behind a charge."""

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
    """A user account. Of other members only id, name and display name are shown; the other fields are null."""

    id: str
    name: str
    display_name: str
    email: str | None
    state: Standing | None
    operator_role: OperatorRole | None
    created: str | None


class Verify(TypedDict):
    """Result of verifying the log. Keep `head`: it must still be in the log at the next verification."""

    is_right: bool
    rows: int
    head: str
    broken_at: int | None
    problem: str | None


class Version(TypedDict):
    """A version and its changes: setting → [old value, new value]."""

    number: int
    settings: dict[str, str | int | float | bool | list[float] | None]
    default_queue: str
    made: str | None
    made_by: str | None
    note: str
    back_to: int | None
    changed: dict[str, Any]


Visibility = Literal["public", "organisations", "private"]


class Webhook(TypedDict):
    """A webhook without its secret."""

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
    """A what-if simulation and its progress."""

    id: str
    org_id: str | None
    asked: str
    question: WhatIfQuestion
    state: str
    progress: float
    message: str | None
    ended: str | None


class WhatIfQuestion(TypedDict):
    """The parameters of a what-if simulation."""

    days: int
    policies: list[str]
    cluster: str
    extra: str
    less: str
    quotas: list[str]
    queues: list[str]
    windows: list[str]


class WholeDecision(TypedDict):
    """A decision with its inputs, its configuration and the resulting plan."""

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
    """A what-if simulation with its result: figures and curves of each case."""

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
    """The reason why a job waits, or why it runs on its nodes."""

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
    """A maintenance window or a reservation: nodes or cards kept free from `from` until `until`."""

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
