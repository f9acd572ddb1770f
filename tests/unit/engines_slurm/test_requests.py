"""Submissions in the forms of both versions of slurmrestd and of sbatch, and tokens."""

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from pearlstreet.compute.engines.slurm.gres import Gres
from pearlstreet.compute.engines.slurm.model import Submission
from pearlstreet.compute.engines.slurm.requests import NAMES_NODES, SUBMIT_FORMS, sbatch_options
from pearlstreet.compute.engines.slurm.tokens import TOKEN_LASTS_S, sign_token

JOB = Submission(
    attempt_id="att_1",
    script="#!/bin/sh\n",
    user="games",
    partition="batch",
    nodes=2,
    tasks=4,
    cpus_per_node=6,
    memory_mib_per_node=2000,
    gres_per_node=(Gres("gpu", "h100", 4),),
    time_minutes=5,
    account="lab",
)


@pytest.mark.parametrize("version", SUBMIT_FORMS)
def test_the_attempt_is_named_and_the_script_sent(version: str) -> None:
    body = SUBMIT_FORMS[version](JOB)
    assert body["job"]["name"] == body["job"]["comment"] == "pearl:att_1"
    assert body.get("script", body["job"].get("script")) == JOB.script
    assert (body["job"]["tasks"], body["job"]["tasks_per_node"], body["job"]["cpus_per_task"]) == (2, 1, 6)
    assert body["job"]["account"] == "lab" and "qos" not in body["job"]


def test_each_version_names_gpus_and_numbers_in_its_own_way() -> None:
    old, new = (SUBMIT_FORMS[version](JOB)["job"] for version in ("v0.0.38", "v0.0.42"))
    assert (old["gres"], old["memory_per_node"], old["nodes"]) == ("gpu:h100:4", 2000, [2, 2])
    assert new["tres_per_node"] == "gres/gpu:h100:4"
    assert new["memory_per_node"] == {"set": True, "infinite": False, "number": 2000}
    assert isinstance(old["environment"], dict) and isinstance(new["environment"], list)


def test_only_versions_that_can_name_nodes_do() -> None:
    named = Submission(**{**{name: getattr(JOB, name) for name in JOB.__slots__}, "node_names": ("n1", "n2")})
    for version, form in SUBMIT_FORMS.items():
        if version in NAMES_NODES:
            assert form(named)["job"]["required_nodes"] == ["n1", "n2"]
        else:
            with pytest.raises(ValueError):
                form(named)
    assert "--nodelist=n1,n2" in sbatch_options(named)


def test_options_of_sbatch_leave_out_what_is_not_set() -> None:
    options = sbatch_options(JOB)
    assert {
        "--parsable",
        "--no-requeue",
        "--nodes=2",
        "--gres=gpu:h100:4",
        "--time=5",
        "--export=NIL",
    } <= set(options)
    assert not [
        option for option in options if option.startswith(("--qos", "--nodelist")) or option.endswith("=")
    ]


def test_a_token_is_one_that_others_accept() -> None:
    key = b"0123456789abcdef0123456789abcdef"
    token = jwt.decode(sign_token(key, "games", now_us=1_700_000_000_000_000), OctKey.import_key(key))
    assert token.claims == {"sun": "games", "iat": 1_700_000_000, "exp": 1_700_000_000 + TOKEN_LASTS_S}
