"""Every read of the API with every parameter it takes, made from the route registry and the OpenAPI document."""

from __future__ import annotations

import io
import itertools
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pypdf

from pearlstreet.api.app import PREFIX, all_routes
from pearlstreet.api.routing import RouteFacts
from tests.isolation.tenants import Tenant

READS = [route for route in all_routes() if route.method == "GET" and not route.public]
WRITES = [route for route in all_routes() if route.method != "GET" and not route.public]
COMMON: Mapping[str, list[str]] = {
    "engine": ["simulated"],
    "node": ["h100-0001"],
    "queue": ["default"],
    "scenario": ["1t-50-days"],
    "provider": ["none"],
    "decision": ["dec_00000000000000000000000000"],
    "series": ["grid"],
    "repo_type": ["model"],
}
"""Path parameters that name nothing of a tenant."""
QUERY: Mapping[str, list[str]] = {
    "limit": ["1"], "offset": ["0"], "rank": ["0"], "from": ["2020-01-01T00:00:00Z"], "until": ["2100-01-01T00:00:00Z"],
    "to": ["2100-01-01T00:00:00Z"], "since_us": ["1"],
    "days": ["1"], "vendor": ["NVIDIA"], "depth": ["5"], "tokens": ["1000000000000"], "mfu": ["0.4"],
    "accelerators": ["1024"], "window_s": ["60"], "since": ["2020-01-01T00:00:00Z"], "model": ["H100"],
    "points": ["10"], "accelerator": ["H100-80G"], "format": ["json", "text", "pdf", "csv"], "state": ["queued", "running"],
    "kind": ["top_up", "charge"], "name": ["{marker}", "{marker}-ended", "h100"], "actor": ["{marker}-owner"],
    "action": ["org.*", "key.create"], "target": ["{marker}"], "array": ["{job:4}"], "project": ["{project:0}", "{project:1}"],
    "attempt": ["{attempt:0}"], "engine": ["simulated"], "org": ["{org:0}", "{org:1}"], "user": ["{user:0}"],
    "owner": ["{repo_org:0}"], "search": ["{marker}"], "revision": ["main"], "folder": ["{marker}"],
    "file_path": ["{marker}.bin"], "tag": ["license:{marker}-licence"], "task": ["x"], "language": ["zh"],
    "licence": ["{marker}-licence"], "size_bytes_min": ["0"], "size_bytes_max": ["1000000"], "sort": ["name", "size"],
    "repo_type": ["model", "dataset"],
    "node": ["h100-0001"],
}  # fmt: skip
"""Values of query parameters; `{job:4}` is the tenant's fifth job."""
LEFT_OUT = frozenset({"cursor", "follow"})
"""Parameters with a test of their own."""


@dataclass(frozen=True)
class Request:
    """One read of a route."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """All that the request itself names."""
        return " ".join((self.path, *self.query.values()))


def requests_of(
    route: RouteFacts, tenants: Sequence[Tenant], document: Mapping[str, Any]
) -> Iterator[Request]:
    """Every path with things of the tenants, in any mixture, and every query parameter alone.

    Raises KeyError for a parameter that has no values yet.
    """
    names = re.findall(r"\{(\w+)\}", route.path)
    choices = [COMMON.get(name) or [value for one in tenants for value in one.ids[name]] for name in names]
    queries = query_of(route, document)
    for values in itertools.product(*choices):
        path = route.path
        for name, value in zip(names, values, strict=True):
            path = path.replace(f"{{{name}}}", value)
        yield Request(path)
        for name, wanted in queries.items():
            for value in dict.fromkeys(_fill(value, tenant) for value in wanted for tenant in tenants):
                yield Request(path, {name: value})


def _fill(value: str, tenant: Tenant) -> str:
    value = value.replace("{marker}", tenant.marker)
    return re.sub(r"\{(\w+):(\d)\}", lambda match: tenant.ids[match[1]][int(match[2])], value)


def query_of(route: RouteFacts, document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Values of every query parameter of a route. Raises KeyError for one that has none yet in QUERY."""
    operation = document["paths"][route.path]["get"] if _is_documented(route) else {}
    found = {}
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        if parameter["in"] == "query" and name not in LEFT_OUT:
            found[name] = _allowed(parameter["schema"]) or QUERY[name]
    return found


def _is_documented(route: RouteFacts) -> bool:
    return route.path.startswith(PREFIX)


def _allowed(schema: Mapping[str, Any]) -> list[str]:
    """Every value of an enumeration or a boolean; none when the schema lists none."""
    found = [str(value) for value in schema.get("enum", ())]
    if schema.get("type") == "boolean":
        found += ["true", "false"]
    for inner in (*schema.get("anyOf", ()), schema.get("items") or {}):
        found += _allowed(inner) if isinstance(inner, Mapping) and inner else []
    return found


def text_of(answer: httpx.Response) -> str:
    """All that an answer says: headers, and the text inside PDF files and archives."""
    return "\n".join((*answer.headers.values(), text_in(answer.content)))


def text_in(content: bytes) -> str:
    """The text of a body, of the pages of a PDF, or of the files of an archive."""
    if content.startswith(b"%PDF-"):
        return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages)
    if content.startswith(b"\x1f\x8b"):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            inner = [(one.name, archive.extractfile(one)) for one in archive if one.isfile()]
            return "\n".join(f"{name}\n{text_in(file.read())}" for name, file in inner if file)
    return content.decode(errors="replace")
