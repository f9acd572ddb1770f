"""Laws of placement: an engine runs an attempt where the order says, or where it fits, and tells where that is."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.base.outcome import Done, Refused
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import AttemptReport, DeviceGrant, DeviceRequest, TaskState


def places(report: AttemptReport) -> list[tuple[str, int]]:
    """Node and device of each device of an attempt."""
    return [(task.node, index) for task in report.tasks for index in task.devices]


def device_counts(rig: Rig) -> list[int]:
    """Number of devices of the ordered model on each node that has some and that the engine may choose, the largest first."""
    first = rig.order().tasks[0]
    assert first.wants is not None, "the rig's orders want a device"
    counts = [
        sum(device.model == first.wants.model for device in node.devices)
        for node in value_of(rig.engine.nodes())
        if first.node in ("", node.name)
    ]
    return sorted(filter(None, counts), reverse=True)


def fill(rig: Rig) -> list[str]:
    """Start an attempt for each node, with all of its devices."""
    started = []
    for count in device_counts(rig):
        order = rig.order(lasts_s=LONG_S)
        first = order.tasks[0]
        assert first.wants is not None
        whole = replace(first, wants=replace(first.wants, count=count))
        value_of(rig.engine.start(replace(order, tasks=(whole,))))
        started.append(order.attempt_id)
    return started


def test_an_engine_offers_the_mode_that_it_is_set_to(rig: Rig) -> None:
    """An engine offers the mode that it is set to."""
    can = rig.engine.capabilities()
    assert can.placement == rig.placement
    assert can.placement in can.placements
    assert len(set(can.placements)) == len(can.placements) > 0


def test_a_running_attempt_tells_the_node_and_devices_of_each_task(rig: Rig) -> None:
    """A running attempt tells the node and devices of each task."""
    order = rig.order(lasts_s=LONG_S, tasks=3)
    value_of(rig.engine.start(order))
    report = rig.running(order.attempt_id)
    nodes = {node.name: {device.index for device in node.devices} for node in value_of(rig.engine.nodes())}
    for task, asked in zip(report.tasks, order.tasks, strict=True):
        assert task.node in nodes
        assert asked.node in ("", task.node), "an ordered node is the node"
        wanted = asked.wants.count if asked.wants is not None else len(asked.devices)
        assert len(set(task.devices)) == len(task.devices) == wanted
        assert set(task.devices) <= nodes[task.node]
        assert {grant.index for grant in asked.devices} <= set(task.devices), (
            "ordered devices are the devices"
        )


def test_where_it_ran_is_told_after_the_end_and_a_restart(rig: Rig) -> None:
    """Where it ran is told after the end and a restart."""
    attempt_id = rig.start(lasts_s=0.3)
    running = rig.running(attempt_id)
    assert places(rig.ended(attempt_id)) == places(running)
    rig.restart()
    assert places(rig.report(attempt_id)) == places(running)


def test_devices_that_an_engine_chooses_are_held_by_one_attempt(rig: Rig) -> None:
    """Devices that an engine chooses are held by one attempt."""
    if rig.placement == "device":
        return  # the center chooses
    held = [place for attempt_id in fill(rig) for place in places(rig.running(attempt_id))]
    assert len(held) == len(set(held)) == sum(device_counts(rig))


def test_what_does_not_fit_now_waits_and_starts_when_a_device_is_free(rig: Rig) -> None:
    """What does not fit now waits and starts when a device is free."""
    if rig.placement == "device":
        return  # the center chooses
    running = fill(rig)
    for attempt_id in running:
        rig.running(attempt_id)
    order = rig.order(lasts_s=LONG_S)
    answer = rig.engine.start(order)
    for _ in range(5):
        report = value_of(rig.engine.probe(order.attempt_id))
        assert report is None or report.state is TaskState.PENDING, "no device is free"
        rig.pause()
    taken = places(rig.report(running[0]))
    value_of(rig.engine.stop(running[0], grace_s=0))
    rig.ended(running[0])
    if not isinstance(answer, Done):  # an engine without a queue asks to be called again
        rig.until(lambda: isinstance(rig.engine.start(order), Done))
    assert set(places(rig.running(order.attempt_id))) < set(taken)


def test_what_waits_for_machines_and_is_stopped_never_starts(rig: Rig) -> None:
    """What waits for machines and is stopped never starts."""
    if rig.placement == "device":
        return  # the center chooses
    running = fill(rig)
    order = rig.order(lasts_s=LONG_S)
    rig.engine.start(order)
    value_of(rig.engine.stop(order.attempt_id, grace_s=1))
    for attempt_id in running:
        value_of(rig.engine.stop(attempt_id, grace_s=0))
        rig.ended(attempt_id)
    rig.engine.start(order)
    for _ in range(10):
        report = value_of(rig.engine.probe(order.attempt_id))
        assert report is None or report.state is TaskState.EXITED
        rig.pause()


def test_what_waits_for_machines_waits_on_over_a_restart(rig: Rig) -> None:
    """What waits for machines waits on over a restart."""
    if rig.placement == "device":
        return  # the center chooses
    running = fill(rig)
    order = rig.order(lasts_s=LONG_S)
    answer = rig.engine.start(order)
    rig.restart()
    for attempt_id in running:
        value_of(rig.engine.stop(attempt_id, grace_s=0))
    if isinstance(answer, Done):
        rig.running(order.attempt_id)


def test_more_devices_than_any_node_has_are_refused(rig: Rig) -> None:
    """More devices than any node has are refused."""
    order = rig.order()
    wants = order.tasks[0].wants
    many = DeviceRequest(wants.model if wants else "h100-sxm-80g", 4096)
    answer = rig.engine.start(replace(order, tasks=(rig.task(0, wants=many),)))
    assert isinstance(answer, Refused), answer
    assert value_of(rig.engine.probe(order.attempt_id)) is None


def test_a_model_that_no_node_has_is_refused(rig: Rig) -> None:
    """A model that no node has is refused."""
    order = rig.order()
    wants = DeviceRequest("no-such-model", 1)
    assert isinstance(rig.engine.start(replace(order, tasks=(rig.task(0, wants=wants),))), Refused)


def test_an_order_that_mixes_modes_is_refused(rig: Rig) -> None:
    """An order that mixes modes is refused."""
    order = rig.order()
    wants = order.tasks[0].wants or DeviceRequest("h100-sxm-80g", 1)
    given = rig.task(0, devices=(DeviceGrant(0),), node=rig.node)
    for tasks in (
        (given, rig.task(1, wants=wants, node=rig.node)),
        (given, rig.task(1, node="")),
        (rig.task(0, node=""), rig.task(1, node=rig.node)),
    ):
        assert isinstance(rig.engine.start(replace(order, tasks=tasks)), Refused), tasks


def test_a_mode_that_an_engine_does_not_offer_is_refused(rig: Rig) -> None:
    """A mode that an engine does not offer is refused."""
    if "engine" in rig.engine.capabilities().placements:
        return
    answer = rig.engine.start(replace(rig.order(), tasks=(rig.task(0, node=""),)))
    assert isinstance(answer, Refused) and answer.code == "bad_placement"
