"""The declaration of a page: its path, its access, and the functions that show it and run its actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from pearlstreet.base.services import Services, bind_services
from pearlstreet.base.text import Text
from pearlstreet.console.page_request import PageResponse
from pearlstreet.tenancy.scopes import SCOPES

Show = Callable[..., PageResponse]
"""A function of the request and of the services that its signature names, such as `show(request, jobs: JobsService)`."""


class MenuGroup(IntEnum):
    """A heading of the menu, in the order of the menu."""

    WORK = 1
    ORGANISATION = 2
    CENTER = 3


@dataclass(frozen=True, slots=True)
class MenuPlace:
    """Place of a page in the menu."""

    group: MenuGroup
    place: int
    """Rank within the group, from the top; pages with the same rank are ordered by path."""
    icon: str
    """Name of an icon in templates/icons.svg."""
    key: str = ""
    """Letter that opens the page after `g` (keyboard shortcut)."""
    label: Text | None = None
    """Text in the menu; None: the title of the page."""


@dataclass(frozen=True)
class ConsolePage:
    """A page. Exactly one of `scope`, `signed_in` and `public` declares its access; services check permissions again.

    A form of the page posts to the same path with `do` naming one of `actions`. An action that raises PearlError has
    changed nothing: the page is shown again with the error and the entered values.
    """

    path: str
    """Path with parameters in braces, such as /jobs/{job}."""
    title: Text
    show: Show
    scope: str | None = None
    at_center: bool = False
    """Whether the scope must be held at the center, by an operator."""
    signed_in: bool = False
    public: bool = False
    actions: Mapping[str, Show] = field(default_factory=dict)
    upload_bytes_max: int = 0
    """Maximum size of a form with its files in bytes; 0: no files."""
    menu: MenuPlace | None = None
    """Place in the menu; None: the page is reached from other pages."""

    def __post_init__(self) -> None:
        if (self.scope is not None) + self.signed_in + self.public != 1:
            raise RuntimeError(f"{self.path}: say who may open it: scope, signed_in or public")
        if self.scope is not None and self.scope not in SCOPES:
            raise RuntimeError(f"{self.path}: there is no scope {self.scope}")

    def with_services(self, services: Services) -> ConsolePage:
        """Return the page with the services that its functions name. Raises RuntimeError for one that is missing."""
        actions = {name: bind_services(action, services) for name, action in self.actions.items()}
        return replace(self, show=bind_services(self.show, services), actions=actions)


@dataclass(frozen=True, slots=True)
class NavItem:
    """An item of the menu, shown to visitors that may open its page."""

    path: str
    label: Text
    icon: str
    """Name of an icon in templates/icons.svg."""
    key: str = ""
    """Letter that opens the page after `g` (keyboard shortcut)."""


@dataclass(frozen=True, slots=True)
class NavGroup:
    """A heading of the menu with its items."""

    label: Text
    items: tuple[NavItem, ...]
