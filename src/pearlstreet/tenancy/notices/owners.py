"""Owners of preferences and webhooks: a user, an organisation, or the operators together."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.base.errors import check
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org

CENTER = "center"
"""Name for the operators together; it is reserved as an organisation's slug."""
ME = "me"


@dataclass(frozen=True, slots=True)
class Owner:
    """Owner of preferences and webhooks. `id` is that of a user or organisation, or "center" for the operators."""

    id: str
    org_id: str | None = None

    @property
    def is_person(self) -> bool:
        """Whether the owner is a user, and so has an inbox."""
        return self.id.startswith("usr_")


def find_owner(tx: Tx, actor: Actor, whose: str) -> Owner:
    """Return the owner that `whose` names: ME, CENTER, or an organisation's slug or id. Raises NotFound, Forbidden."""
    if whose == ME:
        actor.require("notices:own")
        check(bool(actor.user_id), "the center itself has no inbox")
        return Owner(actor.user_id)
    if whose == CENTER:
        actor.require("notices:write")
        return Owner(CENTER)
    org = find_org(tx, actor, whose, "notices:write")
    return Owner(org.id, org.id)
