"""Route that imports a history. Its body has the lines of commits, with a line `commit` before those of each, and lines `ref`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.responses import Response

from pearlstreet.base.clock import from_rfc3339
from pearlstreet.base.errors import TooLarge
from pearlstreet.base.text import text
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.history import COMMITS_MAX, REFS_MAX, PastCommit, import_history
from pearlstreet.hub.model import CARD_FILE, Changes, Ref, RefKind, Repository
from pearlstreet.hubapi.call import Call, answer, in_thread, parse_object, text_of
from pearlstreet.hubapi.commits import (
    BODY_BYTES_MAX,
    OPERATIONS_MAX,
    Received,
    SmallFiles,
    body_lines,
    take,
    wrong,
)

VERSION = 1
"""Version of the format."""


async def put_history(call: Call) -> Response:
    """Import a history into a new repository; answer the number of its commits and the new head of each branch and tag."""
    actor = await call.actor()
    repo = await in_thread(
        lambda: call.store.read(lambda tx: find_repo(tx, actor, call.kind, call.name, write=True))
    )
    async with call.received(BODY_BYTES_MAX) as body:
        past, refs = await in_thread(lambda: _read(call, repo, body))
    ids = await in_thread(
        lambda: import_history(call.store, call.hub, actor, call.kind, call.name, past, refs)
    )
    return answer({"commits": len(ids), "refs": {ref.name: ids[ref.commit_id] for ref in refs}})


def _read(call: Call, repo: Repository, body: Path) -> tuple[list[PastCommit], list[Ref]]:
    past: list[PastCommit] = []
    refs: list[Ref] = []
    facts: dict[str, Any] | None = None
    received = Received()
    small = SmallFiles(call, repo)
    count = 0
    for line in body_lines(body):
        said = parse_object(line)
        key, value = str(said.get("key")), said.get("value")
        if not isinstance(value, dict):
            raise wrong("value", text("Each line has a key and a value"))
        if key == "history":
            if value.get("version") != VERSION:
                raise wrong("version", text("The history has a version that this center does not know"))
        elif key == "commit":
            if facts is not None:
                past.append(_past(facts, received))
            facts, received = value, Received()
        elif key == "ref":
            refs.append(_ref(value))
        elif facts is None:
            raise wrong("key", text("The first line of a history is its version, the next a commit"))
        else:
            take(small, received, key, value)
            count += 1
        if count > OPERATIONS_MAX or len(past) > COMMITS_MAX or len(refs) > REFS_MAX:
            raise TooLarge(
                text(
                    "A history has at most {commits} commits, {refs} branches and tags, and {changes} changes",
                    commits=COMMITS_MAX,
                    refs=REFS_MAX,
                    changes=OPERATIONS_MAX,
                )
            )
        if received.unsized:
            raise wrong("size", text("size must be a number of bytes"))
    if facts is not None:
        past.append(_past(facts, received))
    small.flush()
    return past, refs


def _past(facts: Mapping[str, Any], received: Received) -> PastCommit:
    card = received.card
    if card is None and CARD_FILE in received.deleted_files:
        card = {}
    try:
        at_us = from_rfc3339(text_of(facts, "at", limit=40))
    except ValueError:
        raise wrong("at", text("at must be a time such as 2026-01-31T12:00:00Z")) from None
    author = text_of(facts, "author", limit=80).strip()
    if not author or not author.isprintable():
        raise wrong("author", text("author must be a name of at most 80 characters"))
    return PastCommit(
        id=text_of(facts, "id", limit=80),
        parent=text_of(facts, "parent", limit=80) or None,
        title=text_of(facts, "title", limit=500),
        message=text_of(facts, "message", limit=10_000),
        author=author,
        at_us=at_us,
        changes=Changes(
            received.files, frozenset(received.deleted_files), frozenset(received.deleted_folders)
        ),
        card=card,
    )


def _ref(value: Mapping[str, Any]) -> Ref:
    try:
        kind = RefKind(text_of(value, "kind", limit=20))
    except ValueError:
        raise wrong("kind", text("kind is branch or tag")) from None
    name, commit = text_of(value, "name", limit=200), text_of(value, "commit", limit=80)
    return Ref(kind, name, commit, text_of(value, "message", limit=1000))
