"""Laws of services: readiness, endpoints, restarts and drain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pearlstreet.base.outcome import Done, Refused
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import AttemptReport, EndReason, ServiceOrder, TaskState
from pearlstreet.compute.engines.services import Probe, RestartPolicy, RestartWhen, ServicePort, connect_unix

WEB = ServicePort("web", 8080)
NO_RESTART = RestartPolicy("never")
FAST = RestartPolicy("on_failure", maximum=3, backoff_s=0.05, backoff_max_s=0.1)
OPEN = Probe("exec", command=("/bin/sh", "-c", "test -e $PEARL_WORK/open"), period_s=0.1, failures=1)
SERVER = "exec python3 -m http.server --bind 127.0.0.1 $PEARL_PORT_WEB"


def need_services(rig: Rig) -> None:
    """Skip the law if the engine runs no services."""
    if not rig.engine.capabilities().services:
        pytest.skip(f"the engine {rig.engine.name} runs no services")


def policy(when: RestartWhen, maximum: int = 3) -> ServiceOrder:
    """Return a service without ports that is restarted this way."""
    return ServiceOrder(restart=replace(FAST, when=when, maximum=maximum))


def ready(rig: Rig, attempt_id: str) -> AttemptReport:
    """Wait until every task of a service is ready."""
    rig.until(lambda: all(task.is_ready for task in rig.report(attempt_id).tasks), within_s=40.0)
    return rig.report(attempt_id)


def test_an_engine_without_services_refuses_them(rig: Rig) -> None:
    """An engine without services refuses them."""
    if rig.engine.capabilities().services:
        return
    order = rig.order(service=ServiceOrder())
    answer = rig.engine.start(order)
    assert isinstance(answer, Refused) and answer.code == "no_services", answer
    assert value_of(rig.engine.probe(order.attempt_id)) is None


def test_a_service_becomes_ready_once_it_runs(rig: Rig) -> None:
    """A service becomes ready once it runs."""
    need_services(rig)
    attempt_id = rig.start(lasts_s=LONG_S, tasks=2, service=ServiceOrder())
    report = ready(rig, attempt_id)
    assert report.state is TaskState.RUNNING
    assert [task.restarts for task in report.tasks] == [0, 0]


def test_starting_a_service_again_changes_nothing(rig: Rig) -> None:
    """Starting a service again changes nothing."""
    need_services(rig)
    order = rig.order(lasts_s=LONG_S, service=ServiceOrder())
    value_of(rig.engine.start(order))
    first = ready(rig, order.attempt_id)
    again = value_of(rig.engine.start(order))
    assert (again.started_us, again.tasks[0].restarts) == (first.started_us, 0)


def test_endpoints_are_told_for_each_port_and_task_and_are_used_once(rig: Rig) -> None:
    """Endpoints are told for each port and task and are used once."""
    need_services(rig)
    service = ServiceOrder(ports=(WEB, ServicePort("admin", 9090)))
    order = rig.order(lasts_s=LONG_S, tasks=2, service=service)
    if isinstance(answer := rig.engine.start(order), Refused):
        assert answer.code == "no_ports", "an engine that cannot keep ports apart refuses them"
        return
    second = rig.start(lasts_s=LONG_S, service=service)
    reports = [ready(rig, order.attempt_id), ready(rig, second)]
    tasks = [task for report in reports for task in report.tasks]
    assert all([one.port for one in task.endpoints] == ["web", "admin"] for task in tasks)
    addresses = [one.address for task in tasks for one in task.endpoints]
    assert len(set(addresses)) == len(addresses) == 6
    assert all(address.startswith(("unix:/", "tcp:")) for address in addresses)


def test_a_service_that_fails_is_restarted_and_then_ends_as_it_failed(rig: Rig) -> None:
    """A service that fails is restarted and then ends as it failed."""
    need_services(rig)
    attempt_id = rig.start(lasts_s=0.2, exit_code=7, service=policy("on_failure"))
    seen: list[AttemptReport] = []

    def over() -> bool:
        seen.append(rig.report(attempt_id))
        return seen[-1].state is TaskState.EXITED

    rig.until(over, within_s=40.0)
    assert (seen[-1].end_reason, seen[-1].exit_code) == (EndReason.EXITED, 7)
    assert seen[-1].tasks[0].restarts == 3
    counts = [report.tasks[0].restarts for report in seen]
    assert counts == sorted(counts), "the number of restarts only grows"
    steps = [list(TaskState).index(report.tasks[0].state) for report in seen]
    assert steps == sorted(steps), "a restart is no step back"
    assert not seen[-1].tasks[0].is_ready


@pytest.mark.parametrize(("when", "code"), [("never", 7), ("on_failure", 0), ("never", 0)])
def test_a_service_whose_policy_says_so_is_not_restarted(rig: Rig, when: RestartWhen, code: int) -> None:
    """A service whose policy says so is not restarted."""
    need_services(rig)
    ended = rig.ended(rig.start(lasts_s=0.2, exit_code=code, service=policy(when)))
    assert (ended.exit_code, ended.tasks[0].restarts) == (code, 0)


def test_a_service_is_restarted_after_success_if_its_policy_says_always(rig: Rig) -> None:
    """A service is restarted after success if its policy says always."""
    need_services(rig)
    attempt_id = rig.start(lasts_s=0.2, service=policy("always", 2))
    assert rig.ended(attempt_id).tasks[0].restarts == 2


def test_a_service_between_two_runs_is_stopped(rig: Rig) -> None:
    """A service between two runs is stopped."""
    need_services(rig)
    slow = RestartPolicy("always", backoff_s=LONG_S, backoff_max_s=LONG_S)
    attempt_id = rig.start(lasts_s=0.2, service=ServiceOrder(restart=slow))
    ready(rig, attempt_id)
    rig.until(lambda: not rig.report(attempt_id).tasks[0].is_ready)
    assert rig.report(attempt_id).state is TaskState.RUNNING
    value_of(rig.engine.stop(attempt_id, grace_s=1))
    ended = rig.ended(attempt_id)
    assert (ended.end_reason, ended.tasks[0].restarts) == (EndReason.STOPPED, 0)


def test_a_drained_service_is_not_ready_and_ends_stopped(rig: Rig) -> None:
    """A drained service is not ready and ends stopped."""
    need_services(rig)
    attempt_id = rig.start(lasts_s=LONG_S, service=ServiceOrder())
    ready(rig, attempt_id)
    assert value_of(rig.engine.drain(attempt_id, grace_s=5)) is None
    assert value_of(rig.engine.drain(attempt_id, grace_s=5)) is None
    rig.until(lambda: not rig.report(attempt_id).tasks[0].is_ready)
    while rig.report(attempt_id).state is not TaskState.EXITED:
        assert not rig.report(attempt_id).tasks[0].is_ready, "what is drained takes no more requests"
        rig.pause()
    assert rig.report(attempt_id).end_reason is EndReason.STOPPED


def test_draining_what_never_started_keeps_it_from_starting(rig: Rig) -> None:
    """Draining what never started keeps it from starting."""
    need_services(rig)
    order = rig.order(lasts_s=LONG_S, service=ServiceOrder())
    assert rig.engine.drain(order.attempt_id, grace_s=1) == Done(None)
    rig.engine.start(order)
    for _ in range(10):
        report = value_of(rig.engine.probe(order.attempt_id))
        assert report is None or report.state is TaskState.EXITED
        rig.pause()


def test_draining_what_is_no_service_or_has_ended_is_a_stop(rig: Rig) -> None:
    """Draining what is no service or has ended is a stop."""
    need_services(rig)
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    value_of(rig.engine.drain(attempt_id, grace_s=1))
    ended = rig.ended(attempt_id)
    assert ended.end_reason is EndReason.STOPPED
    value_of(rig.engine.drain(attempt_id, grace_s=1))
    assert rig.report(attempt_id) == ended


def test_observations_tell_readiness_and_restarts(rig: Rig) -> None:
    """Observations tell readiness and restarts."""
    need_services(rig)
    rig.start(lasts_s=0.4, exit_code=1, service=policy("on_failure", 1))
    cursor, told = "", set[tuple[int, bool]]()

    def over() -> bool:
        nonlocal cursor
        seen = value_of(rig.engine.observe(cursor))
        cursor = seen.cursor
        told.update((report.tasks[0].restarts, report.tasks[0].is_ready) for report in seen.reports)
        return any(report.state is TaskState.EXITED for report in seen.reports)

    rig.until(over, within_s=40.0)
    assert {(0, True), (1, True), (1, False)} <= told


def test_restarts_and_endpoints_are_told_after_a_restart_of_the_engine(rig: Rig) -> None:
    """Restarts and endpoints are told after a restart of the engine."""
    need_services(rig)
    once = ServiceOrder(restart=RestartPolicy("always", maximum=5, backoff_s=0.05))
    attempt_id = rig.start(lasts_s=1.0, service=once)
    rig.until(lambda: rig.report(attempt_id).tasks[0].restarts >= 1, within_s=40.0)
    before = rig.report(attempt_id).tasks[0]
    rig.restart()
    after = rig.report(attempt_id).tasks[0]
    assert after.restarts >= before.restarts and after.endpoints == before.endpoints


@pytest.mark.parametrize(
    "service",
    [
        ServiceOrder(ports=(WEB, WEB)),
        ServiceOrder(ports=(ServicePort("../x", 8080),)),
        ServiceOrder(ports=(ServicePort("web", 80),)),
        ServiceOrder(ports=(ServicePort("web", 70_000),)),
        ServiceOrder(readiness=Probe("http", port="web")),
        ServiceOrder(liveness=Probe("exec")),
        ServiceOrder(ports=(WEB,), readiness=Probe("http", port="web", path="/a\r\nX: y")),
        ServiceOrder(restart=RestartPolicy(maximum=-1)),
        ServiceOrder(restart=RestartPolicy(maximum=10**9)),
    ],
)
def test_a_service_that_cannot_be_right_is_refused(rig: Rig, service: ServiceOrder) -> None:
    """A service that cannot be right is refused."""
    need_services(rig)
    order = rig.order(service=service)
    answer = rig.engine.start(order)
    assert isinstance(answer, Refused) and answer.code == "bad_service", answer
    assert value_of(rig.engine.probe(order.attempt_id)) is None


def _call(address: str, request: bytes) -> bytes:
    with connect_unix(address, 10.0) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def test_a_port_of_a_program_is_reached_at_its_endpoint(code_rig: Rig) -> None:
    """A port of a program is reached at its endpoint."""
    need_services(code_rig)
    check = Probe("http", port="web", period_s=0.2, timeout_s=5.0)
    order = code_rig.order(
        script=f"echo hello > page.txt; {SERVER}", service=ServiceOrder(ports=(WEB,), readiness=check)
    )
    if isinstance(answer := code_rig.engine.start(order), Refused):
        assert answer.code == "no_ports"
        return
    (endpoint,) = ready(code_rig, order.attempt_id).tasks[0].endpoints
    if endpoint.address.startswith("unix:"):
        answer_bytes = _call(endpoint.address, b"GET /page.txt HTTP/1.0\r\n\r\n")
        assert b"200" in answer_bytes.split(b"\r\n")[0] and answer_bytes.endswith(b"hello\n")


def test_drain_waits_for_open_connections(code_rig: Rig) -> None:
    """Drain waits for open connections."""
    need_services(code_rig)
    check = Probe("tcp", port="web", period_s=0.2, timeout_s=5.0)
    order = code_rig.order(script=SERVER, service=ServiceOrder(ports=(WEB,), readiness=check))
    if isinstance(code_rig.engine.start(order), Refused):
        return
    (endpoint,) = ready(code_rig, order.attempt_id).tasks[0].endpoints
    if not endpoint.address.startswith("unix:"):
        return
    with connect_unix(endpoint.address, 10.0) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")  # a request that has begun
        for _ in range(20):
            code_rig.pause()
        value_of(code_rig.engine.drain(order.attempt_id, grace_s=60))
        code_rig.until(lambda: not code_rig.report(order.attempt_id).tasks[0].is_ready)
        for _ in range(30):
            code_rig.pause()
        assert code_rig.report(order.attempt_id).state is TaskState.RUNNING, "a request is being answered"
    assert code_rig.ended(order.attempt_id).end_reason is EndReason.STOPPED


def test_readiness_follows_what_the_program_says(code_rig: Rig) -> None:
    """Readiness follows what the program says."""
    need_services(code_rig)
    attempt_id = code_rig.start(
        script="sleep 0.5; touch open; sleep 600", service=ServiceOrder(readiness=OPEN)
    )
    code_rig.running(attempt_id)
    assert not code_rig.report(attempt_id).tasks[0].is_ready
    ready(code_rig, attempt_id)


def test_a_program_that_no_longer_works_is_killed_and_started_again(code_rig: Rig) -> None:
    """A program that no longer works is killed and started again."""
    need_services(code_rig)
    service = ServiceOrder(liveness=OPEN, startup_grace_s=1.0, restart=FAST)
    attempt_id = code_rig.start(
        script="echo run >> runs; [ $(wc -l < runs) = 1 ] || touch open; sleep 600", service=service
    )
    code_rig.until(lambda: code_rig.report(attempt_id).tasks[0].restarts == 1, within_s=40.0)
    for _ in range(50):
        code_rig.pause()
    report = code_rig.report(attempt_id)
    assert (report.state, report.tasks[0].restarts) == (TaskState.RUNNING, 1), "the second run works"


def test_the_log_goes_on_over_restarts(code_rig: Rig) -> None:
    """The log goes on over restarts."""
    need_services(code_rig)
    attempt_id = code_rig.start(script="echo once; exit 3", service=policy("on_failure", 2))
    code_rig.ended(attempt_id)
    assert code_rig.log(attempt_id) == b"once\n" * 3
