"""Leases against a naive model: any order of taking, finishing late, touching, dying and time going on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.conftest import make_store
from tests.property.machines import lives
from tests.store.things import add, test_metadata, things, with_things

from pearlstreet.base.clock import VirtualClock
from pearlstreet.store import leases

SECONDS = st.sampled_from([0, 0, 1, 5, 20])
LEASES = st.sampled_from([1, 5, 20])
ROWS = tuple(f"r{number}" for number in range(4))
NAMES = ("planner", "other")


@dataclass
class Row:
    """One row as the model knows it."""

    due_us: int | None
    token: str | None = None
    until_us: int = 0


class Leases(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.store = replace(with_things(make_store("sqlite://", tables=False)), clock=self.clock)
        self.store.database.write(lambda connection: leases.metadata.create_all(connection))
        self.rows: dict[str, Row] = {}
        self.held: list[tuple[str, str]] = []
        """(row, token) of every lease that was ever given and not given back: workers that may still come late."""
        self.named: dict[str, tuple[str, int]] = {}

    def teardown(self) -> None:
        test_metadata.drop_all(self.store.database.engine)
        self.store.close()

    @property
    def now_us(self) -> int:
        return self.clock.now_us()

    @initialize()
    def begin_with_work(self) -> None:
        for row in ROWS[:3]:
            self.add_or_touch(row, 0)

    @rule(row=st.sampled_from(ROWS), after_s=st.none() | SECONDS)
    def add_or_touch(self, row: str, after_s: int | None) -> None:
        """A command makes a row, or wants it looked at at some time."""
        due_us = None if after_s is None else self.now_us + after_s * 1_000_000
        if row not in self.rows:
            self.store.write(lambda tx: add(tx, row, due_us=due_us))
            self.rows[row] = Row(due_us)
        elif due_us is not None:
            wish = sa.update(things).where(things.c.id == row).values(due_us=due_us)
            self.store.write(lambda tx: tx.execute(wish))
            self.rows[row].due_us = due_us

    @rule(limit=st.integers(1, 4), lease_s=LEASES)
    def take(self, limit: int, lease_s: int) -> None:
        token, ids = self.store.write(lambda tx: leases.lease_rows(tx, things, limit=limit, lease_s=lease_s))
        free = [
            (row.due_us, name)
            for name, row in self.rows.items()
            if row.due_us is not None
            and row.due_us <= self.now_us
            and (not row.token or row.until_us <= self.now_us)
        ]
        assert list(ids) == [name for _, name in sorted(free)[:limit]]
        for name in ids:
            until_us = self.now_us + lease_s * 1_000_000
            self.rows[name] = Row(until_us, token, until_us)
            self.held.append((name, token))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), after_s=st.none() | SECONDS)
    def give_back(self, data: st.DataObject, after_s: int | None) -> None:
        """A worker is done, perhaps long after it lost its lease: then it changes nothing."""
        self._give_back(data.draw(st.integers(0, len(self.held) - 1)), after_s)

    @rule(after_s=st.none() | SECONDS)
    def be_overtaken(self, after_s: int | None) -> None:
        """Leases run out, others take the rows, and then the first worker comes back."""
        self.add_or_touch(ROWS[0], 0)
        self.wait(20)
        self.take(4, 1)
        first = len(self.held) - 1
        self.wait(1)
        self.take(4, 20)
        if first >= 0:
            self._give_back(first, after_s)

    def _give_back(self, number: int, after_s: int | None) -> None:
        name, token = self.held.pop(number)
        due_us = None if after_s is None else self.now_us + after_s * 1_000_000
        row = self.rows[name]
        ours = row.token == token
        assert self.store.read(lambda tx: leases.holds(tx, things, name, token)) == ours
        assert self.store.write(lambda tx: leases.release(tx, things, name, token, due_us=due_us)) == ours
        if not ours:
            return
        touched = row.due_us != row.until_us and row.due_us is not None
        if touched and (due_us is None or (row.due_us or 0) < due_us):
            due_us = row.due_us
        self.rows[name] = Row(due_us)

    @rule(name=st.sampled_from(NAMES), who=st.sampled_from("ab"), lease_s=LEASES)
    def take_named(self, name: str, who: str, lease_s: int) -> None:
        holder, until_us = self.named.get(name, ("", 0))
        may = holder in ("", who) or until_us <= self.now_us
        assert self.store.write(lambda tx: leases.take_named(tx, name, who, lease_s=lease_s)) == may
        if may:
            self.named[name] = (who, self.now_us + lease_s * 1_000_000)

    @rule(seconds=SECONDS)
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        found = {
            row["id"]: (row["due_us"], row["lease_token"])
            for row in self.store.read(lambda tx: tx.rows(sa.select(things)))
        }
        assert found == {name: (row.due_us, row.token) for name, row in self.rows.items()}


TestLeases = Leases.TestCase
TestLeases.settings = lives(25, steps=30)
