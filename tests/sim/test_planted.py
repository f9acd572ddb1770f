"""The alarm works: each planted bug is seen by the simulator, for what it is, within a few seeds."""

from __future__ import annotations

import pytest

from pearlstreet.sim.run import Outcome, run_seed
from tests.sim.planted import BUGS

SEEN_AS = {
    "request_left_behind": {
        "what is queued has one waiting request, and only that",
        "a loop fails only when its store does",
    },
    "charged_twice": {"a loop fails only when its store does", "use is charged once"},
    "devices_freed_at_the_request_to_stop": {
        "devices are held by what lives",
        "no device runs more than it can",
    },
    "repeats_run_again": {
        "a key stands for one request",
        "a repeated request has one answer",
        "a repeated submit is one job",
    },
    "space_not_rechecked": {"work is placed where it may run", "no device is given twice"},
    "hold_kept": {"holds of what has ended are settled"},
    "metered_past_the_end": {"only what ran is metered"},
    "unknown_taken_for_refused": {
        "a job runs once at a time",
        "no device runs more than it can",
        "what is over does not run",
    },
    "cancel_forgotten": {
        "an acknowledged cancel is honoured",
        "an end that was shown stays",
        "the center comes to rest within 20 idle cycles",
    },
    "lease_not_looked_at": {"who lost a lease writes nothing"},
    "planner_without_its_lease": {"a plan is written under the planner's lease"},
    "gang_one_short": {"a gang starts whole"},
    "gang_placed_one_short": {"a gang has the tasks that it was promised"},
    "refunded_twice": {"money moves as charges say"},
    "refund_of_more_than_was_charged": {"money moves as charges say"},
    "given_up_without_a_stop": {"what is over does not run"},
    "statement_of_everybody": {"a tenant reads only its own"},
    "jobs_of_everybody": {"a tenant reads only its own"},
    "stored_but_not_counted": {"what is stored is the storage level"},
}
"""Bug → the promises that it breaks."""
FIRST = {
    "cancel_forgotten": 3,
    "gang_one_short": 2,
    "gang_placed_one_short": 12,
    "given_up_without_a_stop": 9,
    "lease_not_looked_at": 4,
    "metered_past_the_end": 2,
    "refund_of_more_than_was_charged": 22,
    "refunded_twice": 22,
    "space_not_rechecked": 14,
    "stored_but_not_counted": 5,
    "unknown_taken_for_refused": 29,
}
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
