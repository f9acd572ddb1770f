"""Laws for a bad line to the engine: with our own ids and probes, nothing is lost and nothing runs twice."""

from __future__ import annotations

from pearlstreet.base.outcome import Done, Retry, Unknown
from pearlstreet.compute.engines.conformance import LONG_S, Rig
from pearlstreet.compute.engines.protocol import EndReason
from tests.fakes.engines import Flaky, Forgets, LosesAcks, LosesRequests, Never, value_of


def test_a_start_whose_answer_is_lost_is_found_by_its_id(rig: Rig) -> None:
    line = LosesAcks(rig.engine)
    order = rig.order(lasts_s=LONG_S)
    assert isinstance(line.start(order), Unknown)
    found = value_of(line.probe(order.attempt_id))
    assert found.attempt_id == order.attempt_id
    assert value_of(line.start(order)).attempt_id == order.attempt_id
    assert len(value_of(line.scan())) == 1


def test_a_start_that_never_arrived_is_certainly_not_there(rig: Rig) -> None:
    line = LosesRequests(rig.engine)
    order = rig.order()
    assert isinstance(line.start(order), Unknown)
    assert line.probe(order.attempt_id) == Done(None)
    value_of(line.start(order))
    assert rig.ended(order.attempt_id).exit_code == 0


def test_a_start_that_fails_at_first_can_be_tried_again(rig: Rig) -> None:
    line = Flaky(rig.engine, 3, methods={"start"})
    order = rig.order()
    answers = [line.start(order) for _ in range(4)]
    assert [type(answer) for answer in answers] == [Retry, Retry, Retry, Done]
    assert len(value_of(line.scan())) == 1


def test_a_stop_whose_answer_is_lost_can_be_sent_again(rig: Rig) -> None:
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    line = LosesAcks(rig.engine, methods={"stop"})
    assert isinstance(line.stop(attempt_id, grace_s=1), Unknown)
    value_of(line.stop(attempt_id, grace_s=1))
    assert rig.ended(attempt_id).end_reason is EndReason.STOPPED


def test_giving_up_on_a_silent_engine_cannot_start_anything_later(rig: Rig) -> None:
    order = rig.order(lasts_s=LONG_S)
    assert isinstance(Never(rig.engine).start(order), Unknown)
    value_of(rig.engine.stop(order.attempt_id, grace_s=0))
    rig.engine.start(order)
    rig.until(lambda: all(report.ended_us is not None for report in value_of(rig.engine.scan())))


def test_starting_what_an_engine_claims_not_to_know_does_not_double_it(rig: Rig) -> None:
    order = rig.order(lasts_s=LONG_S)
    value_of(rig.engine.start(order))
    first = rig.running(order.attempt_id)
    line = Forgets(rig.engine, {order.attempt_id})
    assert line.probe(order.attempt_id) == Done(None)
    assert value_of(line.start(order)).started_us == first.started_us
