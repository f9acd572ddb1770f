"""What is left of a job's time limit, by rows of attempts."""

from __future__ import annotations

from typing import Any

import pytest

from pearlstreet.compute.execution.limits import time_left_s
from pearlstreet.compute.execution.metering import AttemptUsage

USAGE = AttemptUsage("", 0, 1000, 1024, None, "none")


def _last(**changed: Any) -> dict[str, Any]:
    row = {
        "stop_reason": "resized",
        "time_limit_s": 600.0,
        "started_us": 1_000_000,
        "stop_asked_us": 101_000_000,
        "ended_us": 140_000_000,
        "usage": USAGE.to_json(),
    }
    return row | changed


@pytest.mark.parametrize(
    ("changed", "left_s"),
    [
        ({}, 500),
        ({"time_limit_s": 250.0}, 150),
        ({"time_limit_s": 100.0}, 1),
        ({"ended_us": 51_000_000}, 550),
        ({"ended_us": None}, 500),
        ({"started_us": None}, 600),
        ({"stop_reason": "preempted"}, 600),
        ({"stop_reason": None}, 600),
        ({"usage": USAGE.to_json() | {"pace": 3.0}}, 300),
    ],
)
def test_a_resize_takes_what_ran_out_of_the_limit_and_nothing_else_does(
    changed: dict[str, Any], left_s: float
) -> None:
    assert time_left_s(600.0, _last(**changed)) == left_s


def test_the_first_attempt_has_all_of_it() -> None:
    assert time_left_s(600.0, None) == 600
