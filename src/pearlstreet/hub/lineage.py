"""Lineage of a revision, both ways: the job and revisions it was made from, and the jobs and revisions made from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.hub.access import access_to, find_repo, repository, select_repos, visible_repos
from pearlstreet.hub.model import Commit, RepoKind, Repository
from pearlstreet.hub.revisions import find_revision
from pearlstreet.hub.tables import repos, uses
from pearlstreet.hub.uses import INPUT, OUTPUT
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.tenancy.model import Actor

SHOWN_MAX = 1000
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
PRODUCER = "https://pearlstreet.invalid/hub"


@dataclass(frozen=True, slots=True)
class LineageRevision:
    """A revision that the caller may see. `name`: name of the input, or pattern of the output."""

    kind: RepoKind
    full_name: str
    commit_id: str
    name: str


@dataclass(frozen=True, slots=True)
class LineageJob:
    """A job that read the revision, with the revisions that it made."""

    job_id: str
    at_us: int
    made: Sequence[LineageRevision]


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a revision was made from and what was made from it; what the caller may not see is only counted."""

    repo: Repository
    commit: Commit
    job_id: str | None
    facts: Mapping[str, object]
    """Code, environment and quote of the job that made it, shown to members of its organisation."""
    sources: Sequence[LineageRevision]
    jobs: Sequence[LineageJob]
    hidden: int
    """Number of jobs and revisions that the caller may not see."""


def find_lineage(store: Store, actor: Actor, kind: RepoKind, full_name: str, rev: str = "main") -> Lineage:
    """Return the lineage of a revision. Raises RepoNotFound, RevisionNotFound."""
    return store.read(lambda tx: _lineage(tx, actor, kind, full_name, rev))


def _lineage(tx: Tx, actor: Actor, kind: RepoKind, full_name: str, rev: str) -> Lineage:
    repo = find_repo(tx, actor, kind, full_name)
    commit = find_revision(tx, repo.id, rev).commit
    producer = commit.producer or {}
    sees_jobs = actor.may("jobs:read", repo.org_id, repo.project_id)
    job_id = str(producer["job"]) if producer.get("job") else None
    read: list[Row] = []
    if job_id is not None:
        here = (uses.c.job_id == job_id) & (uses.c.direction == INPUT)
        read = list(tx.rows(sa.select(uses).where(here).order_by(uses.c.name).limit(SHOWN_MAX)))
    of_this = (uses.c.repo_id == repo.id) & (uses.c.commit_id == commit.id) & (uses.c.direction == INPUT)
    readers = list(tx.rows(sa.select(uses).where(of_this).order_by(uses.c.at_us.desc()).limit(SHOWN_MAX)))
    shown = [row for row in readers if actor.may("jobs:read", row["org_id"], None)]
    jobs = [row["job_id"] for row in shown]
    made = (uses.c.job_id.in_(jobs)) & (uses.c.direction == OUTPUT) & uses.c.commit_id.is_not(None)
    written = list(tx.rows(sa.select(uses).where(made).order_by(uses.c.name).limit(SHOWN_MAX)))
    names = _names(tx, actor, {row["repo_id"] for row in (*read, *written)})
    sources = [_revision(row, names) for row in read if row["repo_id"] in names]
    seen = [
        LineageJob(
            row["job_id"],
            row["at_us"],
            [
                _revision(one, names)
                for one in written
                if one["job_id"] == row["job_id"] and one["repo_id"] in names
            ],
        )
        for row in shown
    ]
    told = {
        name: value for name, value in producer.items() if name in ("name", "git", "environment", "quote")
    }
    hidden = len(readers) - len(shown) + sum(row["repo_id"] not in names for row in (*read, *written))
    return Lineage(
        repo, commit, job_id if sees_jobs else None, told if sees_jobs else {}, sources, seen, hidden
    )


def _names(tx: Tx, actor: Actor, wanted: set[str]) -> Mapping[str, Repository]:
    query = select_repos().where(repos.c.id.in_(sorted(wanted)), visible_repos(actor))
    found = [repository(row) for row in tx.rows(query)]
    return {repo.id: repo for repo in found if access_to(tx, actor, repo).see}


def _revision(row: Row, names: Mapping[str, Repository]) -> LineageRevision:
    repo = names[row["repo_id"]]
    return LineageRevision(repo.kind, repo.full_name, row["commit_id"], row["name"])


def to_openlineage(lineage: Lineage, namespace: str) -> list[dict[str, object]]:
    """PURE: return the lineage as run events of OpenLineage 2.0.2, one for each job. `namespace`: URL of the hub."""
    repo = lineage.repo
    here = LineageRevision(repo.kind, repo.full_name, lineage.commit.id, "")
    events = []
    if lineage.job_id is not None:
        at_us = lineage.commit.at_us
        events.append(_event(lineage.job_id, at_us, lineage.sources, [here], namespace))
    events += [_event(job.job_id, job.at_us, [here], job.made, namespace) for job in lineage.jobs]
    return events


def _event(
    job_id: str,
    at_us: int,
    inputs: Sequence[LineageRevision],
    outputs: Sequence[LineageRevision],
    namespace: str,
) -> dict[str, object]:
    return {
        "eventType": "COMPLETE" if outputs else "RUNNING",
        "eventTime": to_rfc3339(at_us),
        "run": {"runId": _run_id(job_id)},
        "job": {"namespace": namespace, "name": job_id},
        "inputs": [_dataset(one, namespace) for one in inputs],
        "outputs": [_dataset(one, namespace) for one in outputs],
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }


def _run_id(job_id: str) -> str:
    """Return a UUID (version 8) for a job, since OpenLineage wants one for each run; equal jobs get equal ones."""
    digits = hashlib.sha256(job_id.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


def _dataset(one: LineageRevision, namespace: str) -> dict[str, object]:
    version = {
        "_producer": PRODUCER,
        "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json",
        "datasetVersion": one.commit_id,
    }
    return {
        "namespace": namespace,
        "name": f"{one.kind.value}s/{one.full_name}",
        "facets": {"version": version},
    }
