"""A cache of rendered page fragments and page values that many visitors share, one cache for each center.

The caller checks that the visitor may see the value, and puts everything that the value depends on into its key.
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
ENTRIES_MAX = 2_000
CURRENT_S = 1.0
"""Maximum age of a value of `get_current`: device readings and metered amounts change without a state event."""
WAIT_S = 10.0
"""Longest wait for a value that another thread computes."""
VERSION = sa.select(
    sa.select(sa.func.max(state_events.c.seq)).scalar_subquery().label("states"),
    sa.select(sa.func.max(audit_head.c.seq)).scalar_subquery().label("acts"),
)
"""The newest state event and the newest audit entry: it changes with every state change and every user action."""


@dataclass(slots=True)
class _Entry:
    value: Any
    until_s: float
    """Monotonic time at which the value expires."""
    is_refreshing: bool = False
    """A thread computes the next value; others get this one."""


@dataclass(slots=True)
class _Current:
    version: tuple[object, ...]
    value: Future[Any] = field(default_factory=Future)
    until_s: float = 0.0
    """Monotonic time at which the value expires, set when it has been computed; until then callers wait for it."""

    def serves(self, version: tuple[object, ...], now_s: float) -> bool:
        """Return whether a caller at `now_s` may use this value."""
        return self.version == version and (not self.value.done() or now_s < self.until_s)


@dataclass(slots=True)
class _Cache:
    """The entries of one center."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    entries: dict[Hashable, _Entry] = field(default_factory=dict)
    current: dict[Hashable, _Current] = field(default_factory=dict)


_caches: WeakKeyDictionary[Hints, _Cache] = WeakKeyDictionary()
_caches_lock = threading.Lock()


def shared(store: Store, key: Hashable, for_s: float, make: Callable[[], T]) -> T:
    """Return the value of `key`, at most `for_s` seconds old, computing it with `make` when it has expired.

    While one thread computes a new value, other threads get the expired one.
    """
    cache = _cache_of(store)
    with cache.lock:
        entry = cache.entries.get(key)
        if entry is not None:
            if entry.is_refreshing or entry.until_s > store.clock.monotonic_s():
                cached: T = entry.value
                return cached
            entry.is_refreshing = True
    try:
        value = make()
    except BaseException:
        with cache.lock:
            cache.entries.pop(key, None)
        raise
    with cache.lock:
        _put(cache.entries, key, _Entry(value, store.clock.monotonic_s() + for_s))
    return value


def get_current(store: Store, key: Hashable, make: Callable[[], T]) -> T:
    """Return the value of `key`, computed after the last change, once for all concurrent callers.

    Every open page asks for its parts after each change, so without this one change would cost a computation per page.
    """
    row = store.read(lambda tx: tx.first(VERSION))
    version, cache = tuple(row.values()) if row else (), _cache_of(store)
    with cache.lock:
        shared_entry = cache.current.get(key)
        if shared_entry is None or not shared_entry.serves(version, store.clock.monotonic_s()):
            shared_entry, own_entry = None, _Current(version)
            _put(cache.current, key, own_entry)
    if shared_entry is not None:
        try:
            cached: T = shared_entry.value.result(WAIT_S)
            return cached
        except Exception:  # noqa: BLE001  the computing thread reports its error; this one computes for itself
            return make()
    try:
        value = make()
    except BaseException as error:
        own_entry.value.set_exception(error)  # expires at once: `until_s` is in the past
        raise
    own_entry.until_s = store.clock.monotonic_s() + CURRENT_S
    own_entry.value.set_result(value)
    return value


def rights(actor: Actor) -> Hashable:
    """Return a key that is equal for actors that may see the same."""
    return (
        frozenset(actor.orgs.items()),
        actor.operator_roles,
        actor.scopes,
        actor.suspended,
        actor.everything,
        actor.tie,
    )


def _cache_of(store: Store) -> _Cache:
    with _caches_lock:
        return _caches.setdefault(store.hints, _Cache())


def _put(entries: dict[Hashable, T], key: Hashable, entry: T) -> None:
    """Add an entry as the newest; drop the oldest ones beyond ENTRIES_MAX."""
    entries.pop(key, None)
    while len(entries) >= ENTRIES_MAX:
        del entries[next(iter(entries))]
    entries[key] = entry
