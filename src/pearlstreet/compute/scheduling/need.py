"""Resources that a single task takes on one node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

PLENTY = 1 << 40
"""An amount larger than any center has."""


class NeedKey(NamedTuple):
    """Key of a need within one snapshot."""

    request: int
    """Index in the snapshot's requests."""
    model: int
    """Index in the snapshot's models; -1 without an accelerator."""
    domain: int = -1
    """Index of the domain that all tasks of the gang must be in; -1: any."""


@dataclass(frozen=True, slots=True)
class Need:
    """Resources of a single task of a request on one device model; `model` is -1 without an accelerator."""

    key: NeedKey
    cpu: int
    memory: int
    model: int
    count: int
    share_memory: int
    share_compute: int
    """Both 0 unless part of a device is asked for."""
    gflops: int
    """Normalised compute of one task."""
    card_bp: int
    """Cards of one task in basis points."""
    domain: int = -1
    """Domain whose nodes alone may take the tasks; -1: any. The tasks of a gang must not span domains, for each has its own engine."""

    def __hash__(self) -> int:
        return hash(self.key)  # nearly all that tells needs apart, and asked for often

    @property
    def is_share(self) -> bool:
        return self.model >= 0 and self.count == 0
