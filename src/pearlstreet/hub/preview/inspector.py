"""Looks into the files of each repository's newest commit, in the background: parameters of a model, and pickles with their imports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pearlstreet.base.errors import NotFound, Unavailable
from pearlstreet.hub.access import repository, select_repos
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import MAIN, RefKind, Repository, TreeEntry
from pearlstreet.hub.preview.formats import Format, format_of
from pearlstreet.hub.preview.service import look_into
from pearlstreet.hub.revisions import COMMITTED, find_revision, page_loader
from pearlstreet.hub.tables import refs, repos
from pearlstreet.hub.tree import iterate_entries
from pearlstreet.store.core import Store, Tx
from pearlstreet.store.loop import CycleLoop, Loop

REPOS = 20
FILES_MAX = 300
"""Files of a repository that are looked into."""
PICKLES_SHOWN = 50
RATINGS = ("expected", "unknown", "dangerous")
_WEIGHTS = re.compile(r"(diffusion_pytorch_)?(model|adapter_model)(-\d+-of-\d+)?\.safetensors")


@dataclass(frozen=True, slots=True)
class _Due:
    repo: Repository
    commit_id: str
    files: Sequence[TreeEntry]


def inspect_loop(hub: Hub) -> Loop:
    """Return the loop that looks into new commits."""
    return CycleLoop(
        name="inspect_hub",
        cycle=lambda store: inspect(store, hub),
        hints=(COMMITTED,),
        interval_s=30.0,
        rest=1.0,
    )


def inspect(store: Store, hub: Hub) -> bool:
    """Look into a batch of repositories whose branch `main` has moved; return whether there may be more."""
    due = store.read(_choose)
    for one in due:
        try:
            seen = [(entry, look_into(store, hub, entry)) for entry in one.files]
        except Unavailable:
            return False
        except NotFound:
            seen = []
        facts = sum_up(seen)
        values = {"facts": facts, "facts_commit": one.commit_id}
        store.write(lambda tx, one=one, values=values: _record(tx, one.repo, values))  # type: ignore[misc]
    return len(due) == REPOS


def _record(tx: Tx, repo: Repository, values: Mapping[str, object]) -> None:
    tx.execute(sa.update(repos).where(repos.c.id == repo.id).values(**values))


def _choose(tx: Tx) -> list[_Due]:
    moved = repos.c.facts_commit.is_(None) | (repos.c.facts_commit != refs.c.commit_id)
    head = (
        (refs.c.repo_id == repos.c.id) & (refs.c.kind == RefKind.BRANCH.value) & (refs.c.name == MAIN) & moved
    )
    query = select_repos().add_columns(refs.c.commit_id).join(refs, head).order_by(repos.c.updated_us)
    found = []
    for row in tx.rows(query.limit(REPOS)):
        revision = find_revision(tx, row["id"], row["commit_id"])
        entries = iterate_entries(revision.manifest, page_loader(tx, row["id"]))
        found.append(_Due(repository(row), row["commit_id"], _of_interest(entries)))
    return found


def _of_interest(entries: Iterable[TreeEntry]) -> list[TreeEntry]:
    wanted = (entry for entry in entries if format_of(entry.path) in (Format.SAFETENSORS, Format.PICKLE))
    return [entry for entry, _ in zip(wanted, range(FILES_MAX), strict=False)]


def sum_up(seen: Sequence[tuple[TreeEntry, Mapping[str, object]]]) -> dict[str, object]:
    """PURE: return parameters of the weights, by data type, and the pickles, the most dangerous first."""
    facts: dict[str, object] = {}
    weights = {entry.path: (entry.sha256, found) for entry, found in seen if found["kind"] == "safetensors"}
    at_top = {path: one for path, one in weights.items() if "/" not in path}
    named = {path: one for path, one in at_top.items() if _WEIGHTS.fullmatch(path)}
    counted = dict((named or at_top or weights).values())
    if counted:
        parameters = Counter[str]()
        for found in counted.values():
            said = found["parameters"]
            parameters.update(said if isinstance(said, dict) else {})
        facts["safetensors"] = {"parameters": dict(parameters), "total": sum(parameters.values())}
    pickles = [_pickle(entry.path, found) for entry, found in seen if found["kind"] == "pickle"]
    if pickles:
        pickles.sort(key=lambda one: -RATINGS.index(str(one["rating"])))
        facts["pickles"] = pickles[:PICKLES_SHOWN]
        facts["pickle_count"] = len(pickles)
    return facts


def _pickle(path: str, found: Mapping[str, object]) -> dict[str, object]:
    said = found["imports"]
    imports = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    ratings = {str(one["rating"]) for one in imports} | ({"unknown"} if not found["is_complete"] else set())
    worst = max(ratings, key=RATINGS.index, default="expected")
    names = [str(one["name"]) for one in imports if one["rating"] != "expected"]
    return {"path": path, "rating": worst, "imports": names[:20], "is_complete": found["is_complete"]}
