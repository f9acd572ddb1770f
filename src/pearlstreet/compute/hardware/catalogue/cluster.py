"""Clusters written in one line, such as `4x8xH100-80G,2x8xAscend910B`, for simulation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.hardware.catalogue.accelerator import Accelerator
from pearlstreet.compute.hardware.catalogue.book import Catalogue, catalogue

MAX_DEVICES = 1_000_000
MAX_DEVICES_PER_NODE = 1024

_PART = re.compile(r"^(\d{1,9})\s*[x×*]\s*(?:(\d{1,9})\s*[x×*]\s*)?(.+)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SimulatedNodes:
    """`nodes` machines, each with `devices_per_node` of one accelerator (None: machines without any)."""

    nodes: int
    devices_per_node: int
    accelerator: Accelerator | None


def parse_cluster(spec: str, book: Catalogue | None = None) -> list[SimulatedNodes]:
    """Parse NODESxDEVICESxMODEL parts joined by commas; `8xH100` is one node, `4xcpu` nodes without accelerators.

    Raises InvalidInput, with the nearest known names, for anything else.
    """
    known = book or catalogue()
    parts = [part.strip() for part in spec.split(",") if part.strip()]
    if not parts:
        raise InvalidInput(
            text("The simulated cluster is empty"),
            hint=text("Write NODESxDEVICESxMODEL, for example {example}", example="4x8xH100-80G"),
        )
    nodes = [_part(part, known) for part in parts]
    total = sum(group.nodes * max(1, group.devices_per_node) for group in nodes)
    if total > MAX_DEVICES:
        raise InvalidInput(
            text(
                "A simulated cluster holds at most {most} devices; this one has {count}",
                most=MAX_DEVICES,
                count=total,
            )
        )
    return nodes


def read_part(part: str) -> tuple[int, int, str] | None:
    """(nodes, devices of each, model) of one part as it is written; `4xcpu` has no devices and no model. None: it is none."""
    match = _PART.match(part)
    if match is None:
        return None
    first, second, model = int(match[1]), match[2], match[3].strip()
    if second is not None:
        return first, int(second), model
    return (first, 0, "") if model.lower() == "cpu" else (1, first, model)


def _part(part: str, book: Catalogue) -> SimulatedNodes:
    read = read_part(part)
    if read is None or (read[2].isdecimal() and book.find(read[2]) is None):
        raise InvalidInput(
            text("{part} does not describe nodes", part=repr(part)),
            hint=text("Write NODESxDEVICESxMODEL, for example {example}", example="4x8xH100-80G"),
        )
    nodes, devices, model = read
    _positive(nodes, part)
    if not model:
        return SimulatedNodes(nodes, 0, None)
    if _positive(devices, part) > MAX_DEVICES_PER_NODE:
        raise InvalidInput(
            text(
                "{part} puts {count} devices into one node; the most is {most}",
                part=repr(part),
                count=devices,
                most=MAX_DEVICES_PER_NODE,
            )
        )
    return SimulatedNodes(nodes, devices, _model(model, book))


def _positive(count: int, part: str) -> int:
    if count < 1:
        raise InvalidInput(text("{part} has a count of zero", part=repr(part)))
    return count


def _model(name: str, book: Catalogue) -> Accelerator:
    found = book.find(name)
    if found is not None:
        return found
    near = book.suggest(name)
    raise InvalidInput(
        text("The catalogue has no accelerator called {name}", name=repr(name)),
        hint=text("Did you mean {names}?", names=", ".join(near))
        if near
        else text("Known names include {names}", names="H100, A100-80G, L40S, MI300X, Ascend910B, MLU370-X8"),
    )
