"""Inputs of a request: its JSON body within bounds, its language and its organisation."""

from __future__ import annotations

import json
import re
from typing import Annotated

from fastapi import Query, Request

from pearlstreet.base.errors import InvalidInput, Problem, TooLarge
from pearlstreet.base.text import pick_language, text
from pearlstreet.tenancy.model import Actor

BODY_LIMIT_BYTES = 4 << 20
_ODD = re.compile("[\0\ud800-\udfff]")
_ODD_ESCAPE = re.compile(rb"\\u(0000|[dD][89abABcdefCDEF])")

Org = Annotated[
    str | None,
    Query(max_length=80, description="Slug or id of the organisation; by default the caller's default one"),
]


def too_large(limit: int = BODY_LIMIT_BYTES) -> TooLarge:
    """Return the error for a body beyond its limit."""
    return TooLarge(
        text("The request is larger than {limit} bytes", limit=limit),
        hint=text("Send large files as uploads: POST /api/v1/uploads"),
    )


async def read_body(request: Request) -> None:
    """Parse a JSON body before FastAPI does, so that errors name line and column. Raises InvalidInput."""
    raw = await request.body()
    if not raw:
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        message = text("The body is {kind}, not JSON", kind=kind[:60] or "of no stated type")
        hint = text("Send JSON with the header Content-Type: application/json")
        raise InvalidInput(message, hint=hint, problems=[Problem("Content-Type", message, hint=hint)])
    request._json = read_json(raw)  # the attribute in which Starlette caches the parsed body


def read_json(body: bytes) -> object:
    """Parse a JSON body. Raises InvalidInput with line and column."""
    try:
        value = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
        problem = getattr(error, "msg", None)
        if isinstance(error, RecursionError):
            problem = "it is nested too deeply"
        elif isinstance(error, UnicodeDecodeError):
            problem = "it is not UTF-8"
        message = text("The body is not JSON: {problem}", problem=problem or str(error)[:200])
        raise InvalidInput(message, problems=[Problem("body", message, line=line, column=column)]) from None
    if _ODD_ESCAPE.search(body):
        _check_strings(value)
    return value


def _check_strings(value: object) -> None:
    """Refuse text that databases cannot store: NUL and unpaired surrogates. Raises InvalidInput."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and _ODD.search(item):
            message = (
                text("The request contains a NUL character")
                if "\0" in item
                else text("It is not valid Unicode")
            )
            raise InvalidInput(message, problems=[Problem("body", message)])


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def language_of(request: Request) -> str:
    """Return the language of the Accept-Language header."""
    return pick_language(request.headers.get("accept-language"))


def org_of(actor: Actor, org: str | None) -> str:
    """Return the organisation of a request: the named one, or the caller's default one.

    Raises InvalidInput when there is no default, even if the caller belongs to only one organisation.
    """
    if org is not None:
        return org
    if actor.default_org is not None:
        return actor.default_org
    names = ", ".join(sorted(actor.org_slugs.values()))
    message = (
        text("Name an organisation: you have no default one and belong to {names}", names=names)
        if names
        else text("Name an organisation: you belong to none")
    )
    hint = text("Add ?org=SLUG, or --org SLUG in the CLI; choose your default one with: pearl orgs use SLUG")
    raise InvalidInput(message, problems=[Problem("org", message, hint=hint)])
