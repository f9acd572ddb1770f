"""The Python SDK: talks HTTP to a center, imports nothing of the control plane but base.

Names are imported when they are first used, so that `import pearlstreet` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pearlstreet.base.errors import InvalidInput, PearlError
    from pearlstreet.client import results
    from pearlstreet.client.client import Client
    from pearlstreet.client.profile import NotSignedIn
    from pearlstreet.client.transport import ApiError, Unreachable

__all__ = [
    "ApiError",
    "Client",
    "InvalidInput",
    "NotSignedIn",
    "PearlError",
    "Unreachable",
    "results",
]
_HOMES = {
    "ApiError": "pearlstreet.client.transport",
    "Client": "pearlstreet.client.client",
    "InvalidInput": "pearlstreet.base.errors",
    "NotSignedIn": "pearlstreet.client.profile",
    "PearlError": "pearlstreet.base.errors",
    "Unreachable": "pearlstreet.client.transport",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "results":
        return import_module("pearlstreet.client.results")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
