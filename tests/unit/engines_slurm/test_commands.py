"""What Slurm's commands say, and what each failure means for a request: without effect, refused, or uncertain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pearlstreet.compute.engines.slurm.commands import CommandTransport
from pearlstreet.compute.engines.slurm.gres import Gres
from pearlstreet.compute.engines.slurm.model import Submission
from pearlstreet.compute.engines.slurm.transport import (
    BadGresError,
    NotReachedError,
    RejectedError,
    TransportError,
    UncertainError,
)
from pearlstreet.compute.hardware.access import CommandResult

RECORDED = Path(__file__).parent / "recorded"
JOB = Submission("att_1", "#!/bin/sh\nexec 'it is'\n", "games", "batch", 1, 1, 2, 100)


class Host:
    """A machine that answers each program with what a test says, and remembers the commands."""

    def __init__(self, **answers: CommandResult) -> None:
        self.inputs: list[str] = []
        self.answers = {"id": CommandResult("ok", "0\n"), **answers}
        self.asked: list[Sequence[str]] = []

    def run(self, command: Sequence[str], *, timeout_s: float, stdin: str = "") -> CommandResult:
        self.asked.append(command)
        self.inputs.append(stdin)
        return next(answer for name, answer in self.answers.items() if name in command)


def failed(said: str, code: int = 1) -> CommandResult:
    return CommandResult("failed", stderr=said, code=code)


def test_a_job_is_submitted_as_its_user_with_the_script_and_the_right_configuration() -> None:
    host = Host(sbatch=CommandResult("ok", "4711;river\n"))
    assert CommandTransport(host, conf="/etc/slurm.conf").submit(JOB) == 4711
    words = list(host.asked[-1])
    assert words[0] == "setpriv" and "--clear-groups" in words and not any("uid=0" in word for word in words)
    assert words[words.index("env") + 1] == "SLURM_CONF=/etc/slurm.conf"
    assert host.inputs[-1].startswith("#!/bin/sh\nexec 'it is'") and "--job-name=pearl:att_1" in words


def test_a_login_that_is_not_root_submits_as_itself() -> None:
    host = Host(id=CommandResult("ok", "1000\n"), sbatch=CommandResult("ok", "5\n"))
    CommandTransport(host).submit(JOB)
    assert host.asked[-1][0] == "sbatch"


def test_a_user_that_is_gone_is_never_replaced_by_root() -> None:
    host = Host(sbatch=CommandResult("ok", "5\n"))
    for name in ("nobody-of-that-name", "root"):
        with pytest.raises(NotReachedError):
            CommandTransport(host).submit(replace(JOB, user=name))


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (failed("sbatch: error: Batch job submission failed: Invalid generic resource (gres) specification"), BadGresError),
        (failed("sbatch: error: Batch job submission failed: Invalid partition name specified"), RejectedError),
        (failed("sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"), NotReachedError),
        (failed("sbatch: error: Munge encode failed: Failed to access \"/run/munge\""), NotReachedError),
        (failed("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"), UncertainError),
        (failed("ssh: connect to host c port 22: Connection refused", 255), NotReachedError),
        (failed("client_loop: send disconnect: Broken pipe", 255), UncertainError),
        (failed("env: 'sbatch': No such file or directory", 127), NotReachedError),
        (CommandResult("missing"), NotReachedError),
        (CommandResult("timeout"), UncertainError),
        (CommandResult("ok", "hello\n"), UncertainError),
    ],
)  # fmt: skip
def test_what_a_failed_submission_means(answer: CommandResult, meaning: type[TransportError]) -> None:
    with pytest.raises(meaning) as caught:
        CommandTransport(Host(sbatch=answer)).submit(replace(JOB, gres_per_node=(Gres("gpu", "h100", 1),)))
    assert type(caught.value) is meaning and str(caught.value)


def test_a_cancel_of_a_job_that_is_over_is_done() -> None:
    for said in (
        "scancel: error: Kill job error on job id 9: Invalid job id specified",
        "scancel: error: Kill job error on job id 9: Job/step already completing or completed",
    ):
        CommandTransport(Host(scancel=failed(said))).cancel(9, "games")
    with pytest.raises(UncertainError):
        CommandTransport(Host(scancel=failed("scancel: error: Socket timed out"))).cancel(9, "games")


@pytest.mark.parametrize(
    ("version", "program", "recorded"),
    [("slurm-wlm 22.05.8", "sinfo", "v0.0.38"), ("slurm 24.11.5", "nodes", "v0.0.42")],
)
def test_lists_of_both_versions_are_read(version: str, program: str, recorded: str) -> None:
    jobs, nodes = (
        CommandResult("ok", (RECORDED / f"{recorded}-{what}.json").read_text()) for what in ("jobs", "nodes")
    )
    transport = CommandTransport(
        Host(**{"squeue": jobs, "--version": CommandResult("ok", version), program: nodes})
    )
    assert len(transport.jobs()) == len(json.loads(jobs.stdout)["jobs"]) > 0
    assert len(transport.nodes()) == len(json.loads(nodes.stdout)["nodes"]) > 0


def test_what_is_no_json_is_no_empty_list() -> None:
    for answer in (
        CommandResult("ok", "JOBID PARTITION"),
        failed("slurm_load_jobs error"),
        CommandResult("timeout"),
    ):
        with pytest.raises(NotReachedError):
            CommandTransport(Host(squeue=answer)).jobs()
