"""Fills one tenant with a row in every table that can hold one, each text with the tenant's marker, amounts its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done
from pearlstreet.compute.engines.protocol import CheckpointEntry
from pearlstreet.compute.execution import tables as running
from pearlstreet.compute.jobs import tables as work
from pearlstreet.compute.queueing.tables import warnings
from pearlstreet.energy.invoices import issue_invoice
from pearlstreet.energy.tables import energy_measured
from pearlstreet.hub.approvals import request_approval, withhold
from pearlstreet.hub.contents import stage_blob
from pearlstreet.hub.downloads import record_download
from pearlstreet.hub.model import CARD_FILE, Changes, Gate, RepoKind, TreeEntry, Visibility
from pearlstreet.hub.repositories import change_settings, create_repo
from pearlstreet.hub.requests import request_access
from pearlstreet.hub.revisions import create_commit
from pearlstreet.hub.tables import xorb_grants
from pearlstreet.hub.uses import record_input
from pearlstreet.ledger.model import Span, Unit
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.prices import current_prices
from pearlstreet.ledger.spans import append_span
from pearlstreet.offboarding.tables import closings
from pearlstreet.quotes.calibrating import recipe_key
from pearlstreet.quotes.tables import lessons
from pearlstreet.storage.levels import change_level
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.tables import loop_failures
from pearlstreet.tenancy import invitations, orgs, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import SYSTEM, Actor
from pearlstreet.tenancy.notices.tables import notices, preferences
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.tables import terminal_codes
from tests.api.world import JOB, World, key_of
from tests.fakes.shells import leave_shell

PASSWORD = "correct horse battery staple"
ROLES = {"owner": OrgRole.OWNER, "member": OrgRole.MEMBER, "viewer": OrgRole.VIEWER}


@dataclass
class Tenant:
    """One organisation with everything it owns."""

    marker: str
    """Part of every text that the tenant wrote."""
    factor: int
    """Makes amounts and sizes differ between tenants."""
    org_id: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    """API keys by role."""
    sessions: dict[str, str] = field(default_factory=dict)
    """Credentials of signed-in sessions by role."""
    ids: dict[str, list[str]] = field(default_factory=dict)
    """Values of path and query parameters that name the tenant's things."""

    @property
    def slug(self) -> str:
        """The organisation's slug."""
        return f"{self.marker}-lab"

    def first(self, name: str) -> str:
        """The first value of a parameter."""
        return self.ids[name][0]


def last_month() -> str:
    """The month that is over: 2026-10."""
    return f"{datetime.now(UTC).replace(day=1) - timedelta(days=10):%Y-%m}"


def fill_tenant(world: World, marker: str, factor: int) -> Tenant:
    """Return a tenant with two projects and something of everything, made through the API where it can be."""
    tenant = Tenant(marker, factor)
    _add_people(world, tenant)
    _add_money(world, tenant)
    _add_limits(world, tenant)
    _add_work(world, tenant)
    _add_quotes(world, tenant)
    _add_repository(world, tenant)
    _add_use_of_last_month(world, tenant)
    return tenant


def _ask(world: World, method: str, path: str, key: str, body: Any = None, **options: Any) -> Any:
    """The answer of a request that must succeed."""
    if body is not None:
        options["json"] = body
    answer = world.send(method, path, key, **options)
    assert answer.status_code < 300, (method, path, answer.text)
    return answer.json() if "json" in answer.headers.get("content-type", "") else None


def _add_people(world: World, tenant: Tenant) -> None:
    store, marker = world.center.store, tenant.marker
    org = orgs.create_org(store, SYSTEM, tenant.slug, f"{marker} laboratory")
    tenant.org_id = org.id
    tenant.ids |= {"org": [tenant.slug, org.id], "user": [], "session": [], "key": []}
    for role, granted in ROLES.items():
        name = f"{marker}-{role}"
        user = users.create_user(
            store, SYSTEM, name, display_name=f"{marker} {role} person", email=f"{name}@{marker}.example",
            org=tenant.slug, role=granted,
        ).user  # fmt: skip
        tenant.keys[role] = key_of(world, user.id, granted)
        tenant.ids["user"] += [user.id, name]
        _set_password(world, tenant, role, name)
        _ask(world, "POST", f"/users/{name}/password-link", "security")
        identity = {"issuer": "https://id.example", "subject": f"{marker} {role} subject"}
        _ask(world, "POST", f"/users/{user.id}/identities", "security", identity)
        made = _ask(world, "POST", "/keys", tenant.keys[role], {"label": f"{marker} {role} laptop"})
        tenant.ids["key"].append(made["id"])
        store.write(lambda tx, user_id=user.id: _add_terminal_code(tx, user_id))
    host = orgs.create_org(store, SYSTEM, f"{marker}-host")
    invitations.invite(store, SYSTEM, host.id, f"{marker}-owner", has_mail=False)
    _ask(world, "POST", "/users", "security", {"name": f"{marker}-guest"})
    guest = {"user": f"{marker}-guest", "role": "viewer"}
    sent = _ask(world, "POST", f"/orgs/{tenant.slug}/invitations", tenant.keys["owner"], guest)
    tenant.ids["invitation"] = [sent["id"]]
    tied = {"label": f"{marker} tied key", "org": tenant.slug}
    made = _ask(world, "POST", "/keys", tenant.keys["owner"], tied, headers={"idempotency-key": marker})
    tenant.ids["key"].append(made["id"])
    projects = _ask(world, "GET", f"/orgs/{tenant.slug}/projects", tenant.keys["owner"])["items"]
    tenant.ids["project"] = [projects[0]["id"]]
    body = {"slug": f"{marker}-vision", "name": f"{marker} vision project"}
    second = _ask(world, "POST", f"/orgs/{tenant.slug}/projects", tenant.keys["owner"], body)
    tenant.ids["project"] += [second["id"], second["slug"]]


def _add_repository(world: World, tenant: Tenant) -> None:
    """A private repository with something in each of its tables."""
    store, marker, center = world.center.store, tenant.marker, world.center
    actor = authenticate(store, tenant.keys["owner"])
    name = f"{tenant.slug}/{marker}-model"
    repo = create_repo(store, actor, RepoKind.MODEL, name)
    tenant.ids |= {"repo_org": [tenant.slug], "repo_name": [f"{marker}-model"], "repository": [name]}
    content = f"{marker} weights".encode() * tenant.factor
    blob = center.hub.blobs.keep(iter([content]), f"{marker}-file", limit_bytes=1 << 20)
    stage_blob(store, repo, blob)
    card = center.hub.blobs.keep(iter([f"# {marker} card".encode()]), f"{marker}-card", limit_bytes=1 << 20)
    stage_blob(store, repo, card)
    files = {
        f"{marker}.bin": TreeEntry(f"{marker}.bin", blob.sha256, blob.size_bytes, ""),
        CARD_FILE: TreeEntry(CARD_FILE, card.sha256, card.size_bytes, ""),
    }
    commit = create_commit(
        store, center.hub, actor, RepoKind.MODEL, name, "main", Changes(files), title=f"{marker} weights",
        card={"license": f"{marker}-licence"},
    )  # fmt: skip
    record_download(store, actor, repo, commit.id, blob.size_bytes)
    store.write(lambda tx: record_input(tx, repo, commit.id, f"{marker}-job", repo.org_id, marker))
    change_settings(
        store, actor, RepoKind.MODEL, name, visibility=Visibility.PRIVATE, gate=Gate.MANUAL,
        shared_with=[tenant.slug],
    )  # fmt: skip
    request_access(store, actor, RepoKind.MODEL, name, f"{marker} note")
    _approve_project(store, actor, tenant, name)
    store.write(lambda tx: withhold(tx, repo, f"{marker}-job", repo.org_id))
    other = center.hub.blobs.keep(iter([content * 2]), f"{marker}-staged", limit_bytes=1 << 20)
    stage_blob(store, repo, other)
    grant = {"xorb_hash": other.sha256, "repo_id": repo.id, "first_chunk": 0, "end_chunk": tenant.factor}
    store.write(lambda tx: tx.execute(sa.insert(xorb_grants).values(**grant)))


def _approve_project(store: Store, actor: Actor, tenant: Tenant, name: str) -> None:
    """A project of the tenant that asked to use the repository in jobs, which needs the setting only while it asks."""
    change_settings(store, actor, RepoKind.MODEL, name, jobs_only=True)
    project = (tenant.slug, "default")
    asked = request_approval(store, actor, RepoKind.MODEL, name, project, f"{tenant.marker} study")
    change_settings(store, actor, RepoKind.MODEL, name, jobs_only=False)
    tenant.ids["approval"] = [asked.id]


def _set_password(world: World, tenant: Tenant, role: str, name: str) -> None:
    link = _ask(world, "POST", f"/users/{name}/password-link", "security")
    _ask(world, "POST", "/set-password", "", {"token": link["token"], "password": PASSWORD})
    signed_in = _ask(world, "POST", "/sign-in", "", {"name": name, "password": PASSWORD})
    tenant.sessions[role] = signed_in["token"]
    tenant.ids["session"].append(signed_in["session_id"])


def _add_terminal_code(tx: Tx, user_id: str) -> None:
    code = hashlib.sha256(f"code of {user_id}".encode()).hexdigest()
    row = {"code_hash": code, "user_id": user_id, "provider": "none", "challenge": code, "until_us": 1}
    tx.execute(sa.insert(terminal_codes).values(**row))


def _add_money(world: World, tenant: Tenant) -> None:
    owner, at = tenant.keys["owner"], f"/orgs/{tenant.slug}"
    first, second = f"{tenant.factor}313.37", f"{tenant.factor}7182.81"
    given = _ask(world, "POST", f"{at}/credit", "system", {"amount": first, "memo": f"{tenant.marker} paid"})
    memo = f"{tenant.marker} promises"
    waiting = _ask(world, "POST", f"{at}/credit", "system", {"amount": second, "memo": memo})
    tenant.ids["top_up"] = [waiting["id"], given["id"]]
    _ask(world, "PUT", f"{at}/credit-limit", "system", {"credit_limit": f"{tenant.factor}55.55"})
    _ask(world, "PUT", f"{at}/budgets", owner, {"monthly": f"{tenant.factor}44.44"})
    _ask(world, "PUT", f"{at}/balance-alert", owner, {"below": f"{tenant.factor}22.22"})
    _ask(world, "PUT", f"{at}/billing", owner, {"name": f"{tenant.marker} company limited"})
    correction = {"amount": "-1.23", "memo": f"{tenant.marker} corrected", "reference": f"{tenant.marker}-1"}
    _ask(world, "POST", f"{at}/corrections", "system", correction)


def _add_limits(world: World, tenant: Tenant) -> None:
    tenant.ids["quota"], tenant.ids["window"] = [], []
    for project in (None, tenant.first("project")):
        named = {"org": tenant.slug} | ({"project": project} if project else {})
        quota = _ask(world, "PUT", "/quotas", "system", named | {"resource": "cards", "maximum": 16})
        tenant.ids["quota"].append(quota["id"])
        _ask(world, "PUT", "/shares", "system", named | {"weight": 2 + tenant.factor / 100})
    queue = {"rank": 3, "title": f"{tenant.marker} queue", "allowed": [tenant.slug]}
    _ask(world, "PUT", f"/scheduling/queues/{tenant.marker}-queue", "system", queue)
    days = 10 * tenant.factor
    start, end = (
        f"{datetime.now(UTC) + timedelta(days=more):%Y-%m-%dT%H:%M:%SZ}" for more in (days, days + 1)
    )
    window = {"kind": "reservation", "org": tenant.slug, "nodes": ["h100-0001"], "from": start, "until": end}
    made = _ask(
        world, "POST", "/scheduling/windows", "system", window | {"reason": f"{tenant.marker} deadline"}
    )
    tenant.ids["window"].append(made["id"])


def _add_notices(world: World, tenant: Tenant) -> None:
    owner, at, marker = tenant.keys["owner"], f"/orgs/{tenant.slug}", tenant.marker
    address = f"https://127.0.0.1:9/{marker}-hook"
    hook = _ask(world, "POST", f"{at}/webhooks", owner, {"url": address})["id"]
    delivery = _ask(world, "POST", f"{at}/webhooks/{hook}/test", owner)["id"]
    tenant.ids |= {"webhook": [hook], "delivery": [delivery]}
    for path in ("/notices/preferences", f"{at}/notices/preferences"):
        _ask(world, "PATCH", path, owner, {"email": f"notices@{marker}.example"})
    _ask(world, "POST", "/notices/test", owner)


def _add_work(world: World, tenant: Tenant) -> None:
    owner, marker = tenant.keys["owner"], tenant.marker
    _ask(world, "PUT", f"/orgs/{tenant.slug}/secrets/{marker.upper()}_TOKEN", owner, {"value": "hush"})
    content = f"{marker} data " * tenant.factor
    upload = _ask(
        world, "POST", "/uploads", owner, content=content.encode(), params={"name": f"{marker}-data.csv"}
    )
    tenant.ids |= {"name": [f"{marker.upper()}_TOKEN"], "upload": [upload["id"]]}
    _ask(world, "PUT", "/storage/retention", owner, {"org": tenant.slug, "days": 30 + tenant.factor})
    card = {"accelerator": "H100", "count": 1, "cpus": 1 + tenant.factor, "memory_gib": tenant.factor}
    job = {**JOB, "per_task": card, "org": tenant.slug}
    job["variables"] = {"OF": f"{marker} variable", "SIMULATE_EXIT_CODE": "0"}
    second = tenant.ids["project"][2]

    def submit(name: str, **changes: Any) -> str:
        whole = {key: value for key, value in job.items() if key != "org"} | {"name": f"{marker}-{name}"}
        made = _ask(world, "POST", "/jobs", owner, whole | changes, params={"org": tenant.slug})
        return str(made["id"])

    ended = submit("ended", simulate="20s", secrets={"TOKEN": f"{marker.upper()}_TOKEN"})
    world.until(ended, "succeeded", role=owner)
    failed = submit("failed", simulate="5s", project=second, variables={"SIMULATE_EXIT_CODE": "3"})
    world.until(failed, "failed", role=owner)
    running = submit("running", simulate="900000s", time_limit="30d")
    world.until(running, "running", role=owner)
    waiting = submit("waiting", depends_on=[running], project=second)
    array = submit("array", array={"size": 3}, simulate="900000s", time_limit="30d", priority=-5)
    world.step()
    tenant.ids["job"] = [ended, running, waiting, failed, array]
    question = _ask(world, "POST", "/what-ifs", owner, {"policies": ["fifo"]}, params={"org": tenant.slug})
    tenant.ids["what_if"] = [question["id"]]


def finish_tenant(world: World, tenant: Tenant) -> None:
    """Add what the loops must not see: they would send notices out and end what only stands there to be read."""
    _add_notices(world, tenant)
    store = world.center.store
    store.write(lambda tx: _add_traces(tx, world, tenant))
    job, user, words = tenant.ids["job"][1], tenant.first("user"), f"of {tenant.slug}"
    tenant.ids["shell"] = [leave_shell(world.runtime, store.clock, job, user, words, tenant.marker)]
    own = sa.select(notices.c.id).where(notices.c.user_id == tenant.first("user"))
    tenant.ids["notice"] = list(store.read(lambda tx: tx.execute(own).scalars().all()))[:2]


def _save_checkpoint(world: World, tenant: Tenant) -> None:
    """Let the engine list a checkpoint of the tenant's jobs; a simulated attempt saves none."""
    engine: Any = world.runtime.engines["simulated"]
    before, mine = engine.list_checkpoint, set(tenant.ids["job"])
    saved = [CheckpointEntry(f"{tenant.marker}-step-1", 1000 * tenant.factor, 1)]
    engine.list_checkpoint = lambda key: Done(saved) if key in mine else before(key)


def _add_traces(tx: Tx, world: World, tenant: Tenant) -> None:
    """Add rows that only real engines, packages, windows and failures leave behind."""
    marker, org_id = tenant.marker, tenant.org_id
    (attempt, *_) = tx.rows(
        sa.select(running.attempts).where(running.attempts.c.owner_id == tenant.first("job"))
    )
    (runs, *_) = tx.rows(
        sa.select(running.attempts).where(running.attempts.c.owner_id == tenant.ids["job"][1])
    )
    content = f"{marker} result".encode()
    _save_checkpoint(world, tenant)
    blob = world.runtime.blobs.keep(iter([content]), f"of-{marker}", limit_bytes=1000)
    tenant.ids["artefact"] = [f"art_{marker.upper():0>26}"]
    tenant.ids["attempt"] = [attempt["id"]]
    tenant.ids["build"] = [f"prp_{marker}"]
    change_level(tx, org_id, attempt["project_id"], blob.size_bytes)
    rows: Mapping[sa.Table, Mapping[str, Any]] = {
        work.artefacts: {
            "id": tenant.first("artefact"), "org_id": org_id, "job_id": attempt["owner_id"],
            "attempt_id": attempt["id"], "path": f"out/{marker}-result.txt", "size_bytes": blob.size_bytes,
            "sha256": blob.sha256, "at_us": 1,
        },
        running.checkpoints: {
            "id": attempt["owner_id"], "owner_kind": "job", "org_id": org_id, "project_id": attempt["project_id"],
            "attempt_id": attempt["id"], "engine": f"{marker}", "is_over": True, "bytes_max": 1000, "saves": 1,
            "stored_bytes": 0,
        },
        running.checkpoint_files: {
            "owner_id": attempt["owner_id"], "path": f"{marker}-step-1", "org_id": org_id, "kind": "file",
            "size_bytes": 0, "sha256": blob.sha256, "executable": False,
        },
        work.preparations: {
            "id": f"prp_{marker}", "org_id": org_id, "kind": "environment", "digest": "d" * 64,
            "spec": {"packages": [f"{marker}-package"]}, "state": "ready", "result": f"{marker} is ready",
            "at_us": 1, "due_us": 1 << 62, "lease_until_us": 0,
        },
        warnings: {
            "window_id": tenant.first("window"), "attempt_id": runs["id"], "org_id": org_id, "at_us": 1,
        },
        work.idle_attempts: {
            "attempt_id": attempt["id"], "org_id": org_id, "project_id": attempt["project_id"],
            "job_id": attempt["owner_id"], "cards_bp": 10_000 * tenant.factor, "hourly_micro": 1_000_000,
            "idle_us": 3_600_000_000, "first_us": tx.now_us, "warned_us": tx.now_us, "saved_micro": 0,
        },
        energy_measured: {
            "attempt_id": attempt["id"], "device_j": 1000 * tenant.factor, "start_us": attempt["started_us"],
            "end_us": attempt["ended_us"],
        },
        lessons: {
            "kind": "run", "subject": attempt["owner_id"], "device": "h100-sxm-80g", "source": f"quo_{marker}",
            "org_id": org_id, "recipe": recipe_key(org_id, f"{marker} recipe"), "expected": 100.0 * tenant.factor,
            "actual": 150.0 * tenant.factor, "at_us": tx.now_us,
        },
        loop_failures: {
            "loop": "watch", "row_id": runs["id"], "failures": 1, "quarantined": True,
            "last_error": f"{marker} failure", "at_us": 1,
        },
        closings: {
            "id": org_id, "phase": "stopping", "asked_by": f"{marker} person", "asked_us": 1,
            "reason": f"{marker} moves out", "cancel_jobs": False, "invoices": [],
        },
    }  # fmt: skip
    for table, row in rows.items():
        tx.execute(sa.insert(table).values(**row))
    confirmed = {"email": f"confirmed@{marker}.example", "email_confirmed_us": tx.now_us}
    own = preferences.c.owner_id.in_([org_id, tenant.first("user")])
    tx.execute(sa.update(preferences).where(own).values(**confirmed))


def _add_quotes(world: World, tenant: Tenant) -> None:
    asked = {
        "workload": {"kind": "custom", "hours": 0.01 * tenant.factor, "accelerator": "H100-80G"},
        "job": {"command": ["true"], "name": f"{tenant.marker}-quoted"},
    }
    owner, params = tenant.keys["owner"], {"org": tenant.slug}
    tenant.ids["quote"] = [
        _ask(world, "POST", "/quotes", owner, asked, params=params)["id"] for _ in range(2)
    ]
    _ask(world, "POST", f"/quotes/{tenant.first('quote')}/accept", owner, {"offer": "1"})


def _add_use_of_last_month(world: World, tenant: Tenant) -> None:
    """Add use to last month, post it, and issue its invoice."""
    store, month = world.center.store, last_month()
    start_us = int(datetime.fromisoformat(f"{month}-15T00:00:00Z").timestamp()) * US_PER_S

    def use(tx: Tx) -> None:
        append_span(
            tx,
            Span(
                source="compute", external_id=f"att_{tenant.marker}_old", resource="cpu", sequence=0,
                org_id=tenant.org_id, project_id=tenant.first("project"), reference=f"job_{tenant.marker}_old",
                start_us=start_us, end_us=start_us + 3600 * US_PER_S, unit=Unit.CPU_MILLI,
                amount=4000 * tenant.factor, price_version_id=current_prices(tx).id, pflops=None, pflops_basis="",
            ),
        )  # fmt: skip

    store.write(use)
    while post_due_spans(store):
        pass
    issue_invoice(store, SYSTEM, tenant.org_id, month)
    tenant.ids["month"] = [month]
