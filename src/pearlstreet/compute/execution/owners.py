"""What execution asks of the owner of an attempt. A new kind of owner is one class; app.wiring names it once."""

# ruff: noqa: B027  most owners need few of the methods

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pearlstreet.base.errors import check
from pearlstreet.base.text import Text
from pearlstreet.compute.engines.protocol import AttemptOrder
from pearlstreet.compute.execution.model import StopReason
from pearlstreet.store.core import Row, Tx


@dataclass(frozen=True, slots=True)
class Kept:
    """Result of recording what was stored of an ended attempt."""

    again_us: int | None = None
    """Time of the next try, in µs since 1970; None: it is complete and the attempt ends."""
    refused: bool = False
    """Whether a limit prevented some outputs from being stored."""


class Owner(ABC):
    """Owner of attempts of one kind: what they run, and what their start, stop and end mean.

    Methods with a transaction run in the transaction that changes the attempt and must not call engines or wait. `attempt` is
    the attempt's row before the change, if nothing else is said.
    """

    kind: str
    """Name in the column `owner_kind` of attempts: `job`, `build`."""

    @abstractmethod
    def order(self, tx: Tx, attempt: Row) -> AttemptOrder | Callable[[], AttemptOrder]:
        """Return the order with which an engine starts the attempt, or a function that makes it outside the transaction.

        The order or the function raises a PearlError if a file or secret that it needs is gone: then the attempt ends. The
        function may raise Unavailable: then it is called again.
        """

    @abstractmethod
    def on_ended(self, tx: Tx, attempt: Row, message: Text | None, *, outputs_refused: bool) -> None:
        """Move the owner on after an attempt. `attempt` has its end: `end_reason`, `exit_code`, `ended_us`.

        `end_reason` None: its engine does not know it, so nothing of it ever ran. `outputs_refused`: a limit prevented outputs
        from being stored.
        """

    def on_starting(self, tx: Tx, attempt: Row) -> None:
        """Note that the engine has, or may have, accepted the attempt."""

    def on_running(self, tx: Tx, attempt: Row, started_us: int) -> None:
        """Note that all tasks of the attempt run since `started_us`."""

    def on_ready(self, tx: Tx, attempt: Row) -> None:
        """Note that all tasks of a service take requests."""

    def on_unready(self, tx: Tx, attempt: Row) -> None:
        """Note that a task of a running service takes no requests any more."""

    def on_restarted(self, tx: Tx, attempt: Row, restarts: int) -> None:
        """Note that tasks of a service were started again: `restarts` times in this attempt so far."""

    def on_stopping(self, tx: Tx, attempt: Row, why: StopReason, reason: Text) -> None:
        """Note that the attempt will be stopped."""

    def on_freed(self, tx: Tx, attempt: Row) -> None:
        """Note that the work is over and its devices are free. `attempt` has its `ended_us`."""

    def on_collecting(self, tx: Tx, attempt: Row, message: Text | None) -> None:
        """Note that the work is over and its outputs are stored next."""

    def on_low_balance(self, tx: Tx, attempt: Row, left_minutes: int) -> None:
        """Warn that the attempt will be stopped in some minutes because the balance does not cover more. Called once."""

    def why_unbilled(self, attempt: Row) -> Text | None:
        """Return why no time of the attempt is billed; None if it is."""
        return None

    def ended(self, tx: Tx, owner_ids: Sequence[str]) -> Mapping[str, int]:
        """Return those of some owners of this kind that have ended for good, with the time (µs since 1970)."""
        return {}

    def load_outputs(self, tx: Tx, attempt: Row) -> Row:
        """Return what `keep_outputs` must know beside the attempt's row."""
        return {}

    def keep_outputs(self, attempt: Row, loaded: Row) -> Any:
        """Store what the attempt left, outside any transaction; the result goes to `note_outputs`. May be repeated."""
        return None

    def note_outputs(self, tx: Tx, attempt: Row, loaded: Row, stored: Any) -> Kept:
        """Record what `keep_outputs` stored."""
        return Kept()


Owners = Mapping[str, Owner]
"""Owners by kind."""


def by_kind(*owners: Owner) -> Owners:
    """Return owners by their kind."""
    return {owner.kind: owner for owner in owners}


def owner_of(owners: Owners, attempt: Row) -> Owner:
    """Return the owner of an attempt."""
    owner = owners.get(attempt["owner_kind"])
    check(owner is not None, "the kind of an attempt's owner is known", kind=attempt["owner_kind"])
    assert owner is not None
    return owner
