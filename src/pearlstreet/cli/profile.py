"""A client for the profile in use, in the reader's language."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pearlstreet.cli.output import language
from pearlstreet.client.profile import active, signed_in

if TYPE_CHECKING:
    from pearlstreet.client import Client


def client() -> Client:
    """Return a client for the active profile. Raises NotSignedIn without a key."""
    used = signed_in()
    return connect(used.url, used.key, used.ca)


def connect(url: str, key: str | None = None, ca: str | None = None) -> Client:
    """Return a client in the reader's language; `ca`: else that of the active profile."""
    # Imported here, and without httpx's own command line: both take longer than `pearl --help`.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from pearlstreet.client import Client

    return Client(url.rstrip("/"), key, language=language(), verify=ca or active().ca or True)
