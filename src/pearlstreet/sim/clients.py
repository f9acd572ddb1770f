"""Clients of a world: tenants and operators, their requests, and the answers that the center must not contradict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pearlstreet.base.errors import (
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    PaymentRequired,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from pearlstreet.base.money import Money, parse_yuan
from pearlstreet.base.text import text
from pearlstreet.compute.jobs import service
from pearlstreet.compute.jobs.follow import read_log
from pearlstreet.compute.jobs.model import ENDED
from pearlstreet.compute.jobs.views import JobFilter, get_job, list_jobs, timeline
from pearlstreet.compute.pool import inventory
from pearlstreet.compute.queueing.quotas import QuotaWish, delete_quota, list_quotas, set_quota, set_share
from pearlstreet.ledger.budgets import Budget, set_budget
from pearlstreet.ledger.funds import balance, set_credit_limit
from pearlstreet.ledger.prices import list_prices, publish_prices
from pearlstreet.ledger.pricing import PriceRule
from pearlstreet.ledger.statement import statement
from pearlstreet.ledger.topups import correct, top_up
from pearlstreet.sim.chance import Chance
from pearlstreet.sim.contracts import SimulatedServer, SimulatedWorld
from pearlstreet.sim.faults.kind import FaultContext
from pearlstreet.sim.faults.points import InjectionPoint
from pearlstreet.sim.jobs import draw_job
from pearlstreet.sim.promises import Crash, must
from pearlstreet.store.core import Store
from pearlstreet.store.idempotency import OnceClaim, Replayed, fingerprint
from pearlstreet.tenancy import keys, orgs, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import SYSTEM, Actor, Standing
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.workload.spec.parse import parse_json

SLUGS = ("acme", "harbor", "river")
REFUSALS = (Conflict, PaymentRequired, TooMany, Forbidden, NotFound)
"""Errors that are a correct answer to a tenant."""
PAID_IN = "300"


@dataclass(slots=True)
class Request:
    """A request that must take effect once, however often it is sent."""

    what: str
    key: str
    body: Any
    do: Callable[[Store, Actor, SimulatedServer, Tenant, Any], str]
    sender: str = ""
    """Actor label of the first sending; an Idempotency-Key belongs to one actor."""
    again: bool = False
    """Whether to send it a second time (a fault)."""
    changed: bool = False
    """Whether to send its key again with another body (a fault)."""


@dataclass(slots=True)
class Tenant:
    """The owner of one organisation, and everything that the center acknowledged to them."""

    slug: str
    org_id: str
    user_id: str
    credential: str
    key_id: str
    jobs: dict[str, str] = field(default_factory=dict)
    """Acknowledged job → its name."""
    ended: dict[str, str] = field(default_factory=dict)
    """Job → end state that was shown."""
    cancelled: set[str] = field(default_factory=set)
    """Jobs whose cancel was acknowledged before they ended."""
    top_ups: set[str] = field(default_factory=set)
    unsure: list[Request] = field(default_factory=list)
    """Requests whose answers were lost."""
    answers: dict[str, str] = field(default_factory=dict)
    """Idempotency-Key → answer."""

    def open_jobs(self) -> list[str]:
        """Return the jobs whose end has not been shown yet."""
        return [job for job in self.jobs if job not in self.ended]


class Clients:
    """All users of the center: tenants and operators."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self.chance = Chance(world.seed, "people")
        self._number = 0
        self.tenants: list[Tenant] = []

    def create_tenants(self) -> None:
        """Create the tenants, each with credit."""
        store = self.world.active_server.store
        for slug in SLUGS[: self.world.scenario.tenants]:
            org = orgs.create_org(store, SYSTEM, slug)
            user = users.create_user(store, SYSTEM, f"{slug}-owner", org=slug, role=OrgRole.OWNER).user
            issued = self._issue(user.id)
            self.tenants.append(Tenant(slug, org.id, user.id, issued.credential, issued.key.id))
            top_up(store, SYSTEM, org.id, parse_yuan(PAID_IN))

    def act(self) -> None:
        """Let a random tenant do something usual."""
        tenant = self.chance.pick(self.tenants)
        work = self.chance.weighted(
            (
                (self._submit, 34.0),
                (self._cancel, 6.0),
                (self._read, 16.0),
                (self._repeat, 12.0),
                (self._pay, 5.0),
                (self._next_key, 1.0),
                (self._change_share, 1.0),
            )
        )
        self._tolerant(lambda: work(tenant))

    def submit_burst(self) -> bool:
        """Submit four jobs at once; return whether a job was accepted."""
        tenant = self.chance.pick(self.tenants)
        before = len(tenant.jobs)
        for _ in range(4):
            self._tolerant(lambda: self._send(tenant, self._submission(tenant)))
        return len(tenant.jobs) > before

    def submit_urgent(self) -> bool:
        """Submit a job of high priority that is not preemptible and needs a whole node; return whether it was accepted."""
        tenant = self.chance.pick(self.tenants)
        before = len(tenant.jobs)
        width = max(len(node.devices) for node in self.world.nodes)
        per_task = {"accelerator": "any", "count": width, "cpus": 1, "memory_gib": 1}
        spec = {
            "priority": 90,
            "preemptible": False,
            "per_task": per_task,
            "simulate": "5s",
            "time_limit": "60s",
        }
        self._tolerant(lambda: self._send(tenant, self._submission(tenant, spec)))
        return len(tenant.jobs) > before

    def cancel_attempt(self, attempt_id: str) -> bool:
        """Cancel the job of an attempt as its tenant; return whether that was acknowledged."""
        job = self.world.in_flight.jobs.get(attempt_id, "")
        tenant = next((tenant for tenant in self.tenants if job in tenant.jobs), None)
        if tenant is None:
            return False
        self._tolerant(lambda: self._cancel_job(tenant, job))
        return job in tenant.cancelled

    def revoke_key(self) -> bool:
        """Revoke a tenant's API key; the tenant learns of it at its next use."""
        tenant = self.chance.pick(self.tenants)
        return self._tolerant(lambda: keys.revoke_key(self.world.active_server.store, SYSTEM, tenant.key_id))

    def cut_quota(self) -> bool:
        """Set a small quota, perhaps below the present use, or delete one; return whether that worked."""
        store, tenant = self.world.active_server.store, self.chance.pick(self.tenants)
        known = list_quotas(store, SYSTEM, tenant.slug)
        if known and self.chance.happens(0.4):
            return self._tolerant(lambda: delete_quota(store, SYSTEM, known[0].id))
        wish = QuotaWish("cards", maximum=float(self.chance.whole(0, 4)))
        if self.chance.happens(0.2):
            wish = QuotaWish("cpus", maximum=float(self.chance.whole(1, 8)))
        return self._tolerant(lambda: set_quota(store, SYSTEM, tenant.slug, wish))

    def take_money(self) -> bool:
        """Correct a tenant's balance down to almost nothing."""
        store, tenant = self.world.active_server.store, self.chance.pick(self.tenants)
        has = balance(store, SYSTEM, tenant.org_id)
        rest = Money(int(has.balance.micro * 0.9) // 10_000 * 10_000)
        if rest.micro <= 0:
            return False
        reference = f"taken-{self._next()}"
        return self._tolerant(
            lambda: correct(store, SYSTEM, tenant.org_id, -rest, memo="taken back", reference=reference)
        )

    def change_prices(self) -> bool:
        """Publish another price list; return whether that worked."""
        store = self.world.active_server.store
        factor = self.chance.pick((0.5, 2.0, 10.0))
        newest = list_prices(store, SYSTEM)[0]
        rules = [PriceRule(r.resource, r.kind, int(r.micro * factor) or 1, r.per) for r in newest.rules]
        if max(rule.micro for rule in rules) > parse_yuan("5000").micro:
            return False
        return self._tolerant(lambda: publish_prices(store, SYSTEM, rules))

    def set_budget(self) -> bool:
        """Set a budget that is reached at once or soon; return whether that worked."""
        store, tenant = self.world.active_server.store, self.chance.pick(self.tenants)
        subject = Budget(tenant.org_id, tenant.org_id, parse_yuan(self.chance.pick(("0.01", "1"))))
        return self._tolerant(lambda: set_budget(store, SYSTEM, subject))

    def drain(self) -> bool:
        """Drain or undrain a node; return whether that worked."""
        store, node = self.world.active_server.store, self.chance.pick(self.world.nodes).name
        if self.chance.happens(0.4):
            return self._tolerant(lambda: inventory.drain(store, SYSTEM, node, "inspection"))
        return self._tolerant(lambda: inventory.undrain(store, SYSTEM, node))

    def suspend(self) -> bool:
        """Suspend or resume a tenant; return whether that worked."""
        store, tenant = self.world.active_server.store, self.chance.pick(self.tenants)
        if orgs.get_org(store, SYSTEM, tenant.slug).state is Standing.ACTIVE and self.chance.happens(0.4):
            return self._tolerant(lambda: orgs.suspend_org(store, SYSTEM, tenant.slug))
        return self._tolerant(lambda: orgs.resume_org(store, SYSTEM, tenant.slug))

    def undo_changes(self) -> None:
        """Undo drains and suspensions; if the scenario `forgives`, delete quotas and raise credit limits too."""
        store = self.world.active_server.store
        for node in self.world.nodes:
            inventory.undrain(store, SYSTEM, node.name)
        for tenant in self.tenants:
            if orgs.get_org(store, SYSTEM, tenant.slug).state is not Standing.ACTIVE:
                orgs.resume_org(store, SYSTEM, tenant.slug)
            if self.world.scenario.forgives:
                for quota in list_quotas(store, SYSTEM, tenant.slug):
                    delete_quota(store, SYSTEM, quota.id)
                set_credit_limit(store, SYSTEM, tenant.org_id, parse_yuan("1000000"))

    def resend_unanswered(self) -> None:
        """Send each request whose answer was lost again under its key, and check that it is answered."""
        for tenant in self.tenants:
            while tenant.unsure:
                before = len(tenant.unsure)
                self._tolerant(lambda tenant=tenant: self._repeat(tenant))  # type: ignore[misc]
                must(
                    len(tenant.unsure) < before,
                    "a repeated request is answered",
                    [request.key for request in tenant.unsure],
                )

    def _tolerant(self, work: Callable[[], object]) -> bool:
        """Do `work` and return whether the center accepted it. A Crash is not caught."""
        try:
            work()
        except (*REFUSALS, Unavailable, Unauthenticated):
            return False
        return True

    def _submit(self, tenant: Tenant) -> None:
        if len(tenant.open_jobs()) < self.world.scenario.waiting_max:
            self._send(tenant, self._submission(tenant))

    def _submission(self, tenant: Tenant, spec: Mapping[str, object] | None = None) -> Request:
        number = self._next()
        body = dict(spec or draw_job(self.chance, self.world, tenant.open_jobs()))
        body |= {"name": f"j{number}", "command": ["true"]}
        return Request("submit", f"key-{number}", body, _submit)

    def _pay(self, tenant: Tenant) -> None:
        number = self._next()
        self._send(tenant, Request("top-up", f"key-{number}", "20", _pay), as_center=True)

    def _repeat(self, tenant: Tenant) -> None:
        if tenant.unsure:
            request = tenant.unsure.pop(0)
            self._send(tenant, request, as_center=request.what == "top-up")

    def _send(self, tenant: Tenant, request: Request, *, as_center: bool = False) -> None:
        """Send a request under its key, and remember the answer or that the answer was lost."""
        world, server = self.world, self.world.active_server
        kind = world.faults.draw(InjectionPoint.CLIENT)
        if kind is not None:
            world.faults.inject(kind, FaultContext(world, server, request.what, subject=request))
        try:
            answer = self._sent(tenant, request, request.body, as_center)
        except (Crash, Unavailable):
            tenant.unsure.append(request)
            raise
        world.note(tenant.slug, f"{request.what} {request.key}: {answer}")
        self._acknowledged(tenant, request, answer)
        if request.again:
            request.again = False
            self._acknowledged(tenant, request, self._sent(tenant, request, request.body, as_center))
        if request.changed:
            request.changed = False
            self._must_mismatch(tenant, request, as_center)

    def _must_mismatch(self, tenant: Tenant, request: Request, as_center: bool) -> None:
        other = "21" if request.what == "top-up" else {**request.body, "priority": -77}
        try:
            answer = self._sent(tenant, request, other, as_center)
        except IdempotencyMismatch:
            return
        must(False, "a key stands for one request", f"{request.key} answered another body with {answer}")

    def _sent(self, tenant: Tenant, request: Request, body: object, as_center: bool) -> str:
        server = self.world.active_server
        actor = SYSTEM if as_center else self._actor(tenant, server)
        request.sender = request.sender or actor.label
        if request.sender != actor.label:
            raise Conflict(text("The key that this was sent under is gone"))
        seen = fingerprint("POST", request.what, repr(body).encode())
        claim = OnceClaim(actor.label, request.key, seen, _id_of)
        try:
            return request.do(server.store.once(claim), actor, server, tenant, body)
        except Replayed as kept:
            return kept.body.decode()

    def _acknowledged(self, tenant: Tenant, request: Request, answer: str) -> None:
        before = tenant.answers.setdefault(request.key, answer)
        must(before == answer, "a repeated request has one answer", f"{request.key}: {before} and {answer}")
        if request.what == "submit":
            tenant.jobs[answer] = request.body["name"]
            self.world.checker.promised_job(answer, request.body)
        else:
            tenant.top_ups.add(answer)

    def _actor(self, tenant: Tenant, server: SimulatedServer) -> Actor:
        try:
            return authenticate(server.store, tenant.credential)
        except Unauthenticated:
            self._next_key(tenant)
            return authenticate(server.store, tenant.credential)

    def _next_key(self, tenant: Tenant) -> None:
        """Give the tenant a new API key. Requests sent under the old key cannot be repeated."""
        issued = self._issue(tenant.user_id)
        keys.revoke_key(self.world.active_server.store, SYSTEM, tenant.key_id)
        tenant.credential, tenant.key_id = issued.credential, issued.key.id

    def _issue(self, user_id: str) -> keys.IssuedKey:
        scopes = ("jobs:read", "jobs:write", "jobs:cancel", "projects:read", "credit:read", "orgs:read")
        return keys.create_key(self.world.active_server.store, SYSTEM, "sim", scopes=scopes, for_user=user_id)

    def _cancel(self, tenant: Tenant) -> None:
        jobs = tenant.open_jobs()
        if jobs:
            self._cancel_job(tenant, self.chance.pick(jobs))

    def _cancel_job(self, tenant: Tenant, job: str) -> None:
        server = self.world.active_server
        actor = self._actor(tenant, server)
        seen = service.cancel_job(server.store, actor, job)
        if seen.state.value not in ("succeeded", "failed") and seen.array_size is None:
            tenant.cancelled.add(job)
        self.world.note(tenant.slug, f"cancel {job}: {seen.state}")

    def _read(self, tenant: Tenant) -> None:
        """Read jobs, logs and the statement, and check that the center does not contradict earlier answers."""
        server = self.world.active_server
        actor = self._actor(tenant, server)
        jobs = list(tenant.jobs)
        for job in jobs[-2:] + ([self.chance.pick(jobs)] if jobs else []):
            view = get_job(server.store, actor, job)
            shown = tenant.ended.get(job)
            must(
                shown in (None, view.state.value),
                "an end that was shown stays",
                f"{job}: {shown}, {view.state}",
            )
            if view.state in ENDED:
                tenant.ended[job] = view.state.value
        if jobs and self.chance.happens(0.4):
            job = self.chance.pick(jobs)
            timeline(server.store, actor, job)
            read_log(server.store, actor, server.runtime, job, None, 0, self.chance.whole(0, 200), 4096)
        if self.chance.happens(0.3):
            self._reads_only_its_own(tenant, actor, server)

    def _reads_only_its_own(self, tenant: Tenant, actor: Actor, server: SimulatedServer) -> None:
        """Check that a tenant sees its own jobs and postings only."""
        rows = self.world.memory.raw.execute
        for entry in statement(server.store, actor, tenant.org_id):
            of = rows("SELECT org_id FROM ledger_transactions WHERE id = ?", (entry.tx_id,)).fetchone()
            must(
                of == (tenant.org_id,), "a tenant reads only its own", f"{tenant.slug}: {entry.tx_id} of {of}"
            )
        for view in list_jobs(server.store, actor, JobFilter()):
            must(view.org_id == tenant.org_id, "a tenant reads only its own", f"{tenant.slug}: {view.id}")
        others = [job for other in self.tenants if other is not tenant for job in other.jobs]
        if others:
            self._must_not_see(tenant, actor, server, self.chance.pick(others))

    def _must_not_see(self, tenant: Tenant, actor: Actor, server: SimulatedServer, job: str) -> None:
        try:
            get_job(server.store, actor, job)
        except NotFound:
            return
        must(False, "a tenant reads only its own", f"{tenant.slug}: {job}")

    def _change_share(self, tenant: Tenant) -> None:
        set_share(self.world.active_server.store, SYSTEM, tenant.slug, self.chance.pick((0.5, 1.0, 3.0)))

    def _next(self) -> int:
        self._number += 1
        return self._number


def _submit(store: Store, actor: Actor, server: SimulatedServer, tenant: Tenant, body: object) -> str:
    try:
        return service.submit_job(store, actor, server.runtime, tenant.slug, parse_json(body)).id
    except InvalidInput as error:
        raise Conflict(error.message) from error  # after devices failed, the job could never run


def _pay(store: Store, actor: Actor, server: SimulatedServer, tenant: Tenant, amount: Any) -> str:
    return top_up(store, actor, tenant.org_id, parse_yuan(amount)).id


def _id_of(answer: Any) -> bytes:
    """Return the body that the center stores under an Idempotency-Key."""
    return str(answer.id).encode()
