"""The engines that the settings name: those of `[engines.NAME]`, or else one: this machine or a simulated cluster."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pearlstreet.app.settings import Settings
from pearlstreet.base.errors import ConfigurationError, InvalidInput
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.host import EngineHost, Options
from pearlstreet.compute.engines.protocol import Engine
from pearlstreet.compute.engines.registry import EngineKind, engine_kind
from pearlstreet.store.core import Store

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def make_engines(settings: Settings, store: Store) -> Mapping[str, Engine]:
    """Return the engines of a center by name. Raises ConfigurationError and closes those that were made."""
    tables = _tables(settings)
    found: dict[str, Engine] = {}
    try:
        for name, (kind, options) in tables.items():
            found[name] = _make(_host(settings, store, name, kind), kind, options)
    except BaseException:
        for engine in found.values():
            engine.close()
        raise
    return found


def engine_kinds(settings: Settings) -> Mapping[str, str]:
    """Return the kind of each engine that the settings name, by the engine's name. Raises ConfigurationError."""
    return {name: kind.name for name, (kind, _) in _tables(settings).items()}


def engine_notices(engines: Mapping[str, Engine]) -> Sequence[Text]:
    """Return what engines tell the operator; of several engines with the name of each."""
    found = [(name, notice) for name, engine in engines.items() for notice in engine.capabilities().notices]
    if len(engines) == 1:
        return [notice for _, notice in found]
    return [text("Engine {name}: {notice}", name=name, notice=notice) for name, notice in found]


def _make(host: EngineHost, kind: EngineKind, options: Options) -> Engine:
    try:
        host.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return kind.make(host, options)
    except InvalidInput as error:
        problem = text("The engine {name} cannot be used: {problem}", name=host.name, problem=error.message)
        raise ConfigurationError(problem, hint=error.hint) from None


def _tables(settings: Settings) -> Mapping[str, tuple[EngineKind, Options]]:
    """Return kind and options of each engine by name."""
    if not settings.engines:
        return _single(settings)
    if settings.simulate:
        raise ConfigurationError(
            text("{key} cannot be set beside [engines.…]", key="simulate"),
            hint=text('Write a table [engines.NAME] with kind = "simulated" and the cluster'),
        )
    found = {name: _table(settings, name, table) for name, table in settings.engines.items()}
    locals_ = Counter(kind.name for kind, _ in found.values())["local"]
    if locals_ > 1:
        raise ConfigurationError(
            text("Two engines of kind local would give the same machine twice; keep one")
        )
    return found


def _single(settings: Settings) -> Mapping[str, tuple[EngineKind, Options]]:
    if settings.simulate:
        options = {
            "cluster": settings.simulate,
            "speed": settings.simulate_speed,
            "faults": settings.simulate_faults,
        }
        return {"simulated": (engine_kind("simulated"), options)}
    return {"local": (engine_kind("local"), _reserve(settings))}


def _table(settings: Settings, name: str, table: object) -> tuple[EngineKind, Options]:
    if NAME.fullmatch(name) is None:
        raise ConfigurationError(
            text("{name} is no name of an engine", name=repr(name[:60])),
            hint=text("Use at most 32 small letters, digits and hyphens, a letter first"),
        )
    if not isinstance(table, Mapping) or not isinstance(table.get("kind", name), str):
        raise ConfigurationError(
            text("[engines.{name}] must be a table with a kind", name=name),
            hint=text("Write for example {example}", example='kind = "simulated"'),
        )
    kind = engine_kind(str(table.get("kind", name)))
    options = {key: value for key, value in table.items() if key != "kind"}
    return kind, {**_reserve(settings), **options} if kind.name == "local" else options


def _reserve(settings: Settings) -> dict[str, object]:
    return {"reserve_cpus": settings.reserve_cpus, "reserve_memory_gib": settings.reserve_memory_gib}


def _host(settings: Settings, store: Store, name: str, kind: EngineKind) -> EngineHost:
    """Return what an engine gets. One that has the name of its kind keeps folder and node names of a center with one engine."""
    is_plain = name == kind.name
    return EngineHost(
        name=name,
        qualified=not is_plain,
        data=settings.data,
        folder=_folder(settings.data, name, is_plain=is_plain),
        clock=store.clock,
        rng=store.rng,
        minimum_isolation=settings.isolation,
    )


def _folder(data: Path, name: str, *, is_plain: bool) -> Path:
    return data / name if is_plain else data / "engines" / name
