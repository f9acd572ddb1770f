"""Makes a simulated engine of a center from its settings."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.compute.engines.host import (
    EngineHost,
    Options,
    read_number,
    read_placement,
    read_submit_window,
    read_text,
)
from pearlstreet.compute.engines.simulated.cluster import PLACEMENTS
from pearlstreet.compute.engines.simulated.engine import SimulatedEngine
from pearlstreet.compute.engines.simulated.faults import parse_faults
from pearlstreet.compute.engines.simulated.layout import nodes_from


def make_simulated(host: EngineHost, options: Options) -> SimulatedEngine:
    """Return a simulated cluster. Raises ConfigurationError, InvalidInput for hardware or faults that do not exist."""
    speed = read_number(host, options, "speed", 1.0)
    if speed <= 0:
        raise ConfigurationError(
            text("{key} in [engines.{name}] must be above 0", key="speed", name=host.name)
        )
    faults = read_text(host, options, "faults")
    nodes = nodes_from(read_text(host, options, "cluster"))
    placement = read_placement(host, options, PLACEMENTS, "device")
    return SimulatedEngine(
        [replace(node, name=host.node_name(node.name)) for node in nodes],
        name=host.name,
        clock=host.clock,
        rng=host.rng,
        time_scale=speed,
        faults=parse_faults(faults) if faults else None,
        state_path=host.folder.with_suffix(".journal"),
        placement=placement,
        submit_window=read_submit_window(host, options) if placement == "engine" else None,
    )
