"""People, keys, secrets and money, by the commands, against a real server."""

from __future__ import annotations

import subprocess
from decimal import Decimal
from pathlib import Path

from tests.cli.center import PASSWORD, Center, Pearl, command, until
from tests.months import present_month


def test_who_one_is(ada: Pearl) -> None:
    me = ada.right("whoami", "--json").value
    assert me["user"]["name"] == "ada"
    assert [(org["slug"], org["role"]) for org in me["orgs"]] == [("acme", "owner")]
    assert "acme (owner)" in ada.right("whoami").out
    assert "acme（所有者）" in ada.right("whoami", PEARL_LANG="zh-CN").out.replace(" (", "（").replace(
        ")", "）"
    )


def test_the_profile_is_for_its_owner_only(ada: Pearl) -> None:
    assert Path(ada.variables["PEARL_CONFIG"]).stat().st_mode & 0o077 == 0


def test_keys_are_shown_once_and_end_when_revoked(ada: Pearl) -> None:
    key = ada.right("keys", "create", "ci", "--days", "3").out.strip()
    found = [row for row in ada.right("keys", "list", "--json").rows if row["label"] == "ci"]
    assert key not in str(found)
    assert ada.right("whoami", "--json", PEARL_KEY=key).value["key_id"] == found[0]["id"]
    ada.right("keys", "revoke", found[0]["id"], "--yes")
    assert ada("whoami", PEARL_KEY=key).code == 1


def test_secrets_are_never_shown(ada: Pearl) -> None:
    ada.right("secrets", "set", "TOKEN", stdin="hush\n")
    listed = ada.right("secrets", "list")
    assert "TOKEN" in listed.out
    assert "hush" not in listed.out
    ada.right("secrets", "delete", "TOKEN", "--yes")
    assert ada.right("secrets", "list", "--json").rows == []


def test_projects(ada: Pearl) -> None:
    ada.right("projects", "create", "vision", "--name", "Vision")
    assert {row["slug"] for row in ada.right("projects", "list", "--json").rows} == {"default", "vision"}


def test_a_password_can_be_changed_and_a_member_come_and_go(center: Center, ada: Pearl) -> None:
    security = center.as_("security")
    token = security.right("users", "create", "bob").out.strip()
    bob = center.profile("bob")
    bob.right("users", "set-password", stdin=f"{token}\n{PASSWORD}\n")
    bob.right("login", "--user", "bob", stdin=f"{PASSWORD}\n")
    del bob.variables["PEARL_KEY"]
    assert "bob is invited to acme as viewer" in ada.right("orgs", "invite", "bob", "--role", "viewer").err
    assert [row["user"] for row in ada.right("orgs", "members", "--json").rows] == ["ada"]
    assert [row["invitee"] for row in ada.right("orgs", "invitations", "--json").rows] == ["bob"]
    (offer,) = bob.right("invitations", "list", "--json").rows
    accepted = bob.right("invitations", "accept", offer["id"]).err
    assert "pearl orgs use acme" in accepted and "sign in again" in accepted, "the key is older"
    bob.right("login", "--user", "bob", stdin=f"{PASSWORD}\n")
    assert "belong to acme" in bob("balance").err, "joining alone chooses nothing"
    bob.right("orgs", "use", "acme")
    assert "Default organisation" in bob.right("whoami").out
    bob.right("balance")
    assert "lacks the scope" in bob("run", "--", "ls").err
    bob.right("passwd", stdin=f"{PASSWORD}\nanother horse 7 rope\n")
    assert bob("login", "--user", "bob", stdin=f"{PASSWORD}\n").code == 1
    bob.right("login", "--user", "bob", stdin="another horse 7 rope\n")
    security.right("users", "suspend", "bob", "--yes")
    assert bob("whoami").code == 1
    security.right("users", "resume", "bob")
    assert [row["user"] for row in ada.right("orgs", "members", "--json").rows] == ["ada", "bob"]
    ada.right("orgs", "role", "bob", "member")
    bob.right("orgs", "leave", "acme", "--yes")
    assert "bob" not in ada.right("orgs", "members").out
    again = ada.right("orgs", "invite", "bob", "--json").value
    ada.right("orgs", "withdraw", again["id"])
    assert bob("invitations", "accept", again["id"]).code == 1
    assert "last owner" in ada("orgs", "leave", "acme", "--yes").err
    bob.right("logout")
    assert "not signed in" in bob("whoami").err


def test_duties_are_given_and_taken_by_security(center: Center) -> None:
    security = center.as_("security")
    security.right("users", "create", "olga", "--duty", "audit")
    found = {row["name"]: row["operator_role"] for row in security.right("users", "list", "--json").rows}
    assert found["olga"] == "audit"
    security.right("users", "duty", "olga", "none")
    assert security.right("users", "link", "olga").out.startswith("pearllink_")


def test_large_credit_waits_for_another_person(center: Center, ada: Pearl) -> None:
    system, security = center.as_("system"), center.as_("security")
    asked = system.right("credit", "add", "50000", "--org", "acme")
    assert "wait for another person's approval" in asked.err
    pending = system.right("credit", "list", "--pending", "--json").rows
    assert system("credit", "approve", pending[0]["id"]).code == 1
    token = security.right("users", "create", "second", "--duty", "system").out.strip()
    second = center.profile("second")
    second.right("users", "set-password", stdin=f"{token}\n{PASSWORD}\n")
    second.right("login", "--user", "second", stdin=f"{PASSWORD}\n")
    del second.variables["PEARL_KEY"]
    second.right("credit", "approve", pending[0]["id"])
    after = Decimal(ada.right("balance", "--json").value["available"])
    assert 50_900 < after <= 51_000  # other tests' jobs on this center cost cents
    assert "50000.00" in ada.right("statement").out
    assert [row["state"] for row in ada.right("credit", "list", "--json").rows] == ["posted", "posted"]


def test_prices_are_shown_changed_and_published(center: Center, ada: Pearl, tmp_path: Path) -> None:
    listed = ada.right("prices", "show", "--toml").out
    (tmp_path / "prices.toml").write_text(listed.replace('yuan = "0.12"', 'yuan = "0.15"'))
    system = center.as_("system")
    made = system.right(
        "prices", "publish", str(tmp_path / "prices.toml"), "--note", "dearer", "--json"
    ).value
    assert ("cpu", "0.15") in {(rule["resource"], rule["yuan"]) for rule in made["rules"]}
    assert "dearer" in ada.right("prices", "show").out
    missing = system("prices", "publish", str(tmp_path / "absent.toml"))
    assert (missing.code, "absent.toml: No such file" in missing.err) == (1, True)


def test_invoices_as_text_json_and_pdf(ada: Pearl, tmp_path: Path) -> None:
    assert "Draft invoice" in ada.right("invoice", present_month()).out
    assert ada.right("invoice", present_month(), "--json").value["number"] is None
    ada.right("invoice", present_month(), "--pdf", str(tmp_path / "i.pdf"))
    assert (tmp_path / "i.pdf").read_bytes().startswith(b"%PDF")
    assert "is not a month" in ada("invoice", "2026-13").err
    for never, why in (("2190-01", "has not begun yet"), ("2019-12", "has been a tenant since")):
        answer = ada("invoice", never)
        assert answer.code == 1 and why in answer.err
    assert ada("invoice", present_month(), "--issue").code == 1, "only operators issue"


def test_the_books_and_the_audit_log_are_proved(center: Center, tmp_path: Path) -> None:
    audit = center.as_("audit")
    assert audit.right("proof", "--json").value["is_right"] is True
    assert "The books are right" in audit.right("proof").err
    assert audit.right("audit", "verify", "--json").value["problem"] is None
    rows = audit.right("audit", "list", "--limit", "3", "--json").rows
    assert len(rows) == 3
    assert rows[0]["seq"] > rows[-1]["seq"]
    audit.right("books", "--to", str(tmp_path / "books.beancount"))
    checked = subprocess.run(
        [*command()[:1], "-m", "beancount.scripts.check", str(tmp_path / "books.beancount")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_notices_are_tested_read_and_chosen(ada: Pearl) -> None:
    ada.right("notices", "test")

    def unread() -> list[dict[str, str]]:
        # Members who come and go in other tests of this center are told of, too.
        return [
            row for row in ada.right("notices", "list", "--unread", "--json").rows if row["kind"] == "test"
        ]

    found = until(unread)
    assert found[0]["title"] == "This is a test"
    assert "reach you" in ada.right("notices", "show", found[0]["id"]).out
    assert unread() == []
    kinds = [row["name"] for row in ada.right("notices", "kinds", "--json").rows]
    assert "job.failed" in kinds
    changed = ada.right(
        "notices", "prefs", "--set", "job.failed=inbox", "--set", "job.ended=", "--json"
    ).value
    assert changed["kinds"]["job.failed"] == ["inbox"] and changed["kinds"]["job.ended"] == []
    wrong = ada("notices", "prefs", "--set", "job.failed")
    assert wrong.code == 1 and "KIND=CHANNELS" in wrong.err
    assert ada.right("notices", "balance-below", "25", "--json").value == {"below": "25.00"}


def test_a_webhook_to_the_inner_network_is_refused_with_the_reason(ada: Pearl) -> None:
    answer = ada("webhooks", "add", "https://127.0.0.1/hook")
    assert answer.code == 1 and "inner network" in answer.err
    made = ada.right("webhooks", "add", "https://93.184.216.34/hook", "--kind", "job.failed", "--json").value
    assert made["secret"].startswith("whsec_")
    assert [row["id"] for row in ada.right("webhooks", "list", "--json").rows] == [made["id"]]
    ada.right("webhooks", "remove", made["id"], "--yes")
    assert ada.right("webhooks", "list", "--json").rows == []
