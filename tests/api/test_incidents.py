"""What the center fails on is shown to its operators and to nobody else."""

from __future__ import annotations

from pearlstreet.base.errors import BugError
from pearlstreet.store.loop import forget_failure, note_failure
from tests.api.world import World


def test_operators_see_what_loops_fail_on(world: World) -> None:
    store = world.center.store
    for _ in range(5):
        store.write(lambda tx: note_failure(tx, "start_attempts", "att_x", BugError("cannot be")))
    try:
        (found,) = world.get("/incidents", "system").json()["items"]
        assert found["given_up"]
        assert (found["loop"], found["row"], found["failures"]) == ("start_attempts", "att_x", 5)
        assert world.get("/incidents", "owner").status_code == 403
    finally:
        store.write(lambda tx: forget_failure(tx, "start_attempts", "att_x"))
