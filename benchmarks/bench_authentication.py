"""Authentications of API keys per second, remembered and looked up, against the 1,000/s that the submit path needs."""

from __future__ import annotations

import os
import tempfile
import time

from results_table import record

import pearlstreet.app.tables  # noqa: F401
from pearlstreet.base.rng import SystemRng
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.sealing import KEY_BYTES, Sealer, SealingKey
from pearlstreet.store.tables import metadata
from pearlstreet.tenancy.authentication import TOPIC, authenticate
from pearlstreet.tenancy.bootstrap import bootstrap

NEEDED_PER_S = 1000


def main() -> None:
    rounds = 100 if os.environ.get("PEARL_BENCH_SMOKE") else 5000
    with tempfile.TemporaryDirectory() as folder:
        rng = SystemRng()
        sealer = Sealer((SealingKey(rng.token_bytes(KEY_BYTES)),), rng)
        store = Store(Database(f"sqlite:///{folder}/pearl.db"), sealer=sealer)
        metadata.create_all(store.database.engine)
        first = bootstrap(store)
        if first is None:
            raise SystemExit("the store is not fresh")
        keys = list(first.credentials.values())
        show("remembered", rounds * 10, lambda number: authenticate(store, keys[number % len(keys)]))

        def anew(number: int) -> None:
            store.hints.fire({TOPIC})
            authenticate(store, keys[number % len(keys)])

        show("looked up", rounds, anew)
        store.close()


def show(name, rounds, run) -> None:
    start_s = time.perf_counter()
    for number in range(rounds):
        run(number)
    per_s = rounds / (time.perf_counter() - start_s)
    print(f"{name:<11} {per_s:>10,.0f}/s   {per_s / NEEDED_PER_S:.1f} x the {NEEDED_PER_S:,}/s needed")
    record(f"authentications, key {name}", per_s, "/s", "at least", NEEDED_PER_S)


if __name__ == "__main__":
    main()
