"""Idempotency-Keys against a naive model: any order of sending, repeating, changing the body, failing, dying and waiting."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.conftest import make_store
from tests.property.machines import lives
from tests.store.things import add, things, with_things

from pearlstreet.base.clock import VirtualClock
from pearlstreet.base.errors import Conflict, IdempotencyMismatch
from pearlstreet.store.core import Replayed, Tx
from pearlstreet.store.idempotency import KEPT_US, OnceClaim, forget_old
from pearlstreet.store.tables import idempotency, metadata

WHO, KEYS, BODIES = ("wei", "lin"), ("k1", "k2", "k3"), ("one", "two")


class _Dies(BaseException):
    """The process ends in the middle of the transaction."""


class Once(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        store = make_store("sqlite://", tables=False)
        metadata.create_all(store.database.engine, tables=[idempotency])
        self.store = replace(with_things(store), clock=self.clock)
        self.kept: dict[tuple[str, str], tuple[str, bytes, int]] = {}
        """(who, key) → (body, answer, when)."""
        self.done: Counter[str] = Counter()
        self.number = 0

    def teardown(self) -> None:
        self.store.close()

    @rule(
        who=st.sampled_from(WHO),
        key=st.sampled_from(KEYS),
        body=st.sampled_from(BODIES),
        ends=st.sampled_from(["well", "well", "fails", "dies"]),
        again=st.integers(0, 2),
    )
    def send(self, who: str, key: str, body: str, ends: str, again: int) -> None:
        """A request, and the same again as often as an impatient client sends it."""
        for _ in range(1 + again):
            self._send(who, key, body, ends)

    def _send(self, who: str, key: str, body: str, ends: str) -> None:
        self.number += 1
        mine = f"t{self.number}"

        def command(tx: Tx) -> str:
            add(tx, mine)
            if ends == "fails":
                raise Conflict("it cannot be done")
            if ends == "dies":
                raise _Dies
            return mine

        store = self.store.once(OnceClaim(who, key, body, str.encode))
        known = self.kept.get((who, key))
        if known is not None and known[2] > self.clock.now_us() - KEPT_US:
            if known[0] != body:
                with pytest.raises(IdempotencyMismatch):
                    store.write(command)
                return
            with pytest.raises(Replayed) as replayed:
                store.write(command)
            assert replayed.value.body == known[1]
        elif ends == "well":
            assert store.write(command) == mine
            self.kept[who, key] = (body, mine.encode(), self.clock.now_us())
            self.done[mine] += 1
        else:
            with pytest.raises(Conflict if ends == "fails" else _Dies):
                store.write(command)

    @rule(hours=st.integers(0, 30))
    def wait(self, hours: int) -> None:
        self.clock.advance(hours * 3600)

    @rule()
    def sweep(self) -> None:
        """What is too old is forgotten, and nothing else."""
        old = [key for key, (_, _, at_us) in self.kept.items() if at_us <= self.clock.now_us() - KEPT_US]
        assert self.store.write(forget_old) == len(old)
        for key in old:
            del self.kept[key]

    @invariant()
    def each_was_done_once(self) -> None:
        found = self.store.read(lambda tx: tx.execute(sa.select(things.c.id)).scalars().all())
        assert Counter(found) == self.done


TestOnce = Once.TestCase
TestOnce.settings = lives(25, steps=25)
