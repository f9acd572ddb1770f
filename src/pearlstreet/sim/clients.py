"""The people of a world: tenants who submit, cancel, read, repeat and pay, and the operators, with what was promised them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
from pearlstreet.compute.jobs.quotas import QuotaWish, delete_quota, list_quotas, set_quota, set_share
from pearlstreet.compute.jobs.spec.parse import parse_json
from pearlstreet.compute.jobs.views import JobFilter, get_job, list_jobs, timeline
from pearlstreet.compute.pool import inventory
from pearlstreet.ledger.budgets import Budget, set_budget
from pearlstreet.ledger.funds import balance, set_credit_limit
from pearlstreet.ledger.prices import list_prices, publish_prices
from pearlstreet.ledger.pricing import PriceRule
from pearlstreet.ledger.statement import statement
from pearlstreet.ledger.topups import correct, top_up
from pearlstreet.sim.chance import Chance
from pearlstreet.sim.faults.kind import FaultContext, InjectionPoint
from pearlstreet.sim.jobs import draw_job
from pearlstreet.sim.promises import Crash, must
from pearlstreet.store.core import Store
from pearlstreet.store.idempotency import OnceClaim, Replayed, fingerprint
from pearlstreet.tenancy import keys, orgs, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import SYSTEM, Actor, Standing
from pearlstreet.tenancy.scopes import OrgRole

if TYPE_CHECKING:
    from pearlstreet.sim.server import Server
    from pearlstreet.sim.world import World

SLUGS = ("acme", "harbor", "river")
REFUSALS = (Conflict, PaymentRequired, TooMany, Forbidden, NotFound)
"""Answers a tenant must live with."""
PAID_IN = "300"


@dataclass(slots=True)
class Request:
    """Something a tenant wants done once, however often it is sent."""

    what: str
    key: str
    body: Any
    do: Callable[[Store, Actor, Server, Tenant, Any], str]
    sender: str = ""
    """Whom it was first sent as: an Idempotency-Key is one caller's."""
    again: bool = False
    """It arrives a second time."""
    changed: bool = False
    """Its key comes with another body."""


@dataclass(slots=True)
class Tenant:
    """One organisation's owner, and everything the center has acknowledged to them."""

    slug: str
    org_id: str
    user_id: str
    credential: str
    key_id: str
    jobs: dict[str, str] = field(default_factory=dict)
    """Acknowledged job → its name."""
    ended: dict[str, str] = field(default_factory=dict)
    """Job → the end that was shown."""
    cancelled: set[str] = field(default_factory=set)
    """Jobs whose cancel was acknowledged while they lived."""
    top_ups: set[str] = field(default_factory=set)
    unsure: list[Request] = field(default_factory=list)
    """Requests whose answers were lost."""
    answers: dict[str, str] = field(default_factory=dict)
    """Key → what it was answered with."""

    def open_jobs(self) -> list[str]:
        """Those whose end was not shown yet."""
        return [job for job in self.jobs if job not in self.ended]


class Clients:
    """Everybody outside the server."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Chance(world.seed, "people")
        self._number = 0
        self.tenants: list[Tenant] = []

    def create_tenants(self) -> None:
        """Make the tenants, with money."""
        store = self.world.door.store
        for slug in SLUGS[: self.world.scenario.tenants]:
            org = orgs.create_org(store, SYSTEM, slug)
            user = users.create_user(store, SYSTEM, f"{slug}-owner", org=slug, role=OrgRole.OWNER).user
            issued = self._issue(user.id)
            self.tenants.append(Tenant(slug, org.id, user.id, issued.credential, issued.key.id))
            top_up(store, SYSTEM, org.id, parse_yuan(PAID_IN))

    def act(self) -> None:
        """Somebody does something usual."""
        tenant = self.chance.pick(self.tenants)
        work = self.chance.weighted(
            (
                (self._submit, 34.0),
                (self._cancel, 6.0),
                (self._read, 16.0),
                (self._repeat, 12.0),
                (self._pay, 5.0),
                (self._next_key, 1.0),
                (self._weigh, 1.0),
            )
        )
        self._tolerant(lambda: work(tenant))

    def submit_burst(self) -> bool:
        """Many jobs at once."""
        tenant = self.chance.pick(self.tenants)
        before = len(tenant.jobs)
        for _ in range(4):
            self._tolerant(lambda: self._send(tenant, self._submission(tenant)))
        return len(tenant.jobs) > before

    def submit_urgent(self) -> bool:
        """A job of high priority that is not preemptible and wants a whole node."""
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
        """Cancel the job of an attempt through the door, whoever's it is."""
        job = self.world.in_flight.jobs.get(attempt_id, "")
        tenant = next((one for one in self.tenants if job in one.jobs), None)
        if tenant is None:
            return False
        self._tolerant(lambda: self._cancel_job(tenant, job))
        return job in tenant.cancelled

    def revoke_key(self) -> bool:
        """The center ends a tenant's key; they find out when they next use it."""
        tenant = self.chance.pick(self.tenants)
        return self._tolerant(lambda: keys.revoke_key(self.world.door.store, SYSTEM, tenant.key_id))

    def cut_quota(self) -> bool:
        """Less at once than there is, perhaps less than is in use; sometimes the limit is taken away."""
        store, tenant = self.world.door.store, self.chance.pick(self.tenants)
        known = list_quotas(store, SYSTEM, tenant.slug)
        if known and self.chance.happens(0.4):
            return self._tolerant(lambda: delete_quota(store, SYSTEM, known[0].id))
        wish = QuotaWish("cards", maximum=float(self.chance.whole(0, 4)))
        if self.chance.happens(0.2):
            wish = QuotaWish("cpus", maximum=float(self.chance.whole(1, 8)))
        return self._tolerant(lambda: set_quota(store, SYSTEM, tenant.slug, wish))

    def take_money(self) -> bool:
        """Correct a tenant's balance down to almost nothing."""
        store, tenant = self.world.door.store, self.chance.pick(self.tenants)
        has = balance(store, SYSTEM, tenant.org_id)
        rest = Money(int(has.balance.micro * 0.9) // 10_000 * 10_000)
        if rest.micro <= 0:
            return False
        reference = f"taken-{self._next()}"
        return self._tolerant(
            lambda: correct(store, SYSTEM, tenant.org_id, -rest, memo="taken back", reference=reference)
        )

    def change_prices(self) -> bool:
        """Publish another price list."""
        store = self.world.door.store
        factor = self.chance.pick((0.5, 2.0, 10.0))
        newest = list_prices(store, SYSTEM)[0]
        rules = [PriceRule(r.resource, r.kind, int(r.micro * factor) or 1, r.per) for r in newest.rules]
        if max(rule.micro for rule in rules) > parse_yuan("5000").micro:
            return False
        return self._tolerant(lambda: publish_prices(store, SYSTEM, rules))

    def set_budget(self) -> bool:
        """A budget that is reached at once, or soon."""
        store, tenant = self.world.door.store, self.chance.pick(self.tenants)
        subject = Budget(tenant.org_id, tenant.org_id, parse_yuan(self.chance.pick(("0.01", "1"))))
        return self._tolerant(lambda: set_budget(store, SYSTEM, subject))

    def drain(self) -> bool:
        """Drain a node, or use it again."""
        store, node = self.world.door.store, self.chance.pick(self.world.nodes).name
        if self.chance.happens(0.4):
            return self._tolerant(lambda: inventory.drain(store, SYSTEM, node, "inspection"))
        return self._tolerant(lambda: inventory.undrain(store, SYSTEM, node))

    def suspend(self) -> bool:
        """Suspend a tenant, or let it go on."""
        store, tenant = self.world.door.store, self.chance.pick(self.tenants)
        if orgs.get_org(store, SYSTEM, tenant.slug).state is Standing.ACTIVE and self.chance.happens(0.4):
            return self._tolerant(lambda: orgs.suspend_org(store, SYSTEM, tenant.slug))
        return self._tolerant(lambda: orgs.resume_org(store, SYSTEM, tenant.slug))

    def reconcile_answers(self) -> None:
        """Undo what people did to each other; with `forgives`, quotas and money too."""
        store = self.world.door.store
        for node in self.world.nodes:
            inventory.undrain(store, SYSTEM, node.name)
        for tenant in self.tenants:
            if orgs.get_org(store, SYSTEM, tenant.slug).state is not Standing.ACTIVE:
                orgs.resume_org(store, SYSTEM, tenant.slug)
            if self.world.scenario.forgives:
                for quota in list_quotas(store, SYSTEM, tenant.slug):
                    delete_quota(store, SYSTEM, quota.id)
                set_credit_limit(store, SYSTEM, tenant.org_id, parse_yuan("1000000"))

    def settle(self) -> None:
        """Every request whose answer was lost is sent again under its key: it must be answered."""
        for tenant in self.tenants:
            while tenant.unsure:
                before = len(tenant.unsure)
                self._tolerant(lambda tenant=tenant: self._repeat(tenant))  # type: ignore[misc]
                must(
                    len(tenant.unsure) < before,
                    "a repeated request is answered",
                    [one.key for one in tenant.unsure],
                )

    def _tolerant(self, work: Callable[[], object]) -> bool:
        """Do it; whether it was done. A crash goes on up."""
        try:
            work()
        except (*REFUSALS, Unavailable, Unauthenticated):
            return False
        return True

    def _submit(self, tenant: Tenant) -> None:
        if len(tenant.open_jobs()) < self.world.scenario.waiting_max:
            self._send(tenant, self._submission(tenant))

    def _submission(self, tenant: Tenant, spec: Mapping[str, Any] | None = None) -> Request:
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
        """Send a request under its key; what is answered is remembered, and an answer that is lost, too."""
        world, server = self.world, self.world.door
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

    def _sent(self, tenant: Tenant, request: Request, body: Any, as_center: bool) -> str:
        server = self.world.door
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

    def _actor(self, tenant: Tenant, server: Server) -> Actor:
        try:
            return authenticate(server.store, tenant.credential)
        except Unauthenticated:
            self._next_key(tenant)
            return authenticate(server.store, tenant.credential)

    def _next_key(self, tenant: Tenant) -> None:
        """A fresh key. What was sent under the old one cannot be repeated any more."""
        issued = self._issue(tenant.user_id)
        keys.revoke_key(self.world.door.store, SYSTEM, tenant.key_id)
        tenant.credential, tenant.key_id = issued.credential, issued.key.id

    def _issue(self, user_id: str) -> keys.IssuedKey:
        scopes = ("jobs:read", "jobs:write", "jobs:cancel", "projects:read", "credit:read", "orgs:read")
        return keys.create_key(self.world.door.store, SYSTEM, "sim", scopes=scopes, for_user=user_id)

    def _cancel(self, tenant: Tenant) -> None:
        jobs = tenant.open_jobs()
        if jobs:
            self._cancel_job(tenant, self.chance.pick(jobs))

    def _cancel_job(self, tenant: Tenant, job: str) -> None:
        server = self.world.door
        actor = self._actor(tenant, server)
        seen = service.cancel_job(server.store, actor, job)
        if seen.state.value not in ("succeeded", "failed") and seen.array_size is None:
            tenant.cancelled.add(job)
        self.world.note(tenant.slug, f"cancel {job}: {seen.state}")

    def _read(self, tenant: Tenant) -> None:
        """Look at jobs, at their logs and at the money, and hold the center to what it showed before."""
        server = self.world.door
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

    def _reads_only_its_own(self, tenant: Tenant, actor: Actor, server: Server) -> None:
        """What a tenant is shown is its own, and what is another's is not there for it."""
        rows = self.world.memory.raw.execute
        for proxy in statement(server.store, actor, tenant.org_id):
            of = rows("SELECT org_id FROM ledger_transactions WHERE id = ?", (proxy.tx_id,)).fetchone()
            must(
                of == (tenant.org_id,), "a tenant reads only its own", f"{tenant.slug}: {proxy.tx_id} of {of}"
            )
        for view in list_jobs(server.store, actor, JobFilter()):
            must(view.org_id == tenant.org_id, "a tenant reads only its own", f"{tenant.slug}: {view.id}")
        others = [job for one in self.tenants if one is not tenant for job in one.jobs]
        if others:
            self._must_not_see(tenant, actor, server, self.chance.pick(others))

    def _must_not_see(self, tenant: Tenant, actor: Actor, server: Server, job: str) -> None:
        try:
            get_job(server.store, actor, job)
        except NotFound:
            return
        must(False, "a tenant reads only its own", f"{tenant.slug}: {job}")

    def _weigh(self, tenant: Tenant) -> None:
        set_share(self.world.door.store, SYSTEM, tenant.slug, self.chance.pick((0.5, 1.0, 3.0)))

    def _next(self) -> int:
        self._number += 1
        return self._number


def _submit(store: Store, actor: Actor, server: Server, tenant: Tenant, body: Any) -> str:
    try:
        return service.submit_job(store, actor, server.runtime, tenant.slug, parse_json(body)).id
    except InvalidInput as error:
        raise Conflict(error.message) from error  # the pool has shrunk: it could never run


def _pay(store: Store, actor: Actor, server: Server, tenant: Tenant, amount: Any) -> str:
    return top_up(store, actor, tenant.org_id, parse_yuan(amount)).id


def _id_of(answer: Any) -> bytes:
    """What is kept under a key."""
    return str(answer.id).encode()
