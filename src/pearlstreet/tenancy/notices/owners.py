"""Whose preferences and webhooks: one's own, an organisation's, or the operators' together."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.base.errors import check
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import Actor
from pearlstreet.tenancy.orgs import find_org

CENTER = "center"
"""No organisation can have it as its slug."""
ME = "me"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who chooses. `id`: a user's, an organisation's, or "center"."""

    id: str
    org_id: str | None = None

    @property
    def is_person(self) -> bool:
        """Whether it is a person, with an inbox."""
        return self.id.startswith("usr_")


def find_owner(tx: Tx, actor: Actor, whose: str) -> Owner:
    """`whose`: ME, CENTER, or an organisation. Raises NotFound, Forbidden."""
    if whose == ME:
        actor.require("notices:own")
        check(bool(actor.user_id), "the center itself has no inbox")
        return Owner(actor.user_id)
    if whose == CENTER:
        actor.require("notices:write")
        return Owner(CENTER)
    org = find_org(tx, actor, whose, "notices:write")
    return Owner(org.id, org.id)
