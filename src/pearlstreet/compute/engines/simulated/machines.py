"""Reports of the simulated machines: device use by running attempts, broken devices, double allocations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from pearlstreet.base.text import text
from pearlstreet.compute.engines import orders
from pearlstreet.compute.engines.protocol import DeviceReport, NodeReport
from pearlstreet.compute.engines.simulated import synthetic_output
from pearlstreet.compute.engines.simulated.keyed_random import KeyedRandom
from pearlstreet.compute.engines.simulated.layout import IDLE_POWER_SHARE
from pearlstreet.compute.engines.simulated.memory import WHOLE_NODE, Attempt
from pearlstreet.compute.engines.simulated.synthetic_output import DeviceTraits
from pearlstreet.compute.hardware.isolation import SIMULATED

_Place = tuple[str, int]


class Machines:
    """The nodes of a cluster. A node's report is cached until its running attempts or broken parts change."""

    def __init__(self, nodes: Sequence[NodeReport], random: KeyedRandom) -> None:
        self.by_name = {node.name: replace(node, isolation=node.isolation or SIMULATED) for node in nodes}
        self.traits: Mapping[_Place, DeviceTraits] = dict(_traits(nodes))
        self._random = random
        self._cache: dict[str, tuple[object, NodeReport]] = {}

    def set_isolation(self, name: str, level: str) -> None:
        """Make a node report this isolation level."""
        self.by_name[name] = replace(self.by_name[name], isolation=level)
        self._cache.pop(name, None)

    def usable(self, broken: Collection[_Place]) -> Mapping[str, NodeReport]:
        """Return the nodes by name, without their broken devices and without broken nodes."""
        if not broken:
            return self.by_name
        failed: dict[str, set[int]] = defaultdict(set)
        for name, index in broken:
            failed[name].add(index)
        return {
            name: replace(node, devices=tuple(d for d in node.devices if d.index not in failed[name]))
            if name in failed
            else node
            for name, node in self.by_name.items()
            if WHOLE_NODE not in failed.get(name, ())
        }

    def add_errors(self, name: str, index: int, counter: str, amount: float) -> None:
        """Raise an error counter of a device; `amount` below 0 lowers it."""

        def counted(device: DeviceReport) -> DeviceReport:
            if device.index != index:
                return device
            return replace(
                device, counters={**device.counters, counter: device.counters.get(counter, 0.0) + amount}
            )

        node = self.by_name[name]
        self.by_name[name] = replace(node, devices=tuple(counted(device) for device in node.devices))
        self._cache.pop(name, None)

    def look(self, live: Collection[Attempt], broken: Collection[_Place], now_us: int) -> list[NodeReport]:
        """Return the report of every node at `now_us`, in order."""
        running: dict[str, list[tuple[Attempt, int]]] = defaultdict(list)
        for attempt in live:
            if attempt.timeline.starts_us <= now_us < attempt.timeline.ends_us:
                for task in attempt.kept.tasks:
                    running[task.node].append((attempt, task.rank))
        failed: dict[str, set[int]] = defaultdict(set)
        for name, index in broken:
            failed[name].add(index)
        return [
            self._report(node, running.get(node.name, []), failed.get(node.name, set()))
            for node in self.by_name.values()
        ]

    def _report(self, node: NodeReport, running: list[tuple[Attempt, int]], failed: set[int]) -> NodeReport:
        if not running and not failed:
            return node
        key = (tuple((attempt.kept.attempt_id, rank) for attempt, rank in running), frozenset(failed))
        cached = self._cache.get(node.name)
        if cached is not None and cached[0] == key:
            return cached[1]
        use = self._use(running)
        devices = tuple(
            _broken_device(device) if device.index in failed else _busy_device(device, use.get(device.index))
            for device in node.devices
        )
        report = replace(node, devices=devices)
        if WHOLE_NODE in failed:
            report = replace(report, healthy=False, health_reason=text("Node {node} failed", node=node.name))
        self._cache[node.name] = (key, report)
        return report

    def _use(self, running: list[tuple[Attempt, int]]) -> dict[int, tuple[float, float]]:
        """Return device index → (allocated share 0–1, utilization in percent)."""
        use: dict[int, tuple[float, float]] = {}
        for attempt, rank in running:
            task = attempt.kept.tasks[rank]
            percent = synthetic_output.device_use_percent(self._random, attempt.kept.attempt_id, rank)
            for grant in task.devices:
                trait = self.traits.get((task.node, grant.index))
                if trait is not None:
                    share = orders.device_share(grant, trait.memory_gib)
                    before = use.get(grant.index, (0.0, 0.0))
                    use[grant.index] = (
                        min(1.0, before[0] + share),
                        min(100.0, before[1] + percent * share),
                    )
        return use


def double_grants(attempts: Collection[Attempt], traits: Mapping[_Place, DeviceTraits]) -> Iterator[str]:
    """Yield a description of each device that attempts together held beyond its capacity at some time."""
    moments: dict[_Place, list[tuple[int, float, str]]] = defaultdict(list)
    for attempt in attempts:
        begin_us, end_us = attempt.timeline.accepted_us, attempt.timeline.ends_us
        for task in attempt.kept.tasks:
            for grant in task.devices:
                trait = traits.get((task.node, grant.index))
                share = orders.device_share(grant, trait.memory_gib) if trait is not None else 0.0
                place = moments[task.node, grant.index]
                place.append((begin_us, share, attempt.kept.attempt_id))
                place.append((max(end_us, begin_us), -share, attempt.kept.attempt_id))
    for (node, index), changes in moments.items():
        held = 0.0
        for _, share, attempt_id in sorted(changes):
            held += share
            if held > 1 + 1e-6:
                yield f"{node} device {index}: {attempt_id} and others hold {held:.2f} of it at once"
                break


def _traits(nodes: Sequence[NodeReport]) -> Iterator[tuple[_Place, DeviceTraits]]:
    for node in nodes:
        for device in node.devices:
            full_w = device.power_w / IDLE_POWER_SHARE if device.power_w is not None else None
            yield (node.name, device.index), DeviceTraits(device.memory_gib, full_w)


def _busy_device(device: DeviceReport, use: tuple[float, float] | None) -> DeviceReport:
    if use is None:
        return device
    share, percent = use
    power_w = device.power_w
    if power_w is not None:
        power_w = round(power_w / IDLE_POWER_SHARE * (IDLE_POWER_SHARE + 0.8 * percent / 100), 1)
    return replace(
        device,
        utilization_percent=round(percent, 1),
        memory_used_gib=round(device.memory_gib * share * synthetic_output.DEVICE_MEMORY_SHARE, 2),
        temperature_c=round(34 + 0.4 * percent, 1),
        power_w=power_w,
    )


def _broken_device(device: DeviceReport) -> DeviceReport:
    return replace(
        device,
        healthy=False,
        health_reason=text("This device failed"),
        utilization_percent=None,
        power_w=None,
    )
