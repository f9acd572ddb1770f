"""The secrets of a cluster: munge's key, the key of JSON web tokens, the password of the accounting database."""

from __future__ import annotations

import base64

from pearlstreet.base.rng import Rng
from pearlstreet.compute.clusters.model import PlannedFile

MUNGE_BYTES = 1024
"""Length of munge's key, at most what munged accepts (MUNGE_MAXIMUM_KEY_LEN) and what its own tools make."""
JWT_BYTES = 32
"""Length of a key of HS256, which Slurm signs tokens with: at least that of the hash (RFC 7518, 3.2)."""
PASSWORD_BYTES = 24
MUNGE_KEY, JWT_KEY, DATABASE_PASSWORD = "munge.key", "jwt_hs256.key", "slurmdbd.password"


def new_keys(rng: Rng, *, accounting: bool) -> dict[str, PlannedFile]:
    """Return new secrets by file name."""
    found = {MUNGE_KEY: rng.token_bytes(MUNGE_BYTES), JWT_KEY: rng.token_bytes(JWT_BYTES)}
    if accounting:
        found[DATABASE_PASSWORD] = base64.urlsafe_b64encode(rng.token_bytes(PASSWORD_BYTES))
    return {name: PlannedFile(content, mode=0o600, is_secret=True) for name, content in found.items()}
