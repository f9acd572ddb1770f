"""Which jobs read a revision, and which repositories their files become revisions of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict
from pearlstreet.base.text import Text, from_json, plural, text
from pearlstreet.hub.model import RepoKind, Repository
from pearlstreet.hub.tables import repos, uses
from pearlstreet.store.core import Row, Tx
from pearlstreet.tenancy.tables import orgs

INPUT, OUTPUT = "input", "output"
WAITING, DONE, FAILED, DROPPED, WITHHELD = "waiting", "done", "failed", "dropped", "withheld"


def record_input(tx: Tx, repo: Repository, commit_id: str, job_id: str, org_id: str, name: str) -> None:
    """Record that a job reads a revision, which cannot be deleted from then on."""
    _insert(tx, repo, commit_id, INPUT, job_id, org_id, name, DONE)


def plan_output(tx: Tx, repo: Repository, job_id: str, org_id: str, pattern: str) -> None:
    """Record that files of a job become a revision once it has succeeded."""
    _insert(tx, repo, None, OUTPUT, job_id, org_id, pattern, WAITING)


def _insert(
    tx: Tx,
    repo: Repository,
    commit_id: str | None,
    direction: str,
    job_id: str,
    org_id: str,
    name: str,
    state: str,
) -> None:
    tx.execute(
        sa.insert(uses).values(
            id=tx.new_id("use"),
            repo_id=repo.id,
            commit_id=commit_id,
            direction=direction,
            job_id=job_id,
            org_id=org_id,
            name=name,
            state=state,
            at_us=tx.now_us,
        )
    )


def end_output(
    tx: Tx, use_id: str, state: str, commit_id: str | None = None, message: Text | None = None
) -> None:
    """Record what became of a planned output."""
    said = None if message is None else message.to_json()
    values = {"state": state, "commit_id": commit_id, "message": said}
    tx.execute(sa.update(uses).where(uses.c.id == use_id).values(**values))


def uses_of_job(tx: Tx, job_id: str) -> Sequence[Row]:
    """Return what a job reads from the hub and writes to it."""
    return tx.rows(sa.select(uses).where(uses.c.job_id == job_id).order_by(uses.c.direction, uses.c.name))


@dataclass(frozen=True, slots=True)
class JobRevision:
    """A revision that a job reads, or the one that its files become. `name`: name of the input, or pattern of the output."""

    direction: str
    name: str
    kind: RepoKind
    repository: str
    commit_id: str | None
    state: str
    message: Text | None


def revisions_of_job(tx: Tx, job_id: str) -> tuple[JobRevision, ...]:
    """Return the revisions that a job reads and makes, with what became of those it makes."""
    named = sa.select(uses, repos.c.kind, repos.c.name.label("repo"), orgs.c.slug)
    named = named.join(repos, repos.c.id == uses.c.repo_id).join(orgs, orgs.c.id == repos.c.org_id)
    found = tx.rows(named.where(uses.c.job_id == job_id).order_by(uses.c.direction, uses.c.name))
    return tuple(
        JobRevision(
            row["direction"],
            row["name"],
            RepoKind(row["kind"]),
            f"{row['slug']}/{row['repo']}",
            row["commit_id"],
            row["state"],
            from_json(row["message"]) if row["message"] else None,
        )
        for row in found
    )


def used_commits(tx: Tx, repo_id: str) -> set[str]:
    """Return the revisions of a repository that jobs read."""
    read = (uses.c.repo_id == repo_id) & (uses.c.direction == INPUT)
    return set(tx.execute(sa.select(uses.c.commit_id).where(read).distinct()).scalars())


def refuse_used(tx: Tx, repo: Repository) -> None:
    """Raise Conflict if jobs read revisions of a repository, or will write one."""
    here = uses.c.repo_id == repo.id
    wanted = sa.or_(uses.c.direction == INPUT, uses.c.state == WAITING)
    count = int(tx.scalar(sa.select(sa.func.count(uses.c.job_id.distinct())).where(here, wanted)) or 0)
    if count:
        raise Conflict(
            plural(
                "{count} job uses {name}, so it is kept",
                "{count} jobs use {name}, so it is kept",
                count=count,
                name=repo.full_name,
            ),
            hint=text("Make it private instead; deleting it would break the lineage of results"),
        )
