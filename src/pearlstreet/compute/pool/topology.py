"""Positions of devices: link group inside a node, node, rack, POD. Values only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """Distance level of two devices; smaller is closer."""

    LINK_GROUP = 0
    """They share the node's fastest link (NVLink, HCCS, MLU-Link …)."""
    NODE = 1
    RACK = 2
    POD = 3
    CENTER = 4


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Position of a device. An empty rack or POD is unknown, and unknown is never near."""

    pod: str
    rack: str
    node: str
    link_group: int = 0

    def level_to(self, other: Place) -> Level:
        """Return the smallest part of the center that holds both."""
        if self.node == other.node:
            return Level.LINK_GROUP if self.link_group == other.link_group else Level.NODE
        if self.rack and self.rack == other.rack and self.pod == other.pod:
            return Level.RACK
        if self.pod and self.pod == other.pod:
            return Level.POD
        return Level.CENTER


def spread(places: Iterable[Place]) -> Level:
    """Return the smallest part of the center that holds all of them; LINK_GROUP for none or one."""
    found = list(places)
    return max((found[0].level_to(place) for place in found[1:]), default=Level.LINK_GROUP)
