"""Routes of the hub that show what a file holds."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response

from pearlstreet.api.models import Out
from pearlstreet.api.routing import CurrentActor, SecuredRouter, Tied, center_of, query
from pearlstreet.hub.model import CARD_FILE, RepoKind
from pearlstreet.hub.preview.service import Preview, preview_file
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/hub", "hub")


class FilePreviewOut(Out):
    """What a file holds.

    `kind`: `table`, `text`, `image`, `audio`, `safetensors`, `pickle`, `none`, `empty`, `broken` or `too_large`; `facts` has what
    belongs to it: columns and first rows, text, tensors and parameters, or the imports of a pickle with their rating.
    """

    path: str
    commit: str
    sha256: str
    size_bytes: int
    kind: str
    facts: dict[str, object]


def _preview_out(preview: Preview) -> dict[str, object]:
    facts = {name: value for name, value in preview.facts.items() if name != "kind"}
    return {
        "path": preview.entry.path,
        "commit": preview.commit_id,
        "sha256": preview.entry.sha256,
        "size_bytes": preview.entry.size_bytes,
        "kind": preview.facts["kind"],
        "facts": facts,
    }


@router.get(
    "/{repo_type}/{repo_org}/{repo_name}/preview",
    tie=Tied.PROJECT,
    scope="hub:read",
    responses={200: {"model": FilePreviewOut}},
)
async def preview_repository_file(
    request: Request,
    repo_type: RepoKind,
    repo_org: str,
    repo_name: str,
    actor: Actor = CurrentActor,
    revision: Annotated[str, Query(max_length=200, description="Branch, tag or commit id")] = "main",
    file_path: Annotated[str, Query(max_length=2000, description="Path of the file")] = CARD_FILE,
) -> Response:
    """Get what a file holds: first rows, text, tensors, or the imports of a pickle. Pickles are never loaded."""
    center = center_of(request)
    return await query(
        lambda: preview_file(
            center.store, center.hub, actor, repo_type, f"{repo_org}/{repo_name}", revision, file_path
        ),
        _preview_out,
    )
