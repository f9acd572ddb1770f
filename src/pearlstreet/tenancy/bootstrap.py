"""The first start creates three operator accounts, one per duty, each with a key and a one-time token, shown once.

There are three accounts so that duties are separated from the start: the system account creates organisations and credit,
the security account creates users, the audit account only reads. The keys expire after 30 days. With the tokens the
operators set their console passwords within 72 hours; later a security operator can issue new tokens.
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
    """API keys and one-time tokens by operator role. They are shown once, so the operator must save them."""

    credentials: Mapping[OperatorRole, str] = field(repr=False)
    tokens: Mapping[OperatorRole, str] = field(repr=False)
    expires_us: int


def bootstrap(store: Store) -> FirstKeys | None:
    """Create the operator accounts `system`, `security` and `audit` on the first run; returns None on later runs."""
    return store.write(_bootstrap)


def recover(store: Store) -> IssuedKey:
    """Create a one-day key for a security operator, for the case that all other keys are lost.

    Only for commands run with access to the center's files. Uses the oldest active security account, or creates one;
    recorded in the audit log.
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
    """Return whether the operator accounts were created."""
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
