"""Archive of all data of one organisation: JSON, uploaded files, and logs and artefacts of its jobs.

Values of secrets are left out, because even the organisation's owners cannot read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import sqlalchemy as sa

from pearlstreet.base.clock import to_rfc3339
from pearlstreet.base.errors import NotFound
from pearlstreet.base.outcome import Done, Refused
from pearlstreet.base.text import from_json
from pearlstreet.compute.execution.tables import attempts
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.compute.jobs.tables import artefacts, jobs, uploads
from pearlstreet.compute.queueing.tables import shares
from pearlstreet.hub.approvals import WITHHELD
from pearlstreet.hub.tables import withheld
from pearlstreet.ledger.funds import read_balance
from pearlstreet.ledger.invoices.model import Invoice
from pearlstreet.ledger.invoices.pdf import to_pdf
from pearlstreet.ledger.site import read_buyer
from pearlstreet.ledger.tables import budgets, charges, invoices, spans, streams, top_ups, transactions
from pearlstreet.offboarding.packing import CHUNK, Packer
from pearlstreet.quotes.tables import quotes
from pearlstreet.storage.tables import quotas
from pearlstreet.store.core import Row, Store, Tx
from pearlstreet.store.tables import audit, state_events
from pearlstreet.tenancy.model import login_of
from pearlstreet.tenancy.tables import api_keys, memberships, orgs, projects, secrets, users

PAGE = 500
LABELS = ("actor", "asked_by", "decided_by", "owner", "requested_by", "updated_by")
"""Columns with a user's label, which includes the key or session used. The archive contains only the login name."""
README = """What this archive holds

  organisation.json    name, members, projects, API keys (never their secrets), names of secrets, limits, budgets
  jobs.jsonl           a line a job: specification, states, times
  attempts.jsonl       each try of a job: where it ran, how it ended
  events.jsonl         every change of a job's or an attempt's state
  logs/                what each task wrote: ATTEMPT/RANK.log
  artefacts/           files the jobs left: JOB/ATTEMPT/PATH
  uploads/             files that were brought: UPLOAD/NAME
  quotes.jsonl         what was asked and offered before a run
  statement.jsonl      every movement of money; amounts in micro-yuan (a millionth of a yuan)
  charges.jsonl, use.jsonl, top-ups.jsonl   what stands behind it
  invoices/            as JSON and PDF
  audit.jsonl          who did what in the organisation
  CONTENTS.json        each file's length and SHA-256

Results of jobs that are withheld, because they read data for use in jobs only, are not in it.

Times end in _us: microseconds since 1970 UTC.

本归档包含该组织的全部数据：作业、日志、产物、上传的文件、报价、账单与收支明细、审计记录。金额以微元（百万分之一元）计；
以 _us 结尾的时间为自 1970 年（UTC）起的微秒数。密钥与机密变量的内容不在其中。
"""


def write_archive(store: Store, runtime: Runtime, org_id: str) -> Iterator[bytes]:
    """Yield the bytes of the archive. Rows that are added meanwhile may be missing; the caller has checked rights."""
    packer = Packer(store.clock.now_us())
    yield from packer.content("README.txt", iter([README.encode()]))
    yield from packer.document("organisation.json", store.read(lambda tx: _organisation(tx, org_id)))
    for name, table, condition in _tables(org_id):
        yield from packer.rows(name, _rows(store, table, condition))
    for issued in _rows(store, invoices, invoices.c.org_id == org_id):
        shown = to_pdf(Invoice.from_json(issued["document"]), "zh_CN")
        yield from packer.document(f"invoices/{issued['number']}.json", issued["document"])
        yield from packer.content(f"invoices/{issued['number']}.pdf", iter([shown]))
    readable = attempts.c.owner_id.not_in(_withheld_jobs())
    for row in _rows(store, attempts, (attempts.c.org_id == org_id) & readable):
        for rank in range(len(row["placement"]["tasks"])):
            yield from packer.content(f"logs/{row['id']}/{rank}.log", _log(runtime, row, rank))
    yield from _files(store, runtime, packer, org_id)
    yield from packer.end()


def _files(store: Store, runtime: Runtime, packer: Packer, org_id: str) -> Iterator[bytes]:
    """Yield the artefacts and uploads, without those deleted already, of which only the row remains."""
    blobs = runtime.blobs
    for table, name_of in ((artefacts, _artefact_name), (uploads, _upload_name)):
        own = table.c.org_id == org_id
        if table is artefacts:
            own &= artefacts.c.job_id.not_in(_withheld_jobs())
        for row in _rows(store, table, own):
            try:
                content = blobs.read(row["sha256"])
            except NotFound:
                continue
            yield from packer.known(name_of(row), content, row["size_bytes"])


def _withheld_jobs() -> sa.Select[tuple[str]]:
    """Return the query of the jobs, and elements of arrays, whose results are withheld."""
    here = (withheld.c.job_id == jobs.c.id) | (withheld.c.job_id == jobs.c.array_id)
    return sa.select(jobs.c.id).join(withheld, here).where(withheld.c.state == WITHHELD)


def _artefact_name(row: Row) -> str:
    return f"artefacts/{row['job_id']}/{row['attempt_id']}/{row['path']}"


def _upload_name(row: Row) -> str:
    return f"uploads/{row['id']}/{row['name']}"


def _log(runtime: Runtime, attempt: Row, rank: int) -> Iterator[bytes]:
    engine = runtime.engines.get(attempt["engine"])
    offset = 0
    while engine is not None:
        answer = engine.read_log(attempt["id"], rank, offset=offset, limit=CHUNK)
        if isinstance(answer, Refused) or not isinstance(answer, Done) or not answer.value.data:
            return
        yield answer.value.data
        offset = answer.value.next_offset


def _tables(org_id: str) -> Sequence[tuple[str, sa.Table, sa.ColumnElement[bool]]]:
    own = sa.select(jobs.c.id).where(jobs.c.org_id == org_id)
    tried = sa.select(attempts.c.id).where(attempts.c.org_id == org_id)
    used = sa.select(streams.c.id).where(streams.c.org_id == org_id)
    about = state_events.c.entity_id
    return (
        ("jobs.jsonl", jobs, jobs.c.org_id == org_id),
        ("attempts.jsonl", attempts, attempts.c.org_id == org_id),
        ("events.jsonl", state_events, about.in_(own) | about.in_(tried) | (about == org_id)),
        (
            "artefacts.jsonl",
            artefacts,
            (artefacts.c.org_id == org_id) & artefacts.c.job_id.not_in(_withheld_jobs()),
        ),
        ("uploads.jsonl", uploads, uploads.c.org_id == org_id),
        ("quotes.jsonl", quotes, quotes.c.org_id == org_id),
        ("statement.jsonl", transactions, transactions.c.org_id == org_id),
        ("charges.jsonl", charges, charges.c.org_id == org_id),
        ("streams.jsonl", streams, streams.c.org_id == org_id),
        ("use.jsonl", spans, spans.c.stream_id.in_(used)),
        ("top-ups.jsonl", top_ups, top_ups.c.org_id == org_id),
        ("audit.jsonl", audit, audit.c.org_id == org_id),
    )


def _rows(store: Store, table: sa.Table, condition: sa.ColumnElement[bool]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table by its key, each page in a new snapshot, so that a long export keeps none open."""
    (key,) = table.primary_key.columns
    after: object = None
    while True:
        query = sa.select(table).where(condition).order_by(key).limit(PAGE)
        if after is not None:
            query = query.where(key > after)
        page = store.read(partial(_dicts, query=query))
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1][key.name]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row for JSON: without bytes (sealed values) and leases, with messages as English text."""
    plain = {str(name): value for name, value in row.items() if not isinstance(value, bytes)}
    for name in ("reason", "message", "memo"):
        if isinstance(plain.get(name), Mapping):
            plain[name] = str(from_json(plain[name]))
    for name in LABELS:
        if isinstance(plain.get(name), str):
            plain[name] = login_of(plain[name])
    if "lease_token" in plain:
        plain = {name: value for name, value in plain.items() if not name.startswith("lease_")}
    return plain


def _organisation(tx: Tx, org_id: str) -> dict[str, object]:
    row = tx.first(sa.select(orgs).where(orgs.c.id == org_id))
    assert row is not None
    members = sa.select(
        users.c.id,
        users.c.name,
        users.c.display_name,
        memberships.c.role,
        memberships.c.created_us,
    ).join_from(memberships, users, users.c.id == memberships.c.user_id)
    # The parent key is left out: it may be a user's key that is not tied to the organisation, which is private.
    own_keys = sa.select(
        *(column for column in api_keys.c if column.name not in ("secret_hash", "parent_id"))
    )
    named = sa.select(*(secrets.c[name] for name in ("id", "project_id", "name", "updated_us", "updated_by")))
    balance = read_balance(tx, org_id)
    return {
        "exported": to_rfc3339(tx.now_us),
        "organisation": dict(row),
        "members": _dicts(tx, members.where(memberships.c.org_id == org_id)),
        "projects": _dicts(tx, sa.select(projects).where(projects.c.org_id == org_id)),
        "keys": _dicts(tx, own_keys.where(api_keys.c.org_id == org_id)),
        "secrets": _dicts(tx, named.where(secrets.c.org_id == org_id)),
        "quotas": _dicts(tx, sa.select(quotas).where(quotas.c.org_id == org_id)),
        "shares": _dicts(tx, sa.select(shares).where(shares.c.org_id == org_id)),
        "budgets": _dicts(tx, sa.select(budgets).where(budgets.c.org_id == org_id)),
        "buyer": asdict(read_buyer(tx, org_id)),
        "balance_micro": balance.balance.micro,
        "credit_limit_micro": balance.credit_limit.micro,
    }


def _dicts(tx: Tx, query: sa.Select[object]) -> list[dict[str, object]]:
    return [_plain(row) for row in tx.rows(query)]
