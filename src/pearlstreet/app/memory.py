"""Memory that the allocator keeps for itself: fewer arenas, and free pages returned to the system once a minute."""

from __future__ import annotations

import contextlib
import ctypes

from pearlstreet.store.core import Store
from pearlstreet.store.loop import CycleLoop

ARENAS = 2
"""Arenas of glibc's allocator. By default it makes up to eight for each core, and each keeps what it once needed."""
_M_ARENA_MAX = -8
"""Parameter of `mallopt` (glibc, malloc.h)."""
INTERVAL_S = 60.0


def limit_arenas() -> None:
    """Limit the arenas of the allocator. Has no effect without glibc. Call it before threads start."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def return_free_memory() -> None:
    """Return free pages of the allocator to the system. Has no effect without glibc."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def memory_loop() -> CycleLoop:
    """Return the loop that returns free memory, such as that of a long queue that has been worked off."""

    def cycle(store: Store) -> bool:
        return_free_memory()
        return False

    return CycleLoop(name="return_memory", cycle=cycle, interval_s=INTERVAL_S)
