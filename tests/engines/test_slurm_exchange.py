"""A real Slurm whose nodes see no folder of the server: a whole job, its checks, and a server that is away meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pearlstreet.base.clock import SystemClock
from pearlstreet.base.rng import SeededRng
from pearlstreet.compute.engines.checks import CheckedEngine
from pearlstreet.compute.engines.conformance.rig import value_of
from pearlstreet.compute.engines.host import EngineHost
from pearlstreet.compute.engines.protocol import Mount, Stage
from pearlstreet.compute.engines.slurm.making import make_slurm
from tests.conformance.slurm_rig import ExchangeSlurmRig
from tests.engines.slurm_cluster import free_ports

pytestmark = pytest.mark.slow


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ExchangeSlurmRig]:
    made = ExchangeSlurmRig(tmp_path)
    yield made
    made.clean_up()


def test_a_job_gets_its_files_and_leaves_nothing_on_the_node(rig: ExchangeSlurmRig, tmp_path: Path) -> None:
    environment, code = tmp_path / "environment", tmp_path / "code.py"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "greet").write_text("#!/bin/sh\necho hello from $1\n")
    (environment / "bin" / "greet").chmod(0o755)
    code.write_text("the code")
    script = """
        /env/bin/greet $PEARL_RANK && cat code.py && echo saved > $PEARL_CHECKPOINT/step-1
        mkdir -p $PEARL_OUTPUTS/d && echo result > $PEARL_OUTPUTS/d/file
        ls /var/tmp/ > $PEARL_OUTPUTS/seen 2>&1; true"""
    attempt_id = rig.start(
        script=script,
        stages=(Stage(str(code), "code.py"),),
        mounts=(Mount(str(environment), "/env"),),
        checkpoint="job_1",
    )
    assert rig.ended(attempt_id).exit_code == 0, rig.log(attempt_id)
    assert rig.log(attempt_id) == b"hello from 0\nthe code"
    assert value_of(rig.engine.read_output(attempt_id, "d/file", offset=0, limit=99)) == b"result\n"
    assert b"pearl" not in value_of(rig.engine.read_output(attempt_id, "seen", offset=0, limit=999))
    assert [entry.name for entry in value_of(rig.engine.list_checkpoint("job_1"))] == ["step-1"]
    following = rig.start(script="cat $PEARL_CHECKPOINT/step-1; sleep 1", checkpoint="job_1")
    assert rig.ended(following).exit_code == 0
    assert rig.log(following) == b"saved\n"


def test_ranks_on_several_nodes_bring_their_outputs_together(rig: ExchangeSlurmRig) -> None:
    script = "echo $PEARL_RANK > $PEARL_OUTPUTS/rank-$PEARL_RANK; echo $PEARL_RANK > $PEARL_OUTPUTS/model; echo at $MASTER_ADDR"
    order = rig.order(script=script, tasks=2)
    tasks = tuple(rig.task(rank, cpus=20.0) for rank in range(2))  # too large for one node
    value_of(rig.engine.start(replace(order, tasks=tasks)))
    assert rig.ended(order.attempt_id).exit_code == 0
    found = [file.path for file in value_of(rig.engine.list_outputs(order.attempt_id))]
    assert found == ["model", "rank-0", "rank-1"]
    assert value_of(rig.engine.read_output(order.attempt_id, "model", offset=0, limit=9)) == b"0\n"
    assert rig.log(order.attempt_id, 1).startswith(b"at ")


def test_a_job_goes_on_while_the_server_is_away(rig: ExchangeSlurmRig) -> None:
    attempt_id = rig.start(script="echo one; sleep 4; echo two; echo out > $PEARL_OUTPUTS/x")
    rig.until(lambda: rig.log(attempt_id) == b"one\n")
    rig.engine.close()
    rig.clock.sleep(6)
    rig.restart()
    assert rig.ended(attempt_id).exit_code == 0
    assert rig.log(attempt_id) == b"one\ntwo\n"
    assert value_of(rig.engine.read_output(attempt_id, "x", offset=0, limit=9)) == b"out\n"


def test_the_checks_find_out_whether_nodes_reach_the_server(rig: ExchangeSlurmRig, tmp_path: Path) -> None:
    options = {**rig.options(), "exchange": f"http://127.0.0.1:{free_ports(1)[0]}"}
    engine = make_slurm(
        EngineHost("hpc", True, tmp_path, tmp_path / "hpc", SystemClock(), SeededRng(1)), options
    )
    try:
        assert isinstance(engine, CheckedEngine)
        wrong = {check.name for check in engine.checks() if check.problem is not None and check.blocking}
    finally:
        engine.close()
    assert wrong == set()
