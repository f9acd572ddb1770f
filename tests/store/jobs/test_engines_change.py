"""A center whose engine was changed over the same data folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.harness import Center

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.compute.execution.inventory_loop import take_inventory
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs import service
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.startup_recovery import recover
from pearlstreet.compute.pool.tables import nodes
from pearlstreet.tenancy.model import SYSTEM


def _rename(center: Center, **values: str) -> None:
    first = nodes.c.name == "h100-0001"
    center.store.write(lambda tx: tx.execute(sa.update(nodes).where(first).values(**values)))


def _present(center: Center) -> dict[str, tuple[str, bool]]:
    found = center.store.read(lambda tx: tx.rows(sa.select(nodes)))
    return {row["name"]: (row["engine"], row["present"]) for row in found}


def test_nothing_is_placed_on_the_machines_of_an_engine_that_is_gone(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G")
    _rename(center, name="old-0001", engine="former")
    take_inventory(center.store, center.runtime.engines)
    assert _present(center) == {"old-0001": ("former", False), "h100-0001": ("simulated", True)}
    job = center.submit(tasks=2, per_task={"accelerator": "H100"}, simulate="5s")
    center.run(10)
    assert center.job(job).state is JobState.QUEUED


def test_a_machine_goes_over_to_the_engine_that_has_it_now(tmp_path: Path) -> None:
    center = Center(tmp_path, cluster="1x1xH100-80G")
    _rename(center, engine="former")
    take_inventory(center.store, center.runtime.engines)
    take_inventory(center.store, center.runtime.engines)
    assert _present(center) == {"h100-0001": ("simulated", True)}


def test_a_center_does_not_start_without_an_engine_that_still_has_work(tmp_path: Path) -> None:
    center = Center(tmp_path)
    job = center.submit(simulate="600s")
    center.run(3)
    center.store.write(lambda tx: tx.execute(sa.update(attempts).values(engine="former")))
    with pytest.raises(ConfigurationError, match="former"):
        center.store.write(lambda tx: recover(tx, center.runtime))
    center.store.write(lambda tx: tx.execute(sa.update(attempts).values(engine="simulated")))
    service.cancel_job(center.store, SYSTEM, job)
    center.finish(job)
    center.store.write(lambda tx: tx.execute(sa.update(attempts).values(engine="former")))
    center.store.write(lambda tx: recover(tx, center.runtime))
