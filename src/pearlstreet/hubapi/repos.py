"""Routes of repositories: whoami, create, list, info, settings, move, delete, references, access requests, cards."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from pearlstreet.base.errors import Conflict, Forbidden, InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.hub import repositories as service
from pearlstreet.hub import requests as access
from pearlstreet.hub import revisions
from pearlstreet.hub.access import find_repo
from pearlstreet.hub.cards import card_tags, read_card
from pearlstreet.hub.model import (
    MAIN,
    Commit,
    Gate,
    RefKind,
    RepoKind,
    Repository,
    RequestState,
    TreeEntry,
    Visibility,
)
from pearlstreet.hub.preview.facts import LEVELS, list_pickles, weights_of
from pearlstreet.hubapi.call import Call, answer, in_thread, parse_object, text_of, time_text
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import Actor

PAGE = 100
SIBLINGS_MAX = 100_000
DAYS_MAX = 3650
"""Longest time in days for which an accepted request gives access; 0 days mean without end."""


async def whoami(call: Call) -> Response:
    """Return the caller."""
    actor = await call.actor()
    writes = "hub:write" in actor.all_scopes()
    orgs = [
        {
            "type": "org",
            "name": slug,
            "fullname": slug,
            "roleInOrg": _role(actor, org_id),
            "isEnterprise": False,
        }
        for org_id, slug in sorted(actor.org_slugs.items(), key=lambda item: item[1])
    ]
    token = {
        "displayName": actor.key_id or "session",
        "role": "write" if writes else "read",
        "createdAt": time_text(0),
    }
    return answer(
        {
            "type": "user",
            "id": actor.user_id,
            "name": actor.org_slugs.get(actor.default_org or "", actor.login),
            "login": actor.login,
            "fullname": actor.login,
            "email": None,
            "emailVerified": True,
            "isPro": False,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def _role(actor: Actor, org_id: str) -> str:
    role = actor.orgs.get(org_id)
    return {"owner": "admin", "member": "write"}.get(str(role), "read")


def _full_name(actor: Actor, body: dict[str, Any]) -> str:
    """Return organisation/name of a body; without an organisation it is the caller's default one."""
    org, name = text_of(body, "organization", limit=80), text_of(body, "name", limit=140)
    if "/" in name:
        first, _, name = name.partition("/")
        if org not in ("", first):
            message = text(
                "name and organization name two organisations: {first} and {other}", first=first, other=org
            )
            raise InvalidInput(message, problems=[Problem("name", message)])
        org = first
    if not org:
        slugs = list(actor.org_slugs.values())
        org = actor.org_slugs.get(actor.default_org or "", slugs[0] if len(slugs) == 1 else "")
    if not org:
        message = text("Name the organisation: organisation/name")
        raise InvalidInput(message, problems=[Problem("organization", message)])
    return f"{org}/{name}"


def _kind(body: dict[str, Any]) -> RepoKind:
    try:
        return RepoKind(text_of(body, "type", RepoKind.MODEL.value) or RepoKind.MODEL.value)
    except ValueError:
        message = text("This hub has repositories of the types model, dataset and recipe")
        raise InvalidInput(message, problems=[Problem("type", message)]) from None


def _visibility(body: dict[str, Any]) -> Visibility | None:
    said = text_of(body, "visibility")
    if said:
        try:
            return Visibility(said)
        except ValueError:
            message = text("visibility is one of: public, organisations, private")
            raise InvalidInput(message, problems=[Problem("visibility", message)]) from None
    if isinstance(body.get("private"), bool):
        return Visibility.PRIVATE if body["private"] else Visibility.PUBLIC
    return None


async def create(call: Call) -> Response:
    """Create a repository; private unless the caller says otherwise."""
    actor, body = await call.actor(), await call.json()
    kind, name = _kind(body), _full_name(actor, body)
    url = {"url": call.repo_url(kind, name)}
    visibility = _visibility(body) or Visibility.PRIVATE
    try:
        made = await in_thread(lambda: service.create_repo(call.store, actor, kind, name, visibility))
    except Conflict as error:
        if not await _exists(call, actor, kind, name):
            raise
        return answer({"error": error.message.render("en"), **url}, 409)
    return answer({**url, "name": made.full_name, "id": made.id})


async def _exists(call: Call, actor: Actor, kind: RepoKind, name: str) -> bool:
    try:
        await in_thread(lambda: service.get_repo(call.store, actor, kind, name))
    except Exception:  # noqa: BLE001  whatever hides it
        return False
    return True


async def delete(call: Call) -> Response:
    """Delete a repository."""
    actor, body = await call.actor(), await call.json()
    kind, name = _kind(body), _full_name(actor, body)
    await in_thread(lambda: service.delete_repo(call.store, actor, kind, name))
    return answer({})


async def move(call: Call) -> Response:
    """Rename a repository."""
    actor, body = await call.actor(), await call.json()
    old, new = text_of(body, "fromRepo", limit=140), text_of(body, "toRepo", limit=140)
    made = await in_thread(lambda: service.move_repo(call.store, actor, _kind(body), old, new))
    return answer({"url": call.repo_url(made.kind, made.full_name)})


async def settings(call: Call) -> Response:
    """Change visibility and gate. Beside the clients' fields, `gateDays`: time for which an accepted request holds."""
    actor, body = await call.actor(), await call.json()
    gate = None
    if "gated" in body:
        said = body["gated"] or ""
        if said not in ("", "auto", "manual"):
            message = text("gated is one of: auto, manual, false")
            raise InvalidInput(message, problems=[Problem("gated", message)])
        gate = Gate(said)
    days = body.get("gateDays")
    if days is not None and (
        not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= DAYS_MAX
    ):
        message = text("gateDays is a number of days from 0 (without end) to {most}", most=DAYS_MAX)
        raise InvalidInput(message, problems=[Problem("gateDays", message)])
    visibility = _visibility(body)
    made = await in_thread(
        lambda: service.change_settings(
            call.store, actor, call.kind, call.name, visibility=visibility, gate=gate, gate_days=days
        )
    )
    return answer({"private": made.visibility is not Visibility.PUBLIC, "gated": made.gate.value or False})


SORTS = {
    "downloads": service.RepoSort.DOWNLOADS,
    "trendingScore": service.RepoSort.DOWNLOADS,
    "likes": service.RepoSort.DOWNLOADS,
    "createdAt": service.RepoSort.CREATED,
    "lastModified": service.RepoSort.UPDATED,
}
"""The clients' names of orders."""


async def list_repos(call: Call) -> Response:
    """List repositories."""
    actor, query = await call.actor(), call.request.query_params
    limit = _number(query.get("limit"), 1000, 1000)
    offset = _number(query.get("cursor"), 0, 1_000_000)
    tags = [tag for said in query.getlist("filter") for tag in said.split(",")]
    tags += [query[name] for name in ("pipeline_tag", "library") if query.get(name)]
    page = min(limit, PAGE)
    wanted = service.RepoFilter(
        kind=call.kind,
        org=query.get("author"),
        text=" ".join(query.getlist("search"))[:1000],
        tags=[tag for tag in tags if tag][:20],
        gated=_flag(query.get("gated")),
    )
    sort = SORTS.get(query.get("sort", ""), service.RepoSort.RELEVANCE)
    found = await in_thread(
        lambda: service.list_repos(call.store, actor, wanted, sort=sort, offset=offset, limit=page + 1)
    )
    headers = {}
    if len(found) > page and page:
        items = [(name, value) for name, value in query.multi_items() if name != "cursor"]
        items.append(("cursor", str(offset + page)))
        url = f"{call.base_url}/api/{call.at['kind']}?{urlencode(items)}"
        headers["link"] = f'<{url}>; rel="next"'
    return answer([repo_json(repo, None) for repo in found[:page]], headers=headers)


def _flag(value: str | None) -> bool | None:
    return None if value is None else value.lower() in ("true", "1")


def _number(value: str | None, default: int, most: int) -> int:
    if value is None or not value.isdigit() or len(value) > 9:
        return default
    return min(int(value), most)


def repo_json(repo: Repository, commit: Commit | None) -> dict[str, object]:
    """Return what clients read of a repository."""
    card = dict(repo.card)
    facts: dict[str, object] = {
        "_id": repo.id,
        "id": repo.full_name,
        "author": repo.full_name.partition("/")[0],
        "lastModified": time_text(repo.updated_us),
        "createdAt": time_text(repo.created_us),
        "private": repo.visibility is not Visibility.PUBLIC,
        "visibility": repo.visibility.value,
        "gated": repo.gate.value or False,
        "disabled": False,
        "downloads": repo.downloads,
        "likes": 0,
        "tags": card_tags(card),
        "cardData": card,
        "usedStorage": repo.size_bytes,
    }
    if repo.kind is RepoKind.MODEL:
        facts["modelId"] = repo.full_name
        for name in ("pipeline_tag", "library_name"):
            if isinstance(card.get(name), str):
                facts[name] = card[name]
        weights = weights_of(repo)
        if weights is not None:
            facts["safetensors"] = dict(weights)
    if commit is not None:
        facts["sha"] = commit.id
        facts["lastModified"] = time_text(commit.at_us)
    return facts


async def info(call: Call) -> Response:
    """Get a repository at a revision, with its files."""
    actor = await call.actor()
    rev, blobs = call.at.get("rev", MAIN), call.request.query_params.get("blobs") in ("true", "True", "1")
    asks_security = call.request.query_params.get("securityStatus") in ("true", "True", "1")

    def query(tx: Tx) -> dict[str, object]:
        repo = find_repo(tx, actor, call.kind, call.name)
        found = revisions.find_revision(tx, repo.id, rev)
        files = revisions.files_of(tx, repo.id, found, limit=SIBLINGS_MAX)
        siblings = [_sibling(entry, blobs) for entry in files]
        facts = repo_json(repo, found.commit) | {"siblings": siblings}
        if asks_security:
            issues = [
                {"path": one["path"], "level": LEVELS[str(one["rating"])]}
                for one in list_pickles(repo)
                if one["rating"] != "expected"
            ]
            facts["securityRepoStatus"] = {"scansDone": bool(repo.facts), "filesWithIssues": issues}
        return facts

    return answer(await in_thread(lambda: call.store.read(query)))


def _sibling(entry: TreeEntry, blobs: bool) -> dict[str, object]:
    if not blobs:
        return {"rfilename": entry.path}
    facts: dict[str, object] = {
        "rfilename": entry.path,
        "size": entry.size_bytes,
        "blobId": entry.git_oid or entry.sha256[:40],
    }
    if entry.is_large:
        facts["lfs"] = {"size": entry.size_bytes, "sha256": entry.sha256, "pointerSize": 134}
    return facts


async def refs(call: Call) -> Response:
    """List branches and tags."""
    actor = await call.actor()

    def query(tx: Tx) -> dict[str, object]:
        found = revisions.list_refs(tx, find_repo(tx, actor, call.kind, call.name).id)
        kinds = {RefKind.BRANCH: "heads", RefKind.TAG: "tags"}
        groups: dict[str, list[dict[str, str]]] = {"heads": [], "tags": []}
        for ref in found:
            group = kinds[ref.kind]
            full = f"refs/{group}/{ref.name}"
            groups[group].append({"name": ref.name, "ref": full, "targetCommit": ref.commit_id})
        empty: list[str] = []
        return {"branches": groups["heads"], "tags": groups["tags"], "converts": empty, "pullRequests": empty}

    return answer(await in_thread(lambda: call.store.read(query)))


async def create_branch(call: Call) -> Response:
    """Create a branch."""
    actor, body = await call.actor(), await call.json()
    rev = text_of(body, "startingPoint", MAIN) or MAIN
    await in_thread(
        lambda: revisions.create_ref(
            call.store, actor, call.kind, call.name, RefKind.BRANCH, call.at["ref"], rev
        )
    )
    return answer({})


async def delete_branch(call: Call) -> Response:
    """Delete a branch."""
    return await _delete_ref(call, RefKind.BRANCH)


async def create_tag(call: Call) -> Response:
    """Create a tag at a revision."""
    actor, body = await call.actor(), await call.json()
    tag, note = text_of(body, "tag", limit=200), text_of(body, "message")
    await in_thread(
        lambda: revisions.create_ref(
            call.store, actor, call.kind, call.name, RefKind.TAG, tag, call.at["ref"], note
        )
    )
    return answer({})


async def delete_tag(call: Call) -> Response:
    """Delete a tag."""
    return await _delete_ref(call, RefKind.TAG)


async def _delete_ref(call: Call, kind: RefKind) -> Response:
    actor = await call.actor()
    await in_thread(
        lambda: revisions.delete_ref(call.store, actor, call.kind, call.name, kind, call.at["ref"])
    )
    return answer({})


async def squash(call: Call) -> Response:
    """Replace the history of a branch by one commit."""
    actor, body = await call.actor(), await call.json()
    title = text_of(body, "message", "Squash the history")
    made = await in_thread(
        lambda: revisions.squash(call.store, actor, call.kind, call.name, call.at["ref"], title)
    )
    return answer({"commitOid": made.id})


async def validate_yaml(call: Call) -> Response:
    """Check the front matter of a card."""
    await call.actor()
    body = parse_object(await call.body(4 << 20))
    try:
        read_card(text_of(body, "content", limit=2 << 20).encode())
    except InvalidInput as error:
        return answer({"errors": [{"message": error.message.render("en")}], "warnings": []}, 400)
    return answer({"errors": [], "warnings": []})


async def auth_check(call: Call) -> Response:
    """Answer whether the caller may download the repository or, if asked so, write to it."""
    actor, write = await call.actor(), call.at.get("right") == "write"
    await in_thread(
        lambda: call.store.read(
            lambda tx: find_repo(tx, actor, call.kind, call.name, download=not write, write=write)
        )
    )
    return answer({})


async def list_requests(call: Call) -> Response:
    """List requests for access by state."""
    actor = await call.actor()
    try:
        state = RequestState(call.at["state"])
    except ValueError:
        raise Forbidden(text("States of requests are pending, accepted and rejected")) from None
    rows = await in_thread(lambda: access.list_requests(call.store, actor, call.kind, call.name, state))
    return answer(
        [
            {
                "requestId": row.id,
                "user": {"user": row.user_name, "fullname": row.display_name, "email": None},
                "status": row.state.value,
                "timestamp": time_text(row.at_us),
                "fields": {"note": row.note},
                "expires": time_text(row.expires_us) if row.expires_us is not None else None,
                "expired": row.is_expired,
            }
            for row in rows
        ]
    )


async def handle_request(call: Call) -> Response:
    """Accept or reject a request."""
    actor, body = await call.actor(), await call.json()
    try:
        state = RequestState(text_of(body, "status"))
    except ValueError:
        message = text("status is one of: pending, accepted, rejected")
        raise InvalidInput(message, problems=[Problem("status", message)]) from None
    user = text_of(body, "user", limit=80) or text_of(body, "requestId", limit=80)
    note = text_of(body, "rejectionReason", limit=500)
    await in_thread(lambda: access.decide_request(call.store, actor, call.kind, call.name, user, state, note))
    return answer({})


async def grant_access(call: Call) -> Response:
    """Give a person access without a request."""
    actor, body = await call.actor(), await call.json()
    user = text_of(body, "user", limit=80)
    await in_thread(
        lambda: access.decide_request(
            call.store, actor, call.kind, call.name, user, RequestState.ACCEPTED, grant=True
        )
    )
    return answer({})


async def ask_access(call: Call) -> Response:
    """Request access to a gated repository."""
    actor, body = await call.actor(), await call.json()
    note = text_of(body, "note", limit=500)
    made = await in_thread(lambda: access.request_access(call.store, actor, call.kind, call.name, note))
    return answer({"status": made.state.value})
