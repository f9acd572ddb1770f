"""The service of offboarding: close an organisation, and export its data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.offboarding import service
from pearlstreet.offboarding.model import Closing
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor


@dataclass(frozen=True, slots=True)
class OffboardingService(StoreService):
    """Commands and queries about the end of organisations."""

    runtime: Runtime

    def close_org(self, actor: Actor, org: str, *, cancel_jobs: bool = False, reason: str = "") -> Closing:
        """Start the offboarding of a tenant; a loop then stops its jobs, invoices, archives and erases. Idempotent.

        Its members lose access at once. Raises Conflict while it has jobs that have not ended, unless `cancel_jobs`.
        """
        return service.close_org(self.store, actor, org, cancel_jobs=cancel_jobs, reason=reason)

    def get_closing(self, actor: Actor, org: str) -> Closing:
        """Return the progress of a tenant's offboarding. Raises NotFound for one that is not closing."""
        return service.get_closing(self.store, actor, org)

    def export_org(self, actor: Actor, org: str) -> tuple[str, Iterator[bytes]]:
        """Return a file name and the bytes of an organisation's archive; for a closed one, the archive written at closing.

        Raises NotFound, Forbidden, and Conflict when the archive of a closed organisation is not written yet or was deleted.
        """
        return service.export_org(self.store, actor, self.runtime, org)
