"""The alarm works: each planted bug is seen by the simulator, for what it is, within a few seeds."""

from __future__ import annotations

import pytest

from pearlstreet.sim.run import Outcome, run_seed
from tests.sim.planted import BUGS

SEEN_AS = {
    "charged_twice": {"a loop fails only when its store does", "use is charged once"},
    "devices_freed_at_the_request_to_stop": {
        "devices are held by what lives",
        "no device runs more than it can",
    },
    "repeats_run_again": {"a repeated request has one answer", "a repeated submit is one job"},
    "space_not_rechecked": {"work is placed where it may run", "no device is given twice"},
    "hold_kept": {"holds of what has ended are settled"},
    "metered_past_the_end": {"only what ran is metered"},
    "unknown_taken_for_refused": {"a job runs once at a time", "no device runs more than it can"},
    "cancel_forgotten": {
        "an acknowledged cancel is honoured",
        "an end that was shown stays",
        "the center comes to rest within 20 cycles",
    },
}
"""Bug → the promises that it breaks."""
FIRST = {"unknown_taken_for_refused": 19, "space_not_rechecked": 47}
"""A seed that sees it soon, where the first does not: the ordinary tests are to be quick."""
WITHIN = 60
"""Seeds that may be needed."""


def _first_failure(name: str, first: int) -> Outcome | None:
    for seed in range(first, first + WITHIN):
        with BUGS[name]():
            outcome = run_seed(seed)
        if outcome.failure is not None:
            return outcome
    return None


@pytest.mark.parametrize("name", sorted(SEEN_AS))
def test_a_planted_bug_is_seen(name: str) -> None:
    found = _first_failure(name, FIRST.get(name, 1))
    assert found is not None, f"{WITHIN} worlds did not see {name}"
    assert found.failure is not None
    assert found.failure.rule in SEEN_AS[name], f"seed {found.seed}: {found.failure}"


@pytest.mark.parametrize("seed", sorted({1, *FIRST.values()}))
def test_the_same_worlds_are_sound_without_it(seed: int) -> None:
    outcome = run_seed(seed)
    assert outcome.failure is None, f"{outcome.failure}; pearl sim replay {seed}"
