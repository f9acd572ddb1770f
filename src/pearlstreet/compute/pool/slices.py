"""Arithmetic of whole devices and shares, in integers so that sums stay exact.

A share is memory in MiB and compute in basis points (10,000 = one whole device). A job that takes a whole device takes
exactly the share that is the device's total, so whole devices and fractions never mix up. A fixed slice such as a MIG
profile is a named share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pearlstreet.base.errors import Conflict, check
from pearlstreet.base.text import text

FULL_BP = 10_000
"""Compute of one whole device in basis points."""
MIB_PER_GIB = 1024


@dataclass(frozen=True, slots=True)
class Share:
    """Part of one device: memory (MiB) and compute (basis points of the device)."""

    memory_mib: int
    compute_bp: int

    def __post_init__(self) -> None:
        check(self.memory_mib >= 0 and self.compute_bp >= 0, "a share is never negative", share=repr(self))

    def __add__(self, other: Share) -> Share:
        return Share(self.memory_mib + other.memory_mib, self.compute_bp + other.compute_bp)

    def __sub__(self, other: Share) -> Share:
        """Return the difference. Raises BugError when `other` is not within this share."""
        return Share(self.memory_mib - other.memory_mib, self.compute_bp - other.compute_bp)

    def __bool__(self) -> bool:
        return self.memory_mib > 0 or self.compute_bp > 0

    def within(self, other: Share) -> bool:
        """Return whether this share fits into `other` in both memory and compute."""
        return self.memory_mib <= other.memory_mib and self.compute_bp <= other.compute_bp


NOTHING = Share(0, 0)


def device_total(memory_gib: float) -> Share:
    """Return the whole of a device with that much memory; parts of a MiB are dropped."""
    return Share(math.floor(memory_gib * MIB_PER_GIB), FULL_BP)


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """A fraction as asked for. A part left at 0 follows the other pro rata, rounded down so that n n-ths fit."""

    memory_mib: int = 0
    compute_bp: int = 0

    def on(self, total: Share) -> Share:
        """Return the share this means on a device of that size (it may be larger than the device)."""
        memory, compute = self.memory_mib, self.compute_bp
        if compute == 0 and total.memory_mib > 0:
            compute = memory * total.compute_bp // total.memory_mib
        elif memory == 0:
            memory = compute * total.memory_mib // FULL_BP
        return Share(memory, compute)


def share_request(memory_gib: float | None, compute_percent: float | None) -> ShareRequest:
    """Return a fraction from what a specification says. Memory is rounded up to a MiB, compute to a basis point."""
    memory = 0 if memory_gib is None else math.ceil(memory_gib * MIB_PER_GIB)
    compute = 0 if compute_percent is None else math.ceil(compute_percent * 100)
    return ShareRequest(memory, compute)


def card_bp(share: Share, total: Share) -> int:
    """Return how much of a card a share counts as, in basis points: the larger of its two parts, rounded up."""
    memory_bp = -(-share.memory_mib * FULL_BP // total.memory_mib) if total.memory_mib else 0
    compute_bp = -(-share.compute_bp * FULL_BP // total.compute_bp) if total.compute_bp else 0
    return max(memory_bp, compute_bp)


@dataclass(frozen=True, slots=True)
class DeviceSpace:
    """Total and free share of a device."""

    total: Share
    free: Share

    def __post_init__(self) -> None:
        check(self.free.within(self.total), "free is never more than the device", space=repr(self))

    @property
    def untouched(self) -> bool:
        """Whether no part of it is allocated, so that it can be given whole."""
        return self.free == self.total

    def allocate(self, share: Share) -> DeviceSpace:
        """Return the device after giving `share` away. Raises Conflict when it does not fit."""
        if not share.within(self.free):
            raise Conflict(
                text(
                    "The device has {memory_mib} MiB and {compute_bp} basis points of compute free, not {asked}",
                    memory_mib=self.free.memory_mib,
                    compute_bp=self.free.compute_bp,
                    asked=f"{share.memory_mib} MiB + {share.compute_bp}",
                )
            )
        return DeviceSpace(self.total, self.free - share)

    def allocate_whole(self) -> DeviceSpace:
        """Return the device after giving all of it to one task. Raises Conflict when any part is taken."""
        if not self.untouched:
            raise Conflict(text("Part of the device is taken, so it cannot be given whole"))
        return DeviceSpace(self.total, NOTHING)

    def release(self, share: Share) -> DeviceSpace:
        """Return the device after `share` came back. Raises BugError when more comes back than was given."""
        return DeviceSpace(self.total, self.free + share)


def free_space(total: Share) -> DeviceSpace:
    """Return a device nobody uses."""
    return DeviceSpace(total, total)
