"""Plugins: parts of registries that other installed Python packages bring, found by entry points.

A package names a `Plugin` in an entry point of a group of `VERSIONS`:

    [project.entry-points."pearlstreet.orders"]
    longest = "my_package:LONGEST"

A plugin that does not load, was written for another version of the protocol, or has the name of another part is skipped;
`problems` names it. Plugins run inside the center with all its rights: install only what you trust.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, TypeVar, cast

from pearlstreet.base.text import Text, text

T = TypeVar("T")
VERSIONS: Mapping[str, int] = {
    "pearlstreet.engines": 1,
    "pearlstreet.orders": 2,
    "pearlstreet.placements": 2,
    "pearlstreet.backfills": 1,
    "pearlstreet.preemptions": 1,
    "pearlstreet.elasticities": 1,
    "pearlstreet.price_rules": 1,
    "pearlstreet.probes": 1,
    "pearlstreet.channels": 1,
}
"""Group of entry points → version of the protocol of its parts; it grows when a part written before would not work."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What an entry point names: a part of a registry, and the version of the protocol that it was written for."""

    version: int
    part: Any


_PROBLEMS: dict[tuple[str, str], Text] = {}


class Parts(Mapping[str, T]):
    """Parts of a registry by name: ours, and those of plugins, which are loaded when a part is first looked up.

    Not at import, because the module of a plugin may itself import the package of the registry.
    """

    def __init__(self, group: str, ours: Mapping[str, T]) -> None:
        self._group, self._ours = group, ours

    def __getitem__(self, name: str) -> T:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> dict[str, T]:
        found = dict(self._ours)
        for entry in sorted(
            _entries().select(group=self._group), key=lambda entry: (entry.name, entry.value)
        ):
            part = _load(entry, found)
            if part is not None:
                found[entry.name] = part
        return found


def _load(entry: EntryPoint, known: Collection[str]) -> Any:
    """Return the part of a plugin; None if it is skipped."""
    try:
        plugin = entry.load()
    except Exception as error:  # noqa: BLE001  whatever a package of others raises, the center starts
        return _skip(
            entry, text("it does not load: {problem}", problem=f"{type(error).__name__}: {error}"[:300])
        )
    if not isinstance(plugin, Plugin):
        return _skip(entry, text("{value} is no pearlstreet.base.plugins.Plugin", value=entry.value))
    ours = VERSIONS[entry.group]
    if plugin.version != ours:
        return _skip(
            entry,
            text("it is for version {its} of the protocol, this is {ours}", its=plugin.version, ours=ours),
        )
    if entry.name in known:
        return _skip(entry, text("the name is taken"))
    return plugin.part


@cache
def _entries() -> EntryPoints:
    """Return all entry points; finding them reads every installed package's metadata."""
    return cast(EntryPoints, entry_points())  # Python 3.11 answers with an older type that has `select`, too


def problems() -> Sequence[Text]:
    """Return a sentence for each plugin skipped so far: its group, name, package and the reason."""
    return list(_PROBLEMS.values())


def _skip(entry: EntryPoint, reason: Text) -> None:
    _PROBLEMS[entry.group, entry.name] = text(
        "The plugin {name} of {group} (package {package}) is skipped: {reason}",
        name=entry.name,
        group=entry.group,
        package=entry.dist.name if entry.dist is not None else "-",
        reason=reason,
    )
