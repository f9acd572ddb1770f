"""Small random centers for the planner's properties."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st
from tests.property.naive_planner import Device, Node, make_nodes, share_on

from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.model import Snapshot
from pearlstreet.compute.scheduling.rows import (
    Account,
    DeviceRow,
    DeviceUse,
    NodeRow,
    Quota,
    Request,
    RunningAttempt,
    ShareRequest,
    TaskUse,
    Usage,
    WaitingJob,
)

NOW_US = 1_000_000_000_000
MODELS = ("a100-80g", "t4")
PFLOPS = {"a100-80g": 0.3, "t4": 0.06}
TOTAL_MIB = {"a100-80g": 80, "t4": 16}
ORGS = ("red", "blue")


@dataclass(frozen=True)
class World:
    nodes: tuple[NodeRow, ...]
    running: tuple[RunningAttempt, ...]
    waiting: tuple[WaitingJob, ...]
    quotas: tuple[Quota, ...] = ()
    accounts: tuple[Account, ...] = ()

    def snapshot(self) -> Snapshot:
        return build(
            now_us=NOW_US,
            nodes=self.nodes,
            running=self.running,
            waiting=self.waiting,
            quotas=self.quotas,
            accounts=self.accounts,
            pflops_of=PFLOPS.__getitem__,
        )

    def after(self) -> dict[str, Node]:
        """The naive model's nodes with what runs taken out."""
        return make_nodes(list(self.nodes), list(self.running))


@st.composite
def node_rows(draw: st.DrawFn, number: int) -> NodeRow:
    model = draw(st.sampled_from(MODELS))
    mixed = draw(st.integers(0, 5)) == 0
    devices = tuple(
        DeviceRow(
            index=j * 2,  # the engine's numbers are not positions
            model=(m := draw(st.sampled_from(MODELS)) if mixed else model),
            memory_mib=TOTAL_MIB[m],
            healthy=draw(st.integers(0, 9)) > 0,
            link_group=j // 2,
        )
        for j in range(draw(st.integers(0, 4)))
    )
    return NodeRow(
        name=f"n{number}",
        cpu_milli=draw(st.sampled_from([2000, 4000, 8000])),
        memory_mib=draw(st.sampled_from([16, 64])),
        devices=devices,
        schedulable=draw(st.integers(0, 9)) > 0,
        rack=draw(st.sampled_from(["", "r1", "r2"])),
        pod=draw(st.sampled_from(["", "p1"])),
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    kind = draw(st.integers(0, 4))
    pattern = draw(st.sampled_from([(), ("any",), ("a100",), ("T4",), ("H100",)]))
    share = None
    if kind == 0:
        share = ShareRequest(draw(st.sampled_from([0, 4, 8, 20])), draw(st.sampled_from([1000, 3300, 5000])))
    return Request(
        accelerators=pattern if kind else (pattern or ("any",)),
        count=draw(st.integers(1, 5)) if kind > 1 else 0,
        share=share,
        cpu_milli=draw(st.sampled_from([0, 500, 1000, 3000])),
        memory_mib=draw(st.sampled_from([0, 1, 8])),
    )


@st.composite
def waiting_jobs(draw: st.DrawFn, number: int, request: Request) -> WaitingJob:
    array = draw(st.sampled_from(["", "", "arr"]))
    return WaitingJob(
        id=f"j{number}",
        org=(org := draw(st.sampled_from(ORGS))),
        project=f"{org}-{draw(st.integers(0, 1))}",
        request=request,
        tasks=draw(st.sampled_from([1, 1, 1, 2, 3, 6])),
        priority=draw(st.sampled_from([0, 0, 5])),
        submitted_us=draw(st.integers(1, 6)),
        time_limit_s=draw(st.sampled_from([None, 10.0, 100.0, 1000.0])),
        not_before_us=NOW_US + 1 if draw(st.integers(0, 14)) == 0 else 0,
        deadline_us=draw(st.sampled_from([0, 0, NOW_US + 1, NOW_US + 2])),
        array=array,
        element=number,
        array_limit=draw(st.sampled_from([None, 2])) if array else None,
    )


@st.composite
def attempts(draw: st.DrawFn, number: int, nodes: dict[str, Node]) -> RunningAttempt | None:
    """An attempt that fits what is still free on `nodes`, which it is taken out of."""
    tasks = []
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        node = nodes[draw(st.sampled_from(sorted(nodes)))]
        uses: list[DeviceUse] = []
        whole = draw(st.booleans())
        for device in node.devices[: draw(st.integers(0, 3))]:
            use = _use(device, whole)
            if use is not None:
                uses.append(use)
        cpu = min(node.cpu, 500)
        node.cpu -= cpu
        tasks.append(TaskUse(node.name, cpu, 0, tuple(uses)))
    org = draw(st.sampled_from(ORGS))
    return RunningAttempt(
        id=f"t{number}",
        job_id=f"run{number}",
        org=org,
        project=f"{org}-0",
        tasks=tuple(tasks),
        priority=draw(st.sampled_from([-5, 0])),
        started_us=NOW_US - draw(st.sampled_from([1, 700, 5000])) * 1_000_000,
        expected_end_us=draw(st.sampled_from([None, NOW_US + 50_000_000, NOW_US + 500_000_000])),
        preemptible=draw(st.booleans()),
        ending=draw(st.integers(0, 9)) == 0,
        array=draw(st.sampled_from(["", "arr"])),
    )


def _use(device: Device, whole: bool) -> DeviceUse | None:
    if whole:
        if device.memory < device.total or device.compute < 10_000:
            return None
        device.memory = device.compute = 0
        return DeviceUse(device.index)
    share = share_on(Request(share=ShareRequest(0, 3000)), device.total)
    if share.memory_mib > device.memory or share.compute_bp > device.compute:
        return None
    device.memory -= share.memory_mib
    device.compute -= share.compute_bp
    return DeviceUse(device.index, share.memory_mib, share.compute_bp)


@st.composite
def quota_rows(draw: st.DrawFn) -> Quota:
    org = draw(st.sampled_from(ORGS))
    resource = draw(st.sampled_from(["pflops", "cards", "cpus", "cards:a100"]))
    unit = 0.3 if resource == "pflops" else 1.0
    guaranteed = draw(st.sampled_from([None, 0, 2, 4]))
    return Quota(
        org=org,
        resource=resource,
        project=draw(st.sampled_from(["", f"{org}-0"])),
        guaranteed=None if guaranteed is None else guaranteed * unit,
        maximum=draw(st.sampled_from([None, 4 * unit, 6 * unit])),
        borrow=draw(st.booleans()),
    )


@st.composite
def worlds(draw: st.DrawFn, *, quotas: bool = True) -> World:
    nodes = tuple(draw(node_rows(i)) for i in range(draw(st.integers(1, 6))))
    free = make_nodes(list(nodes), [])
    running = [draw(attempts(i, free)) for i in range(draw(st.integers(0, 5)))]
    kinds = [draw(requests()) for _ in range(draw(st.integers(1, 4)))]
    waiting = tuple(
        draw(waiting_jobs(i, draw(st.sampled_from(kinds)))) for i in range(draw(st.integers(0, 14)))
    )
    rows = tuple(draw(quota_rows()) for _ in range(draw(st.integers(0, 3)))) if quotas else ()
    accounts = tuple(
        Account(org, f"{org}-0", Usage(draw(st.sampled_from([0.0, 3.0, 50.0]))), org_weight=weight)
        for org, weight in (("red", 1.0), ("blue", draw(st.sampled_from([1.0, 3.0]))))
    )
    return World(nodes, tuple(r for r in running if r is not None), waiting, rows, accounts)


def renamed(world: World, order: list[int]) -> World:
    """The same center with its nodes listed in another order under other names."""
    names = {row.name: f"m{len(order) - i}" for i, row in enumerate(world.nodes)}
    nodes = tuple(replace(world.nodes[i], name=names[world.nodes[i].name]) for i in order)
    running = tuple(
        replace(attempt, tasks=tuple(replace(task, node=names[task.node]) for task in attempt.tasks))
        for attempt in world.running
    )
    return replace(world, nodes=nodes, running=running)
