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


def test_operators_have_what_was_given_up_tried_again(world: World) -> None:
    store = world.center.store
    for loop, row in (("start", "att_a"), ("start", "att_b"), ("collect", "att_a")):
        for _ in range(5):
            store.write(lambda tx, loop=loop, row=row: note_failure(tx, loop, row, BugError("cannot be")))
    try:
        assert world.post("/incidents/retry", "owner").status_code == 403
        assert world.post("/incidents/retry", "security").status_code == 403
        answer = world.post("/incidents/retry", "system", json={"loop": "start", "row": "att_a"})
        assert answer.json() == {"retried": 1}
        left = {(one["loop"], one["row"]) for one in world.get("/incidents", "system").json()["items"]}
        assert left == {("start", "att_b"), ("collect", "att_a")}
        assert world.post("/incidents/retry", "system", json={"loop": "start"}).json() == {"retried": 1}
        assert world.post("/incidents/retry", "system").json() == {"retried": 1}
        assert world.get("/incidents", "system").json()["items"] == []
    finally:
        for loop, row in (("start", "att_a"), ("start", "att_b"), ("collect", "att_a")):
            store.write(lambda tx, loop=loop, row=row: forget_failure(tx, loop, row))
