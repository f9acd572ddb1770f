"""Data sets and models of the hub in jobs: fixed at submit, put into the work folder, and made from outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Forbidden, InvalidInput, NotFound, PearlError, Problem, Unavailable
from pearlstreet.base.ids import new_id
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.protocol import AttemptOrder, Stage
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import artefacts, jobs
from pearlstreet.hub.access import find_repo, repository, select_repos
from pearlstreet.hub.approvals import find_withholding, is_withheld, refuse_unapproved, withhold
from pearlstreet.hub.cards import read_card
from pearlstreet.hub.contents import read_content, stage
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import (
    CARD_FILE,
    MAIN,
    Changes,
    Commit,
    RepoKind,
    RepoNotFound,
    Repository,
    TreeEntry,
)
from pearlstreet.hub.repositories import insert_repo
from pearlstreet.hub.revisions import create_commit, files_of, find_revision
from pearlstreet.hub.tables import contents, repos, uses
from pearlstreet.hub.uses import (
    DONE,
    DROPPED,
    FAILED,
    INPUT,
    OUTPUT,
    WAITING,
    WITHHELD,
    end_output,
    plan_output,
    record_input,
    uses_of_job,
)
from pearlstreet.objects.model import Blob
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop
from pearlstreet.tenancy.authentication import find_person
from pearlstreet.tenancy.model import Actor, Project
from pearlstreet.workload.spec.model import InputItem, JobSpec, OutputItem
from pearlstreet.workload.spec.patterns import is_kept

INPUT_FILES_MAX = 10_000
"""Maximum number of files of one input; an engine copies each of them."""
FRESH_S = 12 * 3600
"""Age up to which a whole copy of a chunked file is used; the garbage collector deletes copies after a day."""
BATCH = 20


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository in the work folder of a job."""

    target: str
    sha256: str
    size_bytes: int
    is_chunked: bool


def link_job(tx: Tx, actor: Actor, project: Project, org: str, job_id: str, spec: JobSpec) -> None:
    """Fix the revisions that a job reads, and plan the ones that it makes.

    Raises RepoNotFound, RevisionNotFound, Forbidden, InvalidInput.
    """
    for name, given in spec.inputs.items():
        if (wanted := _source(given)) is not None:
            repo, commit_id = _fix(tx, actor, project, name, *wanted)
            record_input(tx, repo, commit_id, job_id, project.org_id, name)
            if repo.jobs_only:
                _refuse_ways_out(spec, repo)
                withhold(tx, repo, job_id, project.org_id)
    for number, one in enumerate(spec.outputs):
        if (target := _target(one)) is not None:
            where = f"outputs[{number}]"
            if spec.array is not None:
                raise _wrong(where, text("Elements of an array cannot write to one repository"))
            repo = _writable(tx, actor, project, org, where, *target)
            plan_output(tx, repo, job_id, project.org_id, one.path)


def _source(given: InputItem) -> tuple[RepoKind, str] | None:
    if given.dataset is not None:
        return RepoKind.DATASET, given.dataset
    return (RepoKind.MODEL, given.model) if given.model is not None else None


def _target(one: OutputItem) -> tuple[RepoKind, str] | None:
    if one.dataset is not None:
        return RepoKind.DATASET, one.dataset
    return (RepoKind.MODEL, one.model) if one.model is not None else None


def _refuse_ways_out(spec: JobSpec, repo: Repository) -> None:
    """Raise InvalidInput if a job that reads what is used in jobs only could send it elsewhere."""
    if spec.network != "none":
        message = text("A job that reads {name} has no network", name=repo.full_name)
        raise InvalidInput(message, problems=[Problem("network", message, hint=text("Leave out network"))])
    if spec.tasks > 1:
        # A gang over several machines reaches their network, because its tasks must reach each other.
        message = text(
            "A job that reads {name} has one task, since several would share a network", name=repo.full_name
        )
        raise InvalidInput(message, problems=[Problem("tasks", message, hint=text("Use an array"))])


def _readable(tx: Tx, actor: Actor, project_id: str, kind: RepoKind, full_name: str) -> Repository:
    """Return a repository whose files jobs of a project may read. Raises RepoNotFound, AccessRequired, Forbidden."""
    repo = find_repo(tx, actor, kind, full_name)
    if not repo.jobs_only:
        return find_repo(tx, actor, kind, full_name, download=True)
    refuse_unapproved(tx, repo, project_id)
    return repo


def recheck_inputs(tx: Tx, job: Row) -> None:
    """Raise Forbidden or NotFound if the submitter of a job may not read one of its revisions any more."""
    read = [one for one in uses_of_job(tx, job["array_id"] or job["id"]) if one["direction"] == INPUT]
    if not read:
        return
    actor = find_person(tx, job["owner"].split(" ")[0])
    for use in read:
        row = tx.first(select_repos().where(repos.c.id == use["repo_id"]))
        repo = None if row is None else repository(row)
        try:
            if repo is None or actor is None:
                raise RepoNotFound(text("It is gone"))
            _readable(tx, actor, job["project_id"], repo.kind, repo.full_name)
            if repo.jobs_only and not is_withheld(tx, repo, job["array_id"] or job["id"]):
                raise Forbidden(text("It was restricted to use in jobs; submit the job again"))
        except PearlError as error:
            raise Forbidden(
                text(
                    "Access to the input {name} has ended since the submit: {reason}",
                    name=use["name"],
                    reason=error.message,
                )
            ) from None


def _fix(
    tx: Tx, actor: Actor, project: Project, name: str, kind: RepoKind, said: str
) -> tuple[Repository, str]:
    full_name, _, rev = said.partition("@")
    repo = _readable(tx, actor, project.id, kind, full_name)
    commit = find_revision(tx, repo.id, rev or MAIN).commit
    if not 0 < commit.files <= INPUT_FILES_MAX:
        raise _wrong(
            f"inputs.{name}",
            text(
                "{repo} has {count} files; an input has from 1 to {most}",
                repo=said,
                count=commit.files,
                most=INPUT_FILES_MAX,
            ),
        )
    return repo, commit.id


def _writable(
    tx: Tx, actor: Actor, project: Project, org: str, where: str, kind: RepoKind, full_name: str
) -> Repository:
    try:
        repo = find_repo(tx, actor, kind, full_name, write=True)
    except RepoNotFound:
        repo = insert_repo(tx, actor, kind, full_name, project_slug=project.id)
    if repo.org_id != project.org_id:
        raise _wrong(where, text("A job writes to repositories of its own organisation"))
    return repo


def _wrong(field: str, message: Text) -> InvalidInput:
    return InvalidInput(message, problems=[Problem(field, message)])


def input_files(tx: Tx, job_id: str, folder: str) -> list[HubFile]:
    """Return the files that a job reads from the hub, each below `folder`/NAME."""
    found: list[HubFile] = []
    for use in uses_of_job(tx, job_id):
        if use["direction"] == INPUT:
            revision = find_revision(tx, use["repo_id"], use["commit_id"])
            entries = files_of(tx, use["repo_id"], revision)
            chunked = _chunked(tx, sorted({entry.sha256 for entry in entries}))
            found += [
                HubFile(
                    f"{folder}/{use['name']}/{entry.path}",
                    entry.sha256,
                    entry.size_bytes,
                    entry.sha256 in chunked,
                )
                for entry in entries
            ]
    return found


def _chunked(tx: Tx, names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(names), 500):
        here = contents.c.sha256.in_(names[start : start + 500]) & contents.c.segments.is_not(None)
        found |= set(tx.execute(sa.select(contents.c.sha256).where(here)).scalars())
    return found


def with_input_files(
    runtime: Runtime, order: AttemptOrder, files: Sequence[HubFile], valid_s: int
) -> AttemptOrder:
    """Return the order with the files of the hub, of which chunked ones are put together first. Raises NotFound, Unavailable."""
    for sha256, size in {file.sha256: file.size_bytes for file in files if file.is_chunked}.items():
        _put_together(runtime, sha256, size)
    stages = [
        Stage(runtime.blobs.reference(Blob(file.sha256, file.size_bytes), valid_s=valid_s), file.target)
        for file in files
    ]
    return replace(order, stages=(*order.stages, *stages))


def _put_together(runtime: Runtime, sha256: str, size_bytes: int) -> None:
    store = runtime.store
    if store is None:
        raise Unavailable(text("The hub is not open"))
    try:
        if runtime.blobs.stored_s(sha256) > store.clock.now_us() / US_PER_S - FRESH_S:
            return
    except NotFound:
        pass
    chunks = read_content(store, hub_of(runtime), sha256)
    blob = runtime.blobs.keep(chunks, new_id("tmp", store.clock, store.rng), limit_bytes=size_bytes)
    if blob.sha256 != sha256:
        raise Unavailable(text("The file {sha256} is damaged", sha256=sha256[:12]))


def hub_of(runtime: Runtime) -> Hub:
    """Return the hub of the center."""
    return Hub(runtime.blobs, runtime.folders.root / "hub", runtime.settings)


def publish_loop(runtime: Runtime) -> Loop:
    """Return the loop that makes revisions of the outputs of jobs that have succeeded."""
    return CycleLoop(name="publish_outputs", cycle=lambda store: publish(store, runtime), interval_s=2.0)


def publish(store: Store, runtime: Runtime) -> bool:
    """Make revisions of a batch of outputs; return whether there may be more."""
    ended = uses.join(jobs, jobs.c.id == uses.c.job_id)
    query = (
        sa.select(
            uses,
            jobs.c.state.label("job_state"),
            jobs.c.name.label("job_name"),
            jobs.c.owner,
            jobs.c.spec,
            jobs.c.quote_id,
        )
        .select_from(ended)
        .where(uses.c.state == WAITING, uses.c.direction == OUTPUT, jobs.c.ended_us.is_not(None))
        .order_by(uses.c.at_us)
        .limit(BATCH)
    )
    rows = store.read(lambda tx: tx.rows(query))
    done = [_publish_one(store, runtime, row) for row in rows]
    return len(rows) == BATCH and any(done)


def _publish_one(store: Store, runtime: Runtime, use: Row) -> bool:
    """Make the revision of one output; return False if it must wait."""
    if use["job_state"] != JobState.SUCCEEDED.value:
        store.write(lambda tx: end_output(tx, use["id"], DROPPED))
        return True
    if store.read(lambda tx: find_withholding(tx, use["job_id"])) is not None:
        store.write(lambda tx: end_output(tx, use["id"], WITHHELD))
        return True
    try:
        commit = _commit(store, runtime, use)
    except Unavailable:
        return False
    except PearlError as error:
        message = error.message
        store.write(lambda tx: end_output(tx, use["id"], FAILED, message=message))
        return True
    store.write(lambda tx: end_output(tx, use["id"], DONE, commit.id))
    return True


def _commit(store: Store, runtime: Runtime, use: Row) -> Commit:
    def read(tx: Tx) -> tuple[Repository, Sequence[Row], Mapping[str, object], Commit]:
        row = tx.first(select_repos().where(repos.c.id == use["repo_id"]))
        if row is None:
            raise RepoNotFound(text("The repository of the output is gone"))
        repo = repository(row)
        stored = tx.rows(sa.select(artefacts).where(artefacts.c.job_id == use["job_id"]))
        chosen = [one for one in stored if is_kept((use["name"],), one["path"])]
        return repo, chosen, _producer(tx, use), find_revision(tx, repo.id, MAIN).commit

    repo, chosen, producer, head = store.read(read)
    if head.producer is not None and dict(head.producer) == dict(producer):
        return head  # committed before a crash
    if not chosen:
        raise NotFound(text("No output matches {pattern}", pattern=use["name"]))
    cut = len(_folder(use["name"]))
    files = {
        one["path"][cut:]: TreeEntry(one["path"][cut:], one["sha256"], one["size_bytes"], "")
        for one in chosen
    }

    def staged(tx: Tx) -> None:
        for entry in files.values():
            stage(tx, repo, entry.sha256, entry.size_bytes)

    store.write(staged)
    hub = hub_of(runtime)
    card = None
    if CARD_FILE in files:
        card = read_card(b"".join(_first(hub.blobs.read(files[CARD_FILE].sha256))))
    return create_commit(
        store,
        hub,
        Actor(label=use["owner"], user_id="", everything=True),
        repo.kind,
        repo.full_name,
        MAIN,
        Changes(files),
        title=f"Outputs of job {use['job_name']}",
        message=use["job_id"],
        card=card,
        producer=producer,
    )


def _first(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield at most 2 MiB: a larger card is refused by its reader."""
    size = 0
    for chunk in chunks:
        yield chunk
        size += len(chunk)
        if size > 2 << 20:
            return


def _folder(pattern: str) -> str:
    """Return the folders of a pattern before its first wildcard, which the repository leaves out."""
    plain = pattern
    for wildcard in "*?[":
        plain = plain.partition(wildcard)[0]
    return plain[: plain.rfind("/") + 1]


def _producer(tx: Tx, use: Row) -> Mapping[str, object]:
    """Return which job made the revision, of which code, environment and revisions; names of repositories are left to readers."""
    spec = use["spec"] or {}
    read = [one for one in uses_of_job(tx, use["job_id"]) if one["direction"] == INPUT]
    facts: dict[str, object] = {
        "job": use["job_id"],
        "name": use["job_name"],
        "output": use["name"],
        "git": spec.get("git"),
        "environment": spec.get("environment"),
        "quote": use["quote_id"],
        "inputs": [
            {"name": one["name"], "repository_id": one["repo_id"], "commit": one["commit_id"]} for one in read
        ],
    }
    return {name: value for name, value in facts.items() if value}
