"""Pieces of pages that look alike for many visitors: made once, shown to all of them for some seconds.

Whoever asks for one has checked that the visitor may see it; what the piece depends on is in its key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pearlstreet.store.core import Hints, Store

T = TypeVar("T")
PIECES_MAX = 2_000


@dataclass(slots=True)
class _Piece:
    value: Any
    until_s: float
    being_made: bool = False


@dataclass(slots=True)
class _Shelf:
    """The pieces of one center."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pieces: dict[Hashable, _Piece] = field(default_factory=dict)


_shelves: WeakKeyDictionary[Hints, _Shelf] = WeakKeyDictionary()
_shelves_lock = threading.Lock()


def shared(store: Store, key: Hashable, for_s: float, make: Callable[[], T]) -> T:
    """The piece under `key`, not older than `for_s`; while one visitor waits for a new one, others get the old."""
    with _shelves_lock:
        shelf = _shelves.setdefault(store.hints, _Shelf())
    with shelf.lock:
        found = shelf.pieces.get(key)
        if found is not None:
            if found.being_made or found.until_s > store.clock.monotonic_s():
                value: T = found.value
                return value
            found.being_made = True
    try:
        made = make()
    except BaseException:
        with shelf.lock:
            shelf.pieces.pop(key, None)
        raise
    with shelf.lock:
        shelf.pieces.pop(key, None)
        while len(shelf.pieces) >= PIECES_MAX:
            del shelf.pieces[next(iter(shelf.pieces))]
        shelf.pieces[key] = _Piece(made, store.clock.monotonic_s() + for_s)
    return made
