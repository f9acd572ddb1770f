"""Registry of all fault kinds, one entry each. A world's seed selects the kinds that occur in it."""

from __future__ import annotations

from pearlstreet.compute.engines.simulated import Fault
from pearlstreet.sim.faults import clients, engine, process
from pearlstreet.sim.faults.kind import Kind
from pearlstreet.sim.faults.points import InjectionPoint

_ACTS = frozenset({"start", "stop", "forget"})
_ASKS = frozenset(
    {"probe", "scan", "observe", "nodes", "read_log", "read_metrics", "list_outputs", "read_output"}
)
_START, _PROBE, _SCAN, _NODES = (frozenset({name}) for name in ("start", "probe", "scan", "nodes"))
_READ_LOG, _READ_OUTPUT = frozenset({"read_log"}), frozenset({"read_output"})
_CALLS = _ACTS | _PROBE | {"list_outputs", "read_output"}
_STARTED = frozenset({"start", "stop"})


def _line(
    name: str,
    inject: engine.Injection,
    methods: frozenset[str],
    does: str,
    weight: float = 1.0,
    traits: str = "",
) -> Kind:
    return Kind(name, InjectionPoint.ENGINE, inject, does, methods, weight, frozenset(traits.split()))


_own = engine.engine_fault

KINDS: tuple[Kind, ...] = (
    # The connection to the engine
    _line("request_lost", _own(Fault.REQUEST_LOST, engine.unknown), _ACTS, "a request never arrives"),
    _line("report_lost", _own(Fault.REQUEST_LOST, engine.unknown), _ASKS, "a question is not answered"),
    _line("ack_lost", _own(Fault.ACK_LOST, engine.unknown), _ACTS, "it is done, the answer is lost"),
    _line("done_twice", _own(Fault.DONE_TWICE, engine.always), _ACTS, "a request arrives twice"),
    _line("request_delayed", engine.request_delayed, _STARTED, "a request arrives after later ones"),
    _line("engine_slow", _own(Fault.SLOW, engine.always, 8.0), _ACTS | _ASKS, "a call takes long", 0.4),
    _line("engine_refuses", _own(Fault.REFUSES, engine.refused), _START, "a good order is refused"),
    _line("engine_errors", _own(Fault.ERRORS, engine.retry, 1.0), _ACTS | _ASKS, "a call fails"),
    _line("wrong_state", _own(Fault.WRONG_STATE, engine.not_the_truth), _PROBE, "a report says starting"),
    _line(
        "clock_off", _own(Fault.CLOCK_OFF, engine.not_the_truth, 600.0), _PROBE, "reported times are ahead"
    ),
    _line("clock_behind", _own(Fault.CLOCK_OFF, engine.not_the_truth, -600.0), _PROBE, "reported times lag"),
    _line("report_reordered", engine.report_reordered, _PROBE, "an older report comes last"),
    _line(
        "orphan_appears",
        _own(Fault.ORPHAN_APPEARS, engine.always),
        _SCAN,
        "an attempt that was never ordered runs",
        3,
    ),
    _line(
        "partial_gang", _own(Fault.PARTIAL_GANG, engine.half_a_gang), _START, "half a gang starts", 8, "gang"
    ),
    _line(
        "scan_truncated", _own(Fault.SCAN_TRUNCATED, engine.fewer_than_there_are), _SCAN, "a list is cut", 3
    ),
    _line("scan_stale", _own(Fault.SCAN_STALE, engine.fewer_than_there_are), _SCAN, "a list is old", 3),
    _line("events_lost", engine.events_lost, frozenset({"observe"}), "changes are not told", 3),
    _line("log_repeats", _own(Fault.LOG_REPEATS, engine.always), _READ_LOG, "log bytes repeat", 4),
    _line("log_missing", engine.log_missing, _READ_LOG, "a log is gone", 4),
    _line("outputs_unlisted", engine.outputs_unlisted, frozenset({"list_outputs"}), "outputs are not listed"),
    _line(
        "outputs_unreadable",
        engine.outputs_unreadable,
        _READ_OUTPUT,
        "an output cannot be read",
        8,
    ),
    _line("artefact_store_full", engine.artefact_store_full, _READ_OUTPUT, "no space for artefacts", 8),
    _line("prepare_fails", engine.prepare_fails, _START, "a preparation fails", 20, "build"),
    _line(
        "node_flaps", _own(Fault.NODE_FLAPS, engine.fewer_than_there_are), _NODES, "a node is missing once"
    ),
    _line(
        "devices_shrink",
        _own(Fault.DEVICES_SHRINK, engine.fewer_than_there_are),
        _NODES,
        "devices are missing",
    ),
    # The machines
    Kind("device_fails", InjectionPoint.WORLD, engine.device_fails, "a device breaks"),
    Kind("node_gone", InjectionPoint.WORLD, engine.node_gone, "a machine fails"),
    Kind("engine_forgets", InjectionPoint.WORLD, engine.engine_forgets, "an attempt is gone without trace"),
    Kind("task_killed", InjectionPoint.WORLD, engine.task_killed, "a task is killed for memory"),
    Kind("task_exits", InjectionPoint.WORLD, engine.task_exits, "a task ends by itself"),
    Kind("stuck_start", InjectionPoint.WORLD, engine.stuck_start, "an attempt never starts to run"),
    _line("stuck_stop", engine.stuck_stop, frozenset({"stop"}), "an attempt takes long to stop", 3),
    # The server's process
    Kind(
        "crash_before_commit",
        InjectionPoint.BEFORE_COMMIT,
        process.crash_before_commit,
        "the server dies uncommitted",
    ),
    Kind(
        "crash_after_commit",
        InjectionPoint.AFTER_COMMIT,
        process.crash_after_commit,
        "the server dies unanswered",
    ),
    _line("crash_before_act", process.crash_before_act, _ACTS, "the server dies before it acts"),
    _line("crash_after_act", process.crash_after_act, _ACTS, "the server dies before it writes"),
    _line("paused", process.paused, _CALLS, "the server stands still after a call, another takes over", 2),
    Kind(
        "paused_before_write",
        InjectionPoint.BEFORE_WRITE,
        process.paused_before_write,
        "the server stands still before a write, another takes over",
    ),
    Kind(
        "plan_outdated",
        InjectionPoint.BEFORE_WRITE,
        clients.plan_outdated,
        "limits change under a plan",
        weight=3,
    ),
    _line("lease_lost", process.lease_lost, _CALLS, "a call outlasts its lease", 0.5),
    Kind("second_server", InjectionPoint.WORLD, process.second_server, "two servers contend"),
    # The server's store, hints and clock
    Kind("disk_full", InjectionPoint.BEFORE_COMMIT, process.disk_full, "the database's disk is full"),
    Kind("disk_fails", InjectionPoint.BEFORE_COMMIT, process.disk_fails, "the database's disk fails"),
    Kind("write_conflict", InjectionPoint.BEFORE_WRITE, process.write_conflict, "a write meets another"),
    Kind(
        "commit_untold", InjectionPoint.AFTER_COMMIT, process.commit_untold, "a kept commit is called failed"
    ),
    Kind("read_fails", InjectionPoint.BEFORE_READ, process.read_fails, "a query fails"),
    Kind("hint_lost", InjectionPoint.HINT, process.hint_lost, "a loop is not woken"),
    Kind("hint_storm", InjectionPoint.WORLD, process.hint_storm, "every loop is woken for nothing"),
    Kind("clock_jumps", InjectionPoint.WORLD, process.clock_jumps, "the wall clock is set ahead", weight=0.5),
    Kind(
        "clock_steps_back",
        InjectionPoint.WORLD,
        process.clock_steps_back,
        "the wall clock is set back",
        weight=0.5,
    ),
    # People
    Kind("sent_twice", InjectionPoint.CLIENT, clients.sent_twice, "a request is repeated under its key"),
    Kind(
        "body_changed",
        InjectionPoint.CLIENT,
        clients.body_changed,
        "a key comes with another body",
        weight=0.5,
    ),
    _line(
        "cancel_in_flight",
        clients.cancel_in_flight,
        _START,
        "a job is cancelled while it starts",
        1,
        "job gang",
    ),
    Kind("key_revoked", InjectionPoint.WORLD, clients.key_revoked, "a key is revoked"),
    Kind("quota_cut", InjectionPoint.WORLD, clients.quota_cut, "a quota is cut"),
    Kind("balance_gone", InjectionPoint.WORLD, clients.balance_gone, "the money is gone"),
    Kind("price_change", InjectionPoint.WORLD, clients.price_change, "prices change", weight=0.5),
    Kind("budget_hit", InjectionPoint.WORLD, clients.budget_hit, "a budget is reached", weight=0.5),
    Kind("urgent_job", InjectionPoint.WORLD, clients.urgent_job, "a guarantee is claimed from borrowers"),
    Kind("burst", InjectionPoint.WORLD, clients.burst, "a tenant submits a burst", weight=0.5),
    Kind("node_drained", InjectionPoint.WORLD, clients.node_drained, "a node is drained"),
    Kind("org_suspended", InjectionPoint.WORLD, clients.org_suspended, "a tenant is suspended", weight=0.5),
)

BY_NAME = {kind.name: kind for kind in KINDS}
