"""How long state machines run: seconds in `make test`, many more lives in `make prop`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

THOROUGH = 1000
"""A profile with more examples than this is the thorough one."""


CASES = int(os.environ.get("PEARL_PLANNER_CASES", "100000"))
"""Of each law of the planner in `make planner`."""


def lives(usual: int, *, steps: int, thorough: int | None = None) -> settings:
    """`usual` lives of `steps` steps each; under the thorough profile `thorough` (twenty times as many)."""
    more = thorough if thorough is not None else 20 * usual
    return settings(
        max_examples=more if settings.default.max_examples > THOROUGH else usual,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
