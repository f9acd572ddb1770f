"""The loop that answers what-if questions one by one, each in a separate process with limited memory and time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import IO, Any

import sqlalchemy as sa
import structlog

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.text import Text, from_json, text
from pearlstreet.compute.engines.simulated.layout import nodes_from
from pearlstreet.compute.hardware.model import NodeReport
from pearlstreet.compute.jobs.exporting import PastJob, past_job_json, recent_jobs
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.pool.inventory import all_nodes
from pearlstreet.compute.whatif.service import ASKED, DONE, FAILED, RUNNING, WAITING, question_of
from pearlstreet.compute.whatif.tables import what_ifs
from pearlstreet.compute.whatif.terms import named, real_terms
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop
from pearlstreet.tenancy.model import SYSTEM

WORKER = "pearlstreet.compute.whatif.worker"
JOBS_MAX = 50_000
"""Maximum number of replayed jobs, the newest of the period."""
PAGE = 5_000
UNKNOWN_RUN_S = 3_600.0
"""Assumed run time of a waiting job if no job has ended yet."""
LONGEST_S = 900.0
LOOK_S = 0.5
ERROR_BYTES = 4_000
"""Logged bytes of the standard error of a worker that gave no answer."""
log = structlog.get_logger("what-if")
_HALF = sa.select(what_ifs.c.id).where(what_ifs.c.state == RUNNING).limit(1)
_answered = what_ifs.alias("answered")
_LAST_ANSWERED = (
    sa.select(sa.func.coalesce(sa.func.max(_answered.c.ended_us), 0))
    .where(_answered.c.org_id.is_not_distinct_from(what_ifs.c.org_id))
    .correlate(what_ifs)
    .scalar_subquery()
)
_NEXT = (
    sa.select(what_ifs).where(what_ifs.c.state == WAITING).order_by(_LAST_ANSWERED, what_ifs.c.id).limit(1)
)
"""Next question to answer. Organisations take turns, because an answer may take 15 minutes."""


def what_if_loop(runtime: Runtime) -> Loop:
    """Return the loop that answers what-if questions."""
    answerer = Answerer(runtime)
    return CycleLoop(name="what_ifs", cycle=answerer.step, hints=(ASKED,), interval_s=15.0)


@dataclass(slots=True)
class Answerer:
    """Answers one question at a time. Questions that an earlier server left unfinished are started again."""

    runtime: Runtime
    began: bool = False

    def step(self, store: Store) -> bool:
        """Answer the oldest question of the organisation whose turn it is. Returns whether there may be another."""
        if not self.began:
            if store.read(lambda tx: tx.first(_HALF)) is not None:
                store.write(_begin_anew)
            self.began = True
        row = store.read(lambda tx: tx.first(_NEXT))
        if row is None or self.runtime.stopping.is_set():
            return False
        if not store.write(partial(_move, row["id"], WAITING, {"state": RUNNING})):
            return True
        folder = self.runtime.folders.root / "what-ifs"
        folder.mkdir(mode=0o700, exist_ok=True)
        file = folder / f"{row['id']}.json"
        try:
            file.write_text(json.dumps(self._question(store, row)), encoding="utf-8")
            found = self._play(store, row["id"], file)
        except OSError as error:
            log.error("question not answered", question=row["id"], error=str(error))
            found = {"message": text("The center could not answer it")}
        finally:
            file.unlink(missing_ok=True)
        if found is not None:
            _finish(store, row["id"], found)
        return True

    def _question(self, store: Store, row: Row) -> dict[str, object]:
        """Return the input of the worker process."""
        asked = question_of(row)
        since_us = row["asked_us"] - asked.days * 86_400 * US_PER_S
        reports, policy, terms, names = store.read(
            lambda tx: (
                [n.report for n in all_nodes(tx) if n.present],
                self.runtime.policy.current(tx),
                real_terms(tx, row["org_id"], since_us, row["asked_us"]),
                named(tx, asked.supposed),
            )
        )
        center_cards = sum(len(report.devices) for report in reports)
        if asked.cluster:  # reservations of the center's nodes do not apply to other nodes
            reports, terms = nodes_from(asked.cluster), {**terms, "held": []}
        return {
            "jobs": self._jobs(store, row, since_us),
            "nodes": [_node(report) for report in reports],
            "extra": [_node(report, "more-") for report in nodes_from(asked.extra)] if asked.extra else [],
            "extra_name": asked.extra,
            "less": asked.less,
            "policies": asked.policies,
            "since_s": since_us / US_PER_S,
            "asked_s": store.clock.now_us() / US_PER_S,
            "center_cards": center_cards,
            "terms": terms,
            "supposed": asdict(asked.supposed),
            "names": names,
            "config": policy.planner.to_json(),
            "rules": f"{policy.planner.order} (v{policy.number})",
        }

    def _jobs(self, store: Store, row: Row, since_us: int) -> list[dict[str, object]]:
        found: list[PastJob] = []
        while True:
            after = found[-1].job if found else None
            part = recent_jobs(store, SYSTEM, org=row["org_id"], since_us=since_us, after=after, limit=PAGE)
            found += part
            if len(part) < PAGE:
                return jobs_to_play(found[-JOBS_MAX:])

    def _play(self, store: Store, question_id: str, file: Path) -> dict[str, object] | None:
        """Run the worker and return the values to write; None if the server ends or the question was stopped."""
        command = [sys.executable, "-m", WORKER, str(file)]
        ends_s = store.clock.monotonic_s() + LONGEST_S
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
            ) as process,
        ):
            stopped = threading.Event()

            def watch() -> None:
                while process.poll() is None:
                    wanted = store.read(partial(_state, question_id)) == RUNNING
                    late = store.clock.monotonic_s() > ends_s
                    if self.runtime.stopping.wait(LOOK_S) or late or not wanted:
                        if not late:
                            stopped.set()
                        process.kill()
                        return

            watcher = threading.Thread(target=watch, name="what-if-watch", daemon=True)
            watcher.start()
            last: dict[str, Any] = {}
            assert process.stdout is not None
            for line in process.stdout:
                last = json.loads(line)
                if "progress" in last:
                    values = {"progress": last["progress"]}
                    store.write(partial(_move, question_id, RUNNING, values))
            process.wait()
            watcher.join()
            trace = _tail(errors)
        if stopped.is_set():
            if self.runtime.stopping.is_set():
                store.write(partial(_move, question_id, RUNNING, {"state": WAITING, "progress": 0.0}))
            return None
        if "result" in last:
            return {"result": last["result"]}
        if "problem" in last:
            return {"message": from_json(last["problem"])}
        log.error("no answer from the worker", question=question_id, status=process.returncode, error=trace)
        if process.returncode < 0 or "MemoryError" in trace:
            return {"message": text("It took more memory or time than a question may; ask of fewer days")}
        return {"message": text("The center could not answer it")}


def jobs_to_play(found: Sequence[PastJob]) -> list[dict[str, object]]:
    """Return the jobs as the worker reads them, with the actual outcome of each.

    The run time of a waiting job is assumed to be the median of its user's ended jobs, else of all ended jobs, at most its time
    limit. A running job gets its run time so far, so that nothing is assumed about the time after the question.
    """
    ended: dict[str, list[float]] = {}
    for past in found:
        if past.ended_us is not None:
            for user in (past.user, ""):
                ended.setdefault(user, []).append(past.duration_s)
    usual = {user: median(durations) for user, durations in ended.items()}

    def duration_s(past: PastJob) -> float:
        if past.started_us is not None:
            return max(past.duration_s, 1.0) if past.ended_us is None else past.duration_s
        guess = usual.get(past.user, usual.get("", UNKNOWN_RUN_S))
        return max(min(guess, past.ask.time_limit_s or guess), 1.0)

    return [
        {
            **past_job_json(past),
            "duration_s": duration_s(past),
            "submitted": past.submitted_us / US_PER_S,
            "ran_s": past.duration_s,
            "started": past.started_us and past.started_us / US_PER_S,
            "ended": past.ended_us and past.ended_us / US_PER_S,
        }
        for past in found
    ]


def _node(report: NodeReport, prefix: str = "") -> dict[str, object]:
    return {
        "name": prefix + report.name,
        "cpus": report.cpus,
        "memory_gib": report.memory_gib,
        "rack": report.rack and prefix + report.rack,
        "pod": report.pod and prefix + report.pod,
        "devices": [
            {
                "index": device.index,
                "model": device.model,
                "memory_gib": device.memory_gib,
                "link_group": device.link_group,
            }
            for device in report.devices
        ],
    }


def _tail(errors: IO[bytes]) -> str:
    """Return the end of what the worker wrote to its standard error."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(size - ERROR_BYTES, 0))
    return errors.read().decode("utf-8", "replace")


def _begin_anew(tx: Tx) -> None:
    left = what_ifs.c.state == RUNNING
    tx.execute(sa.update(what_ifs).where(left).values(state=WAITING, progress=0.0))


def _state(question_id: str, tx: Tx) -> object:
    return tx.scalar(sa.select(what_ifs.c.state).where(what_ifs.c.id == question_id))


def _move(question_id: str, before: str, values: Mapping[str, object], tx: Tx) -> bool:
    here = (what_ifs.c.id == question_id) & (what_ifs.c.state == before)
    return bool(tx.execute(sa.update(what_ifs).where(here).values(**values)).rowcount)


def _finish(store: Store, question_id: str, found: dict[str, Any]) -> None:
    message: Text | None = found.get("message")
    values = {
        "state": FAILED if message is not None else DONE,
        "result": found.get("result"),
        "message": message.to_json() if message is not None else None,
        "progress": 1.0,
    }
    store.write(lambda tx: _move(question_id, RUNNING, values | {"ended_us": tx.now_us}, tx))
