"""Demo data of a simulated center besides jobs: members, budgets, quotas, past usage, invoices, a drained node."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import PearlError
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.pool.inventory import drain, list_nodes
from pearlstreet.compute.queueing.quotas import QuotaWish, set_quota
from pearlstreet.energy.invoices import issue_invoice
from pearlstreet.ledger.budgets import Budget, set_budget
from pearlstreet.ledger.model import Party, Span, Unit
from pearlstreet.ledger.months import Month, month_at
from pearlstreet.ledger.prices import current_prices
from pearlstreet.ledger.site import read_site, set_buyer
from pearlstreet.ledger.spans import append_span
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.members import list_members
from pearlstreet.tenancy.model import SYSTEM, Actor, Organisation, Project
from pearlstreet.tenancy.orgs import get_org, list_projects
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.secrets import set_secret
from pearlstreet.tenancy.users import create_user

MEMBERS = (
    ("owner", OrgRole.OWNER),
    ("engineer", OrgRole.MEMBER),
    ("student", OrgRole.MEMBER),
    ("accounts", OrgRole.VIEWER),
)
"""Members of each demo organisation with their roles; a login name is the slug's first word and this: river-owner."""
PAST_MONTHS = 3
DAYS = 86_400 * US_PER_S
HELD = (("cpu", Unit.CPU_MILLI, 16_000), ("memory", Unit.MEMORY_MIB, 64 << 10))
PENDING = "25000"
"""Amount of a top-up in yuan that needs approval by a second operator."""
DRAINED_FROM = 4
"""Minimum number of nodes at which one is drained; smaller pools need them all."""


def seed_demo_tenant(store: Store, slug: str, *, size: int, model: str | None) -> None:
    """Add everything but jobs to a new organisation. `size` ≥ 1 scales its usage, budgets and quotas."""
    org = get_org(store, SYSTEM, slug)
    for name, role in MEMBERS:
        login = login_of(slug, name)
        create_user(store, SYSTEM, login, display_name=f"{org.name}: {name}", org=slug, role=role)
    projects = list_projects(store, SYSTEM, org.id)
    tax_id = f"9131000000000{size:05d}"
    set_buyer(store, SYSTEM, org.id, Party(name=org.name, tax_id=tax_id, address="simulated"))
    _spend_in_the_past(store, org, projects, size, model)
    set_budget(store, SYSTEM, Budget(org.id, org.id, parse_yuan(str(20_000 * size))))
    set_budget(store, SYSTEM, Budget(projects[-1].id, org.id, parse_yuan("250"), (50, 80, 100)))
    set_quota(store, SYSTEM, slug, QuotaWish("cards", guaranteed=8.0 * size, maximum=64.0 * size))
    set_quota(store, SYSTEM, slug, QuotaWish("cpus", maximum=1024.0 * size, borrow=False))
    set_secret(store, SYSTEM, slug, "registry-token", "simulated")


def ask_for_credit(store: Store, slug: str) -> None:
    """Create a top-up that waits for approval by a second operator."""
    top_up(store, SYSTEM, get_org(store, SYSTEM, slug).id, parse_yuan(PENDING), memo="simulated")


def drain_one(store: Store) -> None:
    """Drain the last node if the pool has at least DRAINED_FROM nodes and none is drained."""
    nodes = list_nodes(store, SYSTEM)
    if len(nodes) >= DRAINED_FROM and not any(node.drained for node in nodes):
        drain(store, SYSTEM, nodes[-1].report.name, "a power supply is replaced")


def members_of(store: Store, slug: str) -> tuple[Actor, ...]:
    """Return the members that submit jobs (all but viewers) as signed-in actors."""
    return tuple(
        Actor(label=member.user_name, user_id=member.user_id, orgs={member.org_id: member.role})
        for member in list_members(store, SYSTEM, slug)
        if member.role is not OrgRole.VIEWER
    )


def login_of(slug: str, name: str) -> str:
    """Return the login name of a demo member: `river-lab`, `owner` → `river-owner`."""
    return f"{slug.partition('-')[0]}-{name}"


def _spend_in_the_past(
    store: Store, org: Organisation, projects: Sequence[Project], size: int, model: str | None
) -> None:
    """Add usage to the past months and invoice each, so that invoices exist on the first day."""
    months = store.read(_past)
    for back, month in enumerate(months):
        for index, project in enumerate(projects[1:] or projects):
            amount = size * (index + 1) * (len(months) - back)
            store.write(partial(_use, org=org, project=project, month=month, days=amount, model=model))
    for month in reversed(months):
        with contextlib.suppress(PearlError):
            issue_invoice(store, SYSTEM, org.id, month.name)


def _past(tx: Tx) -> list[Month]:
    """Return the PAST_MONTHS months before the current one, newest first."""
    zone = read_site(tx).time_zone
    month = month_at(tx.now_us, zone)
    found = []
    for _ in range(PAST_MONTHS):
        month = month_at(month.start_us - 1, zone)
        found.append(month)
    return found


def _use(tx: Tx, *, org: Organisation, project: Project, month: Month, days: int, model: str | None) -> None:
    held = [*HELD, *([(f"accelerator/{model}", Unit.CARD_BP, 10_000)] if model else [])]
    start = month.start_us + 2 * DAYS
    for resource, unit, amount in held:
        append_span(
            tx,
            Span(
                source="simulated past",
                external_id=f"{project.id}/{month.name}",
                resource=resource,
                sequence=0,
                org_id=org.id,
                project_id=project.id,
                reference=f"simulated {month.name}",
                start_us=start,
                end_us=min(start + days * DAYS, month.end_us),
                unit=unit,
                amount=amount,
                price_version_id=current_prices(tx).id,
                pflops=1.0 if unit is Unit.CARD_BP else None,
                pflops_basis="assumed" if unit is Unit.CARD_BP else "",
            ),
        )
