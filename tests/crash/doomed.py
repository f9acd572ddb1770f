"""`pearl up` that kills itself with SIGKILL at a chosen point of its own code: DOOM=point:count.

Run as a script in place of `-m pearlstreet.app`. The product knows nothing of it.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

from pearlstreet.compute.engines.local import engine as local
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.simulated import SimulatedEngine
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.store.database import Database

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


def doom(order: str) -> None:
    """Have the process die at the `count`th call of `point`."""
    point, _, count = order.partition(":")
    when, _, name = point.partition("_")
    owner, method = POINTS[name]
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


if __name__ == "__main__":
    from pearlstreet.app.pearl import main

    doom(os.environ.pop("DOOM"))
    main()
