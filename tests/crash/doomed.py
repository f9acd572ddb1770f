"""`pearl up` that kills itself with SIGKILL at a chosen point of its own code: DOOM=point:count; empty: nowhere.

With HUB_UNUSED_S it collects the hub's garbage after so many seconds instead of after a day, twice a second.

Run as a script in place of `-m pearlstreet.app`. The product knows nothing of it.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.local import engine as local
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.simulated import SimulatedEngine
from pearlstreet.compute.jobs import retention
from pearlstreet.hub import collector, revisions
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.store.database import Database
from pearlstreet.store.loop import CycleLoop

POINTS: dict[str, tuple[Any, str]] = {
    "commit": (Database, "_commit"),
    "local_start": (local.LocalEngine, "start"),
    "local_launch": (local, "launch"),
    "local_stop": (local.LocalEngine, "stop"),
    "local_probe": (local.LocalEngine, "probe"),
    "write_json": (files, "write_json"),
    "simulated_start": (SimulatedEngine, "start"),
    "simulated_stop": (SimulatedEngine, "stop"),
    "simulated_probe": (SimulatedEngine, "probe"),
    "keep_artefact": (FolderBlobs, "keep"),
}
"""Each is struck before and after the call, as told by the prefix before_ or after_."""
HUB_POINTS: dict[str, tuple[Any, str]] = {
    "commit": (Database, "_commit"),
    "keep": (FolderBlobs, "keep"),
    "publish": (FolderBlobs, "_publish"),
    "delete_blob": (FolderBlobs, "delete_older"),
    "write_commit": (revisions, "_write_commit"),
    "drop_unreachable": (revisions, "_drop_unreachable"),
    "collect": (collector, "_collect"),
}
"""The same, for the hub; all before_."""


def doom(order: str) -> None:
    """Have the process die at the `count`th call of `point`."""
    point, _, count = order.partition(":")
    when, _, name = point.partition("_")
    owner, method = (POINTS | HUB_POINTS)[name]
    setattr(owner, method, _struck(getattr(owner, method), when, int(count)))


def _struck(call: Callable[..., Any], when: str, count: int) -> Callable[..., Any]:
    calls = itertools.count(1)

    @functools.wraps(call)
    def struck(*args: Any, **fields: Any) -> Any:
        die = next(calls) == count
        if die and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call(*args, **fields)
        if die:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return struck


def collect_soon(unused_s: float) -> None:
    """Have the hub and the blob store delete what is unused for so long."""
    retention.ORPHAN_S = unused_s * 1.5

    def cycle(hub: Any, store: Any) -> bool:
        more = collector.collect(store, hub, int(unused_s * US_PER_S))
        for shard in range(256):
            retention.drop_orphans(SimpleNamespace(blobs=hub.blobs), store, shard)  # type: ignore[arg-type]
        return more

    collector.hub_loop = lambda hub: CycleLoop("collect_hub", functools.partial(cycle, hub), interval_s=0.5)


if __name__ == "__main__":
    if unused := os.environ.pop("HUB_UNUSED_S", ""):
        collect_soon(float(unused))
    from pearlstreet.app.pearl import main

    if order := os.environ.pop("DOOM"):
        doom(order)
    main()
