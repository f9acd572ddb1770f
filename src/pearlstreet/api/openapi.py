"""The OpenAPI document: FastAPI's document with unbound models, page names, security and links added. Pure.

A link tells which operations take an identifier of a response, such as a job's id. Links follow from the routes: a new
operation on a job is linked from every response that is a job.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from pearlstreet.workload.spec.write import json_schema

_SCHEMAS = "#/components/schemas/"
_GENERIC_PAGE = re.compile(r"\bPage(?:_|\[)(\w+?)(?:_|\])(?!\w)")
NAMES: Mapping[str, Mapping[str, str]] = {
    "ArtefactOut": {"artefact": "/id"},
    "InvitedOut": {"user": "/user/id"},
    "InvoiceOut": {"org": "/org_id", "month": "/month"},
    "IssuedKeyOut": {"key": "/id"},
    "JobOut": {"job": "/id"},
    "KeyOut": {"key": "/id"},
    "MeOut": {"user": "/user/id"},
    "MemberOut": {"org": "/org_id", "user": "/user_id"},
    "NodeOut": {"node": "/name"},
    "OrgOut": {"org": "/id"},
    "ProjectOut": {"org": "/org_id", "project": "/id"},
    "QuotaOut": {"quota": "/id"},
    "SecretOut": {"org": "/org_id", "name": "/name"},
    "SessionOut": {"session": "/id"},
    "SignedInOut": {"session": "/session_id"},
    "TopUpOut": {"top_up": "/id"},
    "UploadOut": {"upload": "/id"},
    "UserOut": {"user": "/id"},
}
"""Response model → path parameters that it has values for, as JSON pointers."""


def document(app: FastAPI, unbound: Collection[type[BaseModel]]) -> dict[str, object]:
    """Return the whole document; `unbound`: models that no route's signature names."""
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})
    for model in unbound:
        bound = model.model_json_schema(ref_template=_SCHEMAS + "{model}")
        components["schemas"] |= bound.pop("$defs", {}) | {model.__name__: bound}
    schema = _with_page_names(schema)
    components = schema["components"]
    job = {k: v for k, v in json_schema().items() if k not in ("$schema", "$id")}
    components["schemas"]["JobSpec"] = job | {"title": "JobSpec"}  # generators name classes by titles
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"key": []}]
    _add_links(schema)
    return schema


def _with_page_names(schema: dict[str, Any]) -> dict[str, Any]:
    """Rename pages of `JobOut` from FastAPI's `Page_JobOut_` to `JobPage`."""
    written = _GENERIC_PAGE.sub(lambda match: f"{match[1].removesuffix('Out')}Page", json.dumps(schema))
    renamed: dict[str, object] = json.loads(written)
    return renamed


def _add_links(schema: dict[str, Any]) -> None:
    links = schema["components"].setdefault("links", {})
    targets = [(operation, _in_path(path)) for path, operation in _operations(schema)]
    for path, operation in _operations(schema):
        for answer in _successes(operation):
            named = _named_by(answer, schema["components"]["schemas"])
            for target, wanted in targets:
                if wanted and wanted <= set(named) and (target is not operation or "{" not in path):
                    link = _link(target, {name: named[name] for name in sorted(wanted)})
                    key = _key(target, named, wanted)
                    links[key] = link
                    answer.setdefault("links", {})[target["operationId"]] = {
                        "$ref": f"#/components/links/{key}"
                    }


def _operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            yield path, operation


def _in_path(path: str) -> frozenset[str]:
    return frozenset(part[1:-1] for part in path.split("/") if part.startswith("{"))


def _successes(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield answer


def _named_by(answer: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the path parameters that a response has values for; for a list, those of its first item."""
    model = _model(answer.get("content", {}).get("application/json", {}).get("schema", {}))
    if model in NAMES:
        return NAMES[model]
    items = schemas.get(model, {}).get("properties", {}).get("items", {}).get("items", {})
    return {name: f"/items/0{pointer}" for name, pointer in NAMES.get(_model(items), {}).items()}


def _model(schema: Mapping[str, object]) -> str:
    return str(schema.get("$ref", "")).removeprefix(_SCHEMAS)


def _link(target: Mapping[str, object], pointers: Mapping[str, str]) -> dict[str, object]:
    return {
        "operationId": target["operationId"],
        "parameters": {f"path.{name}": f"$response.body#{pointer}" for name, pointer in pointers.items()},
    }


def _key(target: Mapping[str, Any], named: Mapping[str, str], wanted: Collection[str]) -> str:
    """Return a name that equal links share, so that the document contains each once."""
    places = (named[name].strip("/").replace("/", ".") for name in sorted(wanted))
    return ".".join([target["operationId"], *places])
