"""Registry of engine kinds. A new engine is one module and one line here; the conformance suite tests every entry."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import Text, text


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One kind of engine: its name in the configuration, a summary, and the location of its class."""

    name: str
    summary: Text
    factory: str
    """Class as `module:Class`; a name instead of an import, so that unused engines are not loaded."""

    def load(self) -> type[object]:
        """Return the class. Each engine has parameters of its own (folders, clusters), which app.wiring fills in."""
        module, _, attribute = self.factory.partition(":")
        engine: type[Any] = getattr(importlib.import_module(module), attribute)
        return engine


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
    """Return the engine kind named `name`. Raises ConfigurationError that lists the known names."""
    for kind in ENGINES:
        if kind.name == name:
            return kind
    raise ConfigurationError(
        text("There is no engine called {name}", name=repr(name)),
        hint=text("Known engines: {names}", names=", ".join(kind.name for kind in ENGINES)),
    )
