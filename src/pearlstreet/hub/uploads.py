"""Files that arrive whole in one request: kept and staged, and committed with their card checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pearlstreet.base.ids import new_id
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.cards import read_card
from pearlstreet.hub.contents import has_content, read_content, refuse_too_much, stage_blob
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.model import CARD_FILE, Changes, Commit, RepoKind, TreeEntry
from pearlstreet.hub.names import check_file_path
from pearlstreet.hub.revisions import create_commit
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy.model import Actor

TEXT_BYTES_MAX = 10 << 20
"""Largest text that the clients see as a small file."""


def keep_upload(
    store: Store, hub: Hub, actor: Actor, kind: RepoKind, full_name: str, path: str, content: bytes
) -> TreeEntry:
    """Store the content of a file that a commit will name. Raises InvalidInput, Forbidden, Conflict above a quota."""
    check_file_path(path)
    if path == CARD_FILE:
        read_card(content)
    repo = store.read(lambda tx: find_repo(tx, actor, kind, full_name, write=True))
    store.read(lambda tx: refuse_too_much(tx, hub, repo, len(content)))
    hub.create()
    name = new_id("tmp", store.clock, store.rng)
    blob = hub.blobs.keep(iter([content]), name, limit_bytes=len(content) + 1)
    stage_blob(store, repo, blob)
    return TreeEntry(path, blob.sha256, blob.size_bytes, _git_oid(content))


def _git_oid(content: bytes) -> str:
    """Return Git's name of a small text file, which the clients expect; empty for others."""
    try:
        is_text = len(content) <= TEXT_BYTES_MAX and "\0" not in content.decode()
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        return ""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def commit_uploads(
    store: Store,
    hub: Hub,
    actor: Actor,
    kind: RepoKind,
    full_name: str,
    branch: str,
    files: Mapping[str, TreeEntry],
    *,
    title: str,
    parent: str | None = None,
) -> Commit:
    """Commit files that were kept before. Raises the errors of `create_commit`."""
    card = None
    if CARD_FILE in files:
        entry = files[CARD_FILE]

        def size(tx: Tx) -> int | None:
            repo = find_repo(tx, actor, kind, full_name, write=True)
            return has_content(tx, actor, repo, entry.sha256)

        # A content that the caller did not send is not read; `create_commit` refuses it.
        if store.read(size) == entry.size_bytes:
            card = read_card(b"".join(read_content(store, hub, entry.sha256, length=entry.size_bytes)))
    return create_commit(
        store, hub, actor, kind, full_name, branch, Changes(files), title=title, parent=parent, card=card
    )
