"""What belongs to an organisation or a project names it, beside the id that programs keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.api.world import World


def test_quotas_weights_budgets_secrets_and_reservations_name_their_owner(world: World) -> None:
    org = world.get("/orgs/acme").json()["id"]
    project = world.post("/orgs/acme/projects", json={"slug": "vision"}).json()["id"]
    world.send("PUT", "/quotas", role="system", json={"org": "acme", "resource": "cpus", "maximum": 5})
    limit = {"org": "acme", "project": "vision", "resource": "cpus", "maximum": 3}
    set_ = world.send("PUT", "/quotas", role="system", json=limit).json()
    assert (set_["owner"], set_["owner_id"]) == ("acme/vision", project)
    world.send("PUT", "/shares", role="system", json={"org": "acme", "project": "vision", "weight": 2})
    world.send("PUT", "/orgs/acme/budgets", json={"monthly": "10", "project": "vision"})
    world.send("PUT", "/orgs/acme/budgets", json={"monthly": "20"})
    world.send("PUT", "/orgs/acme/secrets/TOKEN?project=vision", json={"value": "x"})
    named = {
        path: {(row["owner"], row["owner_id"]) for row in world.get(path, role).json()["items"]}
        for path, role in (
            ("/quotas", "system"),
            ("/shares", "system"),
            ("/orgs/acme/budgets", "owner"),
            ("/orgs/acme/secrets", "owner"),
        )
    }
    whole, part = ("acme", org), ("acme/vision", project)
    assert named == {
        "/quotas": {whole, part},
        "/shares": {part},
        "/orgs/acme/budgets": {whole, part},
        "/orgs/acme/secrets": {part},
    }
    until = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    wish = {
        "kind": "reservation",
        "model": "H100",
        "cards": 1,
        "org": "acme",
        "until": until,
        "reason": "exam",
    }
    made = world.post("/scheduling/windows", "system", json=wish)
    assert made.status_code == 201, made.text
    assert (made.json()["owner"], made.json()["owner_id"]) == whole


def test_fair_share_and_invoices_name_projects_and_organisations(world: World) -> None:
    job = world.submit(simulate="30s")
    world.until(job, "succeeded")
    for _ in range(3):
        world.step()
    rows = world.get("/fair-share").json()["items"]
    assert {row["owner"] for row in rows} <= {"acme/default", "acme/vision"}
    month = world.get(f"/jobs/{job}").json()["submitted"][:7]
    draft = world.get(f"/orgs/acme/invoices/{month}?draft=true").json()
    assert draft["org"] == "acme"
    printed = world.get(f"/orgs/acme/invoices/{month}?draft=true&format=text").text
    assert "acme" in printed and draft["org_id"] not in printed


def test_the_journal_names_organisations_and_keeps_their_ids(world: World) -> None:
    org = world.get("/orgs/acme").json()["id"]
    journal = world.get("/ledger/beancount", "audit").text
    assert " open Liabilities:Wallet:Acme CNY\n" in journal and f'  org-id: "{org}"\n' in journal
    assert org.replace("_", "-") not in journal.lower().replace(f'"{org}"', "")
