"""The center during a replay: whatever starts and ends, cards and nodes belong to the jobs that hold them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.compute.replay.clusters import plain_node
from pearlstreet.compute.replay.reading.shapes import whole_devices
from pearlstreet.compute.replay.state import State
from pearlstreet.compute.replay.trace import Job, make_trace
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.cycle import plan
from pearlstreet.compute.scheduling.model import Running

CONFIG = PlannerConfig(order="fifo", backfill="greedy", preemption="none")


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=10),
    st.randoms(use_true_random=False),
)
def test_cards_and_tasks_belong_to_their_jobs(shapes: list[tuple[int, int]], random: object) -> None:
    jobs = [
        Job(f"j{n:02}", n, 10, whole_devices(cards, cpu_milli=1000), tasks)
        for n, (cards, tasks) in enumerate(shapes)
    ]
    state = State(make_trace(jobs), [plain_node(f"n{i}", 4, "gpu") for i in range(3)], lambda model: 1.0)
    expected = {f"j{n:02}": shape for n, shape in enumerate(shapes)}
    rows = {name: row for row, name in enumerate(state.trace.ids)}
    empty = state.snapshot(0).nodes.device_compute_free.copy()
    for row in rows.values():
        state.wait(row)
    while state.waiting.count or state.running.count:
        placements = plan(state.snapshot(0), CONFIG).placements
        for placement in placements:
            state.start(rows[placement.job_id], 0, placement, 0)
        state.leave([rows[placement.job_id] for placement in placements])
        running = state.snapshot(0).running
        assert _held(running) == {name: expected[name] for name in running.job_ids}
        if not running.ids:
            break  # what is left fits on no empty node
        state.end(int(random.choice(state.running_rows.tolist())))  # type: ignore[attr-defined]
    assert (state.snapshot(0).nodes.device_compute_free == empty).all()


def _held(running: Running) -> dict[str, tuple[int, int]]:
    """Cards of one task, and tasks, of every running job."""
    found = {}
    for number, name in enumerate(running.job_ids):
        tasks = int((running.task_attempt == number).sum())
        found[name] = int((running.device_attempt == number).sum()) // tasks, tasks
    return found
