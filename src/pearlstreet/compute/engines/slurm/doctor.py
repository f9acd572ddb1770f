"""Looks at a cluster of Slurm for the checks of its engine: asks Slurm, reads its configuration, sends one small trial job."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pearlstreet.base.clock import US_PER_S, Clock, to_rfc3339
from pearlstreet.base.rng import Rng
from pearlstreet.base.text import text
from pearlstreet.compute.engines.checks import EngineCheck
from pearlstreet.compute.engines.cluster.exchange.service import ExchangeService
from pearlstreet.compute.engines.cluster.file_user import FileUser, as_user, find_user
from pearlstreet.compute.engines.slurm.commands import CommandTransport
from pearlstreet.compute.engines.slurm.engine import SlurmEngine, SlurmSettings
from pearlstreet.compute.engines.slurm.findings import ClusterFacts, TrialJob, findings
from pearlstreet.compute.engines.slurm.model import SlurmJob, Submission
from pearlstreet.compute.engines.slurm.states import JobPhase, node_problem
from pearlstreet.compute.engines.slurm.tokens import TOKEN_LASTS_S
from pearlstreet.compute.engines.slurm.transport import Transport, TransportError
from pearlstreet.compute.hardware.access import LocalHost

TRIAL_S = 15.0
"""Time within which a trial job must have run; the whole check must end before a client gives up, after 30 s."""
POLL_S = 0.2
CONFIG_S = 5.0
TRIAL_MEMORY_MIB = 256
TRIAL_NAME = "pearl-check"
PROGRAM = """
import json, os, subprocess, sys, time
try:
    words = ["bwrap", "--ro-bind", "/", "/", "--unshare-user", "--unshare-pid", "true"]
    sandbox = subprocess.run(words, capture_output=True).returncode == 0
except OSError:
    sandbox = False
print(json.dumps({"python": list(sys.version_info[:2]), "sandbox": sandbox, "uid": os.getuid(),
    "node": os.environ.get("SLURMD_NODENAME", ""), "time": time.time()}))
"""
REPORT = """
import ssl, urllib.request
given = json.loads(os.environ["PEARL_TRIAL"])
context = ssl.create_default_context()
if given["authority"]:
    context.load_verify_locations(cadata=given["authority"])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
opener.open(given["address"], data=out.getvalue().encode(), timeout=10).read()
"""
"""What a trial job does beside, to tell what it saw where it shares no folder with the server."""
NOT_REACHED = ("cannot be reached", "did not answer", "no answer")
"""Words of a transport that has found no one at the other end."""


class _Trial(Submission):
    """A job that is no attempt of the center."""

    @property
    def name(self) -> str:
        return TRIAL_NAME


@dataclass(frozen=True, slots=True)
class Doctor:
    """Checks of one cluster."""

    transport: Transport
    settings: SlurmSettings
    users: Sequence[str]
    clock: Clock
    rng: Rng
    rest: str = ""
    """Address of slurmrestd; empty: Slurm is reached by its commands."""
    jwt_key: str = ""
    exchange: ExchangeService | None = None
    """Where nodes report that share no folder with the server."""
    slurm_conf: str = ""
    """Path of slurm.conf, with which scontrol finds the cluster; empty: its own."""

    def checks(self) -> Sequence[EngineCheck]:
        """Run all checks within TRIAL_S and some seconds."""
        facts = self._ask(self._look_around())
        own = [node for node in facts.nodes if self.settings.partition in node.partitions]
        user = next((found for found in map(find_user, self.users) if found is not None and found.uid), None)
        if user is not None and any(node_problem(node.states) is None for node in own):
            facts = replace(facts, trial=self._trial(user))
        return list(findings(facts))

    def _look_around(self) -> ClusterFacts:
        """Return what this machine itself knows."""
        until = ""
        if self.rest:
            until = to_rfc3339(self.clock.now_us() + TOKEN_LASTS_S * US_PER_S)[11:16]
        key = Path(self.jwt_key) if self.jwt_key else None
        with contextlib.suppress(OSError):
            is_open = key is not None and bool(key.stat().st_mode & 0o077)
            return self._facts(until, is_open=is_open)
        return self._facts(until, is_open=False)

    def _facts(self, until: str, *, is_open: bool) -> ClusterFacts:
        accounts = {name: find_user(name) for name in self.users}
        return ClusterFacts(
            partition=self.settings.partition,
            address=self.rest,
            token_until=until,
            key_is_open=is_open,
            key_file=self.jwt_key,
            models=self.settings.models or {},
            users={name: None if found is None else found.uid for name, found in accounts.items()},
            config=self._config(),
            isolation=self.settings.isolation,
        )

    def _config(self) -> Mapping[str, str] | None:
        """Return the configuration by the commands that reach Slurm, else by those of this machine."""
        if not isinstance(self.transport, CommandTransport):
            return read_config(LocalHost(), self.slurm_conf)
        with contextlib.suppress(TransportError):
            return _pairs(self.transport.show_config())
        return None

    def _ask(self, facts: ClusterFacts) -> ClusterFacts:
        try:
            nodes = self.transport.nodes()
            return replace(facts, nodes=nodes, sets_requeue=self.transport.names_nodes or not self.rest)
        except TransportError as error:
            words = str(error)
            is_reached = bool(self.rest) and not any(part in words for part in NOT_REACHED)
            return replace(facts, failure=words, is_reached=is_reached)

    def _trial(self, user: FileUser) -> TrialJob:
        """Send a small job as a user and return what it saw."""
        if self.exchange is not None:
            return self._trial_by_exchange(self.exchange, user)
        folder = self.settings.shared / "checks" / self.rng.token_bytes(8).hex()
        try:
            _make_folder(folder, user)
        except OSError as error:
            problem = text(
                "{folder} cannot be written: {problem}",
                folder=str(folder.parent),
                problem=error.strerror or "",
            )
            return TrialJob(
                problem, text("Give the server the right to write on the shared folder"), is_blocking=True
            )
        try:
            return self._send(self._submission(folder, user), lambda: _read(folder / "out", user), user)
        finally:
            with as_user(user):
                shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _trial_by_exchange(self, exchange: ExchangeService, user: FileUser) -> TrialJob:
        token = self.rng.token_bytes(16).hex()
        given = {"address": f"{exchange.address.rstrip('/')}/trials/{token}", "authority": exchange.authority}
        program = f"import contextlib, io\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    exec({PROGRAM!r})\n{REPORT}"
        script = (
            f"#!/bin/sh\nPEARL_TRIAL={shlex.quote(json.dumps(given))}\nexport PEARL_TRIAL\n"
            f"exec {shlex.quote(self.settings.python)} -I -c {shlex.quote(program)}\n"
        )
        job = replace(
            self._submission(Path("/"), user), attempt_id=token, script=script, output="/dev/null", folder="/"
        )
        exchange.open_trial(token)
        try:
            return self._send(job, lambda: exchange.read_trial(token).decode("utf-8", "replace"), user)
        finally:
            exchange.close_trial(token)

    def _send(self, job: Submission, read: Callable[[], str], user: FileUser) -> TrialJob:
        asked_s = self.clock.now_us() / US_PER_S
        try:
            number = self.transport.submit(job)
        except TransportError as error:
            problem = text("Slurm refuses a trial job of {user}: {words}", user=user.name, words=str(error))
            fix = text(
                "Give the user the right to submit to the partition, with account and qos of the engine"
            )
            return TrialJob(problem, fix, is_blocking=True)
        output = self._wait(read)
        seen_s = self.clock.now_us() / US_PER_S
        told = _read_json(output)
        if told is not None:
            return _ran(told, asked_s, seen_s)
        return self._failed(number, user, output)

    def _submission(self, folder: Path, user: FileUser) -> Submission:
        settings = self.settings
        command = f"exec {shlex.quote(settings.python)} -I -c {shlex.quote(PROGRAM)}"
        return _Trial(
            attempt_id=folder.name,
            script=f"#!/bin/sh\n{command}\n",
            user=user.name,
            partition=settings.partition,
            nodes=1,
            tasks=1,
            cpus_per_node=1,
            memory_mib_per_node=TRIAL_MEMORY_MIB,
            time_minutes=1,
            account=settings.account,
            qos=settings.qos,
            reservation=settings.reservation,
            output=str(folder / "out"),
            folder=str(folder),
        )

    def _wait(self, read: Callable[[], str]) -> str:
        """Return the output of the job as soon as it has a whole line, at the end of the time whatever there is."""
        until_s = self.clock.monotonic_s() + TRIAL_S
        while True:
            output = read()
            if output.endswith("\n") or self.clock.monotonic_s() > until_s:
                return output
            self.clock.sleep(POLL_S)

    def _failed(self, number: int, user: FileUser, output: str) -> TrialJob:
        if output:
            problem = text("It failed: {words}", words=output.strip()[-300:])
            fix = text(
                "Correct the key python of the engine, or install Python 3.11 or newer at this place on the nodes"
            )
            return TrialJob(problem, fix, is_blocking=True)
        job: SlurmJob | None = None
        with contextlib.suppress(TransportError):
            job = next((job for job in self.transport.jobs() if job.job_id == number), None)
            self.transport.cancel(number, user.name)
        if job is not None and job.phase is JobPhase.OVER and self.exchange is not None:
            problem = text(
                "It ended on {node}, but it did not reach the server at {address}",
                node=", ".join(job.nodes) or "-",
                address=self.exchange.address,
            )
            fix = text(
                "Let the nodes reach this address, and check the keys exchange, exchange_certificate and python"
            )
            return TrialJob(problem, fix, is_blocking=True)
        if job is not None and job.phase is JobPhase.OVER:
            problem = text(
                "It ended on {node}, but nothing of its output arrived in {folder}",
                node=", ".join(job.nodes) or "-",
                folder=str(self.settings.shared),
            )
            fix = text(
                "Mount the same folder at this path on the server and on every node, and let the users pass"
            )
            return TrialJob(problem, fix, is_blocking=True)
        reason = job.reason if job is not None else ""
        problem = text(
            "It did not run within {seconds} s: {reason}", seconds=f"{TRIAL_S:g}", reason=reason or "-"
        )
        fix = text(
            "Check again when a node is free; Python, sandbox, shared folder and clocks were not looked at"
        )
        return TrialJob(problem, fix)


class CheckedSlurmEngine(SlurmEngine):
    """The engine of a cluster with its checks."""

    def __init__(self, *args: Any, doctor: Doctor, **options: Any) -> None:
        super().__init__(*args, **options)
        self._doctor = doctor

    def checks(self) -> Sequence[EngineCheck]:
        """Run the checks of the cluster; a trial job is sent through it."""
        return replace(self._doctor, exchange=self._exchange).checks()


def read_config(host: LocalHost, conf: str) -> Mapping[str, str] | None:
    """Return the keys that `scontrol show config` lists; None: it does not reach a cluster from here."""
    command = ["scontrol", "show", "config"]
    answer = host.run(["env", f"SLURM_CONF={conf}", *command] if conf else command, timeout_s=CONFIG_S)
    return _pairs(answer.stdout) if answer.status == "ok" else None


def _pairs(listing: str) -> Mapping[str, str]:
    pairs = (line.partition("=") for line in listing.splitlines())
    return {key.strip(): value.strip() for key, mark, value in pairs if mark}


def _ran(told: Mapping[str, Any], asked_s: float, seen_s: float) -> TrialJob:
    at_s = float(told["time"])
    # It ran between the two times; by as much as its clock says otherwise the clocks differ for certain.
    skew_s = at_s - min(max(at_s, asked_s), seen_s)
    version = tuple(int(part) for part in told["python"][:2])
    return TrialJob(
        node=str(told["node"])[:80],
        python=(version[0], version[1]),
        has_bubblewrap=bool(told["sandbox"]),
        uid=int(told["uid"]),
        skew_s=skew_s,
    )


def _read_json(output: str) -> Mapping[str, Any] | None:
    with contextlib.suppress(ValueError, TypeError, KeyError, IndexError):
        value = json.loads(output.strip().splitlines()[-1])
        if isinstance(value, dict):
            _ran(value, 0.0, 0.0)
            return value
    return None


def _make_folder(folder: Path, user: FileUser) -> None:
    """Create a folder that only the user may enter. Raises OSError."""
    folder.parent.mkdir(exist_ok=True)
    folder.parent.chmod(0o711)
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, user.uid, user.gid)


def _read(file: Path, user: FileUser) -> str:
    with as_user(user), contextlib.suppress(OSError), file.open("rb") as stream:
        return stream.read(4096).decode("utf-8", "replace")
    return ""
