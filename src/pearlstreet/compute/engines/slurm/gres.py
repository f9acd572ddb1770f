"""Slurm's generic resources, such as `gpu:h100:4(IDX:0-3),shard:h100:80`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pearlstreet.compute.engines.slurm.hostlist import expand_numbers

_ITEM = re.compile(
    r"(?:gres[:/])?([A-Za-z0-9_.-]+)(?::(?!\d+[KMG]?(?:\(|$))([A-Za-z0-9][A-Za-z0-9_. -]*))?(?:[:=](\d+)([KMG]?))?"
    r"(?:\(([^)]*)\))?$"
)
_SPLIT = re.compile(r"((?:[^,(]|\([^)]*\))+)")
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
INDICES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Gres:
    """An amount of one generic resource."""

    name: str
    """`gpu`, `shard`, `mps` …"""
    kind: str
    """Type such as `h100`; empty: none is named."""
    count: int
    indices: tuple[int, ...] = ()
    """Indices of the devices, where Slurm tells them."""
    sockets: tuple[int, ...] = ()
    """Sockets of the processors that the devices are near, where Slurm tells them."""


def parse_gres(words: str | Iterable[str] | None) -> tuple[Gres, ...]:
    """Return the generic resources in a text of Slurm; what cannot be read is left out."""
    texts = [words] if isinstance(words, str) else list(words or ())
    found = (_ITEM.match(part.strip()) for text in texts for part in _SPLIT.findall(text))
    return tuple(_gres(match) for match in found if match is not None and match[1] not in ("null", "N"))


def _gres(match: re.Match[str]) -> Gres:
    name, kind, digits, unit, more = match.groups()
    count = int(digits or 1) * _FACTORS[unit or ""]
    return Gres(name, kind or "", count, _numbers(more or "", "IDX"), _numbers(more or "", "S"))


def _numbers(more: str, wanted: str) -> tuple[int, ...]:
    """Return the indices in `IDX:0-2,5`, or the sockets in `S:0-1`; `IDX:N/A` has none."""
    key, _, ranges = more.partition(":")
    if key != wanted or ranges == "N/A":
        return ()
    try:
        return tuple(int(number) for number in expand_numbers(ranges))[:INDICES_MAX]
    except ValueError:
        return ()


def total(items: Iterable[Gres], name: str) -> int:
    """Return the amount of one resource of any type."""
    return sum(item.count for item in items if item.name == name)


def format_gres(items: Iterable[Gres], *, prefix: str = "") -> str:
    """Return generic resources as a request names them: `gpu:h100:4`, or with a prefix `gres/gpu:h100:4`."""
    return ",".join(
        prefix + ":".join(part for part in (item.name, item.kind, str(item.count)) if part) for item in items
    )
