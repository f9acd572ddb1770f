"""The Slurm engine on a real cluster: gangs, devices, users, lost answers, other people's jobs and failures of Slurm."""

from __future__ import annotations

import pwd
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pearlstreet.base.outcome import Done, Retry, Unknown
from pearlstreet.compute.engines.cluster.file_user import as_user, find_user
from pearlstreet.compute.engines.conformance.rig import LONG_S, value_of
from pearlstreet.compute.engines.protocol import DeviceRequest, EndReason, TaskState
from pearlstreet.compute.engines.slurm.engine import SlurmEngine
from pearlstreet.compute.engines.slurm.model import SlurmJob, SlurmNode, Submission
from pearlstreet.compute.engines.slurm.transport import Transport, UncertainError
from tests.conformance.slurm_rig import SlurmRig, cluster
from tests.engines.slurm_cluster import JOB_USERS

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SlurmRig]:
    """An engine of the shared cluster."""
    made = SlurmRig(tmp_path)
    yield made
    made.clean_up()


def slurm_of(rig: SlurmRig) -> SlurmEngine:
    """The engine of the rig."""
    assert isinstance(rig.engine, SlurmEngine)
    return rig.engine


def our_jobs(attempt_id: str) -> list[str]:
    """Numbers of the jobs that Slurm has for an attempt, in any state."""
    lines = cluster().run("squeue", "-h", "-t", "all", "-o", "%A %j").split("\n")
    return [line.split()[0] for line in lines if line.endswith(f"pearl:{attempt_id}")]


def test_a_gang_over_two_nodes_knows_its_ranks_and_meets_at_the_first(rig: SlurmRig) -> None:
    wants = DeviceRequest("h100-sxm-80g", 2)
    tasks = tuple(
        rig.task(rank, node=node, wants=wants) for rank, node in enumerate(("n1", "n1", "n2", "n2"))
    )
    script = 'echo "$RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $NODE_RANK $MASTER_ADDR:$MASTER_PORT $CUDA_VISIBLE_DEVICES"'
    order = replace(rig.order(script=f"{script}; sleep 1"), tasks=tasks)
    value_of(rig.engine.start(order))
    report = rig.ended(order.attempt_id)
    assert (report.end_reason, report.exit_code) == (EndReason.EXITED, 0), report
    told = [rig.log(order.attempt_id, rank).decode().split() for rank in range(4)]
    assert [words[:5] for words in told] == [
        ["0", "4", "0", "2", "0"],
        ["1", "4", "1", "2", "0"],
        ["2", "4", "0", "2", "1"],
        ["3", "4", "1", "2", "1"],
    ]
    assert len({words[5] for words in told}) == 1 and told[0][5] != ":"
    assert [words[6] for words in told] == ["0,1", "2,3", "0,1", "2,3"]
    assert [(task.node, task.devices) for task in report.tasks] == [
        ("n1", (0, 1)),
        ("n1", (2, 3)),
        ("n2", (0, 1)),
        ("n2", (2, 3)),
    ]


def test_a_rank_that_fails_ends_the_gang_on_the_other_node(rig: SlurmRig) -> None:
    tasks = tuple(rig.task(rank, node=f"n{rank + 1}") for rank in range(2))
    script = f'[ "$RANK" = 1 ] && sleep 1 && exit 4; sleep {LONG_S}'
    order = replace(rig.order(script=script), tasks=tasks)
    value_of(rig.engine.start(order))
    rig.until(lambda: rig.report(order.attempt_id).state is TaskState.EXITED, within_s=40)
    report = rig.report(order.attempt_id)
    assert (report.exit_code, report.end_reason) == (4, EndReason.EXITED), report


def test_tasks_run_as_the_organisations_user_and_another_organisation_has_another(rig: SlurmRig) -> None:
    for tenant in ("org_a", "org_b", "org_a"):
        rig.ended(rig.start(script="touch $PEARL_OUTPUTS/mine", tenant_id=tenant))
    (shared,) = cluster().shared.glob(rig.folder.name)
    owners = [path.stat().st_uid for path in shared.rglob("mine")]
    users = {pwd.getpwnam(name).pw_uid for name in JOB_USERS}
    assert len(owners) == 3 and len(set(owners)) == 2
    assert set(owners) <= users


def test_what_one_organisation_wrote_no_other_user_can_read(rig: SlurmRig) -> None:
    attempt_id = rig.start(script="echo secret > $PEARL_OUTPUTS/model")
    rig.ended(attempt_id)
    (model,) = (cluster().shared / rig.folder.name).rglob("model")
    for name in ("news", "nobody"):
        user = find_user(name)
        assert user is not None
        with as_user(user), pytest.raises(PermissionError):
            model.read_bytes()
    assert model.read_bytes() == b"secret\n"


class LosesAnswers:
    """A transport whose first answer to a submission gets lost, after or before Slurm did it."""

    def __init__(self, inner: Transport, *, arrives: bool) -> None:
        self.inner, self.arrives, self.lost = inner, arrives, 0

    @property
    def names_nodes(self) -> bool:
        return self.inner.names_nodes

    def topology(self) -> str:
        return self.inner.topology()

    def jobs(self) -> Sequence[SlurmJob]:
        return self.inner.jobs()

    def nodes(self) -> Sequence[SlurmNode]:
        return self.inner.nodes()

    def submit(self, job: Submission) -> int:
        if self.lost:
            return self.inner.submit(job)
        self.lost += 1
        if self.arrives:
            self.inner.submit(job)
        raise UncertainError("the answer is lost")

    def cancel(self, job_id: int, user: str) -> None:
        self.inner.cancel(job_id, user)

    def close(self) -> None:
        self.inner.close()


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("restarts", [True, False])
def test_a_submission_whose_answer_is_lost_runs_once(rig: SlurmRig, arrives: bool, restarts: bool) -> None:
    engine: Any = slurm_of(rig)
    engine._slurm = LosesAnswers(engine._slurm, arrives=arrives)
    order = rig.order(script='echo ran >> "$PEARL_OUTPUTS/runs"')
    assert isinstance(rig.engine.start(order), Unknown)
    if restarts:
        rig.restart()
    assert rig.ended(order.attempt_id).exit_code == 0
    assert value_of(rig.engine.read_output(order.attempt_id, "runs", offset=0, limit=99)) == b"ran\n"
    assert len(our_jobs(order.attempt_id)) == 1


def test_a_second_job_of_an_attempt_never_runs_its_program(rig: SlurmRig) -> None:
    attempt_id = rig.start(script='echo ran >> "$PEARL_OUTPUTS/runs"; sleep 4')
    rig.running(attempt_id)
    engine: Any = slurm_of(rig)
    engine._slurm.submit(Submission(**_submission(engine, attempt_id)))
    assert rig.ended(attempt_id).exit_code == 0
    assert value_of(rig.engine.read_output(attempt_id, "runs", offset=0, limit=99)) == b"ran\n"
    assert len(our_jobs(attempt_id)) == 2


def _submission(engine: Any, attempt_id: str) -> Mapping[str, Any]:
    values = engine._journal.get(attempt_id).submission
    return {**values, "gres_per_node": (), "node_names": ()}


def test_jobs_of_direct_users_are_occupied_capacity_and_stay(rig: SlurmRig) -> None:
    job = cluster().submit_as_direct_user("--gres=gpu:h100:3", "-w", "n5", "-c", "10", "--mem=10G")

    def seen() -> bool:
        node = {node.name: node for node in value_of(rig.engine.nodes())}["n5"]
        free = [device.index for device in node.devices if device.healthy]
        return (node.cpus, node.memory_gib, len(free)) == (22, 52.5, 5)

    rig.until(seen)
    rig.ended(rig.start())
    assert cluster().run("squeue", "-h", "-j", str(job), "-o", "%T").strip() == "RUNNING"
    cluster().run("scancel", str(job))
    rig.until(lambda: {node.name: node for node in value_of(rig.engine.nodes())}["n5"].cpus == 32)


def test_a_drained_node_is_out_of_service_with_the_reason(rig: SlurmRig) -> None:
    cluster().run("scontrol", "update", "nodename=n6", "state=drain", "reason=fan broken")
    try:
        rig.until(
            lambda: not {node.name: node for node in value_of(rig.engine.nodes())}["n6"].healthy, within_s=5
        )
        node = {node.name: node for node in value_of(rig.engine.nodes())}["n6"]
        assert "fan broken" in str(node.health_reason)
    finally:
        cluster().run("scontrol", "update", "nodename=n6", "state=resume")
    rig.until(lambda: {node.name: node for node in value_of(rig.engine.nodes())}["n6"].healthy)


def test_an_attempt_that_slurms_operator_cancels_is_lost_and_not_the_jobs_fault(rig: SlurmRig) -> None:
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    cluster().run("scancel", *our_jobs(attempt_id))
    report = rig.ended(attempt_id)
    assert report.end_reason is EndReason.ENGINE_LOST
    assert "cancelled in Slurm" in str(report.message)


def test_an_attempt_whose_machines_slurm_takes_is_lost_and_does_not_run_again(rig: SlurmRig) -> None:
    attempt_id = rig.start(script=f'echo ran >> "$PEARL_OUTPUTS/runs"; sleep {LONG_S}')
    rig.running(attempt_id)
    urgent = cluster().submit_as_direct_user("-p", "urgent", "-N8", "--exclusive", script="sleep 2")
    try:
        report = rig.ended(attempt_id)
    finally:
        cluster().run("scancel", str(urgent))
    assert report.end_reason is EndReason.ENGINE_LOST
    assert "took the machines" in str(report.message)
    rig.until(lambda: not cluster().run("squeue", "-h", "-t", "PD,R", "-n", f"pearl:{attempt_id}").split())


def test_while_slurm_does_not_answer_nothing_is_lost(rig: SlurmRig) -> None:
    attempt_id = rig.start(lasts_s=2)
    rig.running(attempt_id)
    cluster().stop("slurmrestd")
    try:
        rig.until(lambda: isinstance(rig.engine.observe(""), Unknown))
        rig.until(lambda: isinstance(rig.engine.nodes(), Retry))
        order = rig.order()
        assert isinstance(rig.engine.start(order), Retry)
        assert rig.engine.probe(order.attempt_id) == Done(None)
    finally:
        cluster().start("slurmrestd")
    assert rig.ended(attempt_id).exit_code == 0
    value_of(rig.engine.start(order))
    assert rig.ended(order.attempt_id).exit_code == 0


def test_a_stop_while_slurm_does_not_answer_is_carried_out(rig: SlurmRig) -> None:
    attempt_id = rig.start(lasts_s=LONG_S)
    rig.running(attempt_id)
    cluster().stop("slurmrestd")
    try:
        value_of(rig.engine.stop(attempt_id, grace_s=1))
    finally:
        cluster().start("slurmrestd")
    assert rig.ended(attempt_id).end_reason is EndReason.STOPPED
