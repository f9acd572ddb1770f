"""A page: its address, who may see it, what shows it, and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pearlstreet.base.text import Text
from pearlstreet.console.page_request import PageRequest, PageResponse
from pearlstreet.tenancy.scopes import SCOPES

Show = Callable[[PageRequest], PageResponse]


@dataclass(frozen=True)
class ConsolePage:
    """One address. Exactly one of `scope`, `signed_in` and `public` says who may open it; services check again.

    A form of the page posts to the same address with `do` naming one of `actions`. An action that raises PearlError has
    changed nothing: the page is shown again with the error and what was typed.
    """

    path: str
    """Like /jobs/{job}."""
    title: Text
    show: Show
    scope: str | None = None
    at_center: bool = False
    """The scope must be held as an operator."""
    signed_in: bool = False
    public: bool = False
    actions: Mapping[str, Show] = field(default_factory=dict)
    upload_bytes_max: int = 0
    """Forms of this page may carry files up to this size."""

    def __post_init__(self) -> None:
        if (self.scope is not None) + self.signed_in + self.public != 1:
            raise RuntimeError(f"{self.path}: say who may open it: scope, signed_in or public")
        if self.scope is not None and self.scope not in SCOPES:
            raise RuntimeError(f"{self.path}: there is no scope {self.scope}")


@dataclass(frozen=True, slots=True)
class NavItem:
    """A line of the menu; shown to whom its page is open."""

    path: str
    label: Text
    icon: str
    """A name of templates/icons.svg."""
    key: str = ""
    """`g` and this letter goes there."""


@dataclass(frozen=True, slots=True)
class NavGroup:
    """A heading of the menu with its lines."""

    label: Text
    items: tuple[NavItem, ...]
