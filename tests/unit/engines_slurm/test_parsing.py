"""Recorded answers of slurmrestd 22.05 and 24.11 are read into the same values; damaged ones never raise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.compute.engines.cluster.report_merge import ViewPhase
from pearlstreet.compute.engines.protocol import EndReason
from pearlstreet.compute.engines.slurm.gres import Gres, format_gres, parse_gres, total
from pearlstreet.compute.engines.slurm.hostlist import expand_hosts
from pearlstreet.compute.engines.slurm.lookup import view_of
from pearlstreet.compute.engines.slurm.model import Share, SlurmJob, SlurmNode
from pearlstreet.compute.engines.slurm.parsing import parse_jobs, parse_nodes
from pearlstreet.compute.engines.slurm.states import (
    JOB_ENDS,
    JOB_PHASES,
    JobPhase,
    job_end,
    job_phase,
    node_problem,
)

RECORDED = Path(__file__).parent / "recorded"
VERSIONS = ("v0.0.38", "v0.0.42")


def recorded(version: str, what: str) -> Any:
    """An answer that slurmrestd of that version gave."""
    return json.loads((RECORDED / f"{version}-{what}.json").read_text())


def jobs(version: str) -> dict[str, SlurmJob]:
    """The recorded jobs by attempt, `""` for that of a direct user."""
    return {job.attempt_id.removeprefix("att_"): job for job in parse_jobs(recorded(version, "jobs")["jobs"])}


def nodes(version: str) -> dict[str, SlurmNode]:
    """The recorded nodes by name."""
    return {node.name: node for node in parse_nodes(recorded(version, "nodes")["nodes"])}


@pytest.mark.parametrize("version", VERSIONS)
def test_jobs_are_read_alike_from_both_versions(version: str) -> None:
    found = jobs(version)
    assert (found["ok"].phase, found["ok"].exit_code) == (JobPhase.OVER, 0)
    assert (found["fail"].states, found["fail"].exit_code) == (("FAILED",), 3)
    assert found["killed"].signal == 9
    assert found["wait"].phase is JobPhase.WAITING and found["wait"].nodes == ()
    assert found["bad"].reason == "BadConstraints"
    assert found["cancel"].states == ("CANCELLED",)
    assert found["ok"].user == "games"
    assert found["ok"].nodes == ("n1",) and found["ok"].shares == (Share("n1", 2, 500),)
    start, end = found["fail"].start_s, found["fail"].end_s
    assert start is not None and end is not None and found["fail"].submit_s <= start <= end


def test_a_preempted_job_was_queued_again_by_22_05_which_ignores_our_wish_and_ended_by_24_11() -> None:
    again, ended = jobs("v0.0.38")["preempt"], jobs("v0.0.42")["preempt"]
    assert (again.phase, again.restarts) == (JobPhase.WAITING, 1)
    assert (ended.phase, ended.restarts) == (JobPhase.OVER, 0)
    assert job_end(ended.states)[0] is EndReason.ENGINE_LOST


@pytest.mark.parametrize("version", VERSIONS)
def test_a_direct_users_job_tells_what_it_has_of_each_node(version: str) -> None:
    direct = jobs(version)[""]
    assert (direct.name, direct.user, direct.phase) == ("wrap", "news", JobPhase.RUNNING)
    assert [share.node for share in direct.shares] == ["n1", "n2", "n3", "n4", "n5", "n6", "n7"]
    share = direct.shares[0]
    assert (share.cpus, share.memory_mib) == (32, 64000)
    assert share.gres == (Gres("gpu", "h100", 8, tuple(range(8))),)


@pytest.mark.parametrize("version", VERSIONS)
def test_nodes_are_read_alike_from_both_versions(version: str) -> None:
    found = nodes(version)
    assert sorted(found) == [f"n{number}" for number in range(1, 9)]
    first, drained = found["n1"], found["n8"]
    assert (first.cpus, first.memory_mib) == (32, 64000)
    assert (total(first.gres, "gpu"), total(first.gres, "shard")) == (8, 80)
    assert first.gres[0].kind == "h100"
    assert first.partitions == ("batch", "urgent")
    assert node_problem(first.states) is None
    assert str(node_problem(drained.states)) == "Slurm has drained it"
    assert drained.reason == "fan broken"


def damaged(value: Any) -> st.SearchStrategy[Any]:
    """An answer in which some values are of another kind or missing."""
    junk = st.sampled_from(
        [None, -1, "", "x", [], {}, [None], {"set": True}, "gpu:(IDX:", "n[1-", True, 1e300]
    )
    if isinstance(value, dict):
        return st.fixed_dictionaries({}, optional={key: damaged(item) for key, item in value.items()}) | junk
    if isinstance(value, list):
        return st.tuples(*(damaged(item) for item in value[:2])).map(list) | junk
    return st.just(value) | junk


@pytest.mark.parametrize("version", VERSIONS)
def test_a_damaged_answer_never_raises(version: str) -> None:
    some_jobs, some_nodes = recorded(version, "jobs")["jobs"][-2:], recorded(version, "nodes")["nodes"][-2:]

    @given(st.lists(damaged(some_jobs[0])), st.lists(damaged(some_nodes[0])))
    def check(broken_jobs: list[Any], broken_nodes: list[Any]) -> None:
        assert len(parse_jobs([*broken_jobs, *some_jobs])) >= len(some_jobs)
        assert len(parse_nodes([*broken_nodes, *some_nodes])) >= len(some_nodes)

    check()


def test_every_state_of_an_ended_job_has_an_end() -> None:
    over = {state for state, phase in JOB_PHASES.items() if phase is JobPhase.OVER}
    assert over == set(JOB_ENDS)


def test_states_that_hold_at_once_are_weighed() -> None:
    assert job_phase(["COMPLETED", "COMPLETING"]) is JobPhase.ENDING
    assert job_phase(["RUNNING", "CONFIGURING"]) is JobPhase.STARTING
    assert job_phase(["RUNNING", "SIGNALING"]) is JobPhase.RUNNING
    assert job_phase(["A_STATE_OF_TOMORROW"]) is JobPhase.RUNNING
    assert job_phase(["PENDING", "REQUEUED"]) is JobPhase.WAITING


def test_a_node_with_a_state_of_tomorrow_is_out_of_service_and_names_it() -> None:
    assert "SLEEPWALKING" in str(node_problem(["IDLE", "SLEEPWALKING"]))
    assert str(node_problem(["idle*"])) == "It does not respond to Slurm"
    assert node_problem(["mixed", "PLANNED"]) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("n1", ("n1",)),
        ("n[1-3,7],gpu01", ("n1", "n2", "n3", "n7", "gpu01")),
        ("n[08-10]", ("n08", "n09", "n10")),
        ("r[1-2]n[1-2]x", ("r1n1x", "r1n2x", "r2n1x", "r2n2x")),
        ("", ()),
    ],
)
def test_lists_of_hosts(words: str, expected: tuple[str, ...]) -> None:
    assert expand_hosts(words) == expected


@pytest.mark.parametrize("words", ["n[1-", "n[a-b]", "n[1-999999999]", "n[1-٣]"])
def test_a_list_of_hosts_that_cannot_be_read_is_refused(words: str) -> None:
    with pytest.raises(ValueError):
        expand_hosts(words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gpu:8", (Gres("gpu", "", 8),)),
        ("gpu:h100:4(IDX:0,2-3)", (Gres("gpu", "h100", 4, (0, 2, 3)),)),
        ("gpu:h100:8(S:0-1),shard:h100:80", (Gres("gpu", "h100", 8, (), (0, 1)), Gres("shard", "h100", 80))),
        ("gres:gpu:a100-80g:2", (Gres("gpu", "a100-80g", 2),)),
        ("gres/gpu:h100=4", (Gres("gpu", "h100", 4),)),
        ("gpu:1g.10gb:2", (Gres("gpu", "1g.10gb", 2),)),
        ("mps:2K", (Gres("mps", "", 2048),)),
        ("gpu:h100:0(IDX:N/A)", (Gres("gpu", "h100", 0),)),
        ("(null)", ()),
        ("N/A", ()),
    ],
)
def test_generic_resources(words: str, expected: tuple[Gres, ...]) -> None:
    assert parse_gres(words) == expected


def test_generic_resources_are_written_as_a_request_names_them() -> None:
    items = (Gres("gpu", "h100", 4), Gres("shard", "", 3))
    assert format_gres(items) == "gpu:h100:4,shard:3"
    assert format_gres(items, prefix="gres/") == "gres/gpu:h100:4,gres/shard:3"
    assert parse_gres(format_gres(items)) == items


def test_a_job_that_shows_only_completing_has_not_told_yet_how_it_ended() -> None:
    job = SlurmJob(7, "pearl:att_1", "games", ("COMPLETING",), start_s=5)
    assert view_of(job, is_expected=True).phase is ViewPhase.RUNNING
    told = view_of(replace(job, states=("COMPLETED", "COMPLETING")), is_expected=True)
    assert (told.phase, told.reason) == (ViewPhase.OVER, EndReason.EXITED)
