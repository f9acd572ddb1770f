"""The Python SDK: talks HTTP to a center, imports nothing of the control plane but base.

Names are imported when they are first used, so that `import pearlstreet` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pearlstreet.client.client import Client
    from pearlstreet.client.transport import ApiError, Unreachable

__all__ = ["ApiError", "Client", "Unreachable"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from pearlstreet.client.client import Client

        return Client
    if name in ("ApiError", "Unreachable"):
        from pearlstreet.client import transport

        return getattr(transport, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
