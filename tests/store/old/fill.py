"""Fills a database through the real services and loops, and writes its rows to a file: what an upgrade has to bring along.

    python -m tests.store.old.fill tests/store/old/0001.jsonl.gz

Run at the last commit of a schema version, before the next migration. The file is plain: a line a row, values as SQLite
holds them, bytes in base64, so that both databases can be filled from it, whatever the code's tables are by then.
"""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.money import Money, parse_yuan
from pearlstreet.base.text import text
from pearlstreet.compute.jobs.uploads import UploadPlace, record_upload
from pearlstreet.compute.queueing.quotas import QuotaWish, set_quota
from pearlstreet.energy.invoices import issue_invoice
from pearlstreet.ledger.budgets import Budget, set_budget
from pearlstreet.ledger.prices import parse_prices, publish_prices
from pearlstreet.ledger.spans import refund_attempt
from pearlstreet.ledger.topups import top_up
from pearlstreet.objects.model import Blob
from pearlstreet.store import migrations
from pearlstreet.store.database import Database
from pearlstreet.tenancy import keys, orgs, secrets, users
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.sessions import set_password

PASSWORD = "an old and long password"
SECRET = "the old secret"
CARD = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
NODE = {"accelerator": "H100", "count": 8, "cpus": 8, "memory_gib": 64}
PRICES = """
[[price]]
resource = "accelerator/*"
kind = "pflops_hour"
yuan = "20.00"
[[price]]
resource = "accelerator/*"
kind = "card_hour"
yuan = "4.00"
[[price]]
resource = "cpu"
kind = "core_hour"
yuan = "0.10"
[[price]]
resource = "memory"
kind = "gib_hour"
yuan = "0.01"
[[price]]
resource = "storage"
kind = "gib_month"
yuan = "0.50"
"""


def fill(center: Center) -> None:
    """Something of everything: ended, running and waiting jobs, money in and out, people, keys, secrets, limits."""
    store, org_id = center.store, center.org.id
    _people(center)
    set_quota(store, SYSTEM, ORG, QuotaWish("cards", guaranteed=8, maximum=16, borrow=True))
    set_budget(store, SYSTEM, Budget(org_id, org_id, Money(10**6)))
    ended = [
        center.submit(per_task=CARD, simulate="40s"),
        center.submit(per_task=CARD, simulate="20s", variables={"SIMULATE_EXIT_CODE": "3"}),
        center.submit(per_task=NODE, tasks=2, simulate="30s", name="gang"),
        center.submit(per_task=CARD, array={"size": 5, "max_running": 2}, simulate="10s"),
    ]
    center.finish(*ended)
    attempt = center.attempts(ended[0])[0]["id"]
    center.run(20)
    store.write(lambda tx: refund_attempt(tx, attempt, text("The node failed")))
    publish_prices(store, SYSTEM, parse_prices(PRICES))
    center.clock.advance(40 * 86_400)
    issue_invoice(store, SYSTEM, org_id, "2023-11")
    blob = Blob("ab" * 32, 5)
    project_id = orgs.get_project(store, SYSTEM, org_id).id
    place = UploadPlace(org_id, project_id, None, blob.size_bytes)
    record_upload(store, SYSTEM, center.runtime, place, "data.csv", blob)
    top_up(store, SYSTEM, org_id, parse_yuan("20000"), memo="waits for a second person")
    first = center.submit(per_task=NODE, simulate="3000s", time_limit="2h", name="runs on")
    center.submit(per_task=CARD, depends_on=[{"job": first, "condition": "ended"}], name="waits")
    center.submit(per_task=CARD, array={"size": 4, "max_running": 1}, simulate="600s", name="array")
    center.run(200)


def _people(center: Center) -> None:
    store = center.store
    orgs.create_org(store, SYSTEM, "other")
    invited = users.create_user(
        store, SYSTEM, "wei", display_name="Wei", email="wei@example.com", org=ORG, role=OrgRole.OWNER
    )
    set_password(store, invited.token, PASSWORD)
    keys.create_key(store, SYSTEM, "laptop", for_user=invited.user.id)
    secrets.set_secret(store, SYSTEM, ORG, "TOKEN", SECRET)


def dump(database: Path, target: Path) -> int:
    """Write every row of a SQLite file; how many."""
    count = 0
    with closing(sqlite3.connect(database)) as raw, target.open("wb") as file:
        names = [
            row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
            for name in names:
                if name.startswith("sqlite_") or name == "alembic_version":
                    continue
                found = raw.execute(f'SELECT * FROM "{name}"')
                columns = [column[0] for column in found.description]
                for values in found:
                    row = {column: _plain(value) for column, value in zip(columns, values, strict=True)}
                    packed.write(
                        (json.dumps({"table": name, "row": row}, ensure_ascii=False) + "\n").encode()
                    )
                    count += 1
    return count


def _plain(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def main(target: Path) -> None:
    """Fill, write, say where."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pearl.db"
        database = Database(f"sqlite:///{file}", inline=True)
        migrations.migrate(database)
        fill(Center(Path(folder) / "data", database=database, tick_s=1))
        database.close()
        count = dump(file, target)
    sys.stdout.write(f"{target}: {count} rows of schema {migrations.head()}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
