"""Makes the local engine of a center from its settings."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.compute.engines.host import EngineHost, Options, read_number, read_placement, read_text
from pearlstreet.compute.engines.local.engine import PLACEMENTS, LocalEngine
from pearlstreet.compute.engines.local.policy import Reserve, SandboxPolicy
from pearlstreet.compute.hardware.access import LocalHost
from pearlstreet.compute.hardware.model import NodeReport
from pearlstreet.compute.hardware.node import probe_node


def make_local(host: EngineHost, options: Options) -> LocalEngine:
    """Return the engine of this machine. Raises ConfigurationError if the machine cannot give the isolation demanded."""
    machine = LocalHost()

    def probe() -> NodeReport:
        node = probe_node(machine)
        return replace(node, name=host.node_name(node.name))

    return LocalEngine(
        host.folder,
        name=host.name,
        clock=host.clock,
        probe=probe,
        reserve=Reserve(
            cpus=read_number(host, options, "reserve_cpus", 0),
            memory_gib=read_number(host, options, "reserve_memory_gib", 0),
        ),
        placement=read_placement(host, options, PLACEMENTS, "device"),
        policy=SandboxPolicy(
            minimum=host.minimum_isolation,
            hidden=(str(host.data),),
            mps_pipe=read_text(host, options, "mps_pipe"),
        ),
    )
