"""The engine of a cluster that Slurm runs: each attempt is one job of Slurm, whose nodes run our supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pearlstreet.base.clock import US_PER_S, Clock
from pearlstreet.base.outcome import Done, Outcome, Refused, Retry, Unknown
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.base.units import GIB
from pearlstreet.compute.engines.accounts import JobAccount
from pearlstreet.compute.engines.change_log import ChangeLog
from pearlstreet.compute.engines.cluster import node_folders
from pearlstreet.compute.engines.cluster.exchange.service import (
    ExchangeService,
    ExchangeSettings,
    mount_digests,
    split_stages,
)
from pearlstreet.compute.engines.cluster.file_user import FileUser, as_user, find_user
from pearlstreet.compute.engines.cluster.journal import Journal, Record
from pearlstreet.compute.engines.cluster.order_json import order_to_json
from pearlstreet.compute.engines.cluster.program import install_program
from pearlstreet.compute.engines.cluster.report_merge import (
    Gang,
    Place,
    ViewPhase,
    merge_report,
    with_places,
)
from pearlstreet.compute.engines.local import checkpoints, clearing, reading
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.plan import misfit
from pearlstreet.compute.engines.local.policy import Walls
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.orders import plain_id, refusal
from pearlstreet.compute.engines.protocol import (
    AttemptOrder,
    AttemptReport,
    Capabilities,
    CheckpointEntry,
    EndReason,
    LogChunk,
    MetricSample,
    NodeReport,
    Observation,
    OutputFile,
    PlacementMode,
    TaskReport,
    TaskState,
)
from pearlstreet.compute.engines.shells import Shell, ShellOrder
from pearlstreet.compute.engines.slurm.demand import Demand, demand_of, spread, time_minutes
from pearlstreet.compute.engines.slurm.gres import Gres, format_gres
from pearlstreet.compute.engines.slurm.inventory import (
    NodeSettings,
    foreign_shares,
    free_part,
    kinds_by_model,
    report_node,
)
from pearlstreet.compute.engines.slurm.lookup import accounts_by_attempt, jobs_by_attempt, own_job, view_of
from pearlstreet.compute.engines.slurm.model import SlurmJob, SlurmNode, Submission
from pearlstreet.compute.engines.slurm.states import JobPhase, node_problem
from pearlstreet.compute.engines.slurm.topology_reader import TopologyReader
from pearlstreet.compute.engines.slurm.transport import (
    BadGresError,
    NotReachedError,
    RejectedError,
    Transport,
    TransportError,
    UncertainError,
)
from pearlstreet.compute.engines.slurm.users import TenantUsers
from pearlstreet.compute.engines.staging.model import StagerReport, StagerTask, source_json
from pearlstreet.compute.engines.staging.runner.inputs import InputWriter, StageError
from pearlstreet.compute.hardware.isolation import Isolation

T = TypeVar("T")
LIST_TTL_S = 0.5
"""Time for which a list of jobs is reused."""
NODES_TTL_S = 1.0
RETRY_S = 5.0
EXPECTED_AFTER_S = 2.0
"""Time after a submission from which a job that is missing in the list counts as gone."""
KILL_MARGIN_S = 10.0
"""Time beyond the grace after which a job that was asked to stop is ended by Slurm."""
UPLOAD_MINUTES = 30
"""Time beyond the time limit, and beyond the grace, in which nodes without a shared folder may send their results."""
WORK_FOLDERS = ("work", "outputs")
PLACEMENTS: tuple[PlacementMode, ...] = ("node", "engine")
"""Slurm gives devices out itself, so no order names them."""
DRAIN_PREFIX = "pearlstreet: "
"""Beginning of Slurm's reason for a drain that the center set; only such a drain is ended by the center."""
DRAIN_REASON_MAX = 200


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """Settings of one cluster."""

    shared: Path
    """Folder at the same path on this machine and on every node."""
    partition: str
    account: str = ""
    qos: str = ""
    reservation: str = ""
    python: str = "/usr/bin/python3"
    """Path of the Python interpreter on the nodes, 3.11 or newer."""
    isolation: Isolation = "bubblewrap"
    """Isolation that the nodes give; one that gives less refuses to run attempts."""
    models: Mapping[str, str] | None = None
    settle_s: float = 5.0
    """Time after which what nodes wrote is visible on the shared folder."""
    placement: PlacementMode = "node"
    exchange: ExchangeSettings | None = None
    """How nodes reach the server that share no folder with it; `shared` is a folder of the server alone then."""
    submit_window: int | None = None
    """Maximum number of attempts that wait in Slurm for machines, if it chooses the nodes."""
    topology_conf: str = ""
    """Path of topology.conf on this machine; empty: Slurm is asked, which only its commands can answer."""


@dataclass(frozen=True, slots=True)
class _JobList:
    at_s: float
    """Monotonic time at which it was asked for."""
    jobs: Sequence[SlurmJob]
    by_attempt: Mapping[str, Sequence[SlurmJob]]


class SlurmEngine:
    """Runs attempts on a cluster of Slurm; implements `Engine`. A new object over the same folder finds the attempts of the last."""

    def __init__(
        self,
        folder: Path,
        settings: SlurmSettings,
        transport: Transport,
        users: TenantUsers,
        *,
        name: str = "slurm",
        node_name: Callable[[str], str] = str,
        clock: Clock,
        hidden: Sequence[str] = (),
    ) -> None:
        self._name, self._node_name, self._clock, self._hidden = name, node_name, clock, tuple(hidden)
        self._settings, self._slurm, self._users = settings, transport, users
        self._journal = Journal(folder / "attempts")
        self._tenants = settings.shared / "tenants"
        self._tenants.mkdir(parents=True, exist_ok=True)
        self._tenants.chmod(0o711)  # whatever the server's umask: users must pass
        self._entry = install_program(settings.shared)
        self._exchange: ExchangeService | None = None
        if settings.exchange is not None:
            self._exchange = ExchangeService(
                settings.exchange, folder, settings.shared, self._entry, self._journal
            )
        self._guard = threading.Lock()
        self._listing = threading.Lock()
        self._busy: dict[str, tuple[threading.Lock, int]] = {}
        self._list: _JobList | None = None
        self._node_list: tuple[float, Mapping[str, SlurmNode], Mapping[str, NodeReport]] | None = None
        self._changes = ChangeLog(clock.now_us())
        self._topology = TopologyReader(transport, settings.topology_conf)
        self._last: dict[str, tuple[object, ...]] = {}
        self._over_since: dict[str, float] = {}
        self._submitted_s: dict[str, float] = {}
        self._sizes: dict[str, checkpoints.Sizes] = {}
        self._walls: dict[str, str] = {}
        self._places: dict[str, Mapping[int, Place]] = {}

    @property
    def name(self) -> str:
        return self._name

    def capabilities(self) -> Capabilities:
        return Capabilities(
            multi_node=True,
            wall=self._settings.isolation,
            placements=PLACEMENTS,
            placement=self._settings.placement,
            submit_window=self._settings.submit_window,
            builds=False,
            folders="/" if self._exchange is not None else str(self._settings.shared.resolve()),
        )

    def close(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
        self._slurm.close()

    # -- machines

    def nodes(self) -> Outcome[Sequence[NodeReport]]:
        try:
            return Done(tuple(self._nodes()[1].values()))
        except TransportError as error:
            return Retry(RETRY_S, _slurm_said(error))

    def set_drain(self, node: str, reason: str | None) -> Outcome[None]:
        try:
            self._node_list = None  # the state that decides must be that of now
            known = self._nodes()[0].get(node)
            if known is None:
                return Done(None)
            is_drained = node_problem(known.states) is not None and bool(known.reason)
            if is_drained and not known.reason.startswith(DRAIN_PREFIX):
                return Done(None)  # an administrator of the cluster drained it
            if reason is None and not is_drained:
                return Done(None)
            said = None if reason is None else DRAIN_PREFIX + reason[:DRAIN_REASON_MAX]
            if said is None or known.reason != said:
                self._slurm.set_drain(known.name, said)
            self._node_list = None
            return Done(None)
        except RejectedError as error:
            return Refused("slurm_refused", _slurm_said(error))
        except NotReachedError as error:
            return Retry(RETRY_S, _slurm_said(error))
        except TransportError as error:
            return Unknown(_slurm_said(error))

    def _nodes(self) -> tuple[Mapping[str, SlurmNode], Mapping[str, NodeReport]]:
        now_s = self._clock.monotonic_s()
        known = self._node_list
        if known is not None and now_s - known[0] < NODES_TTL_S:
            return known[1], known[2]
        settings = NodeSettings(
            self._settings.partition,
            self._settings.isolation,
            self._settings.models or {},
            self._topology.places(self._clock.monotonic_s()),
        )
        found = [node for node in self._slurm.nodes() if settings.partition in node.partitions]
        ours = {record.attempt_id for record in self._journal.running()}
        foreign = foreign_shares(self._jobs().jobs, ours)
        named = {self._node_name(node.name): node for node in found}
        reports = {
            name: report_node(node, name, foreign.get(node.name, ()), settings)
            for name, node in named.items()
        }
        self._node_list = (now_s, named, reports)
        return named, reports

    def _jobs(self, *, since_s: float | None = None) -> _JobList:
        """Return a list of jobs that is LIST_TTL_S old at most, or was asked for after `since_s`. Raises TransportError."""
        with self._listing:
            known, now_s = self._list, self._clock.monotonic_s()
            if (
                known is None
                or now_s - known.at_s >= LIST_TTL_S
                or (since_s is not None and known.at_s <= since_s)
            ):
                jobs = self._slurm.jobs()
                known = self._list = _JobList(now_s, jobs, jobs_by_attempt(jobs))
            return known

    # -- start

    def start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        if not plain_id(order.attempt_id):
            return refusal(order, {}) or Refused("bad_id", text("The attempt's id is not a plain name"))
        with self._attempt_lock(order.attempt_id):
            try:
                return self._start(order)
            except NotReachedError as error:
                return Retry(RETRY_S, _slurm_said(error))
            except TransportError as error:
                return Unknown(_slurm_said(error))
            except OSError as error:
                return Retry(RETRY_S, _unreadable(error))

    def _start(self, order: AttemptOrder) -> Outcome[AttemptReport]:
        known = self._journal.get(order.attempt_id)
        if known is not None and known.is_ordered:
            return Done(self._look(self._submit_again(known)))
        nodes, reports = self._nodes()
        whole = {
            name: replace(report, cpus=float(nodes[name].cpus), memory_gib=nodes[name].memory_mib / 1024)
            for name, report in reports.items()
        }
        refused = refusal(order, whole, PLACEMENTS) or misfit(order, Walls("bubblewrap"))
        if refused is None and order.image is not None:
            refused = Refused("no_images", text("This engine runs no container images"))
        if refused is None and order.service is not None:
            refused = Refused("no_services", text("This engine runs no services"))
        if refused is None and order.restore is not None:
            refused = Refused("no_restore", text("This engine takes over no checkpoints of other engines"))
        if refused is None and any(
            mount.writable or not (self._exchange is not None or self._is_shared(mount.source))
            for mount in order.mounts
        ):
            refused = Refused(
                "mount_not_shared",
                text("Folders that a job needs must lie on the shared folder of the cluster"),
            )
        demand = self._demand(order, nodes, whole) if refused is None else None
        if refused is None and demand is None:
            refused = Refused(
                "uneven", text("Slurm needs the same number of tasks on each node of an attempt")
            )
        user = self._users.user_of(order.tenant_id) if refused is None else None
        if refused is not None or isinstance(user, Refused) or user is None or demand is None:
            return refused or (user if isinstance(user, Refused) else _never())
        if self._exchange is not None:
            user = FileUser(user.name, 0, 0)  # its files on this machine are the server's
        if known is not None and known.stop_us is not None:
            return Done(self._never_started(known, order, user))
        attempt = self._attempt(user.name, order.attempt_id)
        record = self._record(order, demand, user, attempt)
        try:
            self._prepare(order, demand, user, attempt)
            self._journal.write(record)
            return Done(self._look(self._submit(record)))
        except StageError as error:
            self._undo(order.attempt_id, user, attempt)
            return Refused("bad_stage", from_json(error.args[0]))
        except RejectedError as error:
            self._undo(order.attempt_id, user, attempt)
            if isinstance(error, BadGresError):
                gres = format_gres(demand.gres_per_node) or "-"
                return Refused(
                    "bad_gres", text("Slurm has no {gres}: {words}", gres=gres, words=error.args[0])
                )
            return Refused("slurm_refused", _slurm_said(error))
        except (NotReachedError, OSError):
            self._undo(order.attempt_id, user, attempt)
            raise

    def _demand(
        self, order: AttemptOrder, nodes: Mapping[str, SlurmNode], whole: Mapping[str, NodeReport]
    ) -> Demand | None:
        kinds = kinds_by_model(nodes.values(), self._settings.models or {})
        if order.tasks[0].node:
            return demand_of(order, nodes, kinds)
        free = {
            name: free_part(nodes[name], report)
            for name, report in whole.items()
            if node_problem(nodes[name].states) is None
        }
        like = spread(order, free, whole)
        demand = demand_of(like, nodes, kinds) if like is not None else None
        return replace(demand, node_names=()) if demand is not None else None

    def _record(self, order: AttemptOrder, demand: Demand, user: FileUser, attempt: Path) -> Record:
        names = [self._slurm_name(name) for name in demand.node_names] if self._slurm.names_nodes else []
        minutes, exchange = time_minutes(order), self._exchange
        if exchange is not None and minutes is not None:
            minutes += UPLOAD_MINUTES
        submission = Submission(
            attempt_id=order.attempt_id,
            script=_script(self._settings.python, self._entry, attempt, demand.nodes)
            if exchange is None
            else exchange.script(self._settings.python, order.attempt_id, demand.nodes),
            user=user.name,
            partition=self._settings.partition,
            nodes=demand.nodes,
            tasks=len(order.tasks),
            cpus_per_node=demand.cpus_per_node,
            memory_mib_per_node=demand.memory_mib_per_node,
            gres_per_node=demand.gres_per_node,
            node_names=tuple(names),
            time_minutes=minutes,
            account=self._settings.account,
            qos=self._settings.qos,
            reservation=self._settings.reservation,
            output=str(attempt / "slurm.log") if exchange is None else "/dev/null",
            folder=str(attempt) if exchange is None else "/",
        )
        return Record(
            attempt_id=order.attempt_id,
            user=user.name,
            ranks=len(order.tasks),
            nodes=demand.nodes,
            ranks_per_node=demand.ranks_per_node,
            submission=asdict(submission),
            checkpoint=order.checkpoint,
            time_s=order.limits.time_s,
            ordered_us=self._clock.now_us(),
        )

    def _slurm_name(self, node: str) -> str:
        return self._nodes()[0][node].name

    def _is_shared(self, path: str) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self._settings.shared.resolve())

    def _prepare(self, order: AttemptOrder, demand: Demand, user: FileUser, attempt: Path) -> None:
        """Write what the nodes need into the shared folder. Raises OSError, StageError."""
        self._make_tenant(user)
        with as_user(user):
            if attempt.exists():  # of a start whose answer was that it certainly had no effect
                clearing.delete_tree(attempt, Folders(attempt.parent.parent).trash)
            node_folders.make_attempt_folders(attempt, demand.nodes)
            if order.checkpoint:
                checkpoints.make_folder(Folders(attempt.parent.parent), order.checkpoint)
        stages, direct = (order.stages, []) if self._exchange is None else split_stages(order.stages)
        if stages:
            owner = (user.uid, user.gid) if os.geteuid() == 0 else None
            budget_bytes = int(order.limits.disk_gib * GIB)
            writer = InputWriter(str(attempt / "work"), owner, budget_bytes, lambda: False, str(attempt))
            try:
                for stage in stages:
                    source = source_json(stage.source)
                    writer.put({"source": source, "target": stage.target, "kind": stage.kind})
            finally:
                writer.close()
        devices = [device for report in self._nodes()[1].values() for device in report.devices][:1]
        content = {
            "order": order_to_json(replace(order, stages=tuple(direct))),
            "digests": mount_digests(order.mounts) if self._exchange is not None else [],
            "nodes": demand.nodes,
            "ranks_per_node": demand.ranks_per_node,
            "devices_per_task": demand.devices_per_task,
            "shares": demand.is_shared,
            "vendor": devices[0].vendor if devices else "nvidia",
            "model": devices[0].model if devices else "",
            "minimum": self._settings.isolation,
            "hidden": [*self._hidden, str(self._settings.shared)],
            "node_prefix": self._node_name(""),
        }
        with as_user(user):
            files.write_json(str(attempt), node_folders.ORDER, content)

    def _make_tenant(self, user: FileUser) -> None:
        """Create the folder of a user, which no other user may enter. Raises OSError."""
        folder = self._tenants / user.name
        if not folder.exists():
            folder.mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(folder, user.uid, user.gid)
        with as_user(user):
            (folder / "attempts").mkdir(mode=0o700, exist_ok=True)

    def _submit(self, record: Record) -> Record:
        """Submit a job for a record, which is on disk. Raises TransportError."""
        self._submitted_s[record.attempt_id] = self._clock.monotonic_s()
        gres = tuple(Gres(**{**item, "indices": ()}) for item in record.submission["gres_per_node"])
        submission = Submission(
            **{
                **record.submission,
                "gres_per_node": gres,
                "node_names": tuple(record.submission["node_names"]),
            }
        )
        number = self._slurm.submit(submission)
        record = self._journal.change(record, job=str(number))
        self._note(record.attempt_id)
        return record

    def _submit_again(self, record: Record) -> Record:
        """Return the record with its job; submit it if a list made after the lost answer does not have it. Raises TransportError."""
        if record.job or record.end is not None:
            return record
        since_s = self._submitted_s.setdefault(record.attempt_id, self._clock.monotonic_s())
        jobs = self._jobs(since_s=since_s).by_attempt.get(record.attempt_id, ())
        job = own_job(jobs, "", record.user)
        if job is not None:
            return self._journal.change(record, job=str(job.job_id))
        if record.stop_us is not None or self._clock.monotonic_s() - since_s < EXPECTED_AFTER_S:
            return record
        return self._submit(record)

    def _undo(self, attempt_id: str, user: FileUser, attempt: Path) -> None:
        with contextlib.suppress(OSError), as_user(user):
            shutil.rmtree(attempt, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._journal.delete(attempt_id)
        self._submitted_s.pop(attempt_id, None)

    def _never_started(self, tombstone: Record, order: AttemptOrder, user: FileUser) -> AttemptReport:
        """Return the report of an attempt that was stopped before its start, and keep it."""
        report = AttemptReport(
            order.attempt_id,
            TaskState.EXITED,
            tuple(TaskReport(task.rank, TaskState.EXITED) for task in order.tasks),
            ended_us=self._clock.now_us(),
            end_reason=EndReason.STOPPED,
            message=text("Attempt {id} was stopped before it started", id=order.attempt_id),
            wall=self._settings.isolation,
        )
        self._journal.change(tombstone, user=user.name, ranks=len(order.tasks), end=report_to_json(report))
        self._note(order.attempt_id)
        return report

    # -- look

    def probe(self, attempt_id: str) -> Outcome[AttemptReport | None]:
        try:
            record = self._journal.get(attempt_id)
            return Done(None if record is None or not record.is_ordered else self._look(record))
        except TransportError as error:
            return Unknown(_slurm_said(error))
        except OSError as error:
            return Unknown(_unreadable(error))

    def scan(self) -> Outcome[Sequence[AttemptReport]]:
        try:
            return Done(tuple(self._look(record) for record in self._journal.all()))
        except TransportError as error:
            return Unknown(_slurm_said(error))
        except OSError as error:
            return Unknown(_unreadable(error))

    def observe(self, cursor: str) -> Outcome[Observation]:
        try:
            for record in self._journal.running():
                self._look(record)
            with self._guard:
                changed, newest = self._changes.since(cursor), self._changes.cursor
            if changed is None:
                found = self.scan()
                return (
                    found
                    if not isinstance(found, Done)
                    else Done(Observation(newest, found.value, is_complete=True))
                )
            told = {attempt_id: self._journal.get(attempt_id) for attempt_id in changed}
            reports = [
                self._look(record) for record in told.values() if record is not None and record.is_ordered
            ]
            gone = tuple(name for name, record in told.items() if record is None)
        except TransportError as error:
            return Unknown(_slurm_said(error))
        except OSError as error:
            return Unknown(_unreadable(error))
        return Done(Observation(newest, tuple(reports), gone))

    def _look(self, record: Record) -> AttemptReport:
        """Return the report of an attempt; keep it if it has ended. Raises TransportError, OSError."""
        record = self._journal.get(record.attempt_id) or record
        if record.end is not None:
            return report_from_json(record.end)
        if not record.job:
            record = self._find_job(record)
            if record.end is not None:
                return report_from_json(record.end)
        since_s = self._submitted_s.get(record.attempt_id)
        listed = self._jobs(since_s=since_s)
        jobs = listed.by_attempt.get(record.attempt_id, ())
        job = own_job(jobs, record.job, record.user)
        # A list asked for at the moment of the submission may lack it; after a restart every list is newer.
        is_expected = bool(record.job) and (since_s is None or listed.at_s - since_s > EXPECTED_AFTER_S)
        view = view_of(job, is_expected=is_expected)
        if record.stop_us is not None and not record.job and view.phase is ViewPhase.UNKNOWN:
            view = replace(view, phase=ViewPhase.OVER)
        self._end_what_must_not_run(record, job, jobs)
        states = self._states(record)
        gang = Gang(record.attempt_id, record.ranks, record.nodes, record.stop_us is not None)
        report = merge_report(
            gang,
            states,
            view,
            self._wall(record),
            now_us=self._clock.now_us(),
            is_settled=self._is_settled(record, view.phase, job),
        )
        report = with_places(report, self._places_of(record) if any(states) else {})
        if report.state is TaskState.EXITED:
            report = self._keep_end(record, report)
        content = (
            report.state,
            tuple((task.state, task.node, task.devices) for task in report.tasks),
            report.started_us,
            report.ended_us,
        )
        if self._last.get(record.attempt_id) != content:
            self._last[record.attempt_id] = content
            self._note(record.attempt_id)
        return report

    def _find_job(self, record: Record) -> Record:
        """Find or submit the job of a record whose submission was not answered. Raises TransportError, OSError."""
        lock = self._busy.get(record.attempt_id)
        if lock is not None and lock[0].locked():
            return record  # its start is under way
        with self._attempt_lock(record.attempt_id):
            current = self._journal.get(record.attempt_id)
            try:
                return self._submit_again(current) if current is not None else record
            except RejectedError as error:
                return self._keep_refused(current or record, error)

    def _keep_refused(self, record: Record, error: RejectedError) -> Record:
        """Keep the end of an attempt that Slurm refused when it was submitted again. Raises OSError."""
        report = AttemptReport(
            record.attempt_id,
            TaskState.EXITED,
            tuple(TaskReport(rank, TaskState.EXITED) for rank in range(record.ranks)),
            ended_us=self._clock.now_us(),
            end_reason=EndReason.ENGINE_LOST,
            message=_slurm_said(error),
            wall=self._settings.isolation,
        )
        record = self._journal.change(record, end=report_to_json(report))
        self._note(record.attempt_id)
        return record

    def _is_settled(self, record: Record, phase: ViewPhase, job: SlurmJob | None) -> bool:
        """Return whether the job has been over for so long that its nodes' last writes must be visible."""
        if phase is not ViewPhase.OVER:
            self._over_since.pop(record.attempt_id, None)
            return False
        if job is not None and not job.nodes and not job.restarts:
            return True  # it never had a machine
        now_s = self._clock.monotonic_s()
        return now_s - self._over_since.setdefault(record.attempt_id, now_s) >= self._settings.settle_s

    def _end_what_must_not_run(self, record: Record, job: SlurmJob | None, jobs: Sequence[SlurmJob]) -> None:
        """Cancel jobs that a lost answer or Slurm's own queue doubled, and those that ignore a stop."""
        for other in jobs:
            is_double = job is not None and other is not job and other.user == record.user
            is_restarted = other is job and other.restarts > 0
            is_late = other is job and (
                record.stop_us is not None
                and (other.phase in (JobPhase.WAITING, JobPhase.STARTING) or self._is_late(record))
            )
            if (is_double or is_restarted or is_late) and other.phase not in (JobPhase.OVER, JobPhase.ENDING):
                with contextlib.suppress(TransportError):
                    self._slurm.cancel(other.job_id, record.user)

    def _is_late(self, record: Record) -> bool:
        """Return whether a job that was asked to stop has had the time to end, and to send its results if it must."""
        since_s = (self._clock.now_us() - (record.stop_us or 0)) / US_PER_S - record.stop_grace_s
        if since_s <= KILL_MARGIN_S:
            return False
        is_sending = self._exchange is not None and self._exchange.is_uploading(record)
        return not is_sending or since_s > UPLOAD_MINUTES * 60

    def _states(self, record: Record) -> list[Mapping[str, Any] | None]:
        """Return what each node of an attempt wrote. Raises OSError."""
        attempt = self._attempt(record.user, record.attempt_id)
        with as_user(self._file_user(record.user)):
            return [
                files.read_json(str(node_folders.node_folder(attempt, number)), files.STATE)
                for number in range(record.nodes)
            ]

    def _wall(self, record: Record) -> str:
        """Return the isolation that the nodes gave, or what they must give at least. Raises OSError."""
        known = self._walls.get(record.attempt_id)
        if known is None:
            attempt = self._attempt(record.user, record.attempt_id)
            with as_user(self._file_user(record.user)):
                plan = files.read_json(str(node_folders.node_folder(attempt, 0)), files.ORDER)
            if plan is None:
                return self._settings.isolation
            known = self._walls[record.attempt_id] = str(plan["wall"])
        return known

    def _places_of(self, record: Record) -> Mapping[int, Place]:
        """Return node and devices of each rank, from the plans that its nodes wrote when they began. Raises OSError."""
        known = self._places.get(record.attempt_id, {})
        if len(known) < record.ranks:
            attempt = self._attempt(record.user, record.attempt_id)
            with as_user(self._file_user(record.user)):
                plans = [
                    files.read_json(str(node_folders.node_folder(attempt, number)), files.ORDER)
                    for number in range(record.nodes)
                ]
            known = self._places[record.attempt_id] = {
                task["rank"]: (plan["node"], tuple(task["devices"]))
                for plan in plans
                if plan is not None and plan.get("node")
                for task in plan["tasks"]
            }
        return known

    def _keep_end(self, record: Record, report: AttemptReport) -> AttemptReport:
        with self._guard:
            current = self._journal.get(record.attempt_id)
            if current is not None and current.end is not None:
                return report_from_json(current.end)
        self._journal.change(current or record, end=report_to_json(report))
        for known in (self._over_since, self._submitted_s):
            known.pop(record.attempt_id, None)
        self._walls.pop(record.attempt_id, None)
        self._places.pop(record.attempt_id, None)
        return report

    def _note(self, attempt_id: str) -> None:
        with self._guard:
            self._changes.note(attempt_id)

    # -- stop

    def stop(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        if not plain_id(attempt_id):
            return Done(None)
        grace_s = max(grace_s, 0.0)
        try:
            with self._attempt_lock(attempt_id):
                record = self._journal.get(attempt_id)
                if record is None:
                    self._journal.write(
                        Record(attempt_id, stop_us=self._clock.now_us(), stop_grace_s=grace_s)
                    )
                    return Done(None)
                if not record.is_ordered or record.end is not None:
                    return Done(None)
                if record.stop_us is None or grace_s < record.stop_grace_s:
                    first_us = record.stop_us if record.stop_us is not None else self._clock.now_us()
                    record = self._journal.change(record, stop_us=first_us, stop_grace_s=grace_s)
                self._tell_nodes(record)
            self._look(record)
        except UncertainError as error:
            return Unknown(_slurm_said(error))
        except TransportError:
            return Done(None)  # it is on disk, and every later look carries it out
        except OSError as error:
            return Unknown(_unreadable(error))
        return Done(None)

    def drain(self, attempt_id: str, *, grace_s: float) -> Outcome[None]:
        return self.stop(attempt_id, grace_s=grace_s)  # none of its attempts is a service

    def _tell_nodes(self, record: Record) -> None:
        """Write the stop where the supervisors look for it. Raises OSError."""
        attempt = self._attempt(record.user, record.attempt_id)
        stop = {"grace_s": record.stop_grace_s, "at_us": record.stop_us}
        with as_user(self._file_user(record.user)):
            for number in range(record.nodes):
                files.write_json(str(node_folders.node_folder(attempt, number)), files.STOP, stop)

    # -- shells

    def open_shell(self, attempt_id: str, rank: int, shell_id: str, order: ShellOrder) -> Outcome[Shell]:
        return Refused("no_shells", text("This engine opens no shells"))

    # -- stager

    def start_stager(self, task: StagerTask) -> Outcome[None]:
        return Refused("no_stager", text("This engine has no stager; outputs are read through the center"))

    def stager_report(self, task: StagerTask) -> Outcome[StagerReport]:
        return Done(StagerReport("absent"))

    # -- read

    def read_log(self, attempt_id: str, rank: int, *, offset: int, limit: int) -> Outcome[LogChunk]:
        def read(report: AttemptReport, attempt: Path) -> Outcome[LogChunk]:
            if not 0 <= rank < len(report.tasks):
                return Refused(
                    "unknown_task", text("Attempt {id} has no task {rank}", id=attempt_id, rank=rank)
                )
            over = report.state is TaskState.EXITED
            return Done(reading.read_log(attempt, rank, max(offset, 0), limit, over=over))

        return self._reading(attempt_id, read)

    def read_metrics(self, attempt_id: str, *, since_us: int) -> Outcome[Sequence[MetricSample]]:
        def read(_: AttemptReport, attempt: Path) -> Outcome[Sequence[MetricSample]]:
            found = [
                sample
                for folder in sorted(attempt.glob("node-*"))
                for sample in reading.read_metrics(folder, since_us)
            ]
            return Done(sorted(found, key=lambda sample: sample.at_us))

        return self._reading(attempt_id, read)

    def list_outputs(self, attempt_id: str) -> Outcome[Sequence[OutputFile]]:
        return self._reading(attempt_id, lambda _, attempt: Done(reading.list_outputs(attempt)))

    def read_output(self, attempt_id: str, path: str, *, offset: int, limit: int) -> Outcome[bytes]:
        def read(_: AttemptReport, attempt: Path) -> Outcome[bytes]:
            data = reading.read_output(attempt, path, offset, limit)
            if data is None:
                return Refused(
                    "no_such_output",
                    text("Attempt {id} left no file {path}", id=attempt_id, path=repr(path[:200])),
                )
            return Done(data)

        return self._reading(attempt_id, read)

    def _reading(self, attempt_id: str, read: Callable[[AttemptReport, Path], Outcome[T]]) -> Outcome[T]:
        found = self.probe(attempt_id)
        if not isinstance(found, Done):
            return found
        record = self._journal.get(attempt_id)
        if found.value is None or record is None:
            return Refused("unknown_attempt", text("The engine knows no attempt {id}", id=attempt_id[:200]))
        try:
            with as_user(self._file_user(record.user)):
                return read(found.value, self._attempt(record.user, attempt_id))
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))

    # -- checkpoints, logs and what is kept

    def delete_work(self, attempt_id: str) -> Outcome[None]:
        record = self._current(attempt_id)
        if record is None or not record.is_ordered:
            return Done(None)
        if record.end is None:
            return Retry(RETRY_S, text("Attempt {id} is still running", id=attempt_id))
        attempt = self._attempt(record.user, attempt_id)
        try:
            with as_user(self._file_user(record.user)):
                for path in [
                    *(attempt / name for name in WORK_FOLDERS),
                    *attempt.glob("node-*/tmp"),
                    *attempt.glob("node-*/home"),
                ]:
                    with contextlib.suppress(FileNotFoundError):
                        clearing.delete_tree(path, attempt.parent.parent / "trash")
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))
        return Done(None)

    def checkpoint_sizes(self) -> Outcome[Mapping[str, int]]:
        sizes: dict[str, int] = {}
        try:
            for user, folders in self._user_folders():
                with as_user(user):
                    known = self._sizes.setdefault(user.name, checkpoints.Sizes())
                    sizes |= known.read(folders, self._clock.monotonic_s())
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))
        return Done(sizes)

    def list_checkpoint(self, key: str) -> Outcome[Sequence[CheckpointEntry]]:
        found: list[CheckpointEntry] = []
        try:
            for user, folders in self._user_folders() if plain_id(key) else ():
                with as_user(user):
                    found += checkpoints.list_entries(folders, key)
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))
        return Done(found)

    def delete_checkpoint(self, key: str) -> Outcome[None]:
        try:
            for user, folders in self._user_folders() if plain_id(key) else ():
                with as_user(user):
                    checkpoints.delete(folders, key)
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))
        return Done(None)

    def log_sizes(self) -> Outcome[Mapping[str, int]]:
        sizes: dict[str, int] = {}
        try:
            for record in self._journal.all():
                with as_user(self._file_user(record.user)):
                    sizes[record.attempt_id] = clearing.log_bytes(
                        self._attempt(record.user, record.attempt_id)
                    )
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))
        return Done(sizes)

    def trim_log(self, attempt_id: str, *, size_bytes: int) -> Outcome[int]:
        record = self._journal.get(attempt_id)
        if record is None or not record.is_ordered:
            return Done(0)
        try:
            with as_user(self._file_user(record.user)):
                attempt = self._attempt(record.user, attempt_id)
                return Done(clearing.trim_log(attempt, record.ranks, size_bytes, over=record.end is not None))
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))

    def forget(self, attempt_id: str) -> Outcome[None]:
        record = self._current(attempt_id)
        if record is None:
            return Done(None)
        if record.is_ordered and record.end is None:
            return Retry(RETRY_S, text("Attempt {id} is still running", id=attempt_id))
        try:
            if record.is_ordered:
                attempt = self._attempt(record.user, attempt_id)
                with as_user(self._file_user(record.user)), contextlib.suppress(FileNotFoundError):
                    clearing.delete_tree(attempt, attempt.parent.parent / "trash")
            self._journal.delete(attempt_id)
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))
        self._last.pop(attempt_id, None)
        self._note(attempt_id)
        return Done(None)

    def _current(self, attempt_id: str) -> Record | None:
        """Return the record of an attempt after a look at whether it has ended."""
        self.probe(attempt_id)
        return self._journal.get(attempt_id)

    # -- accounting

    def accounts(self, since_us: int) -> Outcome[Sequence[JobAccount]]:
        """Return what Slurm's accounting says of attempts that ended since then."""
        try:
            jobs = self._slurm.accounts(since_us // US_PER_S)
            journalled = {record.attempt_id: record.job for record in self._journal.all() if record.job}
        except TransportError as error:
            return Retry(RETRY_S, _slurm_said(error))
        except OSError as error:
            return Retry(RETRY_S, _unreadable(error))
        return Done(tuple(accounts_by_attempt(jobs, self._users.names, journalled).values()))

    # -- places

    def _attempt(self, user: str, attempt_id: str) -> Path:
        return self._tenants / user / "attempts" / attempt_id

    def _user_folders(self) -> Iterator[tuple[FileUser, Folders]]:
        for path in sorted(self._tenants.iterdir()):
            user = FileUser(path.name, 0, 0) if self._exchange is not None else find_user(path.name)
            if user is not None:
                yield user, Folders(path)

    def _file_user(self, name: str) -> FileUser:
        if self._exchange is not None:
            return FileUser(name, 0, 0)
        user = find_user(name)
        if user is None or (user.uid == 0 and os.geteuid() == 0):
            raise PermissionError(f"user {name} is gone")
        return user

    @contextlib.contextmanager
    def _attempt_lock(self, attempt_id: str) -> Iterator[None]:
        """Hold the lock of one attempt: only one thread at a time starts, submits or stops it."""
        with self._guard:
            lock, users = self._busy.get(attempt_id, (threading.Lock(), 0))
            self._busy[attempt_id] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._busy[attempt_id]
                if users == 1:
                    del self._busy[attempt_id]
                else:
                    self._busy[attempt_id] = (lock, users - 1)


def _script(python: str, entry: Path, attempt: Path, nodes: int) -> str:
    """Return the job's script. It holds no command and no secret: Slurm keeps scripts and shows them to administrators."""
    program = " ".join(_quoted(word) for word in (python, "-I", "-S", str(entry), str(attempt)))
    if nodes == 1:
        return f"#!/bin/sh\nexec {program}\n"
    return (
        "#!/bin/sh\nPEARL_MASTER=$(hostname)\nexport PEARL_MASTER\n"
        f"exec srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --kill-on-bad-exit=1 {program}\n"
    )


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def report_to_json(report: AttemptReport) -> dict[str, Any]:
    """Return a report as JSON."""
    value = asdict(replace(report, message=None))
    return {
        **json.loads(json.dumps(value)),
        "message": report.message.to_json() if report.message is not None else None,
    }


def report_from_json(value: Mapping[str, Any]) -> AttemptReport:
    """Return the report that `report_to_json` wrote."""
    tasks = tuple(
        TaskReport(**{**task, "state": TaskState(task["state"]), "devices": tuple(task.get("devices") or ())})
        for task in value["tasks"]
    )
    reason = EndReason(value["end_reason"]) if value["end_reason"] else None
    message = from_json(value["message"]) if value["message"] else None
    return AttemptReport(
        **{
            **value,
            "state": TaskState(value["state"]),
            "tasks": tasks,
            "end_reason": reason,
            "message": message,
        }
    )


def _never() -> Refused:
    return Refused("refused", text("The order cannot be started"))


def _slurm_said(error: TransportError) -> Text:
    return text("Slurm: {reason}", reason=str(error)[:300])


def _unreadable(error: OSError) -> Text:
    return text("The engine's folder cannot be read or written: {reason}", reason=str(error))
