"""The service of shells: commands that people run inside the tasks of running jobs."""

from __future__ import annotations

from dataclasses import dataclass

from pearlstreet.compute.engines.shells import ShellOrder
from pearlstreet.compute.execution.shells import OpenShell
from pearlstreet.compute.jobs import connections, shells
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.store.service import StoreService
from pearlstreet.tenancy.model import Actor

__all__ = ["DEFAULT_COMMAND", "SCOPE", "OpenShell", "ShellsService"]
DEFAULT_COMMAND = shells.DEFAULT
"""Command of a shell whose user names none."""
SCOPE = shells.SCOPE
"""Scope that a person needs to open shells."""


@dataclass(frozen=True, slots=True)
class ShellsService(StoreService):
    """Opens shells and finds open ones."""

    runtime: Runtime

    def open_shell(self, actor: Actor, job_id: str, rank: int, order: ShellOrder) -> OpenShell:
        """Run a command inside a task of a running job, and write that to the audit log.

        Raises NotFound, Forbidden, Conflict if the job does not run or its engine has no shells, TooMany.
        """
        return shells.open_shell(self.store, actor, self.runtime, job_id, rank, order)

    def connect_port(self, actor: Actor, job_id: str, rank: int, port: str) -> OpenShell:
        """Open a connection to a port of a running service, and write that to the audit log; it is used as a shell.

        Raises NotFound, Forbidden, Conflict if the job is no running service or does not accept it, TooMany.
        """
        return connections.connect_port(self.store, actor, self.runtime, job_id, rank, port)

    def find_shell(self, actor: Actor, job_id: str, shell_id: str) -> OpenShell:
        """Return an open shell to the person who opened it, while the right to do so lasts. Raises NotFound, Forbidden."""
        return shells.find_shell(self.store, actor, self.runtime, job_id, shell_id)

    def has_shells(self, engine: str) -> bool:
        """Return whether an engine of this center runs commands inside tasks."""
        found = self.runtime.engines.get(engine)
        return found is not None and found.capabilities().shells
