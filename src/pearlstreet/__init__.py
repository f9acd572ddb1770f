"""Pearlstreet: the operating system of an AI computing center. `Client` is its Python SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pearlstreet.client.client import Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Client":  # its HTTP library takes longer to import than most commands run
        from pearlstreet.client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
