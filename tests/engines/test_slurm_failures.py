"""What fails on a real Slurm cluster, and that nothing is lost by it: daemons, nodes, tokens, job records and job numbers."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pearlstreet.base.clock import US_PER_S, SystemClock
from pearlstreet.base.outcome import Done, Retry, Unknown
from pearlstreet.compute.engines.conformance.rig import LONG_S, value_of
from pearlstreet.compute.engines.protocol import EndReason, NodeReport
from pearlstreet.compute.engines.slurm.model import Submission
from pearlstreet.compute.engines.slurm.transport import RejectedError, UncertainError
from tests.conformance.slurm_rig import SlurmRig
from tests.engines.slurm_cluster import ClusterSize, SlurmCluster

pytestmark = pytest.mark.slow
COUNTS = 'echo ran >> "$PEARL_OUTPUTS/runs"; '
JOB_NUMBERS = "FirstJobId=101\nMaxJobId=160"
"""So few that numbers are used again within a test."""
PURGED_WITHIN_S = 150.0
SLURMD_TIMEOUT_S = 10
TOLD_WITHIN_S = 15.0
"""From Slurm's own decision to our report, on a loaded machine: the time for files to become visible, and one look."""


@pytest.fixture(scope="module")
def hpc() -> Iterator[SlurmCluster]:
    """A cluster that is quick to give up nodes and to forget jobs."""
    size = ClusterSize(nodes=3, gpus=2, slurmd_timeout_s=SLURMD_TIMEOUT_S, job_age_s=5)
    made = SlurmCluster(size, more=JOB_NUMBERS)
    yield made
    made.close()


class ShiftedClock(SystemClock):
    """A clock that is wrong by `off_s`."""

    off_s = 0.0

    def now_us(self) -> int:
        return super().now_us() + int(self.off_s * US_PER_S)


@pytest.fixture
def rig(hpc: SlurmCluster, tmp_path: Path) -> Iterator[SlurmRig]:
    """An engine of that cluster."""
    made = SlurmRig(tmp_path, hpc, ShiftedClock())
    yield made
    made.clean_up()


def node(rig: SlurmRig, name: str) -> NodeReport:
    """What the engine tells of a node."""
    return {node.name: node for node in value_of(rig.engine.nodes())}[name]


def jobs_of(hpc: SlurmCluster, attempt_id: str, what: str = "%A") -> list[str]:
    """What Slurm lists of the jobs of an attempt."""
    return hpc.run("squeue", "-h", "-t", "all", "-n", f"pearl:{attempt_id}", "-o", what).split()


def runs(rig: SlurmRig, attempt_id: str) -> bytes:
    """What an attempt wrote that begins with COUNTS: a line for each run."""
    return value_of(rig.engine.read_output(attempt_id, "runs", offset=0, limit=99))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_outlive_slurmctld_and_starts_wait_for_it(
    rig: SlurmRig, hpc: SlurmCluster, how: signal.Signals
) -> None:
    attempt_id = rig.start(script=COUNTS + "sleep 3; exit 5")
    rig.running(attempt_id)
    order = rig.order(script=COUNTS)
    hpc.stop("slurmctld", how)
    try:
        rig.until(lambda: isinstance(rig.engine.observe(""), Unknown), within_s=60)
        seen = rig.engine.nodes()
        assert isinstance(seen, Retry) and str(seen.reason).startswith("Slurm: "), seen
        assert not hasattr(rig.engine.start(order), "value")
    finally:
        hpc.start("slurmctld")
    rig.until(lambda: not isinstance(rig.engine.observe(""), Unknown), within_s=60)
    report = rig.ended(attempt_id)
    assert (report.end_reason, report.exit_code) == (EndReason.EXITED, 5), report
    value_of(rig.engine.start(order))
    assert rig.ended(order.attempt_id).exit_code == 0
    assert runs(rig, attempt_id) == runs(rig, order.attempt_id) == b"ran\n"


def test_a_job_that_ends_while_slurmrestd_is_down_is_told_afterwards(
    rig: SlurmRig, hpc: SlurmCluster
) -> None:
    attempt_id = rig.start(script=COUNTS + "sleep 2; exit 6")
    rig.running(attempt_id)
    hpc.stop("slurmrestd", signal.SIGKILL)
    try:
        rig.until(lambda: not jobs_of(hpc, attempt_id, "%T %N").count("RUNNING"))
        told = rig.engine.probe(attempt_id)
        assert isinstance(told, Unknown) and "cannot be reached" in str(told.reason), told
    finally:
        hpc.start("slurmrestd")
    assert rig.ended(attempt_id).exit_code == 6


def test_a_clock_that_is_wrong_is_named_and_heals(rig: SlurmRig) -> None:
    clock = rig.clock
    assert isinstance(clock, ShiftedClock)
    clock.off_s = -3600
    rig.restart()
    time.sleep(1.1)
    seen = rig.engine.nodes()
    assert isinstance(seen, Retry) and "clock" in str(seen.reason), seen
    clock.off_s = 0
    rig.until(lambda: not isinstance(rig.engine.nodes(), Retry), within_s=5)


def test_tokens_that_expire_or_that_a_new_key_refuses_are_replaced(rig: SlurmRig, hpc: SlurmCluster) -> None:
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    slurm = rig.engine._slurm  # type: ignore[attr-defined]
    (api_user,) = {"root"} & set(slurm._tokens)
    was_us, token = slurm._tokens[api_user]
    slurm._tokens[api_user] = (was_us - 5 * US_PER_S, token[:-6] + "AAAAAA")  # as of another key
    slurm.jobs()
    rig.clock.off_s = 299  # type: ignore[attr-defined]
    slurm.jobs()
    kept = slurm._tokens[api_user]
    rig.clock.off_s = 310  # type: ignore[attr-defined]
    slurm.jobs()
    assert slurm._tokens[api_user][0] > kept[0], "renewed when half of its life is over"
    rig.clock.off_s = 0  # type: ignore[attr-defined]
    slurm.jobs()
    value_of(rig.engine.stop(attempt_id, grace_s=0))
    assert rig.ended(attempt_id).end_reason is EndReason.STOPPED


def test_a_node_that_fails_is_out_and_its_attempt_is_lost_once_slurm_says_so(
    rig: SlurmRig, hpc: SlurmCluster
) -> None:
    attempt_id = rig.start(script=COUNTS + f"sleep {LONG_S}")
    rig.running(attempt_id)
    (name,) = jobs_of(hpc, attempt_id, "%N")
    hpc.stop(name, signal.SIGKILL)
    try:
        rig.until(lambda: "RUNNING" not in jobs_of(hpc, attempt_id, "%T"), within_s=8 * SLURMD_TIMEOUT_S)
        decided_s = time.monotonic()
        report = rig.ended(attempt_id)
        assert time.monotonic() - decided_s < TOLD_WITHIN_S
        assert report.end_reason is EndReason.ENGINE_LOST, report
        rig.until(lambda: not node(rig, name).healthy, within_s=TOLD_WITHIN_S)
        assert node(rig, name).health_reason is not None
        others = [other.healthy for other in value_of(rig.engine.nodes()) if other.name != name]
        assert others == [True, True], hpc.run("sinfo", "-R")
    finally:
        hpc.start(name)
    rig.until(lambda: node(rig, name).healthy, within_s=60)
    assert runs(rig, attempt_id) == b"ran\n"


def test_running_jobs_are_adopted_after_our_restart(rig: SlurmRig, hpc: SlurmCluster) -> None:
    attempt_id = rig.start(script=COUNTS + "sleep 5; exit 8")
    started_us = rig.running(attempt_id).started_us
    rig.restart()
    assert rig.running(attempt_id).started_us == started_us
    report = rig.ended(attempt_id)
    assert (report.started_us, report.exit_code) == (started_us, 8)
    assert runs(rig, attempt_id) == b"ran\n"


def test_a_refusal_that_follows_a_lost_answer_ends_the_attempt_and_names_the_cause(
    rig: SlurmRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm = rig.engine._slurm  # type: ignore[attr-defined]
    answers = iter([UncertainError("lost"), RejectedError("Invalid generic resource (gres) specification")])

    def submit(_: Submission) -> int:
        raise next(answers)

    monkeypatch.setattr(slurm, "submit", submit)
    order = rig.order()
    assert isinstance(rig.engine.start(order), Unknown)
    report = rig.ended(order.attempt_id)
    assert report.end_reason is EndReason.ENGINE_LOST
    assert "gres" in str(report.message)
    assert rig.engine.probe(order.attempt_id) == Done(report)


def test_a_number_that_slurm_uses_again_is_not_taken_for_our_job(rig: SlurmRig, hpc: SlurmCluster) -> None:
    attempt_id = rig.start(script=COUNTS + "sleep 2; exit 7")
    rig.running(attempt_id)
    (number,) = jobs_of(hpc, attempt_id)
    rig.engine.close()
    rig.until(lambda: not jobs_of(hpc, attempt_id), within_s=PURGED_WITHIN_S)
    taken = 0
    try:
        while taken != int(number):
            hpc.run("scancel", "--user=games")
            taken = hpc.submit_as_direct_user("--begin=now+1hour", user="games")
        rig.restart()
        report = rig.ended(attempt_id)
        assert (report.end_reason, report.exit_code) == (EndReason.EXITED, 7), report
        value_of(rig.engine.stop(attempt_id, grace_s=0))
        assert hpc.run("squeue", "-h", "-t", "all", "-j", str(taken), "-o", "%T").split() == ["PENDING"]
    finally:
        hpc.run("scancel", str(taken))
    assert runs(rig, attempt_id) == b"ran\n"
