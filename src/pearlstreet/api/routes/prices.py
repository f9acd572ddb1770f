"""Routes of price lists."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from pearlstreet.api.models import In, Out, Time, Yuan, read_time, read_yuan, time_of, yuan_of
from pearlstreet.api.request_inputs import language_of, read_json
from pearlstreet.api.routing import (
    CurrentActor,
    SecuredRouter,
    Tied,
    answer,
    center_of,
    command,
    encode,
    in_thread,
    query,
)
from pearlstreet.api.validation import validated
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger import prices as service
from pearlstreet.ledger.pricing import PriceRule, PriceVersion
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor

router = SecuredRouter("/prices", "prices")


class PriceRuleOut(Out):
    """Price in yuan, including tax, for `per` units of a resource."""

    resource: str
    kind: str
    unit: str
    yuan: Yuan
    per: int


class PricesOut(Out):
    """A price list. Price lists never change."""

    id: str
    number: int
    valid_from: Time
    time_zone: str
    note: str
    is_current: bool
    rules: list[PriceRuleOut]


class PriceLists(Out):
    """All price lists, newest first."""

    items: list[PricesOut]


class RuleIn(In):
    """One price."""

    resource: str = Field(max_length=120)
    kind: str = Field(max_length=40)
    yuan: Yuan = Field(max_length=40)
    per: int = Field(1, ge=1, le=10**12)


class PricesIn(In):
    """A new price list."""

    rules: list[RuleIn] = Field(max_length=2000)
    valid_from: Time | None = None
    note: str = Field("", max_length=500)


class ListFormat(StrEnum):
    """Format of a price list."""

    JSON = "json"
    TOML = "toml"


def prices_out(version: PriceVersion, current: str, language: str) -> dict[str, object]:
    """Return a price list as a PricesOut; `current`: id of the list in force."""
    return {
        "id": version.id,
        "number": version.number,
        "valid_from": time_of(version.valid_from_us),
        "time_zone": version.zone,
        "note": version.note,
        "is_current": version.id == current,
        "rules": [
            {
                "resource": rule.resource,
                "kind": rule.kind,
                "unit": rule.rule_kind.label.render(language),
                "yuan": yuan_of(Money(rule.micro)),
                "per": rule.per,
            }
            for rule in version.rules
        ],
    }


@router.get("", tie=Tied.PROJECT, scope="prices:read", responses={200: {"model": PriceLists}})
async def list_price_lists(request: Request, actor: Actor = CurrentActor) -> Response:
    """List all price lists, newest first."""
    store, language = center_of(request).store, language_of(request)
    return await query(
        lambda: (service.list_prices(store, actor), store.read(service.current_prices).id),
        lambda found: {"items": [prices_out(version, found[1], language) for version in found[0]]},
    )


@router.get(
    "/current",
    tie=Tied.PROJECT,
    scope="prices:read",
    responses={200: {"model": PricesOut, "content": {"application/toml": {}}}},
)
async def get_current_prices(
    request: Request,
    actor: Actor = CurrentActor,
    form: Annotated[ListFormat, Query(alias="format")] = ListFormat.JSON,
) -> Response:
    """Get the price list that applies to jobs submitted now."""
    actor.require("prices:read")
    store, language = center_of(request).store, language_of(request)
    found = await in_thread(lambda: store.read(service.current_prices))
    if form is ListFormat.TOML:
        return Response(service.write_prices(found), media_type="application/toml")
    return answer(encode(prices_out(found, found.id, language)))


@router.post(
    "",
    scope="prices:write",
    location="/prices",
    status_code=201,
    responses={201: {"model": PricesOut}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/PricesIn"}},
                "application/toml": {"schema": {"type": "string"}},
            },
        }
    },
)
async def publish_prices(
    request: Request,
    actor: Actor = CurrentActor,
    valid_from: Annotated[
        str | None, Query(max_length=40, description="Start of validity for a list in TOML; RFC 3339")
    ] = None,
    note: Annotated[str, Query(max_length=500, description="Note for a list in TOML")] = "",
) -> Response:
    """Publish a price list as JSON or TOML. Jobs submitted before keep their prices."""
    raw, language = await request.body(), language_of(request)
    if "toml" in request.headers.get("content-type", ""):
        rules, from_us = service.parse_prices(_utf8(raw)), read_time(valid_from, "valid_from")
    else:
        wanted = validated(PricesIn, read_json(raw))
        rules = tuple(
            PriceRule(rule.resource, rule.kind, read_yuan(rule.yuan, f"rules.{index}.yuan").micro, rule.per)
            for index, rule in enumerate(wanted.rules)
        )
        from_us, note = read_time(wanted.valid_from, "valid_from"), wanted.note

    def work(store: Store) -> PriceVersion:
        return service.publish_prices(store, actor, rules, valid_from_us=from_us, note=note)

    def render(made: PriceVersion) -> dict[str, object]:
        is_now = made.valid_from_us <= center_of(request).store.clock.now_us()
        return prices_out(made, made.id if is_now else "", language)

    return await command(request, actor, work, render, status=201)


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        message = text("The body is not UTF-8")
        raise InvalidInput(message, problems=[Problem("body", message)]) from None
