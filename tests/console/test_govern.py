"""The operators' pages of tenants and money, the audit log and the center's settings."""

from __future__ import annotations

import json
from html import unescape

import pytest

from pearlstreet.store import audit
from pearlstreet.store.core import Tx
from pearlstreet.store.tables import audit as audit_rows
from tests.console.visitors import Console, words

HOSTILE = """<script>alert("x")</script>'"&"""


def balance(console: Console, org: str) -> str:
    return str(console.world.get(f"/orgs/{org}/balance", "system").json()["balance"])


def test_an_organisation_is_made_renamed_suspended_and_resumed(console: Console) -> None:
    system = console.visitor("system")
    form = {"slug": "gamma", "name": HOSTILE, "once": "org-1"}
    assert system.post("/orgs", "create", form).headers["location"] == "/orgs/gamma"
    assert "already done" in words(system.get(system.post("/orgs", "create", form).headers["location"]))
    for path in ("/orgs", "/orgs?q=gam", "/orgs/gamma", "/credit"):
        page = system.get(path).text
        assert "<script>alert" not in page, path
        assert HOSTILE in unescape(page), path
    assert "gamma" not in system.get("/orgs?q=acme").text
    system.post("/orgs/gamma", "rename", {"name": "Gamma Rays"})
    assert "Gamma Rays" in words(system.get("/orgs/gamma"))
    system.post("/orgs/gamma", "suspend", {"reason": "unpaid"})
    assert "gamma" in system.get("/orgs?state=suspended").text
    assert "suspended" in words(system.get("/orgs/gamma"))
    system.post("/orgs/gamma", "resume", {"reason": "paid"})
    assert "gamma is active again" in words(system.get("/orgs/gamma"))
    assert "gamma" not in words(system.get("/orgs?state=suspended"))


def test_a_slug_that_is_taken_or_wrong_keeps_what_was_typed(console: Console) -> None:
    system = console.visitor("system")
    for slug, status in (("acme", 409), ("No Slug!", 422)):
        answer = system.post("/orgs", "create", {"slug": slug, "name": "A title"})
        assert answer.status_code == status
        assert f'value="{slug}"' in answer.text
        assert 'value="A title"' in answer.text
    assert system.get("/orgs/no-such").status_code == 404


def test_who_may_look_at_organisations_may_not_therefore_change_them(console: Console) -> None:
    security, auditor = console.visitor("security"), console.visitor("audit")
    page = words(security.get("/orgs/acme"))
    assert "owner" in page
    assert "Balance" not in page, "no money for the security operator"
    assert "Balance" in words(auditor.get("/orgs/acme"))
    for visitor in (security, auditor):
        assert 'value="suspend"' not in visitor.get("/orgs/acme").text
        assert visitor.post("/orgs/acme", "suspend", {"reason": "x"}).status_code == 403
        assert visitor.post("/orgs", "create", {"slug": "delta"}).status_code == 403


def test_credit_below_the_limit_is_booked_at_once_and_once(console: Console) -> None:
    system, before = console.visitor("system"), float(balance(console, "beta"))
    form = {"give_org": "beta", "give_amount": "12.50", "give_memo": HOSTILE, "once": "give-1"}
    assert system.post("/credit", "give", form).headers["location"] == "/credit"
    system.post("/credit", "give", form)
    assert float(balance(console, "beta")) == before + 12.5
    page = system.get("/credit").text
    assert "<script>alert" not in page
    assert HOSTILE in unescape(page)


def test_credit_above_the_limit_waits_for_somebody_else(console: Console) -> None:
    system, before = console.visitor("system"), float(balance(console, "acme"))
    answer = system.post("/credit", "give", {"give_org": "acme", "give_amount": "20000", "once": "give-2"})
    assert "waits for a second approval" in words(system.get(answer.headers["location"]))
    assert "Requested by you: another person must approve it" in words(system.get("/credit"))
    (waiting,) = console.world.get("/credit?state=pending", "system").json()["items"]
    refused = system.post("/credit", "approve", {"top_up": waiting["id"]})
    assert refused.status_code == 403
    assert "another operator" in words(refused)
    assert console.visitor("audit").post("/credit", "approve", {"top_up": waiting["id"]}).status_code == 403
    second = second_operator(console)
    assert 'value="approve"' in console.visitor(second).get("/credit").text
    console.visitor(second).post("/credit", "approve", {"top_up": waiting["id"]})
    assert float(balance(console, "acme")) == before + 20_000
    again = console.visitor(second).post("/credit", "reject", {"top_up": waiting["id"]})
    assert again.status_code == 409


def second_operator(console: Console) -> str:
    """Another system operator, with a password."""
    made = console.world.post("/users", "security", json={"name": "deputy", "operator_role": "system"})
    assert made.status_code == 201, made.text
    console.set_password("deputy")
    return "deputy"


@pytest.mark.parametrize(
    ("do", "form", "said"),
    [
        ("give", {"give_org": "acme", "give_amount": "ten"}, "ten is not an amount of yuan"),
        ("give", {"give_org": "acme", "give_amount": "-5"}, "The amount must be above 0"),
        ("give", {"give_org": "", "give_amount": "5"}, "Choose an organisation"),
        ("give", {"give_org": "no-such", "give_amount": "5"}, "No organisation no-such"),
        ("correct", {"fix_org": "acme", "fix_amount": "5", "fix_memo": ""}, "Enter the reason"),
        (
            "correct",
            {"fix_org": "acme", "fix_amount": "99999", "fix_memo": "x", "fix_reference": "r"},
            "must be made as a top-up",
        ),
        ("limit", {"limit_org": "acme", "limit_amount": "-1"}, "A credit limit is 0 or more"),
    ],
)
def test_money_that_cannot_be_keeps_what_was_typed(
    console: Console, do: str, form: dict[str, str], said: str
) -> None:
    before = balance(console, "acme")
    answer = console.visitor("system").post("/credit", do, form)
    assert answer.status_code in (403, 422)
    assert said in words(answer)
    for name, value in form.items():
        assert f'name="{name}"' in answer.text
        assert f'value="{value}"' in answer.text
    assert balance(console, "acme") == before


def test_a_correction_is_booked_once_by_its_reference(console: Console) -> None:
    system, before = console.visitor("system"), float(balance(console, "beta"))
    form = {
        "fix_org": "beta",
        "fix_amount": "-2.25",
        "fix_memo": "charged twice",
        "fix_reference": "ticket-1",
    }
    for _ in range(2):
        assert system.post("/credit", "correct", form).status_code == 303
    assert float(balance(console, "beta")) == before - 2.25


def test_a_limit_lets_an_organisation_go_below_zero(console: Console) -> None:
    system = console.visitor("system")
    system.post("/credit", "limit", {"limit_org": "beta", "limit_amount": "300"})
    assert console.world.get("/orgs/beta/balance", "system").json()["credit_limit"] == "300.00"
    assert "beta" in words(system.get("/credit?q=bet"))
    shown = system.get("/credit?q=beta&short=1").text
    assert "No matching organisations" in unescape(shown)
    system.post("/credit", "limit", {"limit_org": "beta", "limit_amount": "0"})


def test_the_audit_log_is_searched_and_taken_away(console: Console) -> None:
    auditor = console.visitor("audit")
    console.world.post("/nodes/h100-0002/drain", "system", json={"reason": HOSTILE})
    console.world.post("/nodes/h100-0002/undrain", "system")
    page = auditor.get("/audit?action=node.*")
    assert "node.drain" in page.text
    assert "org.create" not in page.text
    assert "<script>alert" not in page.text
    assert "h100-0002" in page.text
    assert "No matching entries" in words(auditor.get("/audit?actor=nobody"))
    assert "No matching entries" in words(auditor.get("/audit?to=2001-01-01T00:00"))
    wrong = auditor.get("/audit?from=yesterday")
    assert wrong.status_code == 422
    assert "yesterday is not a date and time" in words(wrong)
    file = auditor.get("/audit/export?action=node.*")
    assert file.headers["content-disposition"].startswith("attachment")
    rows = [json.loads(line) for line in file.text.splitlines()]
    assert {row["action"] for row in rows} == {"node.drain", "node.undrain"}
    assert HOSTILE in {row["details"]["reason"] for row in rows}


def test_the_audit_log_names_the_targets(console: Console) -> None:
    auditor = console.visitor("audit")
    for action, name in (("org.create", "acme"), ("user.create", "owner")):
        rows = console.world.get(f"/audit?action={action}", "audit").json()["items"]
        found = next(row for row in rows if row["target_name"] == name)
        page = auditor.get(f"/audit?action={action}&target={found['target']}")
        assert f'title="{found["target"]}">{name}</a>' in page.text


def test_an_export_goes_on_behind_the_rows_read_at_once(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pearlstreet.console.pages.audit.AT_ONCE", 2)
    rows = [
        json.loads(line)["seq"] for line in console.visitor("audit").get("/audit/export").text.splitlines()
    ]
    assert len(rows) > 6
    assert rows == list(range(rows[0], 0, -1))


def test_an_owner_reads_the_own_organisation_s_part(console: Console) -> None:
    owner = console.visitor("owner")
    ids = {org["slug"]: org["id"] for org in console.world.get("/orgs", "system").json()["items"]}
    rows = [json.loads(line) for line in owner.get("/audit/export").text.splitlines()]
    assert {row["org_id"] for row in rows} == {ids["acme"]}
    assert 'value="verify"' not in owner.get("/audit").text
    assert owner.post("/audit", "verify").status_code == 403
    assert owner.get("/audit?org=beta").status_code in (200, 404)
    assert ids["beta"] not in owner.get("/audit/export?org=beta").text
    assert console.visitor("viewer").get("/audit").status_code == 403


def test_verify_says_that_all_is_well_and_where_it_is_not(console: Console) -> None:
    auditor, store = console.visitor("audit"), console.world.center.store
    well = words(auditor.post("/audit", "verify"))
    assert "none changed, deleted or reordered" in well
    assert "every balance follows from its postings" in well
    head = store.read(audit.verify).head
    assert head in well
    found = store.read(lambda tx: tx.first(audit_rows.select().where(audit_rows.c.seq == 3)))
    assert found is not None

    def change(tx: Tx, actor: str) -> None:
        tx.execute(audit_rows.update().where(audit_rows.c.seq == 3).values(actor=actor))

    store.write(lambda tx: change(tx, "somebody else"))
    try:
        assert "Broken from row 3 on" in words(auditor.post("/audit", "verify"))
    finally:
        store.write(lambda tx: change(tx, found["actor"]))


def test_the_billing_settings_are_changed_or_kept_in_the_form(console: Console) -> None:
    system = console.visitor("system")
    form = {
        "seller.name": HOSTILE,
        "seller.tax_id": "91310000MA1FL00000",
        "tax_rate_percent": "6.5",
        "time_zone": "Asia/Shanghai",
        "approval_above": "10000",
        "invoice_prefix": "PS",
    }
    assert system.post("/settings", "bill", form).headers["location"] == "/settings"
    kept = console.world.get("/billing", "system").json()
    assert (kept["seller"]["name"], kept["tax_rate_bp"]) == (HOSTILE, 650)
    page = system.get("/settings").text
    assert "<script>alert" not in page
    assert 'value="6.5"' in page
    for name, value, said in (
        ("tax_rate_percent", "60", "between 0 and 50"),
        ("tax_rate_percent", "6.123", "at most two decimals"),
        ("tax_rate_percent", "nan", "between 0 and 50"),
        ("time_zone", "Mars/Base", "There is no time zone Mars/Base"),
        ("invoice_prefix", "too long", "capital letters"),
        ("seller.tax_id", "12", "A taxpayer number has"),
        ("approval_above", "much", "much is not an amount"),
    ):
        answer = system.post("/settings", "bill", form | {name: value})
        assert answer.status_code == 422, name
        assert said in words(answer)
        assert f'value="{value}"' in answer.text
    assert console.world.get("/billing", "system").json() == kept
    assert console.visitor("security").post("/settings", "bill", form).status_code == 403


def test_a_backup_is_made_and_listed(console: Console) -> None:
    system = console.visitor("system")
    for _ in range(2):  # the same form twice
        system.post("/settings", "backup", {"once": "backup-1"})
    (made,) = console.world.get("/backups", "system").json()["items"]
    assert made["name"] in system.get("/settings").text
    assert console.visitor("security").post("/settings", "backup").status_code == 403
    assert made["name"] not in console.visitor("security").get("/settings").text


@pytest.mark.parametrize(
    "path",
    ["/orgs", "/orgs/acme", "/credit", "/settings", "/audit", "/quotas", "/prices", "/nodes", "/incidents"],
)
def test_pages_speak_chinese(console: Console, path: str) -> None:
    role = "audit" if path == "/audit" else "system"
    page = console.visitor(role, language="zh-CN").get(path)
    assert page.status_code == 200
    assert 'lang="zh-CN"' in page.text


def test_an_organisation_s_data_is_taken_away_by_those_who_may(console: Console) -> None:
    for role in ("owner", "system"):
        file = console.visitor(role).get("/orgs/acme/export")
        assert file.status_code == 200
        assert "acme-export.tar.gz" in file.headers["content-disposition"]
        assert file.content[:2] == b"\x1f\x8b"
    assert console.visitor("stranger").get("/orgs/acme/export").status_code == 404
    assert console.visitor("viewer").get("/orgs/acme/export").status_code == 403


def test_a_tenant_is_closed_by_who_writes_its_name(console: Console) -> None:
    system = console.visitor("system")
    system.post("/orgs", "create", {"slug": "leaving"})
    form = {"slug_again": "leavin", "close_reason": "moved away", "cancel_jobs": "no"}
    refused = system.post("/orgs/leaving", "close", form)
    assert refused.status_code == 422
    assert "Enter leaving to close it" in words(refused)
    assert 'value="moved away"' in refused.text
    assert console.world.get("/orgs/leaving", "system").json()["state"] == "active"
    assert (
        console.visitor("security")
        .post("/orgs/leaving", "close", form | {"slug_again": "leaving"})
        .status_code
        == 403
    )
    assert system.post("/orgs/leaving", "close", form | {"slug_again": "leaving"}).status_code == 303
    page = words(system.get("/orgs/leaving"))
    assert "Closing of this organisation" in page
    assert "moved away" in page
    assert console.world.get("/orgs/leaving", "system").json()["state"] in ("closing", "closed")
    assert 'value="suspend"' not in system.get("/orgs/leaving").text
