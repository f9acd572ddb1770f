"""Services of a running center, found by their class: routes and pages name in their signature the ones that they use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, get_type_hints


class CenterService:
    """Base class of what an interface may receive: the commands and queries of a noun, or facts of the center."""


S = TypeVar("S", bound=CenterService)


class Services:
    """The services of one center. The app package builds it; the routers of API and console read it, and nothing else."""

    def __init__(self, *services: CenterService) -> None:
        self._by_class: dict[type[CenterService], CenterService] = {
            type(service): service for service in services
        }

    def __iter__(self) -> Iterator[type[CenterService]]:
        return iter(self._by_class)

    def get(self, kind: type[S]) -> S:
        """Return the service of this class. Raises RuntimeError if the center has none, which is a mistake in the wiring."""
        found = self._by_class.get(kind)
        if not isinstance(found, kind):
            raise RuntimeError(f"this center has no {kind.__name__}")
        return found


def services_in_signature(function: Callable[..., object]) -> Mapping[str, type[CenterService]]:
    """Return the parameters of a function whose annotation is the class of a service, by name."""
    hints = get_type_hints(function)
    return {
        name: hints[name]
        for name in inspect.signature(function).parameters
        if isinstance(hints.get(name), type) and issubclass(hints[name], CenterService)
    }


def bind_services(function: Callable[..., Any], services: Services) -> Callable[..., Any]:
    """Return the function with the services that its signature names. Raises RuntimeError if the center lacks one."""
    bound = {name: services.get(kind) for name, kind in services_in_signature(function).items()}
    if not bound:
        return function

    return partial(function, **bound)
