"""Services found by the class that a signature names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pearlstreet.base.services import CenterService, Services, bind_services


@dataclass(frozen=True)
class Lamps(CenterService):
    """A service."""

    count: int


class Doors(CenterService):
    """Another service."""


def show(request: str, lamps: Lamps, limit: int = 3) -> str:
    """A page that uses one service."""
    return f"{request}: {lamps.count} of {limit}"


def test_a_function_gets_the_services_that_it_names_and_nothing_else() -> None:
    services = Services(Lamps(2), Doors())
    assert bind_services(show, services)("hall") == "hall: 2 of 3"
    assert bind_services(show, services)("hall", limit=9) == "hall: 2 of 9"


def test_a_service_that_the_center_lacks_is_named_when_the_function_is_bound() -> None:
    with pytest.raises(RuntimeError, match="Lamps"):
        bind_services(show, Services(Doors()))


def test_a_function_without_services_stays_itself() -> None:
    def plain(request: str) -> str:
        return request

    assert bind_services(plain, Services()) is plain
