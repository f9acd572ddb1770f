"""Many random operations on the books, with everything going wrong, then four independent answers that must agree.

    python -m tests.scale.ledger [--ops 1000000] [--seed 1] [--url postgresql://…] [--folder /tmp]

A naive accountant follows along; at the end the ledger's own proof, a replay of everything into empty books, and
beancount's checker have their say.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pearlstreet.ledger.beancount import export_beancount
from pearlstreet.ledger.proof import prove
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.tables import metadata
from tests.beancounting import complaints
from tests.scale.ledger_world import LedgerWorld
from tests.scale.replay import differences, replay

T = TypeVar("T")


def main() -> int:
    """Run it and print what it took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--ops", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--url", default="", help="an empty PostgreSQL database instead of a SQLite file")
    arguments.add_argument("--folder", type=Path, default=None)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        return run(Path(folder), given.ops, given.seed, given.url)


def run(folder: Path, operations: int, seed: int, url: str = "") -> int:
    """One life of the books in `folder`; the exit status."""
    world = LedgerWorld(url or f"sqlite:///{folder}/books.db", seed=seed, operations=operations)
    try:
        say(f"seed {seed}")
        took_s = timed("operations against the accountant", lambda: live(world, operations))[1]
        say(f"  {world.done:,} operations, {world.done / took_s:,.0f} a second")
        say("  " + ", ".join(f"{name} {count:,}" for name, count in sorted(world.counts.items())))
        report, _ = timed("proof", lambda: world.store.read(prove))
        say(f"  {sum(report.checked.values()):,} rows")
        if not report.is_right:
            return failed(f"{report.row}: {report.problem}")
        wrong = timed("replay into empty books", lambda: replayed(world, folder))[0]
        if wrong:
            return failed("\n".join(wrong[:20]))
        problem = timed("beancount", lambda: checked_journal(world, folder))[0]
        if problem:
            return failed(problem[:2000])
    finally:
        world.close()
    say(
        f"all agree; memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB here"
    )
    return 0


def live(world: LedgerWorld, operations: int) -> None:
    """The operations, with the accountant looking at the books twenty times on the way."""
    for part in range(1, 21):
        world.live(operations * part // 20)
        world.check()
        if part % 5 == 0 and part < 20:
            say(f"  {part * 5} %: {world.done:,} operations, the books agree with the accountant")
    world.finish()


def replayed(world: LedgerWorld, folder: Path) -> list[str]:
    """How books made again from scratch differ."""
    new = Store(Database(f"sqlite:///{folder}/again.db", inline=True), clock=world.clock, rng=world.rng)
    try:
        metadata.create_all(new.database.engine)
        say(f"  {replay(world.store, new):,} spans")
        report = new.read(prove)
        wrong = [] if report.is_right else [f"{report.row}: {report.problem}"]
        return wrong + differences(world.store, new)
    finally:
        new.close()


def checked_journal(world: LedgerWorld, folder: Path) -> str:
    """What beancount says of the exported books."""
    journal = folder / "books.beancount"
    with journal.open("w", encoding="utf-8") as written:
        world.store.read(lambda tx: written.writelines(export_beancount(tx)))
    say(f"  {journal.stat().st_size / 2**20:,.0f} MiB of journal")
    return complaints(journal)


def timed(what: str, step: Callable[[], T]) -> tuple[T, float]:
    """What a step answers, and how long it took."""
    began_s = time.monotonic()
    answer = step()
    took_s = time.monotonic() - began_s
    say(f"{what}: {took_s:,.1f} s")
    return answer, took_s


def failed(problem: str) -> int:
    """Say what is wrong."""
    say(f"WRONG: {problem}")
    return 1


def say(line: str) -> None:
    """Print now."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
