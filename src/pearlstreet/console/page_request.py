"""Requests that pages get, and the responses that they return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    """A file uploaded with a form, read up to its size limit."""

    name: str
    content: bytes


@dataclass(slots=True)
class PageRequest:
    """A request for a page, in plain values so that pages can be called without a server."""

    center: Center
    actor: Actor = NOBODY
    memberships: Sequence[Membership] = ()
    language: str = "en"
    path: str = "/"
    path_params: Mapping[str, str] = field(default_factory=dict)
    """Values of the variable parts of the path."""
    query: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """All values of each name in the query or the form, for names that may occur more than once."""
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FormFile] = field(default_factory=dict)
    peer: str = "-"
    chosen_org: str | None = None
    """Slug of the organisation shown: one of the visitor's or, for operators, any; None: all."""
    error: PearlError | None = None
    """Error of an action of this page, which is then shown again with the entered values."""
    part: str | None = None
    """Name of the only part of the page to render; None: the whole page."""
    if_none_match: str = ""
    """Entity tag of the part that the browser has already."""
    secure: bool = False
    origin: str = ""
    """Scheme and host under which the browser reaches the console."""
    cookies: Mapping[str, str] = field(default_factory=dict)
    credential: str = field(default="", repr=False)
    once: str = ""
    """Idempotency key of a form: the same form sent twice acts once."""

    @property
    def store(self) -> Store:
        """The center's store."""
        return self.center.store

    def say(self, message: Text | None) -> str:
        """Return a message in the visitor's language; "" for None."""
        return "" if message is None else message.render(self.language)

    def value(self, name: str, otherwise: str = "") -> str:
        """Return the value of a field in the form or, failing that, in the query."""
        return str(self.form.get(name, self.query.get(name, otherwise))).strip()

    def is_operator(self) -> bool:
        """Return whether the visitor is an operator."""
        return bool(self.actor.operator_roles)

    @property
    def here(self) -> str:
        """The address for the page's own forms: its path, with the organisation that an operator looks at."""
        return (
            f"{self.path}?org={quote(self.chosen_org)}"
            if self.chosen_org and "org" in self.query
            else self.path
        )

    @property
    def org(self) -> str | None:
        """Slug of the organisation to show or act in: the chosen one or, for tenants, their default one."""
        if self.chosen_org is not None or self.is_operator():
            return self.chosen_org
        return self.actor.org_slugs.get(self.actor.default_org or "")


@dataclass(frozen=True, slots=True)
class View:
    """A page to render: its template and the values for it."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect after an action, with a notice for the next page."""

    to: str
    notice: Text | None = None
    cookies: Mapping[str, str | None] = field(default_factory=dict)
    """Cookies to set, or to delete where the value is None."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file to download. It is displayed only as an image or sound, and without any right on the console's origin."""

    name: str
    content: bytes | str | Iterator[bytes]
    """Bytes, the path of a file, or chunks that are produced while they are sent."""
    media_type: str = "application/octet-stream"
    is_shown: bool = False
    """Whether the browser may display it; only images and sound."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """JSON or plain text for the console's own script."""

    content: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


PageResponse = View | Redirect | Download | RawResponse
