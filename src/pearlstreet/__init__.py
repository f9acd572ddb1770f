"""Pearlstreet: the operating system of an AI computing center. `Client` is its Python SDK, beside the errors it raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pearlstreet.client import (
        ApiError,
        Client,
        InvalidInput,
        NotSignedIn,
        PearlError,
        Unreachable,
    )

__version__ = "0.1.0"
__all__ = [
    "ApiError",
    "Client",
    "InvalidInput",
    "NotSignedIn",
    "PearlError",
    "Unreachable",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name in __all__:  # the client's HTTP library takes longer to import than most commands run
        from pearlstreet import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
