"""Builds the placements of a plan, with their explanations, from what a cycle allocated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.scheduling.capacity import Chunk, FreeCapacity, Need
from pearlstreet.compute.scheduling.model import I64, Snapshot
from pearlstreet.compute.scheduling.placement.protocol import NO_MORE, Choice
from pearlstreet.compute.scheduling.plan import (
    LOSES_MORE,
    PACKS_WORSE,
    SCORES_WORSE,
    Alternative,
    Chosen,
    DeviceGiven,
    Placement,
    TaskPlace,
)


@dataclass(frozen=True, slots=True)
class Given:
    """A job that was placed in this cycle."""

    row: int
    need: Need
    chunks: tuple[Chunk, ...]
    backfilled: bool
    borrowing: bool
    by: str
    """The placement policy."""
    choice: Choice | None = None


def placements(
    snapshot: Snapshot, capacity: FreeCapacity, given: Sequence[Given], position: I64
) -> tuple[Placement, ...]:
    """Return one placement a job, in the order they were decided."""
    used = sorted({chunk.node for item in given for chunk in item.chunks})
    at = {node: number for number, node in enumerate(used)}
    rows = np.array(used, dtype=np.int64)
    left = capacity.whole(-1, rows, False).sum(axis=1).tolist()
    total = capacity.topology_cache.devices[rows].tolist()
    index = snapshot.nodes.device_index[rows].tolist()
    place_of = snapshot.nodes.names
    rack, pod = capacity.rack[rows].tolist(), capacity.pod[rows].tolist()
    result = []
    for item in given:
        need = item.need
        tasks = tuple(
            TaskPlace(
                place_of[chunk.node],
                chunk.node,
                tuple(
                    DeviceGiven(index[at[chunk.node]][d], memory, compute, not need.is_share)
                    for d, memory, compute in zip(chunk.positions, chunk.memory, chunk.compute, strict=True)
                ),
            )
            for chunk in item.chunks
        )
        nodes = {chunk.node for chunk in item.chunks}
        first = item.chunks[0].node
        if len(nodes) == 1:
            why = _why_one(item, place_of[first], left[at[first]], total[at[first]])
        else:
            why = _why_many(len(tasks), len(nodes), {rack[at[n]] for n in nodes}, {pod[at[n]] for n in nodes})
        most = int(snapshot.waiting.max_tasks[item.row])
        if most:
            fewest = max(int(snapshot.waiting.min_tasks[item.row]), 1)
            why = plural(
                "{why}; with {count} task of {fewest} to {most}",
                "{why}; with {count} tasks of {fewest} to {most}",
                why=why,
                count=len(tasks),
                fewest=fewest,
                most=most,
            )
        result.append(
            Placement(
                job_id=snapshot.waiting.ids[item.row],
                tasks=tasks,
                model=snapshot.models[need.model] if need.model >= 0 else "",
                gflops=need.gflops * len(tasks),
                position=int(position[item.row]),
                backfilled=item.backfilled,
                borrowing=item.borrowing,
                why=why,
                chosen=_chosen(item, place_of),
            )
        )
    return tuple(result)


def _chosen(item: Given, place_of: Sequence[str]) -> Chosen | None:
    choice = item.choice
    if choice is None:
        return None
    step, unit = choice.step, choice.unit
    scores = [total // step / unit if step else total for total in choice.scores if total < NO_MORE]
    others = []
    for node, score in zip(choice.nodes[1:], scores[1:], strict=False):
        code = SCORES_WORSE if not step else PACKS_WORSE if score == scores[0] else LOSES_MORE
        others.append(Alternative(place_of[node], score, score - scores[0], code))
    return Chosen(item.by, scores[0], choice.equal, tuple(others))


def _why_one(item: Given, node: str, left: int, total: int) -> Text:
    if item.need.model < 0:
        return text("{node} is the best place for it by {policy}", node=node, policy=item.by)
    return plural(
        "{node} is the best place for it by {policy}; {count} of its {total} devices is then wholly free",
        "{node} is the best place for it by {policy}; {count} of its {total} devices are then wholly free",
        node=node,
        policy=item.by,
        count=left,
        total=total,
    )


def _why_many(tasks: int, nodes: int, racks: set[int], pods: set[int]) -> Text:
    if len(racks) == 1 and -1 not in racks:
        return text("{tasks} tasks on {nodes} nodes of one rack", tasks=tasks, nodes=nodes)
    if len(pods) == 1 and -1 not in pods:
        return text("{tasks} tasks on {nodes} nodes of one POD", tasks=tasks, nodes=nodes)
    return text("{tasks} tasks on the fewest nodes that hold them: {nodes}", tasks=tasks, nodes=nodes)
