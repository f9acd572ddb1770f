"""Laws of start: all tasks or none, once per attempt id, and orders that cannot be right are refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pearlstreet.base.outcome import Done, Refused
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.orders import TOO_WEAK
from pearlstreet.compute.engines.protocol import AttemptOrder, DeviceGrant, EndReason, Stage, TaskState
from pearlstreet.compute.hardware.isolation import ISOLATIONS, SIMULATED, is_enough


def refused(rig: Rig, order: AttemptOrder) -> None:
    """The order is refused with a code and a reason, and leaves no trace."""
    answer = rig.engine.start(order)
    assert isinstance(answer, Refused), answer
    assert answer.code
    assert str(answer.reason)
    assert value_of(rig.engine.probe(order.attempt_id)) is None
    assert order.attempt_id not in {report.attempt_id for report in value_of(rig.engine.scan())}


def test_a_started_attempt_runs_and_ends(rig: Rig) -> None:
    """A started attempt runs and ends."""
    report = rig.ended(rig.start())
    assert (report.end_reason, report.exit_code) == (EndReason.EXITED, 0)


def test_starting_again_changes_nothing(rig: Rig) -> None:
    """Starting again changes nothing."""
    order = rig.order(lasts_s=LONG_S)
    value_of(rig.engine.start(order))
    first = rig.running(order.attempt_id)
    again = value_of(rig.engine.start(order))
    assert (again.state, again.started_us) == (TaskState.RUNNING, first.started_us)
    assert len(value_of(rig.engine.scan())) == 1


def test_starting_an_ended_attempt_again_does_not_run_it(rig: Rig) -> None:
    """Starting an ended attempt again does not run it."""
    order = rig.order()
    value_of(rig.engine.start(order))
    ended = rig.ended(order.attempt_id)
    assert value_of(rig.engine.start(order)) == ended
    rig.pause()
    assert rig.report(order.attempt_id) == ended


def test_many_threads_starting_one_attempt_start_it_once(rig: Rig) -> None:
    """Many threads starting one attempt start it once."""
    order = rig.order(lasts_s=LONG_S)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: rig.engine.start(order), range(8)))
    assert {value_of(answer).attempt_id for answer in answers} == {order.attempt_id}
    assert [report.attempt_id for report in value_of(rig.engine.scan())] == [order.attempt_id]


def test_many_threads_starting_many_attempts_start_each(rig: Rig) -> None:
    """Many threads starting many attempts start each."""
    orders = [replace(rig.order(lasts_s=LONG_S), tasks=(rig.task(0),)) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(rig.engine.start, orders))
    assert all(isinstance(answer, Done) for answer in answers), answers
    known = {report.attempt_id for report in value_of(rig.engine.scan())}
    assert known == {order.attempt_id for order in orders}


def test_an_unknown_node_is_refused(rig: Rig) -> None:
    """An unknown node is refused."""
    refused(rig, replace(rig.order(), tasks=(rig.task(0, node="nowhere"),)))


def test_a_gang_with_one_impossible_task_starts_none(rig: Rig) -> None:
    """A gang with one impossible task starts none."""
    order = rig.order(tasks=3)
    last = replace(order.tasks[2], node="nowhere")
    refused(rig, replace(order, tasks=(*order.tasks[:2], last)))


def test_a_device_the_node_does_not_have_is_refused(rig: Rig) -> None:
    """A device the node does not have is refused."""
    refused(rig, replace(rig.order(), tasks=(rig.task(0, devices=(DeviceGrant(4096),)),)))


def test_more_cpus_than_the_node_has_are_refused(rig: Rig) -> None:
    """More cpus than the node has are refused."""
    refused(rig, replace(rig.order(), tasks=(rig.task(0, cpus=1e6),)))


def test_more_memory_than_the_node_has_is_refused(rig: Rig) -> None:
    """More memory than the node has is refused."""
    refused(rig, replace(rig.order(), tasks=(rig.task(0, memory_gib=1e9),)))


def test_a_device_granted_twice_within_one_order_is_refused(rig: Rig) -> None:
    """A device granted twice within one order is refused."""
    refused(rig, replace(rig.order(), tasks=(rig.task(0, devices=(DeviceGrant(0), DeviceGrant(0))),)))


def test_an_order_without_tasks_is_refused(rig: Rig) -> None:
    """An order without tasks is refused."""
    refused(rig, replace(rig.order(), tasks=()))


def test_ranks_with_a_gap_are_refused(rig: Rig) -> None:
    """Ranks with a gap are refused."""
    refused(rig, replace(rig.order(), tasks=(rig.task(0), rig.task(2))))


def test_an_empty_command_is_refused(rig: Rig) -> None:
    """An empty command is refused."""
    refused(rig, replace(rig.order(), command=()))


@pytest.mark.parametrize("target", ["../beside", "/etc/cron.d/job", "a/../../b", "", "nul\0byte"])
def test_a_stage_that_leads_out_of_the_folder_is_refused(rig: Rig, target: str) -> None:
    """A stage that leads out of the folder is refused."""
    source = rig.folder / "data.txt"
    source.write_text("data")
    refused(rig, replace(rig.order(), stages=(Stage(str(source), target),)))


@pytest.mark.parametrize("attempt_id", ["../../escape", "a/b", "", ".", "-rf", "a\0b", "a\n", "x" * 4000])
def test_an_attempt_id_that_is_no_plain_name_is_refused(rig: Rig, attempt_id: str) -> None:
    """An attempt id that is no plain name is refused."""
    answer = rig.engine.start(replace(rig.order(), attempt_id=attempt_id))
    assert isinstance(answer, Refused)
    assert len(value_of(rig.engine.scan())) == 0


def test_a_variable_with_an_impossible_name_is_refused(rig: Rig) -> None:
    """A variable with an impossible name is refused."""
    refused(rig, rig.order(variables={"A=B": "x"}))


def test_an_order_starts_exactly_where_jobs_are_isolated_as_it_demands(rig: Rig) -> None:
    """An order starts exactly where jobs are isolated as it demands."""
    (node,) = (node for node in value_of(rig.engine.nodes()) if node.name == rig.node)
    assert node.isolation in (*ISOLATIONS, SIMULATED)
    for minimum in ISOLATIONS:
        order = rig.order(minimum_isolation=minimum)
        if is_enough(node.isolation, minimum):
            rig.ended(rig.start(attempt_id=order.attempt_id, minimum_isolation=minimum))
        else:
            refused(rig, order)


def test_nothing_starts_on_a_node_whose_isolation_has_become_too_weak(rig: Rig) -> None:
    """Nothing starts on a node whose isolation has become too weak."""
    before = rig.start(lasts_s=LONG_S, minimum_isolation="bubblewrap") if _is_strong(rig) else None
    rig.weaken()
    order = rig.order(minimum_isolation="bubblewrap")
    answer = rig.engine.start(order)
    assert isinstance(answer, Refused) and answer.code == TOO_WEAK, answer
    assert value_of(rig.engine.probe(order.attempt_id)) is None
    rig.until(lambda: not _is_strong(rig))
    if before is not None:
        assert rig.report(before).state is not TaskState.EXITED, "what runs behind stronger walls goes on"
    rig.ended(rig.start())


def _is_strong(rig: Rig) -> bool:
    (node,) = (node for node in value_of(rig.engine.nodes()) if node.name == rig.node)
    return is_enough(node.isolation, "bubblewrap")
