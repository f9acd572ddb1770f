"""The first start: three operator accounts, one per duty, each with a key and a one-time token, shown once. Never again.

Three and not one, so that duties are apart from the first minute: the system key creates organisations and credit, the
security key creates users, the audit key only looks. The keys end after 30 days; with the tokens the operators set their
passwords for the console within 72 hours, and a security operator issues others, also for these accounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.tables import meta
from pearlstreet.tenancy import keys, users
from pearlstreet.tenancy.keys import IssuedKey
from pearlstreet.tenancy.model import SYSTEM, Standing
from pearlstreet.tenancy.scopes import OPERATOR_ROLES, OperatorRole
from pearlstreet.tenancy.tables import users as user_table

DONE = "bootstrapped"
KEY_LIFE_US = 30 * 86_400 * US_PER_S
RECOVERY_LIFE_US = 86_400 * US_PER_S


@dataclass(frozen=True, slots=True)
class FirstKeys:
    """What the operator must write down: it is shown once. Keys and one-time tokens by operator role."""

    credentials: Mapping[OperatorRole, str] = field(repr=False)
    tokens: Mapping[OperatorRole, str] = field(repr=False)
    expires_us: int


def bootstrap(store: Store) -> FirstKeys | None:
    """Make the operator accounts `system`, `security` and `audit` on the first run; None on every later one."""
    return store.write(_bootstrap)


def recover(store: Store) -> IssuedKey:
    """A key of one day for a security operator: for whoever has the center's files, when every other key is lost.

    Uses the longest-standing active security account, or makes one. The audit log shows it.
    """

    def command(tx: Tx) -> IssuedKey:
        user_id = tx.scalar(
            sa.select(user_table.c.id)
            .where(user_table.c.operator_role == OperatorRole.SECURITY, user_table.c.state == Standing.ACTIVE)
            .order_by(user_table.c.created_us, user_table.c.id)
        )
        if user_id is None:
            name = f"security-{tx.token_bytes(4).hex()}"
            user_id = users.insert_user(tx, SYSTEM, name, name, None, OperatorRole.SECURITY).id
        audit.record(tx, actor=SYSTEM.label, action="center.recover", target=user_id)
        return keys.issue(
            tx,
            SYSTEM,
            user_id=user_id,
            label="recovery",
            scopes=OPERATOR_ROLES[OperatorRole.SECURITY],
            life_us=RECOVERY_LIFE_US,
        )

    return store.write(command)


def is_bootstrapped(store: Store) -> bool:
    """Whether the first run is over."""
    return store.read(_is_done)


def _bootstrap(tx: Tx) -> FirstKeys | None:
    if _is_done(tx):
        return None
    shown, tokens = {}, {}
    for role in OperatorRole:
        user = users.insert_user(tx, SYSTEM, role.value, role.value, None, role)
        issued = keys.issue(
            tx,
            SYSTEM,
            user_id=user.id,
            label="first run",
            scopes=OPERATOR_ROLES[role],
            life_us=KEY_LIFE_US,
        )
        shown[role] = issued.credential
        tokens[role] = users.new_link(tx, user.id)
    tx.execute(sa.insert(meta).values(name=DONE, value=to_rfc3339(tx.now_us)))
    audit.record(tx, actor=SYSTEM.label, action="center.bootstrap", target="center")
    return FirstKeys(shown, tokens, tx.now_us + KEY_LIFE_US)


def _is_done(tx: Tx) -> bool:
    return tx.scalar(sa.select(meta.c.value).where(meta.c.name == DONE)) is not None
