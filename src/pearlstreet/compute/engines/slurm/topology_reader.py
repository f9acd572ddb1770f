"""Reads where nodes stand in Slurm's topology, seldom, since it changes only with the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pearlstreet.compute.engines.slurm.topology import NodePlace, parse_topology
from pearlstreet.compute.engines.slurm.transport import TransportError

READ_AGAIN_S = 300.0


class TellsTopology(Protocol):
    """What the reader uses of a transport."""

    def topology(self) -> str:
        """Return Slurm's topology in its own words; empty: not told. Raises TransportError."""
        ...


class TopologyReader:
    """Places of nodes, cached for READ_AGAIN_S. What cannot be read keeps the places of before."""

    def __init__(self, transport: TellsTopology, path: str) -> None:
        self._transport, self._path = transport, path
        self._read_s: float | None = None
        self._places: Mapping[str, NodePlace] = {}

    def places(self, now_s: float) -> Mapping[str, NodePlace]:
        """Return the places of nodes by Slurm's name. `now_s`: monotonic time."""
        if self._read_s is None or now_s - self._read_s >= READ_AGAIN_S:
            self._read_s = now_s
            try:
                words = Path(self._path).read_text("utf-8") if self._path else self._transport.topology()
            except (OSError, UnicodeDecodeError, TransportError):
                return self._places
            self._places = parse_topology(words)
        return self._places
