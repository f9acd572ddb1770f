"""Pieces of pages that look alike for many visitors: made once, shown to all of them for some seconds.

Whoever asks for one has checked that the visitor may see it; what the piece depends on is in its key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from pearlstreet.store.core import Hints, Store
from pearlstreet.store.tables import audit_head, state_events
from pearlstreet.tenancy.model import Actor

T = TypeVar("T")
PIECES_MAX = 2_000
CURRENT_S = 1.0
"""So old may a current piece be: readings of devices and amounts metered change without a word."""
WAIT_S = 10.0
VERSION = sa.select(
    sa.select(sa.func.max(state_events.c.seq)).scalar_subquery().label("states"),
    sa.select(sa.func.max(audit_head.c.seq)).scalar_subquery().label("acts"),
)
"""What moves with every change of a state, and with everything that somebody does."""


@dataclass(slots=True)
class _Piece:
    value: Any
    until_s: float
    being_made: bool = False


@dataclass(slots=True)
class _Current:
    version: tuple[object, ...]
    value: Future[Any] = field(default_factory=Future)
    until_s: float = 0.0
    """Counts once it is made: who asks meanwhile waits, however long that takes."""

    def serves(self, version: tuple[object, ...], now_s: float) -> bool:
        """Whether somebody who asks now may have it."""
        return self.version == version and (not self.value.done() or now_s < self.until_s)


@dataclass(slots=True)
class _Shelf:
    """The pieces of one center."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pieces: dict[Hashable, _Piece] = field(default_factory=dict)
    current: dict[Hashable, _Current] = field(default_factory=dict)


_shelves: WeakKeyDictionary[Hints, _Shelf] = WeakKeyDictionary()
_shelves_lock = threading.Lock()


def shared(store: Store, key: Hashable, for_s: float, make: Callable[[], T]) -> T:
    """The piece under `key`, not older than `for_s`; while one visitor waits for a new one, others get the old."""
    shelf = _shelf(store)
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
        _put(shelf.pieces, key, _Piece(made, store.clock.monotonic_s() + for_s))
    return made


def current(store: Store, key: Hashable, make: Callable[[], T]) -> T:
    """The piece under `key` as it is now: made after the last change, once for all who ask at the same time.

    An open page asks when it is told of a change; with many pages open, all of them ask at once.
    """
    row = store.read(lambda tx: tx.first(VERSION))
    version, shelf = tuple(row.values()) if row else (), _shelf(store)
    with shelf.lock:
        others = shelf.current.get(key)
        if others is None or not others.serves(version, store.clock.monotonic_s()):
            others, mine = None, _Current(version)
            _put(shelf.current, key, mine)
    if others is not None:
        try:
            value: T = others.value.result(WAIT_S)
            return value
        except Exception:  # noqa: BLE001  its maker is told; this visitor finds out for itself
            return make()
    try:
        made = make()
    except BaseException as error:
        mine.value.set_exception(error)  # over at once: `until_s` is past
        raise
    mine.until_s = store.clock.monotonic_s() + CURRENT_S
    mine.value.set_result(made)
    return made


def rights(actor: Actor) -> Hashable:
    """Equal for visitors who may see the same."""
    return (
        frozenset(actor.orgs.items()),
        actor.operator_roles,
        actor.scopes,
        actor.suspended,
        actor.everything,
        actor.tie,
    )


def _shelf(store: Store) -> _Shelf:
    with _shelves_lock:
        return _shelves.setdefault(store.hints, _Shelf())


def _put(pieces: dict[Hashable, T], key: Hashable, piece: T) -> None:
    """Keep it as the newest; the oldest go when there are too many."""
    pieces.pop(key, None)
    while len(pieces) >= PIECES_MAX:
        del pieces[next(iter(pieces))]
    pieces[key] = piece
