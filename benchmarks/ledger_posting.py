"""How fast the books take use: spans appended, posted, proved; the check at submit. One run, ratios to SQLite itself.

    python benchmarks/ledger_posting.py [--spans 100000] [--streams 1000] [--url postgresql://…]

The bound is plain: as many rows as the books keep of it (a span each), inserted by one `executemany` into the same
database file. Postings also sum, price, balance and mark them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable

import sqlalchemy as sa
from results_table import record

import pearlstreet.app.tables  # noqa: F401  registers every room's tables
from pearlstreet.base.money import Money
from pearlstreet.base.text import text
from pearlstreet.ledger import chart
from pearlstreet.ledger.book import post_one
from pearlstreet.ledger.funds import check_affordable
from pearlstreet.ledger.model import Draft, Entry, Span, TxKind, Unit
from pearlstreet.ledger.posting import post_due_spans
from pearlstreet.ledger.prices import ensure_default_prices
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.spans import append_span
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.tables import metadata

MINUTE_US = 60_000_000
ORGS = 20


def main() -> None:
    """Run it and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    smoke = bool(os.environ.get("PEARL_BENCH_SMOKE"))
    arguments.add_argument("--spans", type=int, default=2000 if smoke else 100_000)
    arguments.add_argument("--streams", type=int, default=100 if smoke else 1000)
    arguments.add_argument("--url", default="")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Database(given.url or f"sqlite:///{folder}/bench.db"))
        metadata.create_all(store.database.engine)
        run(store, given.spans, given.streams)
        store.close()


def run(store: Store, count: int, streams: int) -> None:
    """Append, post and prove `count` spans of `streams` streams."""
    version = store.write(ensure_default_prices)
    for org in range(ORGS):
        store.write(lambda tx, org=org: post_one(tx, _payment(org)))
    bound_s = timed(lambda: store.write(lambda tx: _plain(tx, count)))
    rounds = count // streams
    append_s = timed(lambda: [_append(store, version.id, streams, number) for number in range(rounds)])
    post_s = timed(lambda: _post_all(store))
    prove_s = timed(lambda: _must_be_right(store))
    checks = 5000
    check_s = timed(lambda: [_check(store, number % ORGS) for number in range(checks)])
    done = rounds * streams
    print(f"{'step':28} {'per second':>12} {'of plain inserts':>17}")
    for name, amount, took_s in (
        ("plain inserts (bound)", count, bound_s),
        ("spans appended", done, append_s),
        ("spans posted", done, post_s),
        ("spans proved", done, prove_s),
        ("one-hour checks at submit", checks, check_s),
    ):
        rate, bound = amount / took_s, count / bound_s
        print(f"{name:28} {rate:12,.0f} {rate / bound:17.3f}")
        if took_s is not bound_s:
            record(f"ledger: {name}", rate, "/s", "plain inserts", bound)


def timed(step: Callable[[], object]) -> float:
    """Seconds a step takes."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _payment(org: int) -> Draft:
    amount = Money(10**12)
    side = Entry(chart.BANK, amount)
    return Draft(TxKind.CORRECTION, f"bench/{org}", text("bench"), f"org_{org}", amount, (side,))


def _plain(tx, count: int) -> None:  # type: ignore[no-untyped-def]
    tx.connection.exec_driver_sql(
        "CREATE TABLE plain (id BIGINT PRIMARY KEY, a BIGINT, b BIGINT, c BIGINT, d TEXT)"
    )
    rows = [{"i": n, "a": n, "b": n, "c": n, "d": "due"} for n in range(count)]
    tx.execute(sa.text("INSERT INTO plain VALUES (:i, :a, :b, :c, :d)"), rows)


def _append(store: Store, version_id: str, streams: int, number: int) -> None:
    """One metering interval: a span for every stream, in transactions of 250."""
    for first in range(0, streams, 250):

        def command(tx, first=first) -> None:  # type: ignore[no-untyped-def]
            for stream in range(first, min(first + 250, streams)):
                append_span(tx, _span(stream, number, version_id))

        store.write(command)


def _span(stream: int, number: int, version_id: str) -> Span:
    return Span(
        source="compute",
        external_id=f"att_{stream}",
        resource="accelerator/h100-sxm-80g",
        sequence=number,
        org_id=f"org_{stream % ORGS}",
        project_id=f"prj_{stream % ORGS}",
        reference=f"job_{stream}",
        start_us=number * MINUTE_US,
        end_us=(number + 1) * MINUTE_US,
        unit=Unit.CARD_BP,
        amount=10_000,
        price_version_id=version_id,
        pflops=0.5934,
        pflops_basis="assumed",
    )


def _post_all(store: Store) -> None:
    while post_due_spans(store):
        pass


def _must_be_right(store: Store) -> None:
    report = store.read(prove)
    if not report.is_right:
        raise SystemExit(f"the books are wrong: {report.row}: {report.problem}")


def _check(store: Store, org: int) -> None:
    store.read(lambda tx: check_affordable(tx, f"org_{org}", Money(10**6)))


if __name__ == "__main__":
    main()
