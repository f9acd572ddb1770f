"""The service of builds: environments, images and sources that jobs wait for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pearlstreet.compute.jobs import build_views
from pearlstreet.compute.jobs.build_views import STATES, BuildView
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor

__all__ = ["STATES", "BuildView", "BuildsService"]


@dataclass(frozen=True, slots=True)
class BuildsService(StoreService):
    """Queries on builds."""

    runtime: Runtime

    def list_builds(
        self,
        actor: Actor,
        *,
        org: str | None = None,
        state: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> Sequence[BuildView]:
        """Return the builds that the actor may see, newest first, with ids before `before`. Raises NotFound, Forbidden."""
        return build_views.list_builds(self.store, actor, org=org, state=state, before=before, limit=limit)

    def get_build(self, actor: Actor, build_id: str) -> BuildView:
        """Return one build with the end of its log. Raises NotFound."""
        return build_views.get_build(self.store, actor, self.runtime, build_id)
