"""Import of a whole history into a new repository: commits in their order, with their authors and times, branches and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from pearlstreet.base.errors import Conflict, InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.cards import card_words
from pearlstreet.hub.contents import add_contents
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import MAIN, Changes, Ref, RefKind, RepoKind, Repository, TreeEntry
from pearlstreet.hub.names import check_ref_name
from pearlstreet.hub.revisions import COMMITTED, FILES_MAX, insert_commit, insert_pages
from pearlstreet.hub.search.index import index_repo
from pearlstreet.hub.tables import commits, refs, repos
from pearlstreet.hub.tree import Manifest, apply_changes
from pearlstreet.hub.uses import used_commits
from pearlstreet.store import audit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

COMMITS_MAX = 10_000
"""Maximum number of commits of an imported history."""
REFS_MAX = 10_000
"""Maximum number of branches and tags of an imported history."""


@dataclass(frozen=True, slots=True)
class PastCommit:
    """A commit of a history. `id` and `parent`: ids in that history; the imported commit gets an id of its own."""

    id: str
    parent: str | None
    title: str
    message: str
    author: str
    at_us: int
    changes: Changes
    card: Mapping[str, object] | None = None
    """Front matter of a changed card; empty for a deleted one; None: not changed."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A commit with its file tree and the front matter of its card."""

    past: PastCommit
    manifest: Manifest
    card: Mapping[str, object]


def import_history(
    store: Store,
    hub: Hub,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    past: Sequence[PastCommit],
    new_refs: Sequence[Ref],
) -> Mapping[str, str]:
    """Replace the empty first commit of a repository by a history; return the new commit ids by the old ones.

    `new_refs` name old commit ids. Raises Conflict if the repository has commits or above a quota, InvalidInput,
    EntryNotFound, RepoNotFound, Forbidden. Nothing is changed then.
    """
    _check_refs(past, new_refs)
    planned, pages = _plan(past)

    def command(tx: Tx) -> Mapping[str, str]:
        repo = find_repo(tx, actor, kind, full_name, write=True)
        _drop_first_commit(tx, repo)
        entries: list[TreeEntry] = [entry for one in past for entry in one.changes.files.values()]
        more = add_contents(tx, hub, actor, repo, entries)
        insert_pages(tx, repo.id, pages)
        ids = _insert_commits(tx, actor, repo, planned)
        rows = [
            {
                "repo_id": repo.id,
                "kind": ref.kind.value,
                "name": ref.name,
                "commit_id": ids[ref.commit_id],
                "message": ref.message[:1000],
                "at_us": tx.now_us,
            }
            for ref in new_refs
        ]
        tx.execute(sa.insert(refs), rows)
        head = next(ref.commit_id for ref in new_refs if ref.kind is RefKind.BRANCH and ref.name == MAIN)
        card = next(one.card for one in planned if one.past.id == head)
        values: dict[str, object] = {
            "commits": len(planned),
            "size_bytes": repos.c.size_bytes + more,
            "updated_us": tx.now_us,
            "card": dict(card),
            "words": card_words(repo.full_name.partition("/")[2], card),
        }
        tx.execute(sa.update(repos).where(repos.c.id == repo.id).values(**values))
        index_repo(tx, repo.id, repo.full_name.partition("/")[2], card)
        tx.hint(COMMITTED)
        details = {"commits": len(planned), "refs": len(rows), "more_bytes": more}
        audit.record(
            tx,
            actor=actor.label,
            action="hub.import_history",
            target=repo.id,
            org_id=repo.org_id,
            details=details,
        )
        return ids

    return store.write(command)


def _check_refs(past: Sequence[PastCommit], new_refs: Sequence[Ref]) -> None:
    known = {one.id for one in past}
    if len(known) != len(past):
        raise _wrong("id", text("Two commits of the history have the same id"))
    names = [ref.name for ref in new_refs]
    if len(set(names)) != len(names):
        raise _wrong("name", text("A branch or tag is named twice"))
    for ref in new_refs:
        check_ref_name(ref.name)
        if ref.commit_id not in known:
            raise _wrong(
                "commit", text("{name} names a commit that the history does not have", name=ref.name)
            )
    if not any(ref.kind is RefKind.BRANCH and ref.name == MAIN for ref in new_refs):
        raise _wrong("name", text("The history has no branch main"))


def _plan(past: Sequence[PastCommit]) -> tuple[Sequence[_Planned], Mapping[str, bytes]]:
    """PURE: return the commits with their file trees, and all pages of these."""
    done: dict[str, _Planned] = {}
    pages: dict[str, bytes] = {}
    for number, one in enumerate(past, 1):
        if one.parent is not None and one.parent not in done:
            raise _wrong("parent", text("A commit of the history comes before its parent"))
        before = done[one.parent] if one.parent is not None else None
        files = {path: replace(entry, commit_number=number) for path, entry in one.changes.files.items()}
        written = apply_changes(
            before.manifest if before else Manifest(), pages.__getitem__, replace(one.changes, files=files)
        )
        if written.manifest.files > FILES_MAX:
            raise Conflict(text("A revision has at most {most} files", most=FILES_MAX))
        pages |= written.pages
        inherited = before.card if before else {}
        done[one.id] = _Planned(one, written.manifest, inherited if one.card is None else one.card)
    return list(done.values()), pages


def _drop_first_commit(tx: Tx, repo: Repository) -> None:
    """Delete the empty commit and the branch that a repository is created with. Raises Conflict if it has more."""
    rows = tx.rows(sa.select(commits.c.files).where(commits.c.repo_id == repo.id).limit(2))
    others = (refs.c.repo_id == repo.id) & ((refs.c.name != MAIN) | (refs.c.kind != RefKind.BRANCH.value))
    has_others = tx.scalar(sa.select(refs.c.name).where(others).limit(1)) is not None
    if len(rows) != 1 or rows[0]["files"] or has_others or used_commits(tx, repo.id):
        raise Conflict(
            text("{name} has commits already", name=repo.full_name),
            hint=text("Import a history into a new repository"),
        )
    tx.execute(sa.delete(commits).where(commits.c.repo_id == repo.id))
    tx.execute(sa.delete(refs).where(refs.c.repo_id == repo.id))


def _insert_commits(tx: Tx, actor: Actor, repo: Repository, planned: Sequence[_Planned]) -> dict[str, str]:
    ids: dict[str, str] = {}
    for number, one in enumerate(planned, 1):
        past = one.past
        made = insert_commit(
            tx,
            actor,
            repo.id,
            number,
            ids[past.parent] if past.parent is not None else None,
            one.manifest,
            past.title,
            past.message,
            {"import": {"id": past.id, "by": actor.login}},
            past.author[:80],
            min(past.at_us, tx.now_us),
        )
        ids[past.id] = made.id
    return ids


def _wrong(field: str, message: Text) -> InvalidInput:
    return InvalidInput(message, problems=[Problem(field, message)])
