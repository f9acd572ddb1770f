"""The console's own files, addressed by their content so that browsers keep them for ever; compressed once."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

PREFIX = "/static"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Static:
    """One file."""

    name: str
    digest: str
    media_type: str
    content: bytes
    packed: bytes

    @property
    def url(self) -> str:
        """Changes with the content."""
        return f"{PREFIX}/{self.digest}/{self.name}"


@cache
def statics() -> dict[str, Static]:
    """Every file by name."""
    found = {}
    for file in (resources.files("pearlstreet.console") / "static").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in KINDS:
            content = file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            packed = gzip.compress(content, 9, mtime=0)
            found[file.name] = Static(file.name, digest, KINDS[suffix], content, packed)
    return found


async def serve(request: Request) -> Response:
    """Answer for one file. An old address gets the present file, to be kept shortly."""
    found = statics().get(request.path_params["name"])
    if found is None:
        return Response("There is no such file", status_code=404, media_type="text/plain")
    current = request.path_params["digest"] == found.digest
    headers = {
        "cache-control": "public, max-age=31536000, immutable" if current else "no-cache",
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(found.packed, media_type=found.media_type, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
