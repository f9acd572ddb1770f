"""Looks into each repository's newest commit, in the background: parameters, pickles with their imports, and the card's text for the search."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from pearlstreet.base.errors import InvalidInput, NotFound, Unavailable
from pearlstreet.hub.access import repository, select_repos
from pearlstreet.hub.cards import CARD_BYTES_MAX, split_card
from pearlstreet.hub.contents import read_content
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import CARD_FILE, MAIN, RefKind, Repository, TreeEntry
from pearlstreet.hub.preview.formats import Format, format_of
from pearlstreet.hub.preview.service import look_into
from pearlstreet.hub.revisions import COMMITTED, find_revision, page_loader
from pearlstreet.hub.search.index import index_repo
from pearlstreet.hub.tables import refs, repos
from pearlstreet.hub.tree import find_entry, iterate_entries
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
    card: TreeEntry | None


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
        store.write(partial(_record, one, sum_up(seen), _card_text(store, hub, one.card)))
    return len(due) == REPOS


def _record(due: _Due, facts: Mapping[str, object], card_text: str, tx: Tx) -> None:
    here = repos.c.id == due.repo.id
    row = tx.first(sa.select(repos.c.name, repos.c.card).where(here))
    if row is not None:
        tx.execute(sa.update(repos).where(here).values(facts=dict(facts), facts_commit=due.commit_id))
        index_repo(tx, due.repo.id, row["name"], row["card"], card_text)


def _card_text(store: Store, hub: Hub, card: TreeEntry | None) -> str:
    """Return the text of a card for the search; empty without one, or if it cannot be read."""
    if card is None or not card.size_bytes:
        return ""
    try:
        length = min(card.size_bytes, CARD_BYTES_MAX)
        return split_card(b"".join(read_content(store, hub, card.sha256, length=length))).body
    except (InvalidInput, NotFound):
        return ""


def _choose(tx: Tx) -> list[_Due]:
    moved = repos.c.facts_commit.is_(None) | (repos.c.facts_commit != refs.c.commit_id)
    head = (
        (refs.c.repo_id == repos.c.id) & (refs.c.kind == RefKind.BRANCH.value) & (refs.c.name == MAIN) & moved
    )
    query = select_repos().add_columns(refs.c.commit_id).join(refs, head).order_by(repos.c.updated_us)
    found = []
    for row in tx.rows(query.limit(REPOS)):
        revision = find_revision(tx, row["id"], row["commit_id"])
        load = page_loader(tx, row["id"])
        files = _of_interest(iterate_entries(revision.manifest, load))
        card = find_entry(revision.manifest, load, CARD_FILE)
        found.append(_Due(repository(row), row["commit_id"], files, card))
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
