"""What a page gets: who asks, in which language, for which organisation, and with which words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pearlstreet.base.errors import PearlError
from pearlstreet.base.text import Text
from pearlstreet.center import Center
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor, Membership

NOBODY = Actor(label="nobody", user_id="")
PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file that came with a form, read up to its limit."""

    name: str
    content: bytes


@dataclass(slots=True)
class PageRequest:
    """One request for a page. Everything in it is a plain value, so that pages can be called without a server."""

    center: Center
    actor: Actor = NOBODY
    memberships: Sequence[Membership] = ()
    language: str = "en"
    path: str = "/"
    place: Mapping[str, str] = field(default_factory=dict)
    """The variable parts of the path."""
    query: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Every value of names that may come more than once, from the address or the form."""
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FormFile] = field(default_factory=dict)
    peer: str = "-"
    chosen_org: str | None = None
    """Slug of the organisation the visitor looks at: theirs, or as an operator any; None: all."""
    error: PearlError | None = None
    """What an action of this page ran into: the page is shown again with what was typed."""
    part: str | None = None
    """The only part of the page that is wanted."""
    has_tag: str = ""
    """What the browser has of that part already."""
    secure: bool = False
    origin: str = ""
    """How the browser reaches us: scheme and host."""
    cookies: Mapping[str, str] = field(default_factory=dict)
    credential: str = field(default="", repr=False)
    once: str = ""
    """Sent with a form: the same form sent twice acts once."""

    @property
    def store(self) -> Store:
        """The center's store."""
        return self.center.store

    def say(self, message: Text | None) -> str:
        """A message in the visitor's language."""
        return "" if message is None else message.render(self.language)

    def value(self, name: str, otherwise: str = "") -> str:
        """What was typed into a field of the form, or is in the address."""
        return str(self.form.get(name, self.query.get(name, otherwise))).strip()

    def is_operator(self) -> bool:
        """Whether they run the center."""
        return bool(self.actor.operator_roles)

    @property
    def here(self) -> str:
        """The page's own address, with the organisation that an operator looks at: where its forms go."""
        return (
            f"{self.path}?org={quote(self.chosen_org)}"
            if self.chosen_org and "org" in self.query
            else self.path
        )

    @property
    def org(self) -> str | None:
        """Slug of the organisation to show or act in: the chosen one, else the visitor's default one."""
        if self.chosen_org is not None or self.is_operator():
            return self.chosen_org
        return self.actor.org_slugs.get(self.actor.default_org or "")


@dataclass(frozen=True, slots=True)
class View:
    """A page to show: its template and what the template needs."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where to go after an action, and what to tell there."""

    to: str
    notice: Text | None = None
    cookies: Mapping[str, str | None] = field(default_factory=dict)
    """Cookies to set; None: to forget."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file for the visitor's disk: never shown on the console's origin."""

    name: str
    content: bytes | str | Iterator[bytes]
    """Bytes, the path of a file, or parts that are made while they are sent."""
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class RawResponse:
    """JSON, or plain text, for the console's own script."""

    content: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


PageResponse = View | Redirect | Download | RawResponse
