"""A start refuses what would fail later: a policy or price rule whose plugin is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.compute.jobs.runtime import DataFolders, JobsSettings, Runtime
from pearlstreet.compute.jobs.startup_recovery import recover
from pearlstreet.compute.queueing.policy.model import Policy
from pearlstreet.compute.scheduling.config import PlannerConfig
from pearlstreet.ledger.prices import _write as write_prices
from pearlstreet.ledger.prices import ensure_default_prices
from pearlstreet.ledger.pricing import PriceRule
from pearlstreet.store.core import Store


def _runtime(folder: Path, settings: JobsSettings) -> Runtime:
    folders = DataFolders(folder)
    folders.create()
    return Runtime(engines={}, folders=folders, settings=settings)


def test_a_policy_of_a_plugin_that_is_gone_stops_the_start(sqlite_store: Store, tmp_path: Path) -> None:
    planner = replace(PlannerConfig(), order="last-come")
    gone = _runtime(tmp_path, replace(JobsSettings(), policy=Policy(planner=planner)))
    with pytest.raises(ConfigurationError, match="no order policy named last-come") as refused:
        sqlite_store.write(lambda tx: recover(tx, gone))
    assert refused.value.hint is not None and "plugin" in str(refused.value.hint)
    sqlite_store.write(lambda tx: recover(tx, _runtime(tmp_path, JobsSettings())))


def test_a_price_list_with_a_rule_of_a_plugin_that_is_gone_stops_the_start(
    sqlite_store: Store, tmp_path: Path
) -> None:
    runtime = _runtime(tmp_path, JobsSettings())
    sqlite_store.write(ensure_default_prices)
    sqlite_store.write(lambda tx: recover(tx, runtime))
    rule = PriceRule("accelerator/*", "card_day", 5_000_000, 1)
    sqlite_store.write(lambda tx: write_prices(tx, (rule,), tx.now_us, "by the day", "test"))
    with pytest.raises(ConfigurationError, match="price rule named card_day"):
        sqlite_store.write(lambda tx: recover(tx, runtime))
