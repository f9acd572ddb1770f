"""What a center gives an engine that it makes, and how an engine reads its table of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pearlstreet.base.clock import Clock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import text
from pearlstreet.compute.engines.protocol import PlacementMode
from pearlstreet.compute.hardware.isolation import Isolation

PLACEMENT_OPTION = {
    "placement": "What the center chooses for an attempt: `device`, its nodes and devices; `node`, its nodes only; `engine`, neither."
}
"""Key with its meaning in the tables of engines that offer several placement modes."""
WINDOW_OPTION = {
    "submit_window": 'With `placement = "engine"`: maximum number of attempts that wait in the engine for machines; default 32.'
}
SUBMIT_WINDOW = 32


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


def read_placement(
    host: EngineHost, options: Options, offered: Sequence[PlacementMode], default: PlacementMode
) -> PlacementMode:
    """Return the placement mode that the settings choose. Raises ConfigurationError for one that the engine does not offer."""
    value = read_text(host, options, "placement", default)
    for mode in offered:
        if value == mode:
            return mode
    raise ConfigurationError(
        text(
            "{key} in [engines.{name}] cannot be {value}",
            key="placement",
            name=host.name,
            value=repr(value[:60]),
        ),
        hint=text("This kind offers: {modes}", modes=", ".join(offered)),
    )


def read_submit_window(host: EngineHost, options: Options) -> int:
    """Return how many attempts may wait in the engine for machines. Raises ConfigurationError."""
    value = read_number(host, options, "submit_window", SUBMIT_WINDOW)
    if value < 1 or value != int(value):
        raise ConfigurationError(
            text(
                "{key} in [engines.{name}] must be a whole number of at least 1",
                key="submit_window",
                name=host.name,
            )
        )
    return int(value)


def refuse_unknown(host: EngineHost, options: Options, known: Mapping[str, str]) -> None:
    """Raise ConfigurationError for an option that the engine does not have, naming those that it has."""
    for key in sorted(options):
        if key not in known:
            raise ConfigurationError(
                text("[engines.{name}] has no key {key}", name=host.name, key=str(key)[:60]),
                hint=text("Keys of this kind: {keys}", keys=", ".join(("kind", *known))),
            )
