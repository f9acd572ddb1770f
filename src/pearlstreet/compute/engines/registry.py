"""Every kind of engine there is. A new engine is one module and one line here; the conformance suite walks this list."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import Text, text


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One kind of engine: its name in configuration, what it is, and where its class lives."""

    name: str
    summary: Text
    factory: str
    """`module:Class`. Named, not imported: the parts of an engine nobody uses need not load."""

    def load(self) -> type[Any]:
        """The class. Its parameters are its own (folders, clusters, addresses); the app's wiring fills them in."""
        module, _, attribute = self.factory.partition(":")
        found: type[Any] = getattr(importlib.import_module(module), attribute)
        return found


ENGINES: tuple[EngineKind, ...] = (
    EngineKind(
        "local",
        text("Runs jobs on this machine, each under its own supervisor"),
        "pearlstreet.compute.engines.local:LocalEngine",
    ),
    EngineKind(
        "simulated",
        text("Pretends to run jobs on any hardware, for looking around, planning and tests"),
        "pearlstreet.compute.engines.simulated:SimulatedEngine",
    ),
)


def engine_kind(name: str) -> EngineKind:
    """The kind called `name`. Raises ConfigurationError with the known names."""
    for kind in ENGINES:
        if kind.name == name:
            return kind
    raise ConfigurationError(
        text("There is no engine called {name}", name=repr(name)),
        hint=text("Known engines: {names}", names=", ".join(kind.name for kind in ENGINES)),
    )
