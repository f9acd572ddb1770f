"""Routes that read files: trees, facts of paths, history, and the bytes with ranges."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, urlencode

from starlette.responses import Response, StreamingResponse

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.hub import revisions
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.contents import read_content
from pearlstreet.hub.downloads import record_download
from pearlstreet.hub.model import Commit, EntryNotFound, Repository, TreeEntry
from pearlstreet.hub.tree import has_folder, iterate_entries
from pearlstreet.hubapi.call import Call, answer, in_thread, parse_object, parse_range, time_text
from pearlstreet.store.core import Tx

TREE_PAGE = 1000
COMMITS_PAGE = 50
PATHS_MAX = 1000
PATHS_BYTES_MAX = 2 << 20


def _file_json(entry: TreeEntry, commit: Commit | None) -> dict[str, object]:
    facts: dict[str, object] = {
        "type": "file",
        "path": entry.path,
        "size": entry.size_bytes,
        "oid": entry.git_oid or entry.sha256[:40],
    }
    if entry.is_large:
        facts["lfs"] = {"oid": entry.sha256, "size": entry.size_bytes, "pointerSize": 134}
    if commit is not None:
        facts["lastCommit"] = {"id": commit.id, "title": commit.title, "date": time_text(commit.at_us)}
    return facts


def _folder_json(path: str, revision: str) -> dict[str, object]:
    return {
        "type": "directory",
        "path": path,
        "size": 0,
        "oid": hashlib.sha256(f"{revision}/{path}".encode()).hexdigest()[:40],
    }


async def tree(call: Call) -> Response:
    """List the files and folders of a folder."""
    actor, query = await call.actor(), call.request.query_params
    folder = call.at.get("path", "").strip("/")
    recursive, expand = (query.get(name, "").lower() in ("true", "1") for name in ("recursive", "expand"))
    after = query.get("cursor", "")
    limit = TREE_PAGE if not expand else 100

    def read(tx: Tx) -> tuple[list[dict[str, object]], str]:
        repo = find_repo(tx, actor, call.kind, call.name)
        revision = revisions.find_revision(tx, repo.id, call.at["rev"])
        load = revisions.page_loader(tx, repo.id)
        if not has_folder(revision.manifest, load, folder):
            raise EntryNotFound(
                text("There is no folder {path} at this revision", path=ascii(folder[:200])[1:-1])
            )
        prefix = f"{folder}/" if folder else ""
        rows: list[TreeEntry | str] = []
        last_folder = after.removesuffix("/\U0010ffff") if after.endswith("/\U0010ffff") else ""
        folders: set[str] = {last_folder} if last_folder else set()
        at = after
        more = ""
        for entry in iterate_entries(revision.manifest, load, prefix=prefix, after=after):
            rest = entry.path[len(prefix) :]
            names = rest.split("/")[:-1]
            if recursive:
                fresh = [prefix + "/".join(names[: depth + 1]) for depth in range(len(names))]
            else:
                fresh = [prefix + names[0]] if names else []
            new = [path for path in fresh if path not in folders and not after.startswith(path + "/")]
            if len(rows) >= limit and (new or recursive or not names):
                more = at
                break
            folders.update(fresh)
            rows += new
            if recursive or not names:
                rows.append(entry)
            at = entry.path
        numbers = [row.commit_number for row in rows if isinstance(row, TreeEntry)] if expand else []
        known = revisions.commits_by_number(tx, repo.id, sorted(set(numbers))) if numbers else {}
        return [
            _folder_json(row, revision.commit.id)
            if isinstance(row, str)
            else _file_json(row, known.get(row.commit_number))
            for row in rows
        ], more

    items, more = await in_thread(lambda: call.store.read(read))
    return answer(items, headers=_next(call, cursor=more) if more else {})


def _next(call: Call, cursor: str) -> dict[str, str]:
    items = [(name, value) for name, value in call.request.query_params.multi_items() if name != "cursor"]
    path = call.request.scope["hub_path"]
    return {"link": f'<{call.base_url}{path}?{urlencode([*items, ("cursor", cursor)])}>; rel="next"'}


async def paths_info(call: Call) -> Response:
    """Get the facts of some paths; absent ones are left out."""
    actor = await call.actor()
    body = await call.body(PATHS_BYTES_MAX)
    if call.request.headers.get("content-type", "").startswith("application/json"):
        said = parse_object(body)
        found = said.get("paths")
        paths = [str(path) for path in found] if isinstance(found, list) else [str(found)]
        expand = bool(said.get("expand"))
    else:
        try:
            items = parse_qsl(body.decode(), max_num_fields=PATHS_MAX + 10)
        except ValueError:
            message = text("Ask for at most {most} paths", most=PATHS_MAX)
            raise InvalidInput(message, problems=[Problem("paths", message)]) from None
        paths = [value for name, value in items if name == "paths"]
        expand = ("expand", "true") in [(name, value.lower()) for name, value in items]

    def read(tx: Tx) -> list[dict[str, object]]:
        repo = find_repo(tx, actor, call.kind, call.name)
        revision = revisions.find_revision(tx, repo.id, call.at["rev"])
        load = revisions.page_loader(tx, repo.id)
        rows: list[dict[str, object]] = []
        for path in paths[:PATHS_MAX]:
            try:
                entry = revisions.file_at(tx, repo.id, revision, path)
            except EntryNotFound:
                if path and has_folder(revision.manifest, load, path.strip("/")):
                    rows.append(_folder_json(path.strip("/"), revision.commit.id))
                continue
            known = revisions.commits_by_number(tx, repo.id, [entry.commit_number]) if expand else {}
            rows.append(_file_json(entry, known.get(entry.commit_number)))
        return rows

    return answer(await in_thread(lambda: call.store.read(read)))


async def commits(call: Call) -> Response:
    """List the commits that led to a revision."""
    actor = await call.actor()
    cursor = call.request.query_params.get("cursor", "")
    before = int(cursor) if cursor.isdigit() and len(cursor) < 10 else None

    def read(tx: Tx) -> Sequence[Commit]:
        repo = find_repo(tx, actor, call.kind, call.name)
        return revisions.history(tx, repo.id, call.at["rev"], before=before, limit=COMMITS_PAGE + 1)

    rows = await in_thread(lambda: call.store.read(read))
    items = [
        {
            "id": row.id,
            "title": row.title,
            "message": row.message,
            "authors": [{"user": row.author}],
            "date": time_text(row.at_us),
        }
        for row in rows[:COMMITS_PAGE]
    ]
    more = len(rows) > COMMITS_PAGE
    return answer(items, headers=_next(call, cursor=str(rows[COMMITS_PAGE - 1].number)) if more else {})


async def resolve(call: Call) -> Response:
    """Download a file, or a range of it."""
    actor = await call.actor()
    path = call.at["path"]

    def read(tx: Tx) -> tuple[Repository, str, TreeEntry | None]:
        repo = find_repo(tx, actor, call.kind, call.name, download=True)
        revision = revisions.find_revision(tx, repo.id, call.at["rev"])
        try:
            return repo, revision.commit.id, revisions.file_at(tx, repo.id, revision, path)
        except EntryNotFound:
            return repo, revision.commit.id, None

    repo, commit_id, entry = await in_thread(lambda: call.store.read(read))
    headers = {"x-repo-commit": commit_id, "accept-ranges": "bytes", "cache-control": "no-store"}
    if entry is None:
        message = text("There is no file {path} at this revision", path=ascii(path[:200])[1:-1]).render("en")
        headers |= {"x-error-code": "EntryNotFound", "x-error-message": message[:500]}
        return answer({"error": message}, 404, headers)
    size, tag = entry.size_bytes, entry.git_oid or entry.sha256
    name = quote(path.rpartition("/")[2])
    headers |= {
        "etag": f'"{tag}"',
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        "content-type": "application/octet-stream",
        "x-linked-size": str(size),
        "x-linked-etag": f'"{tag}"',
        "content-security-policy": "default-src 'none'; sandbox",
    }
    start, end, status = 0, size, 200
    asked = call.request.headers.get("range")
    if asked is not None and call.request.headers.get("if-range", f'"{tag}"') == f'"{tag}"':
        found = parse_range(asked, size)
        if found == (-1, -1):
            return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
        if found is not None:
            start, end = found
            status = 206
            headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    headers["content-length"] = str(end - start)
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    await in_thread(lambda: record_download(call.store, actor, repo, commit_id, end - start))
    whole = (start, end) == (0, size)
    chunks = await in_thread(
        lambda: read_content(
            call.store,
            call.hub,
            entry.sha256,
            **({} if whole else {"start": start, "length": end - start}),
        )
    )
    return StreamingResponse(chunks, status, headers)
