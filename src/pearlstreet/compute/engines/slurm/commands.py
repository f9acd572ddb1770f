"""Reaches Slurm through its commands (sbatch, squeue, scontrol, scancel), on this machine or on another one by ssh."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pearlstreet.base.clock import US_PER_S, to_rfc3339
from pearlstreet.compute.engines.cluster.file_user import find_user
from pearlstreet.compute.engines.slurm.model import SlurmJob, SlurmNode, Submission
from pearlstreet.compute.engines.slurm.parsing import SACCT_FIELDS, parse_jobs, parse_nodes, parse_sacct
from pearlstreet.compute.engines.slurm.requests import sbatch_options
from pearlstreet.compute.engines.slurm.transport import NotReachedError, UncertainError, rejected
from pearlstreet.compute.hardware.access import CommandResult
from pearlstreet.compute.hardware.ssh_host import SSH_FAILED

TIMEOUT_S = 30.0
LISTING_BYTES = 1 << 30
"""Largest list that is read: Slurm writes about 4 KB for each job."""
NO_PROGRAM = 127
SCONTROL_WRITES_JSON = (23, 2)
"""Version of Slurm from which on scontrol writes JSON, and sinfo no longer lists nodes as slurmrestd does."""
NOT_SENT = re.compile(
    r"unable to contact slurm controller|munge encode failed|authentication|connection refused|no route to host"
    r"|connection timed out|could not resolve|permission denied \(|host key verification failed|unable to establish"
    r"|configuration source|controller is in standby",
    re.IGNORECASE,
)
"""What a command or ssh says when slurmctld has certainly not got the request."""
UNSURE = re.compile(
    r"socket timed out|zero bytes|transport endpoint|message receive|message send", re.IGNORECASE
)
"""What a command says when slurmctld may have got the request, but its answer did not come."""
GONE = re.compile(r"invalid job id|already complet|job/step already", re.IGNORECASE)
"""What scancel says of a job that is unknown or over."""


class CommandHost(Protocol):
    """A machine on which Slurm's commands run; `LocalHost` and `SshHost` are such."""

    def run(self, command: Sequence[str], *, timeout_s: float, stdin: str = "") -> CommandResult:
        """Run a program with that input and wait for it."""
        ...


class CommandTransport:
    """Slurm's commands. Those that submit run as the job's user, so the login must be root, or the one user of all jobs."""

    names_nodes = True

    def __init__(self, host: CommandHost, *, conf: str = "") -> None:
        self._host, self._conf = host, conf
        self._guard = threading.Lock()
        self._is_root: bool | None = None
        self._version: tuple[int, int] | None = None

    def jobs(self) -> Sequence[SlurmJob]:
        return parse_jobs(self._list("squeue", "--json", "--states=all").get("jobs") or ())

    def nodes(self) -> Sequence[SlurmNode]:
        command = (
            ("scontrol", "show", "nodes", "--json")
            if self._find_version() >= SCONTROL_WRITES_JSON
            else ("sinfo", "--json")
        )
        return parse_nodes(self._list(*command).get("nodes") or ())

    def topology(self) -> str:
        # A cluster without a topology plugin says so on stderr, with a status that differs by version.
        return self._host.run(self._with_conf("scontrol", "show", "topology"), timeout_s=TIMEOUT_S).stdout

    def submit(self, job: Submission) -> int:
        # The script is the input and no argument: everybody on the machine can read the arguments of a program.
        command = [*self._as(job.user), *self._with_conf("sbatch", *sbatch_options(job))]
        answer = self._host.run(command, timeout_s=TIMEOUT_S, stdin=job.script)
        _check_connection(answer)
        said = _said(answer)
        if answer.status == "timeout" or (answer.status != "ok" and UNSURE.search(said)):
            raise UncertainError(said)
        if answer.status != "ok":
            raise NotReachedError(said) if NOT_SENT.search(said) else rejected(said, job)
        number = answer.stdout.strip().splitlines()[-1:] or [""]
        if not number[0].partition(";")[0].isdecimal():
            raise UncertainError("sbatch gave no job id")
        return int(number[0].partition(";")[0])

    def set_drain(self, node: str, reason: str | None) -> None:
        state = ["state=resume"] if reason is None else ["state=drain", f"reason={reason}"]
        self._change("scontrol", "update", f"nodename={node}", *state)

    def cancel(self, job_id: int, user: str) -> None:
        self._change("scancel", f"--user={user}", str(job_id), ignored=GONE)

    def show_config(self) -> str:
        """Return what Slurm says of its configuration. Raises NotReachedError."""
        return self._read("scontrol", "show", "config")

    def accounts(self, since_s: int) -> Sequence[SlurmJob]:
        since = to_rfc3339(since_s * US_PER_S)[:19]
        command = [
            "sacct",
            "--noheader",
            "--parsable2",
            "--allocations",
            "--allusers",
            f"--starttime={since}",
        ]
        told = self._read("env", "TZ=UTC", "SLURM_TIME_FORMAT=%s", *command, f"--format={SACCT_FIELDS}")
        return parse_sacct(told)

    def close(self) -> None:
        close = getattr(self._host, "close", None)
        if close is not None:
            close()

    def _change(self, *command: str, ignored: re.Pattern[str] | None = None) -> None:
        """Run a command that changes something; what it says of `ignored` is no failure. Raises TransportError."""
        answer = self._host.run(self._with_conf(*command), timeout_s=TIMEOUT_S)
        _check_connection(answer)
        said = _said(answer)
        if answer.status != "ok" and not (ignored is not None and ignored.search(said)):
            raise NotReachedError(said) if NOT_SENT.search(said) else UncertainError(said)

    def _list(self, *command: str) -> Mapping[str, Any]:
        """Return the JSON that a command writes. Raises NotReachedError."""
        answer = self._read(*command)
        try:
            value: Any = json.loads(answer)
        except ValueError as error:
            raise NotReachedError(
                f"{command[0]} wrote no JSON; its plugin openapi or data_parser may be missing"
            ) from error
        if not isinstance(value, Mapping):
            raise NotReachedError(f"{command[0]} wrote no object of JSON")
        errors = value.get("errors")
        if errors:
            first = errors[0] if isinstance(errors[0], Mapping) else {}
            raise NotReachedError(str(first.get("error") or first.get("description") or errors[0])[:300])
        return value

    def _read(self, *command: str) -> str:
        """Return what a command without effect writes. Raises NotReachedError."""
        answer = self._host.run(self._with_conf(*command), timeout_s=TIMEOUT_S)
        _check_connection(answer)
        if answer.status != "ok":
            raise NotReachedError(_said(answer))
        return answer.stdout

    def _find_version(self) -> tuple[int, int]:
        """Return the version of Slurm's commands, such as (22, 5). Raises NotReachedError."""
        if self._version is None:
            found = re.search(r"(\d+)\.(\d+)", self._read("scontrol", "--version"))
            self._version = (int(found[1]), int(found[2])) if found is not None else SCONTROL_WRITES_JSON
        return self._version

    def _as(self, name: str) -> list[str]:
        """Return the command that changes to the job's user, if the login is root. Raises NotReachedError."""
        with self._guard:
            if self._is_root is None:
                self._is_root = self._read("id", "-u").strip() == "0"
            if not self._is_root:
                return []
        user = find_user(name)
        if user is None or user.uid == 0:
            raise NotReachedError(f"user {name} is gone")
        return ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups", "--"]

    def _with_conf(self, *command: str) -> list[str]:
        return ["env", f"SLURM_CONF={self._conf}", *command] if self._conf else list(command)


def _check_connection(answer: CommandResult) -> None:
    """Raise NotReachedError for a command that did not run, UncertainError if ssh broke and it may have."""
    if answer.status == "missing" or answer.code == NO_PROGRAM:
        raise NotReachedError(_said(answer) or "the command is not installed")
    if answer.code == SSH_FAILED:
        said = _said(answer)
        raise NotReachedError(said) if NOT_SENT.search(said) else UncertainError(said)


def _said(answer: CommandResult) -> str:
    """Return what a command that failed said: its lines about an error, without its name before them."""
    lines = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
    told = [line.partition("error: ")[2] or line for line in lines if "error" in line.lower()] or lines[-1:]
    return "; ".join(told)[:300] or (
        "no answer in time" if answer.status == "timeout" else f"status {answer.code}"
    )
