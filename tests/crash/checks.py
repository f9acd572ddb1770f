"""What must hold after every kill, and what must hold when everything is over."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from typing import Any

from pearlstreet.compute.execution.model import INTERRUPTING_STOP_REASONS
from tests.crash.load import Memory
from tests.crash.server import Server

END_TOLD_US = 1_000_000
"""An attempt's supervisor notes the end a moment before it is on disk for others to see."""
ENDED = ("succeeded", "failed", "cancelled")


def nothing_acknowledged_is_lost(server: Server, memory: Memory) -> None:
    """Jobs, top-ups, statement lines, artefacts and log lines that were answered or shown are there."""
    # Copied first: the clients go on while the database is read.
    jobs, top_ups, lines = set(memory.jobs), set(memory.top_ups), set(memory.lines)
    artefacts, ended = dict(memory.artefacts), dict(memory.ended)
    known = {row["id"]: row["state"] for row in server.rows("SELECT id, state FROM jobs")}
    assert jobs <= set(known), "acknowledged jobs are lost"
    paid = {row["id"] for row in server.rows("SELECT id FROM ledger_top_ups")}
    assert top_ups <= paid, "acknowledged top-ups are lost"
    posted = {row["id"] for row in server.rows("SELECT id FROM ledger_transactions")}
    assert lines <= posted, "postings that were shown are lost"
    kept = {row["id"]: row["sha256"] for row in server.rows("SELECT id, sha256 FROM artefacts")}
    for artefact, digest in artefacts.items():
        assert kept.get(artefact) == digest, "an artefact is lost"
        content = (server.data / "blobs" / digest[:2] / digest).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    for job, state in ended.items():
        assert known[job] == state, f"{job} had {state} and is {known[job]} now"
    server.prove()


def logs_are_whole(server: Server, memory: Memory, some: int = 8) -> None:
    """What was read of a log is still its beginning."""
    with server.tenant() as http:
        for (attempt, rank), before in list(memory.logs.items())[-some:]:
            job = memory.log_jobs[attempt, rank]
            answer = http.get(f"/jobs/{job}/logs", params={"attempt": attempt, "rank": rank})
            assert answer.status_code == 200, answer.text
            assert answer.content.startswith(before), f"{attempt} lost log lines"


def no_job_is_there_twice(server: Server) -> None:
    """A submit that was repeated under its key made one job."""
    query = (
        "SELECT name, count(*) AS count FROM jobs WHERE array_id IS NULL GROUP BY name HAVING count(*) > 1"
    )
    assert server.rows(query) == []


def no_device_is_given_twice(server: Server) -> None:
    """Neither now, by the allocations, nor ever, by the attempts' intervals."""
    query = "SELECT node, device, sum(compute_share) AS held FROM allocations GROUP BY node, device HAVING sum(compute_share) > 10000"
    assert server.rows(query) == []
    intervals: dict[tuple[str, int], list[tuple[int, int, str]]] = defaultdict(list)
    for row in server.rows("SELECT id, placement, placed_us, ended_us FROM attempts"):
        for task in json.loads(row["placement"])["tasks"]:
            for device in task["devices"]:
                held = (row["placed_us"], row["ended_us"] or 1 << 62, row["id"])
                intervals[task["node"], device["index"]].append(held)
    for device, held_by in intervals.items():
        held_by.sort()
        for (_, end, first), (begin, _, second) in itertools.pairwise(held_by):
            assert end <= begin, f"{device} was given to {first} and {second} at once"


def everything_is_over(server: Server) -> None:
    """Terminal states, holds settled, devices free, nothing given up on."""
    assert server.rows(f"SELECT id, state FROM jobs WHERE state NOT IN {ENDED}") == []
    assert server.rows("SELECT id, state FROM attempts WHERE state <> 'ended'") == []
    assert server.rows("SELECT * FROM allocations") == []
    assert server.rows("SELECT * FROM waits") == []
    assert server.rows("SELECT id FROM ledger_holds WHERE settled_us IS NULL") == []
    assert [row["held_micro"] for row in server.rows("SELECT held_micro FROM ledger_funds")] == [0]
    assert server.rows("SELECT * FROM loop_failures WHERE quarantined") == []
    for row in server.rows("SELECT * FROM jobs WHERE array_size IS NOT NULL"):
        assert row["n_succeeded"] + row["n_failed"] + row["n_cancelled"] == row["array_size"]


def cancels_were_honoured(server: Server, memory: Memory) -> None:
    """A cancel that was acknowledged while the job lived ended it as cancelled."""
    states = {row["id"]: row for row in server.rows("SELECT id, state, array_size FROM jobs")}
    for job in memory.cancelled:
        if states[job]["array_size"] is None:
            assert states[job]["state"] == "cancelled", f"{job}: {states[job]}"


def use_is_whole(server: Server) -> None:
    """Every attempt that ran is metered from its start to its end, without overlap or gap, and no other is."""
    streams: dict[str, list[dict[str, Any]]] = defaultdict(list)
    query = (
        "SELECT t.external_id, t.resource, min(s.start_us) AS begun, max(s.end_us) AS ended,"
        " sum(s.end_us - s.start_us) AS length FROM ledger_spans s JOIN ledger_streams t ON t.id = s.stream_id"
        " GROUP BY t.id"
    )
    for row in server.rows(query):
        streams[row["external_id"]].append(row)
    for attempt in server.rows("SELECT id, started_us, ended_us FROM attempts"):
        begun, ended = attempt["started_us"], attempt["ended_us"]
        found = streams.pop(attempt["id"], [])
        if begun is None or begun == ended:
            assert found == []
            continue
        assert found, f"{attempt['id']} ran and is not metered"
        for stream in found:
            assert stream["begun"] == begun, (attempt, stream)
            assert ended <= stream["ended"] <= ended + END_TOLD_US, (attempt, stream)
            assert stream["length"] == stream["ended"] - begun, "spans overlap or gap"
    assert not streams


def _ended_by_itself(attempt: dict[str, Any]) -> bool:
    return attempt["exit_code"] == 0 or attempt["stop_reason"] not in INTERRUPTING_STOP_REASONS


def _add_marks_of_deleted_folders(server: Server, marks: dict[str, int]) -> None:
    """The sweep deletes outputs of ended attempts once they are kept as artefacts."""
    kept = server.rows("SELECT attempt_id, path, sha256 FROM artefacts WHERE path LIKE 'ran-%'")
    for attempt, of_attempt in itertools.groupby(sorted(kept, key=_attempt_of), _attempt_of):
        if (server.attempts / attempt / "outputs").exists():
            continue
        for row in of_attempt:
            once = f"{attempt} {row['path'][4:]}\n".encode()
            assert row["sha256"] == hashlib.sha256(once).hexdigest(), f"{attempt} wrote {row['path']} twice"
            marks[attempt] = marks.get(attempt, 0) + 1


def _attempt_of(artefact: dict[str, Any]) -> str:
    return str(artefact["attempt_id"])


def no_attempt_ran_twice(server: Server) -> int:
    """By the marks each execution left in its attempt's outputs; returns how many executions there were."""
    marks: dict[str, int] = {}
    for folder in server.attempts.iterdir():
        for file in (folder / "outputs").glob("ran-*"):
            lines = file.read_text().splitlines()
            assert lines == [f"{folder.name} {file.name[4:]}"], f"{file} was written by {lines}"
            marks[folder.name] = marks.get(folder.name, 0) + 1
    _add_marks_of_deleted_folders(server, marks)
    rows = {row["id"]: row for row in server.rows("SELECT * FROM attempts")}
    jobs = {row["id"]: row for row in server.rows("SELECT * FROM jobs")}
    assert set(marks) <= set(rows), "something ran that nobody planned"
    for attempt, count in marks.items():
        assert count <= len(json.loads(rows[attempt]["placement"])["tasks"])
    ran: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for attempt in marks:
        ran[rows[attempt]["owner_id"]].append(rows[attempt])
    for job, attempts in ran.items():
        attempts.sort(key=lambda row: row["number"])
        for first, second in itertools.pairwise(attempts):
            assert first["ended_us"] <= second["placed_us"], f"{job} ran twice at once"
        # One that we had asked to stop when it failed does not count: who is told to end may well say so with a status.
        exits = [row for row in attempts if row["end_reason"] == "exited" and _ended_by_itself(row)]
        spec = json.loads(jobs[jobs[job]["array_id"] or job]["spec"])
        most = 1 + spec.get("retries", {}).get("max", 0)
        assert len(exits) <= most, f"{job} was run again after it had ended by itself: {exits}"
    for job, row in jobs.items():
        if row["state"] == "succeeded" and row["array_size"] is None:
            assert row["attempt_id"] in marks, f"{job} succeeded and never ran"
            names = server.rows("SELECT path FROM artefacts WHERE attempt_id = ?", row["attempt_id"])
            assert len(names) == marks[row["attempt_id"]], f"{job} lost its results"
    return sum(marks.values())
