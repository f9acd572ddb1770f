"""The table [scheduling] of pearl.toml and the settings of the decision log."""

from __future__ import annotations

from pathlib import Path

import pytest

from pearlstreet.app.scheduling import decisions_from_settings, policy_from_settings
from pearlstreet.app.settings import Settings, load_settings
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.compute.queueing.policy.model import Policy

TABLE = """
decision_log = "on"
[scheduling]
order = "fifo"
min_run_s = 30
default_queue = "common"
[scheduling.queues.common]
title = "Everybody"
[scheduling.queues.urgent]
rank = -10
order = "priority"
"""


def _policy(folder: Path, written: str) -> Policy:
    (folder / "pearl.toml").write_text(written, encoding="utf-8")
    return policy_from_settings(load_settings(folder, {}, {}).scheduling)


def test_the_file_gives_the_first_policy(tmp_path: Path) -> None:
    policy = _policy(tmp_path, TABLE)
    assert (policy.number, policy.default_queue) == (0, "common")
    assert (policy.planner.order, policy.planner.min_run_s) == ("fifo", 30.0)
    assert set(policy.queues) == {"default", "common", "urgent"}
    assert policy.queues["common"].title == "Everybody"
    assert (policy.queue("urgent").rank, policy.queue("urgent").order) == (-10, "priority")
    assert policy_from_settings({}) == Policy()
    assert decisions_from_settings(load_settings(tmp_path, {}, {})).mode == "on"


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ('[scheduling]\norder = "fifi"', "order"),
        ("[scheduling]\ndept = 3", "dept"),
        ('[scheduling]\ndefault_queue = "x"', "default_queue"),
        ("[scheduling]\nqueues = 3", "queues"),
        ("[scheduling.queues.Urgent]\nrank = 1", "name"),
        ('[scheduling.queues.urgent]\nrank = "first"', "urgent"),
    ],
)
def test_what_is_wrong_in_it_is_named(tmp_path: Path, written: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        _policy(tmp_path, written)


def test_a_wrong_mode_of_the_decision_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="decision_log"):
        decisions_from_settings(Settings(data=tmp_path, decision_log="sometimes"))
