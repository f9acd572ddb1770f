"""The organisation a command is for."""

from __future__ import annotations

from typing import Annotated

import typer

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.cli.profile import client
from pearlstreet.client.profile import active

Org = Annotated[str | None, typer.Option("--org", help="Organisation (default: the profile's, else yours)")]


def org_of(given: str | None) -> str:
    """Return the organisation of the option, else of the profile, else the person's default one.

    Raises InvalidInput without any: a membership is never taken by itself.
    """
    if given or active().org:
        return str(given or active().org)
    with client() as center:
        me = center.session.me()
    if me["default_org"]:
        return str(me["default_org"])
    names = ", ".join(item["slug"] for item in me["orgs"])
    hint = (
        text("You belong to {names}; choose your default: pearl orgs use SLUG", names=names)
        if names
        else text("pearl orgs list shows them")
    )
    raise InvalidInput(text("Say which organisation: --org SLUG"), hint=hint)
