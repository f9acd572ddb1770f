"""Health rules on error counters: what warns, what drains, what brings a node back, and what a restart of the driver changes."""

from __future__ import annotations

import pytest

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.hardware.health_rules import (
    HOUR_US,
    CounterHistory,
    HealthPolicy,
    NodeStanding,
    add_sample,
    decide,
    find_problems,
    finding_from_json,
    forgive,
    history_from_json,
)
from pearlstreet.compute.hardware.model import DeviceReport

NOW_US = 500_000 * HOUR_US
POLICY = HealthPolicy()
IN_USE = NodeStanding(drained=False, drained_by_rules=False, automatic=True)


def device(index: int = 0, **counters: float) -> DeviceReport:
    return DeviceReport(index, "NVIDIA", "h100-sxm-80g", 80.0, counters=counters)


def grown(*samples: DeviceReport, step_us: int = US_PER_S) -> CounterHistory:
    history = CounterHistory()
    for number, sample in enumerate(samples):
        history = add_sample(history, [sample], NOW_US + number * step_us, step_us / US_PER_S)
    return history


def levels(history: CounterHistory, now_us: int = NOW_US) -> list[tuple[str, str]]:
    return [(finding.counter, finding.level) for finding in find_problems(history, POLICY, now_us)]


def test_errors_from_before_the_first_sample_are_the_baseline() -> None:
    assert levels(grown(device(ecc_uncorrected=7))) == []
    assert levels(grown(device(ecc_uncorrected=7), device(ecc_uncorrected=8))) == [
        ("ecc_uncorrected", "drain")
    ]


def test_a_counter_that_a_driver_reset_counts_from_zero_and_hides_nothing() -> None:
    history = grown(device(ecc_corrected=900), device(ecc_corrected=1_500), device(ecc_corrected=500))
    assert levels(history) == [("ecc_corrected", "warn")]
    assert find_problems(history, POLICY, NOW_US)[0].amount == 1_100


@pytest.mark.parametrize(
    ("code", "level"), [(79, [("xid_fatal", "drain")]), (13, []), (31, []), (63, [("xid_other", "warn")])]
)
def test_xid_errors_of_programs_do_not_count_against_a_device(
    code: int, level: list[tuple[str, str]]
) -> None:
    assert levels(grown(device(ecc_corrected=0), device(ecc_corrected=0, **{f"xid_{code}": 1}))) == level


def test_throttling_counts_by_its_time() -> None:
    for seconds, level in ((298, []), (600, ["warn"]), (2_000, ["drain"])):
        history = add_sample(grown(device(throttled=1)), [device(throttled=1)], NOW_US, seconds)
        assert [finding.level for finding in find_problems(history, POLICY, NOW_US)] == level


def test_errors_leave_the_window_of_their_rule() -> None:
    history = grown(device(link_errors=0), device(link_errors=200))
    assert levels(history) == [("link_errors", "warn")]
    assert levels(history, NOW_US + HOUR_US) == []


def test_hours_beyond_a_day_are_dropped_from_the_history() -> None:
    history = grown(device(ecc_corrected=0), device(ecc_corrected=5))
    later = add_sample(history, [device(ecc_corrected=6)], NOW_US + 25 * HOUR_US, 0)
    assert list(later.hours) == [NOW_US // HOUR_US + 25]


def test_history_and_findings_survive_their_stored_form() -> None:
    history = grown(device(ecc_uncorrected=0), device(ecc_uncorrected=3))
    assert history_from_json(history.to_json()) == history
    (finding,) = find_problems(history, POLICY, NOW_US)
    assert finding_from_json(finding.to_json()) == finding
    assert str(finding.words) == "Device 0: 3 memory errors that ECC could not correct, within 24 h"


def test_a_node_is_drained_and_taken_back_when_quiet_or_checked() -> None:
    history = grown(device(ecc_uncorrected=0), device(ecc_uncorrected=1))
    findings = find_problems(history, POLICY, NOW_US)
    assert decide(IN_USE, findings, history, POLICY, NOW_US) == "drain"
    ours = NodeStanding(True, True, True, drained_us=NOW_US + US_PER_S)
    soon, late = NOW_US + 60 * US_PER_S, NOW_US + 3_602 * US_PER_S
    assert decide(ours, findings, history, POLICY, soon) == "none"
    assert decide(ours, findings, history, POLICY, late) == "take_back"
    strict = HealthPolicy(quiet_s=0)
    assert decide(ours, findings, history, strict, late) == "none"
    checked = NodeStanding(True, True, True, checked_us=soon, drained_us=NOW_US + US_PER_S)
    assert decide(checked, findings, history, strict, soon) == "take_back"
    assert find_problems(forgive(history, NOW_US), POLICY, NOW_US) == ()


@pytest.mark.parametrize(
    ("standing", "policy"),
    [
        (NodeStanding(False, False, automatic=False), POLICY),
        (IN_USE, HealthPolicy(drains=False)),
        (NodeStanding(True, False, automatic=True), POLICY),
    ],
    ids=["rules of the node are off", "rules only warn", "an operator drained it"],
)
def test_rules_leave_a_node_alone(standing: NodeStanding, policy: HealthPolicy) -> None:
    history = grown(device(ecc_uncorrected=0), device(ecc_uncorrected=1))
    findings = find_problems(history, policy, NOW_US)
    assert decide(standing, findings, history, policy, NOW_US + 10 * HOUR_US) == "none"
