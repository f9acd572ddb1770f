"""Small random centers for the planner's properties."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.property.dice import Dice, drawn
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


def node_row(dice: Dice, number: int) -> NodeRow:
    model = dice.pick(MODELS)
    mixed = dice.integer(0, 5) == 0
    devices = tuple(
        DeviceRow(
            index=j * 2,  # the engine's numbers are not positions
            model=(m := dice.pick(MODELS) if mixed else model),
            memory_mib=TOTAL_MIB[m],
            healthy=dice.integer(0, 9) > 0,
            link_group=j // 2,
        )
        for j in range(dice.integer(0, 4))
    )
    return NodeRow(
        name=f"n{number}",
        cpu_milli=dice.pick([2000, 4000, 8000]),
        memory_mib=dice.pick([16, 64]),
        devices=devices,
        schedulable=dice.integer(0, 9) > 0,
        rack=dice.pick(["", "r1", "r2"]),
        pod=dice.pick(["", "p1"]),
    )


def request_of(dice: Dice) -> Request:
    kind = dice.integer(0, 4)
    pattern = dice.pick([(), ("any",), ("a100",), ("T4",), ("H100",)])
    share = None
    if kind == 0:
        share = ShareRequest(dice.pick([0, 4, 8, 20]), dice.pick([1000, 3300, 5000]))
    return Request(
        accelerators=pattern if kind else (pattern or ("any",)),
        count=dice.integer(1, 5) if kind > 1 else 0,
        share=share,
        cpu_milli=dice.pick([0, 500, 1000, 3000]),
        memory_mib=dice.pick([0, 1, 8]),
    )


def waiting_job(dice: Dice, number: int, request: Request) -> WaitingJob:
    array = dice.pick(["", "", "arr"])
    return WaitingJob(
        id=f"j{number}",
        org=(org := dice.pick(ORGS)),
        project=f"{org}-{dice.integer(0, 1)}",
        request=request,
        tasks=dice.pick([1, 1, 1, 2, 3, 6]),
        priority=dice.pick([0, 0, 5]),
        submitted_us=dice.integer(1, 6),
        time_limit_s=dice.pick([None, 10.0, 100.0, 1000.0]),
        not_before_us=NOW_US + 1 if dice.integer(0, 14) == 0 else 0,
        deadline_us=dice.pick([0, 0, NOW_US + 1, NOW_US + 2]),
        array=array,
        element=number,
        array_limit=dice.pick([None, 2]) if array else None,
    )


def attempt_on(dice: Dice, number: int, nodes: dict[str, Node]) -> RunningAttempt | None:
    """An attempt that fits what is still free on `nodes`, which it is taken out of."""
    tasks = []
    for _ in range(dice.pick([1, 1, 2])):
        node = nodes[dice.pick(sorted(nodes))]
        uses: list[DeviceUse] = []
        whole = dice.yes()
        for device in node.devices[: dice.integer(0, 3)]:
            use = _use(device, whole)
            if use is not None:
                uses.append(use)
        cpu = min(node.cpu, 500)
        node.cpu -= cpu
        tasks.append(TaskUse(node.name, cpu, 0, tuple(uses)))
    org = dice.pick(ORGS)
    return RunningAttempt(
        id=f"t{number}",
        job_id=f"run{number}",
        org=org,
        project=f"{org}-0",
        tasks=tuple(tasks),
        priority=dice.pick([-5, 0]),
        started_us=NOW_US - dice.pick([1, 700, 5000]) * 1_000_000,
        expected_end_us=dice.pick([None, NOW_US + 50_000_000, NOW_US + 500_000_000]),
        preemptible=dice.yes(),
        ending=dice.integer(0, 9) == 0,
        array=dice.pick(["", "arr"]),
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


def quota_row(dice: Dice) -> Quota:
    org = dice.pick(ORGS)
    resource = dice.pick(["pflops", "cards", "cpus", "cards:a100"])
    unit = 0.3 if resource == "pflops" else 1.0
    guaranteed = dice.pick([None, 0, 2, 4])
    return Quota(
        org=org,
        resource=resource,
        project=dice.pick(["", f"{org}-0"]),
        guaranteed=None if guaranteed is None else guaranteed * unit,
        maximum=dice.pick([None, 4 * unit, 6 * unit]),
        borrow=dice.yes(),
    )


def world(dice: Dice, *, quotas: bool = True) -> World:
    nodes = tuple(node_row(dice, i) for i in range(dice.integer(1, 6)))
    free = make_nodes(list(nodes), [])
    running = [attempt_on(dice, i, free) for i in range(dice.integer(0, 5))]
    kinds = [request_of(dice) for _ in range(dice.integer(1, 4))]
    waiting = tuple(waiting_job(dice, i, dice.pick(kinds)) for i in range(dice.integer(0, 14)))
    rows = tuple(quota_row(dice) for _ in range(dice.integer(0, 3))) if quotas else ()
    accounts = tuple(
        Account(org, f"{org}-0", Usage(dice.pick([0.0, 3.0, 50.0])), org_weight=weight)
        for org, weight in (("red", 1.0), ("blue", dice.pick([1.0, 3.0])))
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


requests = drawn(request_of)
quota_rows = drawn(quota_row)
worlds = drawn(world)
