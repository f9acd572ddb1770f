"""Slurm's accounting on a real cluster with slurmdbd: it agrees with what attempts report, by both transports, and may be down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.outcome import Done, Retry
from pearlstreet.compute.engines.accounts import AccountedEngine, JobAccount
from pearlstreet.compute.engines.conformance.rig import value_of
from tests.conformance.slurm_rig import SlurmRig, by_commands, cluster
from tests.engines.slurm_accounting import AccountedCluster
from tests.engines.slurm_cluster import ClusterSize

pytestmark = pytest.mark.slow
BOOKED_WITHIN_S = 60.0
SINCE_US = 3600 * US_PER_S


@pytest.fixture(scope="module")
def hpc() -> Iterator[AccountedCluster]:
    """A cluster with accounting."""
    made = AccountedCluster(ClusterSize(nodes=2, gpus=2))
    yield made
    made.close()


class ByCommands(SlurmRig):
    """The same cluster by its commands."""

    def options(self) -> Mapping[str, object]:
        return by_commands(super().options(), self.on)


@pytest.fixture(params=[SlurmRig, ByCommands], ids=["rest", "command"])
def rig(request: pytest.FixtureRequest, hpc: AccountedCluster, tmp_path: Path) -> Iterator[SlurmRig]:
    """An engine of that cluster, by each transport."""
    made = request.param(tmp_path, hpc)
    yield made
    made.clean_up()


def since(rig: SlurmRig) -> int:
    """A time before the tests."""
    return rig.clock.now_us() - SINCE_US


def accounts(rig: SlurmRig) -> Mapping[str, JobAccount]:
    """What the accounting has, by attempt."""
    assert isinstance(rig.engine, AccountedEngine)
    found = value_of(rig.engine.accounts(since(rig)))
    return {account.attempt_id: account for account in found}


def test_attempts_are_reported_with_the_times_that_slurm_accounts(rig: SlurmRig) -> None:
    ended = [rig.ended(rig.start(lasts_s=lasts_s)) for lasts_s in (0, 3)]
    rig.until(lambda: {one.attempt_id for one in ended} <= set(accounts(rig)), within_s=BOOKED_WITHIN_S)
    for report in ended:
        account = accounts(rig)[report.attempt_id]
        assert report.started_us is not None and report.ended_us is not None
        assert abs(report.started_us - account.start_us) <= US_PER_S
        assert abs(report.ended_us - account.end_us) <= US_PER_S


def test_jobs_of_direct_users_with_our_names_are_no_accounts_of_ours(
    rig: SlurmRig, hpc: AccountedCluster
) -> None:
    hpc.submit_as_direct_user("-J", "pearl:att_forged", "--wait", script="true", user="nobody")
    rig.ended(attempt_id := rig.start())
    rig.until(lambda: attempt_id in accounts(rig), within_s=BOOKED_WITHIN_S)
    assert "att_forged" not in accounts(rig)


def test_while_slurmdbd_is_down_jobs_run_and_are_accounted_later(
    rig: SlurmRig, hpc: AccountedCluster
) -> None:
    hpc.stop("slurmdbd")
    try:
        report = rig.ended(rig.start(lasts_s=1))
        assert report.exit_code == 0
        assert isinstance(rig.engine.accounts(since(rig)), Retry)  # type: ignore[attr-defined]
    finally:
        hpc.start("slurmdbd")
    rig.until(lambda: isinstance(rig.engine.accounts(since(rig)), Done), within_s=BOOKED_WITHIN_S)  # type: ignore[attr-defined]
    rig.until(lambda: report.attempt_id in accounts(rig), within_s=BOOKED_WITHIN_S)


def test_a_cluster_without_accounting_says_what_is_missing(tmp_path: Path) -> None:
    for kind, said in ((SlurmRig, "slurmdbd"), (ByCommands, "accounting storage is disabled")):
        rig = kind(tmp_path, cluster())
        told = rig.engine.accounts(since(rig))  # type: ignore[attr-defined]
        assert isinstance(told, Retry) and said in str(told.reason), told
        rig.clean_up()
