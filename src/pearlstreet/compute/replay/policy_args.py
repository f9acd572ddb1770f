"""Policies as people write them: `fifo`, `order=fair-share,backfill=easy,share=guaranteed`, or a name and `key=value`s."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.compute.replay.settings import ReplaySettings
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.compute.scheduling.registry import check_config

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Asked:
    """One policy named in a what-if question."""

    name: str
    config: PlannerConfig = field(default_factory=PlannerConfig)
    settings: ReplaySettings = field(default_factory=ReplaySettings)
    sharing: str | None = None
    """How virtual clusters share in this case; None: as for the whole question."""


def parse_policy(said: str, config: PlannerConfig, settings: ReplaySettings) -> Asked:
    """Return the policy applied to `config` and `settings`. A single word is the order policy. Raises InvalidInput naming what is wrong."""
    sharing, name = None, said.strip()
    for number, part in enumerate(filter(None, (part.strip() for part in said.split(",")))):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            if number or part == DEFAULT:
                if part != DEFAULT:
                    raise _wrong(said, text("{part} is not KEY=VALUE", part=part))
                continue
            key, value = "order", part
        if key == "share":
            sharing = value
        elif key == "name":
            name = value
        elif key in _types(PlannerConfig):
            config = replace(config, **{key: _value(said, key, value, _types(PlannerConfig)[key])})
        elif key in _types(ReplaySettings):
            settings = replace(settings, **{key: _value(said, key, value, _types(ReplaySettings)[key])})
        else:
            raise _wrong(said, text("A policy has no setting named {key}", key=key))
    check_config(config)
    return Asked(name or DEFAULT, config, settings, sharing)


def _types(kind: type[Any]) -> dict[str, type]:
    defaults = kind()
    return {f.name: type(getattr(defaults, f.name)) for f in fields(kind) if f.name != "queues"}


def _value(said: str, key: str, value: str, kind: type) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false", "yes", "no"):
            raise _wrong(said, text("{field} is {value}, not true or false", field=key, value=value))
        return value.lower() in ("true", "yes")
    if kind is str:
        return value
    if kind is tuple:
        return tuple(_value(said, key, part, float) for part in value.split("/"))
    try:
        found = kind(value)
    except (ValueError, OverflowError):
        found = None
    if found is None or found != found or (found < 0 and key != "checkpoint_s") or abs(found) > 1e12:
        raise _wrong(said, text("{field} is {value}, not a number from 0 on", field=key, value=value))
    return found


def _wrong(said: str, message: Any) -> InvalidInput:
    names = ", ".join(["share", "name", *_types(PlannerConfig), *_types(ReplaySettings)])
    return InvalidInput(
        text("The policy {policy} is not right", policy=said),
        hint=text("Settings are {names}", names=names),
        problems=[Problem("--policy", message)],
    )
