"""A tenant leaves: everything of it is handed over, then nothing of it is left but the books and the audit log."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.offboarding.conftest import CANARY, OWN, PASSWORD, SHARED, Tenants, actor_of

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet.base.errors import Conflict, Forbidden, NotFound, Unauthenticated
from pearlstreet.base.money import Money
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.views import JobFilter, list_jobs
from pearlstreet.ledger.budgets import Budget, set_budget
from pearlstreet.ledger.funds import read_balance
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.statement import read_statement
from pearlstreet.offboarding import service
from pearlstreet.offboarding.erasure import ERASED, KEPT
from pearlstreet.offboarding.model import Closing, Phase
from pearlstreet.store import audit
from pearlstreet.store.core import Store
from pearlstreet.store.tables import metadata
from pearlstreet.tenancy import invitations, keys, orgs, sessions, users
from pearlstreet.tenancy.model import SYSTEM, Standing

both_databases = pytest.mark.parametrize("tenants", ["sqlite", "postgresql"], indirect=True)


def close(tenants: Tenants, **options: Any) -> Closing:
    """Ask for the end, and have the loop and the center go on until it is there."""
    service.close_org(tenants.store, SYSTEM, "acme", **options)
    closer = tenants.closer()
    for _ in range(100):
        closer.cycle(tenants.store)
        found = service.get_closing(tenants.store, SYSTEM, "acme")
        if found.phase is Phase.CLOSED:
            return found
        for _ in range(5):
            tenants.center.step()
    raise AssertionError(found)


def members(packed: bytes) -> dict[str, bytes]:
    """An archive's files, each compared with the archive's own list of contents."""
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        found = {item.name: (tar.extractfile(item) or io.BytesIO()).read() for item in tar}
    listed = json.loads(found.pop("CONTENTS.json"))["members"]
    assert {item["name"]: item["sha256"] for item in listed} == {
        name: hashlib.sha256(content).hexdigest() for name, content in found.items()
    }
    return found


def everything(store: Store, *without: str) -> str:
    """All the database holds, as text."""
    parts = []
    for table in metadata.sorted_tables:
        if table.name not in without:
            rows = store.read(lambda tx, table=table: tx.rows(sa.select(table)))
            parts += [repr(dict(row)) for row in rows]
    return "\n".join(parts)


def test_every_table_is_erased_or_kept_for_a_reason() -> None:
    erased = {table.name for table, _ in ERASED}
    assert erased | KEPT.keys() == set(metadata.tables)
    assert not erased & KEPT.keys()


@both_databases
def test_nothing_is_left_but_the_books_and_the_audit_log(tenants: Tenants) -> None:
    store = tenants.store
    before = store.read(lambda tx: [row.amount for row in read_statement(tx, tenants.center.org.id)])
    assert CANARY in everything(store, "audit", "ledger_invoices")
    ended = close(tenants)
    # Invoices say for ever who bought; the audit log who did what.
    left = everything(store, "audit", "ledger_invoices")
    assert CANARY not in left, [line for line in left.splitlines() if CANARY in line]
    assert not tenants.path(OWN).exists()
    assert tenants.path(SHARED).read_bytes() == SHARED
    for job in tenants.jobs:
        with pytest.raises(NotFound):
            tenants.center.job(job)
    assert list_jobs(store, SYSTEM, JobFilter(org="other"))
    assert [row.amount for row in store.read(lambda tx: read_statement(tx, ended.org_id))] == before
    assert store.read(lambda tx: read_balance(tx, ended.org_id)).balance == ended.balance
    report = store.read(prove)
    assert report.is_right, report.problem
    assert store.read(audit.verify).problem is None
    assert len(ended.invoices) == 1


@both_databases
def test_the_archive_holds_everything_and_is_kept_for_a_while(tenants: Tenants) -> None:
    ended = close(tenants)
    assert ended.archive is not None
    file = tenants.center.runtime.folders.root / service.FOLDER / ended.archive.name
    packed = file.read_bytes()
    assert (len(packed), hashlib.sha256(packed).hexdigest()) == (
        ended.archive.size_bytes,
        ended.archive.sha256,
    )
    found = members(packed)
    organisation = json.loads(found["organisation.json"])
    assert {member["name"] for member in organisation["members"]} == {CANARY, "both"}
    assert [item["name"] for item in organisation["secrets"]] == ["TOKEN"]
    written = b"\n".join(found.values())
    assert f"{CANARY} secret".encode() not in written
    assert b"secret_hash" not in written
    jobs = [json.loads(line) for line in found["jobs.jsonl"].splitlines()]
    assert {job["id"] for job in jobs} >= set(tenants.jobs)
    assert any(job["spec"] and job["spec"].get("variables") == {"WHO": CANARY} for job in jobs)
    assert found[f"artefacts/job_1/att_1/out/{CANARY}.txt"] == OWN
    uploads = {
        name.split("/", 2)[2]: content for name, content in found.items() if name.startswith("uploads/")
    }
    assert uploads == {f"{CANARY}.txt": OWN} or set(uploads.values()) <= {OWN, SHARED}
    assert sum(name.startswith("logs/") for name in found) == 4
    assert {name.rsplit(".", 1)[1] for name in found if name.startswith("invoices/")} == {"json", "pdf"}
    assert len(found["statement.jsonl"].splitlines()) > 1
    assert b"org.create" in found["audit.jsonl"]
    again = b"".join(service.export_org(tenants.store, SYSTEM, tenants.center.runtime, "acme")[1])
    assert again == packed
    tenants.center.clock.advance(31 * 86_400)
    tenants.closer().cycle(tenants.store)
    assert not file.exists()
    with pytest.raises(Conflict, match="no archive of acme"):
        service.export_org(tenants.store, SYSTEM, tenants.center.runtime, "acme")


def test_members_are_out_from_the_first_moment_and_told_why(tenants: Tenants) -> None:
    store = tenants.store
    owner = actor_of(store, tenants.own_key)
    service.close_org(store, SYSTEM, "acme")
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="closed"):
            actor_of(store, tenants.own_key)
        tenants.closer().cycle(store)
    with pytest.raises(NotFound):
        orgs.get_org(store, actor_of(store, tenants.both_key), "acme")
    assert orgs.get_org(store, actor_of(store, tenants.both_key), "other").state is Standing.ACTIVE
    # Somebody who was let in a moment before writes nothing any more.
    with pytest.raises(Conflict, match="acme is closed"):
        orgs.create_project(store, owner, "acme", "late")
    assert sessions.sign_in(store, "both", PASSWORD, peer="::1").user.name == "both"


def test_a_password_does_not_open_a_closing_organisation(tenants: Tenants) -> None:
    service.close_org(tenants.store, SYSTEM, "acme")
    with pytest.raises(Unauthenticated, match="The organisation acme is closed"):
        sessions.sign_in(tenants.store, CANARY, PASSWORD, peer="::1")


def test_a_closed_slug_is_never_given_out_again_and_asking_again_changes_nothing(tenants: Tenants) -> None:
    ended = close(tenants)
    lines = tenants.store.read(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(audit.audit)))
    assert service.close_org(tenants.store, SYSTEM, "acme") == ended
    assert close(tenants) == ended
    assert lines == tenants.store.read(
        lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(audit.audit))
    )
    with pytest.raises(Conflict, match="acme is taken"):
        orgs.create_org(tenants.store, SYSTEM, "acme")
    for move in (orgs.suspend_org, orgs.resume_org):
        with pytest.raises(Conflict):
            move(tenants.store, SYSTEM, "acme")
    with pytest.raises(Conflict, match="acme is closed"):
        invitations.invite(tenants.store, SYSTEM, "acme", "both", has_mail=False)


def test_jobs_that_run_keep_it_open_unless_they_are_to_be_cancelled(tenants: Tenants) -> None:
    center = tenants.center
    card = {"accelerator": "H100", "count": 1, "cpus": 1, "memory_gib": 1}
    running = center.submit(per_task=card, simulate="900s", time_limit="1h")
    array = center.submit(per_task=card, array={"size": 40}, simulate="900s", time_limit="1h")
    center.run(30)
    with pytest.raises(Conflict, match="acme has 2 jobs") as refused:
        service.close_org(tenants.store, SYSTEM, "acme")
    assert "--cancel-jobs" in str(refused.value.hint)
    assert center.job(running).state is JobState.RUNNING
    ended = close(tenants, cancel_jobs=True)
    assert ended.phase is Phase.CLOSED
    assert center.held_devices() == 0
    with pytest.raises(NotFound):
        center.job(array)
    center.check_books()


def test_only_an_operator_ends_a_tenant_and_only_owners_take_its_data(tenants: Tenants) -> None:
    owner = actor_of(tenants.store, tenants.own_key)
    with pytest.raises(Forbidden):
        service.close_org(tenants.store, owner, "acme")
    with pytest.raises(NotFound):
        service.export_org(tenants.store, owner, tenants.center.runtime, "other")
    member = replace(owner, orgs={tenants.center.org.id: users.OrgRole.MEMBER})
    with pytest.raises(Forbidden):
        service.export_org(tenants.store, member, tenants.center.runtime, "acme")
    with pytest.raises(NotFound, match="not being closed"):
        service.get_closing(tenants.store, SYSTEM, "acme")


def test_an_owner_takes_everything_along_while_jobs_run(tenants: Tenants) -> None:
    center = tenants.center
    owner = actor_of(tenants.store, tenants.own_key)
    running = center.submit(simulate="900s", time_limit="1h")
    center.run(10)
    name, chunks = service.export_org(tenants.store, owner, center.runtime, "acme")
    assert name == "acme-export.tar.gz"
    found = members(b"".join(chunks))
    assert running.encode() in found["jobs.jsonl"]
    assert center.job(running).state is JobState.RUNNING
    other = tenants.store.read(
        lambda tx: tx.scalar(sa.select(orgs.orgs.c.id).where(orgs.orgs.c.slug == "other"))
    )
    assert str(other).encode() not in b"".join(found.values())
    assert "org.export" in everything(tenants.store)


class _Killed(BaseException):
    """The server dies here."""


def _dying(store: Store, after: int) -> Store:
    """A store whose writes number `after` and beyond never happen."""

    class Dying(Store):
        def write(self, command: Any) -> Any:
            nonlocal after
            after -= 1
            if after < 0:
                raise _Killed
            return super().write(command)

    return Dying(store.database, clock=store.clock, rng=store.rng, hints=store.hints, sealer=store.sealer)


def test_a_server_that_dies_at_any_step_goes_on_where_it_was(tenants: Tenants) -> None:
    """Killed before each of its writes in turn, and again before the same one, it still ends the tenant whole."""
    service.close_org(tenants.store, SYSTEM, "acme")
    phases = []
    for survived in (0, 0, 1, 0, 1, 0, 1, 0):
        with pytest.raises(_Killed):
            tenants.closer().cycle(_dying(tenants.store, survived))
        phases.append(service.get_closing(tenants.store, SYSTEM, "acme").phase)
        if len(phases) == 7:
            break
    assert phases[-1] is Phase.ERASING
    ended = close(tenants)
    assert ended.archive is not None
    file = tenants.center.runtime.folders.root / service.FOLDER / ended.archive.name
    assert f"{CANARY} job".encode() in members(file.read_bytes())["jobs.jsonl"]
    assert CANARY not in everything(tenants.store, "audit", "ledger_invoices")
    assert len(ended.invoices) == 1
    tenants.center.check_books()


def test_an_archive_that_cannot_be_written_erases_nothing(tenants: Tenants, tmp_path: Path) -> None:
    service.close_org(tenants.store, SYSTEM, "acme")
    place = tenants.center.runtime.folders.root / service.FOLDER
    place.write_text("a file is in the way of the folder")
    closer = tenants.closer()
    closer.cycle(tenants.store)
    assert service.get_closing(tenants.store, SYSTEM, "acme").phase is Phase.ARCHIVING
    assert tenants.center.job(tenants.jobs[0]).state is JobState.SUCCEEDED
    assert "close_orgs" in everything(tenants.store)
    place.unlink()
    assert close(tenants).phase is Phase.CLOSED


def test_a_file_that_may_be_another_tenants_is_left_for_later(tenants: Tenants) -> None:
    service.close_org(tenants.store, SYSTEM, "acme")
    careful = tenants.closer()
    careful.fresh_s = 1e12
    careful.cycle(tenants.store)
    assert service.get_closing(tenants.store, SYSTEM, "acme").phase is Phase.ERASING
    assert tenants.path(OWN).exists()
    assert close(tenants).phase is Phase.CLOSED
    assert not tenants.path(OWN).exists()


def test_a_long_log_and_a_file_that_is_gone_do_not_break_the_archive(tenants: Tenants) -> None:
    tenants.path(OWN).unlink()
    packed = b"".join(service.export_org(tenants.store, SYSTEM, tenants.center.runtime, "acme")[1])
    found = members(packed)
    assert f"artefacts/job_1/att_1/out/{CANARY}.txt" not in found
    assert gzip.decompress(packed).endswith(bytes(1024))


def _neighbour(tenants: Tenants) -> str:
    """Give `other` a project, a key tied to it, and a budget; return its id."""
    store = tenants.store
    other = orgs.get_org(store, SYSTEM, "other")
    orgs.create_project(store, SYSTEM, "other", "research", "Research")
    keys.create_key(
        store, actor_of(store, tenants.both_key), "other tied", scopes=("jobs:read",), org="other"
    )
    keys.create_key(
        store, actor_of(store, tenants.own_key), f"{CANARY} tied", scopes=("jobs:read",), org="acme"
    )
    set_budget(store, SYSTEM, Budget(other.id, other.id, Money(7)))
    return other.id


def _rows_of(store: Store, org_id: str) -> dict[str, list[str]]:
    """Every row that names an organisation, by table."""
    found = {}
    for table in metadata.sorted_tables:
        rows = store.read(lambda tx, table=table: tx.rows(sa.select(table)))
        found[table.name] = sorted(repr(dict(row)) for row in rows if org_id in repr(dict(row)))
    return found


def test_a_neighbour_keeps_every_row(tenants: Tenants) -> None:
    other_id = _neighbour(tenants)
    tenants.center.run(60)
    before = _rows_of(tenants.store, other_id)
    close(tenants)
    after = _rows_of(tenants.store, other_id)
    assert before["projects"] and before["api_keys"] and before["ledger_budgets"]
    changed = {name for name, rows in before.items() if not set(rows) <= set(after[name])}
    assert changed <= {"fair_use"}, "only its decayed usage goes on by itself"


def test_keys_and_budgets_of_the_archive_are_its_own_and_hold_no_hash(tenants: Tenants) -> None:
    other_id = _neighbour(tenants)
    ended = close(tenants)
    assert ended.archive is not None
    packed = (tenants.center.runtime.folders.root / service.FOLDER / ended.archive.name).read_bytes()
    organisation = json.loads(members(packed)["organisation.json"])
    assert [key["label"] for key in organisation["keys"]] == [f"{CANARY} tied"]
    assert not {"secret_hash", "parent_id"} & set(organisation["keys"][0])
    assert [budget["org_id"] for budget in organisation["budgets"]] == [ended.org_id]
    assert other_id not in json.dumps(organisation)
