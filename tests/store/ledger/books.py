"""What the ledger's store tests share: an organisation, people, spans, a clock that is told the time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, VirtualClock
from pearlstreet.base.money import Money, parse_yuan
from pearlstreet.ledger.funds import read_balance
from pearlstreet.ledger.model import Balance, Span, Unit
from pearlstreet.ledger.prices import ensure_default_prices
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.spans import append_span
from pearlstreet.ledger.tables import price_versions
from pearlstreet.ledger.topups import top_up
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.scopes import OperatorRole, OrgRole
from pearlstreet.tenancy.tables import orgs

ORG, OTHER, PROJECT = "org_a", "org_b", "prj_a"
CLERK = Actor(label="clerk", user_id="usr_clerk", operator_roles=frozenset({OperatorRole.SYSTEM}))
SECOND = Actor(label="second", user_id="usr_second", operator_roles=frozenset({OperatorRole.SYSTEM}))
AUDITOR = Actor(label="auditor", user_id="usr_auditor", operator_roles=frozenset({OperatorRole.AUDIT}))
MEMBER = Actor(label="member", user_id="usr_member", orgs={ORG: OrgRole.MEMBER})
OWNER = Actor(label="owner", user_id="usr_owner", orgs={ORG: OrgRole.OWNER})
STRANGER = Actor(label="stranger", user_id="usr_stranger", orgs={OTHER: OrgRole.OWNER})


def shanghai_us(*when: int) -> int:
    """A moment in Shanghai, in microseconds."""
    return int(datetime(*when, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()) * US_PER_S  # type: ignore[arg-type]


NOON = shanghai_us(2026, 11, 10, 12)


def opened(store: Store, now_us: int = NOON) -> Store:
    """The store under a clock that stands still, with two organisations and the example prices."""
    ours = replace(store, clock=VirtualClock(now_us))

    def command(tx):  # type: ignore[no-untyped-def]
        for org_id in (ORG, OTHER):
            row = {"id": org_id, "slug": org_id, "name": org_id, "state": "active", "settings": {}}
            tx.execute(sa.insert(orgs).values(**row, created_us=0))
        ensure_default_prices(tx)

    ours.write(command)
    return ours


def at(store: Store, now_us: int) -> Store:
    """The same store at another time."""
    return replace(store, clock=VirtualClock(now_us))


def pay(store: Store, yuan: str, org_id: str = ORG) -> None:
    """Top an organisation up."""
    top_up(store, CLERK, org_id, parse_yuan(yuan))


def price_id(store: Store) -> str:
    """The example price list."""
    first = sa.select(price_versions.c.id).where(price_versions.c.number == 1)
    return str(store.read(lambda tx: tx.scalar(first)))


def cpu_span(store: Store, sequence: int, **changes: object) -> Span:
    """A minute of 10 cores (0.02 yuan at the example price of 0.12 a core-hour) of attempt `att_1`."""
    start_us = NOON + sequence * 60 * US_PER_S
    span = Span(
        source="compute",
        external_id="att_1",
        resource="cpu",
        sequence=sequence,
        org_id=ORG,
        project_id=PROJECT,
        reference="job_1",
        start_us=start_us,
        end_us=start_us + 60 * US_PER_S,
        unit=Unit.CPU_MILLI,
        amount=10_000,
        price_version_id=price_id(store),
    )
    return replace(span, **changes)  # type: ignore[arg-type]


def use(store: Store, minutes: int, *, first: int = 0, **changes: object) -> None:
    """Append `minutes` spans of `cpu_span`."""
    made = [cpu_span(store, first + index, **changes) for index in range(minutes)]
    store.write(lambda tx: [append_span(tx, span) for span in made])


def use_at(store: Store, attempt: str, *moments: int, **changes: object) -> None:
    """Append spans of one attempt between consecutive moments."""
    made = [
        cpu_span(store, index, external_id=attempt, start_us=start_us, end_us=end_us, **changes)
        for index, (start_us, end_us) in enumerate(pairwise(moments))
    ]
    store.write(lambda tx: [append_span(tx, span) for span in made])


def has(store: Store, org_id: str = ORG) -> Balance:
    """What an organisation has."""
    return store.read(lambda tx: read_balance(tx, org_id))


def yuan(value: str) -> Money:
    """`"12.5"`."""
    return parse_yuan(value)


def books_are_right(store: Store) -> None:
    """The proof holds."""
    report = store.read(prove)
    assert report.is_right, f"{report.row}: {report.problem}"
