"""The table [scheduling] of pearl.toml: the policy in effect until an operator sets another at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pearlstreet.app.settings import Settings
from pearlstreet.base.errors import ConfigurationError, InvalidInput
from pearlstreet.base.text import text
from pearlstreet.compute.queueing.decisions.log import MODES, DecisionSettings
from pearlstreet.compute.queueing.policy.model import Access, Policy, with_queue, with_settings

_DAY_S = 86_400


def policy_from_settings(table: Mapping[str, object]) -> Policy:
    """Return the policy that the table describes. Raises ConfigurationError naming the invalid setting."""
    settings = dict(table)
    queues, default_queue = settings.pop("queues", {}), settings.pop("default_queue", None)
    if not isinstance(queues, Mapping) or not all(isinstance(item, Mapping) for item in queues.values()):
        raise ConfigurationError(
            text("scheduling.queues in pearl.toml is not a table of tables"),
            hint=text("Write [scheduling.queues.urgent] and below it rank = -10"),
        )
    policy = Policy()
    try:
        for name, item in queues.items():
            policy = _with(policy, name, dict(item))
        return with_settings(policy, settings, None if default_queue is None else str(default_queue))
    except InvalidInput as error:
        problem = error.problems[0]
        raise ConfigurationError(
            text("scheduling.{field} in pearl.toml: {problem}", field=problem.field, problem=problem.message),
            hint=problem.hint,
        ) from None


def _with(policy: Policy, name: str, item: dict[str, object]) -> Policy:
    rank, title, engines = item.pop("rank", 0), item.pop("title", ""), item.pop("engines", [])
    if not isinstance(rank, int) or isinstance(rank, bool) or not isinstance(title, str):
        raise ConfigurationError(
            text("scheduling.queues.{name} in pearl.toml: rank is a whole number, title a text", name=name)
        )
    if not isinstance(engines, list) or not all(isinstance(engine, str) for engine in engines):
        raise ConfigurationError(
            text("scheduling.queues.{name} in pearl.toml: engines is a list of names", name=name),
            hint=text('Write engines = ["slurm"]'),
        )
    return with_queue(
        policy, name, rank=rank, settings=item, access=Access(title, engines=tuple(sorted(set(engines))))
    )


def decisions_from_settings(settings: Settings) -> DecisionSettings:
    """Return which planner decisions are kept, from the settings. Raises ConfigurationError."""
    if settings.decision_log not in MODES:
        raise ConfigurationError(
            text("decision_log is {value}, which it cannot be", value=repr(settings.decision_log)),
            hint=text("Use one of {names}", names=", ".join(MODES)),
        )
    return replace(
        DecisionSettings(),
        mode=settings.decision_log,
        bytes_max=int(settings.decision_log_mib * (1 << 20)),
        kept_s=settings.decision_log_days * _DAY_S,
    )
