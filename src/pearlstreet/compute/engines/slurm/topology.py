"""Racks and PODs of nodes from Slurm's topology: the leaf switch or block of a node, and the switch above it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pearlstreet.compute.engines.slurm.hostlist import expand_hosts


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Position of a node: names of its leaf switch or block, and of the switch above it; empty: not told."""

    rack: str = ""
    pod: str = ""


def parse_topology(words: str) -> Mapping[str, NodePlace]:
    """Return the places of nodes from topology.conf or `scontrol show topology`, which write alike; unreadable lines are left out.

    topology/tree names switches by SwitchName with Nodes or Switches, topology/block names blocks by BlockName with Nodes.
    """
    leaf: dict[str, str] = {}
    above: dict[str, str] = {}
    for line in words.splitlines():
        pairs = dict(part.partition("=")[::2] for part in line.partition("#")[0].split() if "=" in part)
        named = {key.lower(): value for key, value in pairs.items()}
        name = named.get("switchname") or named.get("blockname") or ""
        children = _expand(named.get("switches", ""))
        if not name:
            continue
        if children:
            for child in children:
                above.setdefault(child, name)
        else:
            leaf |= dict.fromkeys(_expand(named.get("nodes", "")), name)
    return {node: NodePlace(rack, above.get(rack, "")) for node, rack in leaf.items()}


def _expand(names: str) -> tuple[str, ...]:
    try:
        return expand_hosts(names) if names not in ("", "(null)") else ()
    except ValueError:
        return ()
