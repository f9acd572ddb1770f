"""What the tests of the closing room share: a center with two tenants that have something of everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.joining import join
from tests.store.jobs import harness

from pearlstreet.base.money import Money, parse_yuan
from pearlstreet.compute.jobs.tables import artefacts
from pearlstreet.compute.jobs.uploads import find_place, keep_bytes, record_upload
from pearlstreet.ledger.budgets import Budget, set_budget
from pearlstreet.ledger.model import Party
from pearlstreet.ledger.site import set_buyer
from pearlstreet.ledger.topups import top_up
from pearlstreet.offboarding.loop import OffboardingLoop
from pearlstreet.store.core import Store, Tx
from pearlstreet.tenancy import keys, orgs, secrets, users
from pearlstreet.tenancy.authentication import authenticate
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.notices.tables import preferences, webhooks
from pearlstreet.tenancy.scopes import OrgRole
from pearlstreet.tenancy.sessions import set_password

PASSWORD = "a long enough password"
CANARY = "kingfisher"
"""In everything of the leaving tenant that names a person or holds a thought of theirs."""
SHARED, OWN = b"both tenants have this", b"only kingfisher has this"


@dataclass
class Tenants:
    """`acme` leaves, `other` stays; `both` works in the two."""

    center: harness.Center
    own_key: str = ""
    both_key: str = ""
    jobs: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.center.store

    def closer(self) -> OffboardingLoop:
        """The loop; on the virtual clock every file is old enough."""
        return OffboardingLoop(self.center.runtime, fresh_s=-1e12)

    def path(self, content: bytes) -> Path:
        """Where a blob would lie."""
        import hashlib

        name = hashlib.sha256(content).hexdigest()
        return self.center.runtime.folders.blobs / name[:2] / name


@pytest.fixture
def tenants(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tenants]:
    database = None
    if getattr(request, "param", "sqlite") == "postgresql":
        database = request.getfixturevalue("postgres_store").database
    center = harness.Center(tmp_path / "data", database=database, tick_s=2)
    made = Tenants(center)
    _fill(made)
    yield made
    while harness.opened:
        harness.opened.pop().close()


def _fill(made: Tenants) -> None:
    center, store = made.center, made.center.store
    other = orgs.create_org(store, SYSTEM, "other", "Other")
    top_up(store, SYSTEM, other.id, parse_yuan("500"))
    orgs.rename_org(store, SYSTEM, "acme", f"{CANARY} works")
    for name, where in ((CANARY, ["acme"]), ("both", ["acme", "other"])):
        invited = users.create_user(
            store, SYSTEM, name, display_name=f"{name} person", email=f"{name}@example.com", org=where[0],
            role=OrgRole.OWNER,
        )  # fmt: skip
        for more in where[1:]:
            join(store, name, more, OrgRole.OWNER)
        set_password(store, invited.token, PASSWORD)
        key = keys.create_key(store, SYSTEM, f"{name} laptop", for_user=invited.user.id)
        setattr(made, "own_key" if name == CANARY else "both_key", key.credential)
    secrets.set_secret(store, SYSTEM, "acme", "TOKEN", f"{CANARY} secret")
    set_budget(store, SYSTEM, Budget(center.org.id, center.org.id, Money(10**9)))
    set_buyer(store, SYSTEM, center.org.id, Party(name=f"{CANARY} ltd", phone="123"))
    _add_files(made, other.id)
    store.write(lambda tx: _add_notices(tx, center.org.id))
    card = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
    made.jobs = [
        center.submit(name=f"{CANARY} job", per_task=card, simulate="20s", variables={"WHO": CANARY}),
        center.submit(per_task=card, array={"size": 3}, simulate="10s"),
    ]
    center.finish(*made.jobs)
    center.finish(center.submit("other", per_task=card, simulate="20s"))
    center.run(10)


def _add_files(made: Tenants, other_id: str) -> None:
    store, runtime = made.center.store, made.center.runtime
    for org_id, content in ((made.center.org.id, SHARED), (made.center.org.id, OWN), (other_id, SHARED)):
        name = f"{CANARY}.txt" if org_id != other_id else "x.txt"
        with runtime.uploads.begin() as own:
            place = find_place(store, SYSTEM, runtime, org_id, None, None, own)
            blob = keep_bytes(store, runtime, iter([content]), f"t{org_id}{len(content)}", place, own)
            record_upload(store, SYSTEM, runtime, place, name, blob)
    blob = runtime.blobs.keep(iter([OWN]), "one", limit_bytes=1000)
    row = {"id": "art_1", "org_id": made.center.org.id, "job_id": "job_1", "attempt_id": "att_1"}
    row |= {"path": f"out/{CANARY}.txt", "size_bytes": blob.size_bytes, "sha256": blob.sha256, "at_us": 1}
    store.write(lambda tx: tx.execute(sa.insert(artefacts).values(**row)))


def _add_notices(tx: Tx, org_id: str) -> None:
    tx.execute(
        sa.insert(preferences).values(
            owner_id=org_id, language="en", email=f"{CANARY}@example.com", code_tries=0, kinds={},
            updated_us=1, updated_by=CANARY,
        )
    )  # fmt: skip
    tx.execute(
        sa.insert(webhooks).values(
            id="hook_1", owner_id=org_id, url=f"https://{CANARY}.example.com", kinds=[], secret=b"x",
            state="active", created_us=1, created_by=CANARY, failures=0,
        )
    )  # fmt: skip


def actor_of(store: Store, credential: str):  # type: ignore[no-untyped-def]
    """Who a key belongs to."""
    return authenticate(store, credential)
