"""Equal nodes told apart without their names: an order by what each is, holds and stands beside.

Nodes are listed POD by POD and rack by rack, PODs, racks and nodes each by a hash of their contents; only what is alike
in all of that is left in the order it was listed in, and then it makes no difference which one is taken.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pearlstreet.compute.scheduling.model import I32, I64, Snapshot
from pearlstreet.compute.scheduling.topology_cache import TopologyCache

U64 = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio, the usual multiplicative hash
_ODD = np.uint64(0xBF58476D1CE4E5B9)


class Ties:
    """The ranks of a snapshot's nodes, worked out when first asked for."""

    def __init__(self, snapshot: Snapshot, topology: TopologyCache) -> None:
        self._snapshot, self._topology = snapshot, topology

    @cached_property
    def rank(self) -> I64:
        """Place of each node in the order."""
        order = canonical_order(self._snapshot, self._topology)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank

    def first(self, nodes: I64) -> int:
        """Return the one that comes first in the order."""
        return int(nodes[self.rank[nodes].argmin()])


def canonical_order(snapshot: Snapshot, topology: TopologyCache) -> I64:
    """Return node numbers in an order that does not depend on how nodes are called or listed."""
    nodes = snapshot.nodes
    own = node_hash(snapshot, topology)
    if not len(own) or (int(nodes.rack.max()) < 0 and int(nodes.pod.max()) < 0):
        return np.argsort(own, kind="stable").astype(np.int64)
    rack, in_rack = _group(nodes.rack, own)
    pod, in_pod = _group(nodes.pod, mixed(own ^ mixed(rack)))
    return np.lexsort((own, in_rack, rack, in_pod, pod)).astype(np.int64)


def _group(number: I32, own: U64) -> tuple[U64, I64]:
    """Return, for each node, a hash of its group's members, and the group's first position (so that equal groups stay apart)."""
    size, known = int(number.max()) + 1, number >= 0
    total, first = np.zeros(size, dtype=np.uint64), np.full(size, len(number), dtype=np.int64)
    np.add.at(total, number[known], mixed(own[known]))
    np.minimum.at(first, number[known], np.flatnonzero(known))
    if not size:
        return np.zeros(len(number), dtype=np.uint64), np.full(len(number), -1)
    return np.where(known, total[number], np.uint64(0)), np.where(known, first[number], -1)


def node_hash(snapshot: Snapshot, topology: TopologyCache) -> U64:
    """Return a hash of what each node is and holds, names aside."""
    nodes, running = snapshot.nodes, snapshot.running
    ends = running.expected_end_us[running.task_attempt] // 1000
    held = np.zeros(nodes.count, dtype=np.int64)
    np.add.at(held, running.task_node, ends * 8191 + running.task_cpu)
    columns = (nodes.schedulable, nodes.cpu_free, nodes.memory_free, held)
    devices = (
        nodes.device_memory_total * 2 + nodes.device_healthy,
        nodes.device_memory_free * 16384 + nodes.device_compute_free,
    )
    fixed, salt = _fixed(snapshot, topology)
    table = np.concatenate([np.stack(columns, axis=1), *devices], axis=1, dtype=np.int64).view(np.uint64)
    return mixed(fixed + mixed(table + salt).sum(axis=1, dtype=np.uint64))


def _fixed(snapshot: Snapshot, topology: TopologyCache) -> tuple[U64, U64]:
    """Return the part of the hashes that rests on what the machines are, and the salts of the columns that may change."""
    nodes = snapshot.nodes
    known: tuple[U64, U64] | None = topology.hashes
    if known is None:
        width = nodes.width
        salt = np.arange(1, 7 + 3 * width, dtype=np.uint64) * _GOLDEN
        model = topology.model64 * 64 + nodes.device_link
        total = np.stack([nodes.cpu_total, nodes.memory_total], axis=1)
        table = np.concatenate([total, model], axis=1, dtype=np.int64).view(np.uint64)
        still = np.r_[2, 4, 6 : 6 + width]
        other = np.r_[0, 1, 3, 5, 6 + width : 6 + 3 * width]
        known = mixed(table + salt[still]).sum(axis=1, dtype=np.uint64), salt[other]
        topology.hashes = known
    return known


def mixed(values: U64) -> U64:
    """Return each value scattered over all 64 bits."""
    turned = (values ^ (values >> np.uint64(31))) * _ODD
    return np.asarray(turned ^ (turned >> np.uint64(29)))
