"""What a center gives an engine that it makes, and how an engine reads its table of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pearlstreet.base.clock import Clock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import text
from pearlstreet.compute.hardware.isolation import Isolation


@dataclass(frozen=True, slots=True)
class EngineHost:
    """The center, as an engine sees it."""

    name: str
    """Name of the engine in this center: that of its table in the settings."""
    qualified: bool
    """Whether its nodes are named `NAME:node`, so that no other engine's node can have the same name."""
    data: Path
    """The center's data folder, which no job may see."""
    folder: Path
    """Folder in which the engine keeps what must survive a restart; it need not exist yet."""
    clock: Clock
    rng: Rng
    minimum_isolation: Isolation = "none"
    """Weakest isolation with which the engine may start attempts."""

    def node_name(self, node: str) -> str:
        """Return the name in this center of a node that the engine calls `node`."""
        return f"{self.name}:{node}" if self.qualified else node


Options = Mapping[str, object]
"""The engine's table in the settings, without `kind`."""


def read_number(host: EngineHost, options: Options, key: str, default: float) -> float:
    """Return an option that is a number of at least 0. Raises ConfigurationError."""
    value = options.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise ConfigurationError(
            text("{key} in [engines.{name}] must be a number of at least 0", key=key, name=host.name)
        )
    return float(value)


def read_text(host: EngineHost, options: Options, key: str, default: str = "") -> str:
    """Return an option that is a text. Raises ConfigurationError."""
    value = options.get(key, default)
    if not isinstance(value, str):
        raise ConfigurationError(text("{key} in [engines.{name}] must be a text", key=key, name=host.name))
    return value


def refuse_unknown(host: EngineHost, options: Options, known: Mapping[str, str]) -> None:
    """Raise ConfigurationError for an option that the engine does not have, naming those that it has."""
    for key in sorted(options):
        if key not in known:
            raise ConfigurationError(
                text("[engines.{name}] has no key {key}", name=host.name, key=str(key)[:60]),
                hint=text("Keys of this kind: {keys}", keys=", ".join(("kind", *known))),
            )
