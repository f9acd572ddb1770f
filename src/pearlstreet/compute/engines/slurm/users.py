"""Chooses the Unix user as whom an organisation's tasks run: each has one of its own, for good."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pearlstreet.base.outcome import Refused
from pearlstreet.base.text import text
from pearlstreet.compute.engines.cluster.file_user import FileUser, find_user
from pearlstreet.compute.engines.local.supervisor import files

FILE = "users.json"


class TenantUsers:
    """Users of tenants, kept on disk. Thread-safe."""

    def __init__(self, folder: Path, pool: Sequence[str], *, is_shared: bool = False) -> None:
        self._folder, self._pool, self._is_shared = str(folder), tuple(pool), is_shared
        self._guard = threading.Lock()

    @property
    def names(self) -> Sequence[str]:
        """Names of all users of organisations."""
        return self._pool

    def user_of(self, tenant_id: str) -> FileUser | Refused:
        """Return a tenant's user, a free one of the pool for a tenant that has none. Raises OSError."""
        with self._guard:
            known = files.read_json(self._folder, FILE) or {}
            name = known.get(tenant_id)
            if name not in self._pool:
                name = next(
                    (user for user in self._pool if self._is_shared or user not in known.values()), None
                )
                if name is None:
                    return Refused(
                        "no_user",
                        text(
                            "All {count} users of the cluster for organisations are taken; add one to the key users of the engine",
                            count=len(self._pool),
                        ),
                    )
                files.write_json(self._folder, FILE, {**known, tenant_id: name})
        user = find_user(name)
        if user is None or user.uid == 0:
            return Refused(
                "no_user", text("The user {name} does not exist on this machine or is root", name=name)
            )
        return user
