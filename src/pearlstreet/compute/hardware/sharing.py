"""How a job holds its accelerators apart from other jobs: whole, as MIG instances, or as shares kept by MPS or not at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pearlstreet.base.text import Text, text

Sharing = Literal["exclusive", "mig", "mps", "time_slice", "none"]
SHARINGS: Mapping[str, Text] = {
    "exclusive": text("exclusive"),
    "mig": text("MIG"),
    "mps": text("MPS"),
    "time_slice": text("time slice"),
    "none": text("no accelerator"),
}
"""Names for people. `time_slice`: jobs on a device take turns, and their shares are counted, not enforced."""
PRICED_APART: frozenset[str] = frozenset({"mps", "time_slice"})
"""Kinds for which a price list may have rules of their own (`accelerator/*/mps`); a MIG instance is a model of its own."""


def sharing_label(sharing: str) -> Text:
    """Return the name of a kind for people; an attempt of an older version has none recorded."""
    return SHARINGS.get(sharing) or text("not recorded")
