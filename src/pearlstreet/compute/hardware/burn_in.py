"""Verdicts on burn-ins: what failed on a node itself, and which nodes are slower than equal ones. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pearlstreet.base.text import Text, text
from pearlstreet.compute.hardware.model import NodeReport

FORMAT = 1
RESULT_FILE = "burn_in.json"
RESULT_BYTES_MAX = 1 << 16
PEERS_MIN = 3
"""Equal nodes with a figure, from which on one is compared with the others."""
DEVIATIONS = 5.0
"""Robust standard deviations below the median from which a figure is that of a straggler."""
SLOW_SHARE = 0.8
"""Share of the median that a straggler's figure does not reach; small clusters have too small deviations to rely on."""
NORMAL = 1.4826
"""Median absolute deviation → standard deviation of a normal distribution."""
COMPARED = ("cpu_gb_per_s", "memory_gb_per_s", "device_")
"""Beginnings of figures that are compared. A disk's speed depends on what else uses it, so it is only shown."""


@dataclass(frozen=True, slots=True)
class BurnInResult:
    """What a burn-in measured on a node."""

    figures: Mapping[str, float]
    errors: Sequence[str] = ()
    """Wrong results or failures that the node itself showed."""
    notices: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as it is stored."""
        return {
            "format": FORMAT,
            "figures": dict(self.figures),
            "errors": list(self.errors),
            "notices": list(self.notices),
        }


def result_from_json(value: Any) -> BurnInResult:
    """Return the result that a node wrote. Raises ValueError for anything else."""
    try:
        figures, errors, notices = value["figures"], value["errors"], value["notices"]
        numbers = {str(name)[:60]: float(figure) for name, figure in figures.items()}
        if value["format"] != FORMAT or not all(0 <= figure < 1e9 for figure in numbers.values()):
            raise ValueError("a burn-in result of another format")
        words = tuple(str(error)[:300] for error in errors[:20])
        return BurnInResult(numbers, words, tuple(str(notice)[:300] for notice in notices[:20]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a burn-in result: {error}") from error


def read_result(content: bytes) -> BurnInResult:
    """Return the result in the file of a node. Raises ValueError."""
    return result_from_json(json.loads(content.decode(errors="replace")))


@dataclass(frozen=True, slots=True)
class Measured:
    """A node with its newest burn-in."""

    node: str
    group: tuple[object, ...]
    """What equal nodes have in common (`hardware_group`)."""
    result: BurnInResult = field(default_factory=lambda: BurnInResult({}))


def hardware_group(report: NodeReport) -> tuple[object, ...]:
    """Return what makes nodes comparable: processor, cores, memory to 10 % and device models."""
    models = tuple(sorted(device.model for device in report.devices))
    return report.facts.get("cpu", ""), report.cpus, round(report.memory_gib / 10), models


def find_failures(measured: Sequence[Measured]) -> dict[str, Text]:
    """Return why nodes fail their newest burn-in; a node that is not in the result passed."""
    failures: dict[str, Text] = {}
    for one in measured:
        if one.result.errors:
            failures[one.node] = text("Burn-in failed: {problem}", problem="; ".join(one.result.errors)[:300])
    groups: dict[tuple[object, ...], list[Measured]] = {}
    for one in measured:
        groups.setdefault(one.group, []).append(one)
    for peers in groups.values():
        for node, reason in _find_stragglers(peers).items():
            failures.setdefault(node, reason)
    return failures


def _find_stragglers(peers: Sequence[Measured]) -> dict[str, Text]:
    """Return the slow ones among equal nodes: below the median by both a share of it and a robust deviation."""
    found: dict[str, Text] = {}
    names = sorted({name for one in peers for name in one.result.figures if name.startswith(COMPARED)})
    for name in names:
        values = {one.node: one.result.figures[name] for one in peers if name in one.result.figures}
        if len(values) < PEERS_MIN:
            continue
        usual = median(values.values())
        deviation = NORMAL * median(abs(value - usual) for value in values.values())
        limit = min(SLOW_SHARE * usual, usual - DEVIATIONS * deviation)
        for node, value in values.items():
            if value < limit:
                reason = text(
                    "Slower than equal nodes in the burn-in: {figure} is {value}, their median {median}",
                    figure=name,
                    value=f"{value:.4g}",
                    median=f"{usual:.4g}",
                )
                found.setdefault(node, reason)
    return found
