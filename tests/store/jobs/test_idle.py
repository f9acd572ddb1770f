"""A center in which nothing happens writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection
from tests.store.jobs.harness import Center

from pearlstreet.store.database import Database


def test_idle_loops_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G", tick_s=5)
    done = center.submit(simulate="5s")
    waiting = center.submit(not_before="2099-01-01T00:00:00Z")
    blocked = center.submit(depends_on=[{"job": waiting}])
    center.finish(done)
    center.run(120)
    changes: list[Any] = []
    real = Database.write

    def counted(self: Database, run: Callable[[Connection], Any]) -> Any:
        def look(connection: Connection) -> Any:
            raw: Any = connection.connection.dbapi_connection
            before = raw.total_changes
            result = run(connection)
            if raw.total_changes != before:
                changes.append(run)
            return result

        return real(self, look)

    monkeypatch.setattr(Database, "write", counted)
    center.run(600)
    assert changes == []
    center.submit()
    assert len(changes) == 1, "the measure itself works"
    assert center.job(blocked).attempts == 0
