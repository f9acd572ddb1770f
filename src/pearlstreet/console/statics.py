"""Static files of the console, compressed once and addressed by content hash so that browsers cache them without limit."""

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
    """A static file."""

    name: str
    digest: str
    media_type: str
    content: bytes
    packed: bytes

    @property
    def url(self) -> str:
        """Path of the file, which changes with its content."""
        return f"{PREFIX}/{self.digest}/{self.name}"


@cache
def statics() -> dict[str, Static]:
    """Return all static files by name."""
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
    """Return a static file. An outdated hash gets the current file without caching."""
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
