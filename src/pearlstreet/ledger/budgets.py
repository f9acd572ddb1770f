"""Monthly spending of organisations and projects, and the alerts of their budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, NotFound
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger.book import chunks
from pearlstreet.ledger.tables import budgets, spending
from pearlstreet.store import audit, outbox
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

THRESHOLDS = (50, 80, 100)
"""Default thresholds of alerts, in percent of the budget."""
TOPIC = "budget.reached"
_SPEND = (
    sa.update(spending)
    .where(spending.c.subject_id == sa.bindparam("of_subject"), spending.c.month == sa.bindparam("of_month"))
    .values(spent_micro=spending.c.spent_micro + sa.bindparam("change", type_=sa.BigInteger))
)
_BUDGETS = sa.select(budgets).where(budgets.c.subject_id.in_(sa.bindparam("subjects", expanding=True)))


@dataclass(frozen=True, slots=True)
class Budget:
    """Monthly budget of a subject: an organisation or one of its projects. It causes alerts but stops no jobs."""

    subject_id: str
    org_id: str
    monthly: Money
    thresholds: tuple[int, ...] = THRESHOLDS

    @property
    def project_id(self) -> str | None:
        """Id of the project; None: the budget is the whole organisation's."""
        return None if self.subject_id == self.org_id else self.subject_id


def set_budget(store: Store, actor: Actor, budget: Budget) -> Budget:
    """Set or replace a budget. Raises InvalidInput."""
    actor.require("projects:write", budget.org_id)
    ordered = list(budget.thresholds) == sorted(set(budget.thresholds))
    if budget.monthly.micro <= 0 or not ordered or not all(0 < mark <= 1000 for mark in budget.thresholds):
        raise InvalidInput(text("A budget is more than 0, with rising thresholds of 1 to 1000 percent"))

    def command(tx: Tx) -> Budget:
        tx.execute(sa.delete(budgets).where(budgets.c.subject_id == budget.subject_id))
        tx.execute(
            sa.insert(budgets).values(
                subject_id=budget.subject_id,
                org_id=budget.org_id,
                monthly_micro=budget.monthly.micro,
                thresholds=list(budget.thresholds),
                told_month="",
                told_percent=0,
            )
        )
        audit.record(
            tx,
            actor=actor.label,
            action="budget.set",
            target=budget.subject_id,
            org_id=budget.org_id,
            details={"monthly": str(budget.monthly)},
        )
        return budget

    return store.write(command)


def delete_budget(store: Store, actor: Actor, org_id: str, subject_id: str) -> None:
    """Drop the budget of an organisation, or of one of its projects. Raises NotFound."""
    actor.require("projects:write", org_id)

    def command(tx: Tx) -> None:
        mine = (budgets.c.subject_id == subject_id) & (budgets.c.org_id == org_id)
        if not tx.execute(sa.delete(budgets).where(mine)).rowcount:
            raise NotFound(text("There is no such budget"))
        audit.record(tx, actor=actor.label, action="budget.delete", target=subject_id, org_id=org_id)

    store.write(command)


def list_budgets(store: Store, actor: Actor, org_id: str) -> Sequence[Budget]:
    """Return the budgets of an organisation and its projects; for a key tied to a project, only that project's."""
    actor.require("credit:read", org_id, actor.project_id)
    query = sa.select(budgets).where(budgets.c.org_id == org_id).order_by(budgets.c.subject_id)
    if actor.project_id is not None:
        query = query.where(budgets.c.subject_id == actor.project_id)
    return [
        Budget(row["subject_id"], org_id, Money(row["monthly_micro"]), tuple(row["thresholds"]))
        for row in store.read(lambda tx: tx.rows(query))
    ]


def spent(tx: Tx, subject_id: str, month: str) -> Money:
    """Return the charges less refunds of an organisation or a project in a month."""
    spent_micro = tx.scalar(
        sa.select(spending.c.spent_micro).where(
            spending.c.subject_id == subject_id, spending.c.month == month
        )
    )
    return Money(spent_micro or 0)


def add_spending(tx: Tx, changes: Mapping[tuple[str, str], int]) -> None:
    """Add spending in micro-yuan by (subject, month), and emit an event for each budget that reaches a new threshold."""
    for (subject, month), change in sorted(changes.items()):
        given = {"of_subject": subject, "of_month": month, "change": change}
        if not tx.execute(_SPEND, given).rowcount:
            tx.execute(sa.insert(spending).values(subject_id=subject, month=month, spent_micro=change))
    subjects = {subject for subject, _ in changes}
    for part in chunks(sorted(subjects)):
        for row in tx.execute(_BUDGETS, {"subjects": part}).mappings().all():
            months = [month for subject, month in changes if subject == row["subject_id"]]
            budget = Budget(
                row["subject_id"], row["org_id"], Money(row["monthly_micro"]), tuple(row["thresholds"])
            )
            _emit_reached(tx, budget, max(months), row["told_month"], row["told_percent"])


def reached(budget: Budget, so_far: Money) -> int:
    """PURE: Return the highest threshold (percent) that the spending has reached; 0: none."""
    marks = [mark for mark in budget.thresholds if so_far.micro * 100 >= mark * budget.monthly.micro]
    return max(marks, default=0)


def _emit_reached(tx: Tx, budget: Budget, month: str, told_month: str, told_percent: int) -> None:
    """Emit an event if spending in `month` has reached a threshold above the last one that was notified."""
    if month < told_month:
        return
    so_far = spent(tx, budget.subject_id, month)
    mark = reached(budget, so_far)
    if mark <= (told_percent if month == told_month else 0):
        return
    tx.execute(
        sa.update(budgets)
        .where(budgets.c.subject_id == budget.subject_id)
        .values(told_month=month, told_percent=mark)
    )
    outbox.emit(
        tx,
        TOPIC,
        {
            "subject": budget.subject_id,
            "month": month,
            "percent": mark,
            "spent": str(so_far),
            "budget": str(budget.monthly),
            "spent_micro": so_far.micro,
            "budget_micro": budget.monthly.micro,
        },
        org_id=budget.org_id,
    )
