"""From a draft to the whole job: what an offer decides, and what it leaves as it is."""

from __future__ import annotations

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import Text
from pearlstreet.compute.estimate.band import Band
from pearlstreet.quotes.candidates import Candidate
from pearlstreet.quotes.offer_spec import complete, read_draft, time_limit_s
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.parse import parse_stored
from pearlstreet.workload.spec.write import to_json

EIGHT = Candidate("h100-sxm-80g", 2, 8, 8, True, 16.0, 128.0, 0.6)
LAYOUT = {"tensor": 2, "data": 8, "recompute": "none"}


def test_the_offer_decides_hardware_and_limit_and_tells_the_layout() -> None:
    draft = read_draft({"command": "python train.py", "name": "tune", "variables": {"EPOCHS": "3"}})
    made = complete(draft, EIGHT, 3600, LAYOUT)
    assert isinstance(made, JobSpec)
    assert (made.tasks, made.per_task.accelerator, made.per_task.count) == (2, ("h100-sxm-80g",), 8)
    assert (made.per_task.cpus, made.per_task.memory_gib, made.time_limit_s) == (64.0, 512.0, 3600)
    assert made.variables == {
        "EPOCHS": "3",
        "PEARL_LAYOUT_TENSOR": "2",
        "PEARL_LAYOUT_DATA": "8",
        "PEARL_LAYOUT_RECOMPUTE": "none",
    }
    assert parse_stored(to_json(made)) == made, "what is kept is what is submitted"


def test_what_the_draft_says_of_cores_and_memory_stays() -> None:
    draft = read_draft({"command": "x", "per_task": {"cpus": 3, "memory_gib": 7.5}})
    made = complete(draft, EIGHT, 3600, {})
    assert isinstance(made, JobSpec)
    assert (made.per_task.cpus, made.per_task.memory_gib) == (3, 7.5)


def test_a_small_node_is_not_asked_for_more_than_its_share() -> None:
    small = Candidate("rtx-4090", 1, 1, 2, True, 1.25, 3.0, 0.1)
    made = complete(read_draft({"command": "x"}), small, 3600, {})
    assert isinstance(made, JobSpec)
    assert (made.per_task.cpus, made.per_task.memory_gib) == (1.2, 3.0)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tasks": 2}, "job.tasks"),
        ({"time_limit": "2h"}, "job.time_limit"),
        ({"array": {"size": 3}}, "job.array"),
        ({"elastic": {"min_tasks": 1, "max_tasks": 2}}, "job.elastic"),
        ({"per_task": {"accelerator": "H100"}}, "job.per_task.accelerator"),
        ({"per_task": {"count": 1}}, "job.per_task.count"),
        ({"per_task": {"fraction": {"memory_gib": 10}}}, "job.per_task.fraction"),
        ({"comand": "x"}, "job.comand"),
        ({"variables": {"PEARL_URL": "x"}}, "job.variables.PEARL_URL"),
    ],
)
def test_what_offers_decide_is_refused_in_a_draft(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_draft({"command": "x", **wrong})
    assert field in [problem.field for problem in refused.value.problems]


def test_an_own_layout_wins() -> None:
    draft = read_draft({"command": "x", "variables": {"PEARL_LAYOUT_TENSOR": "4"}})
    made = complete(draft, EIGHT, 3600, LAYOUT)
    assert isinstance(made, JobSpec)
    assert made.variables["PEARL_LAYOUT_TENSOR"] == "4"


def test_the_limit_is_p90_and_a_quarter_in_minutes() -> None:
    assert time_limit_s(Band(1000, 2000, 4001)) == 5040
    assert time_limit_s(Band(1, 2, 3)) == 600
    assert time_limit_s(Band(3600, 3600, 3600), exact=True) == 3600
    nearly = 29 * 86_400.0
    assert time_limit_s(Band(nearly, nearly, nearly)) == 30 * 86_400, (
        "the margin is cut where a job's limit ends"
    )


def test_what_runs_longer_than_a_job_may_is_no_job() -> None:
    month = 31 * 86_400.0
    made = complete(read_draft({"command": "x"}), EIGHT, time_limit_s(Band(month, month, month)), {})
    assert isinstance(made, Text)
