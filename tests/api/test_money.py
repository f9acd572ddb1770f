"""Credit, prices, quotas, audit and operators over HTTP."""

from __future__ import annotations

import pytest

from tests.api.world import JOB, World


def test_a_large_top_up_waits_for_a_second_person(world: World) -> None:
    asked = world.post("/orgs/acme/credit", "system", json={"amount": "20000", "memo": "合同 2026-7"}).json()
    assert asked["state"] == "pending" and asked["amount"] == "20000.00"
    assert asked in world.get("/credit?state=pending", "system").json()["items"]
    own = world.post(f"/credit/{asked['id']}/approve", "system")
    assert own.status_code == 403
    second = world.post("/users", "security", json={"name": "system-two", "operator_role": "system"}).json()
    password = "correct horse battery"
    world.post("/set-password", None, json={"token": second["token"], "password": password})
    session = world.post("/sign-in", None, json={"name": "system-two", "password": password}).json()["token"]
    before = world.get("/orgs/acme/balance").json()["balance"]
    assert world.post(f"/credit/{asked['id']}/approve", session).json()["state"] == "posted"
    assert float(world.get("/orgs/acme/balance").json()["balance"]) == float(before) + 20_000
    assert world.post(f"/credit/{asked['id']}/reject", session).status_code == 409
    line = world.get("/orgs/acme/statement?limit=1").json()["items"][0]
    assert line["amount"] == "20000.00" and "合同 2026-7" in line["memo"]


@pytest.mark.parametrize(
    "amount", ["0", "-5", "1e3", "ten", "", "1.0000001", "9" * 20, "１００", "NaN", "1 0"]
)
def test_odd_amounts_are_refused(world: World, amount: str) -> None:
    answer = world.post("/orgs/acme/credit", "system", json={"amount": amount})
    assert answer.status_code == 422, answer.text
    assert answer.json()["problems"][0]["field"] == "amount"


def test_amounts_as_numbers_are_refused_as_they_may_be_rounded(world: World) -> None:
    assert world.post("/orgs/acme/credit", "system", json={"amount": 10.1}).status_code == 422


def test_use_is_charged_and_shown_on_the_invoice(world: World) -> None:
    job = world.submit(simulate="30s", per_task={"accelerator": "H100", "count": 1, "cpus": 1})
    world.until(job, "succeeded")
    for _ in range(3):
        world.step()
    cost = world.get(f"/jobs/{job}/cost").json()
    assert float(cost["total"]) > 0
    month = world.get(f"/jobs/{job}").json()["submitted"][:7]
    draft = world.get(f"/orgs/acme/invoices/{month}?draft=true").json()
    assert draft["number"] is None and draft["lines"]
    assert round(float(draft["net"]) + float(draft["tax"]), 6) == float(draft["total"])
    assert world.get(f"/orgs/acme/invoices/{month}").status_code == 404
    assert world.post(f"/orgs/acme/invoices/{month}", "system").status_code == 409
    pdf = world.get(f"/orgs/acme/invoices/{month}?draft=true&format=pdf")
    assert pdf.content.startswith(b"%PDF") and "attachment" in pdf.headers["content-disposition"]
    written = world.get(
        f"/orgs/acme/invoices/{month}?draft=true&format=text", headers={"accept-language": "zh"}
    )
    assert "发票" in written.text or "账单" in written.text
    for wrong in ("2026-13", "july", "0000-01", "2026-1"):
        assert world.get(f"/orgs/acme/invoices/{wrong}?draft=true").status_code == 422, wrong
    for never, why in (("2190-01", "has not begun yet"), ("2019-12", "acme has been a tenant since")):
        for draft_or_not in ("true", "false"):
            answer = world.get(f"/orgs/acme/invoices/{never}?draft={draft_or_not}")
            assert answer.status_code == 404 and why in answer.json()["detail"]
    proof = world.get("/ledger/proof", "audit").json()
    assert proof["is_right"], proof
    journal = world.get("/ledger/beancount", "audit")
    assert job in journal.text or "Liabilities:Wallet" in journal.text


def test_prices_are_published_and_read_back(world: World) -> None:
    toml = world.get("/prices/current?format=toml").text
    made = world.post(
        "/prices?note=again", "system", content=toml, headers={"content-type": "application/toml"}
    )
    assert made.status_code == 201, made.text
    assert made.json()["is_current"] and made.json()["note"] == "again"
    rules = [
        {name: rule[name] for name in ("resource", "kind", "yuan", "per")} for rule in made.json()["rules"]
    ]
    later = world.post("/prices", "system", json={"rules": rules, "valid_from": "2090-01-01T00:00:00+08:00"})
    assert later.status_code == 201 and not later.json()["is_current"]
    assert later.json()["valid_from"].startswith("2089-12-31T16:00")
    numbers = [item["number"] for item in world.get("/prices").json()["items"]]
    assert numbers == sorted(numbers, reverse=True)
    for body in (
        {"rules": []},
        {"rules": [{"resource": "cpu"}]},
        {"rules": rules, "valid_from": "yesterday"},
        {"rules": rules, "valid_from": "2001-01-01T00:00:00Z"},
        {"rules": rules + rules},
        {"rules": [{**rules[0], "yuan": "-1"}]},
        {"rulez": rules},
    ):
        assert world.post("/prices", "system", json=body).status_code == 422, body
    for broken in ("[[price", "price = 3", "[[price]]\nresource='cpu'", "\ufffe"):
        answer = world.post(
            "/prices", "system", content=broken.encode(), headers={"content-type": "application/toml"}
        )
        assert answer.status_code == 422, broken


def test_quotas_stop_jobs_and_say_so(world: World) -> None:
    wish = {"org": "acme", "resource": "cards", "maximum": 1}
    quota = world.send("PUT", "/quotas", "system", json=wish).json()
    assert world.send("PUT", "/quotas", "system", json=wish).json()["id"] == quota["id"]
    two = {**JOB, "per_task": {"accelerator": "H100", "count": 2}, "simulate": "1h"}
    job = world.post("/jobs", json=two).json()["id"]
    world.step()
    why = world.get(f"/jobs/{job}/why").json()
    assert why["code"] == "quota", why
    assert world.send("DELETE", f"/quotas/{quota['id']}", "system").status_code == 200
    world.until(job, "running", "starting")
    world.post(f"/jobs/{job}/cancel")
    for wrong in (
        {"resource": "gpus", "maximum": 1},
        {"resource": "cpus:H100", "maximum": 1},
        {"resource": "cards:", "maximum": 1},
        {"resource": "cards"},
        {"resource": "cards", "maximum": -1},
        {"resource": "cards", "maximum": 1e300},
        {"resource": "cards", "maximum": 1, "guaranteed": 2},
        {"resource": "x" * 5000, "maximum": 1},
    ):
        assert world.send("PUT", "/quotas", "system", json={"org": "acme", **wrong}).status_code == 422, wrong
    assert world.send("PUT", "/quotas", "system", json={**wish, "org": "nobody"}).status_code == 404


def test_shares_and_who_is_ahead(world: World) -> None:
    assert world.send("PUT", "/shares", "system", json={"org": "beta", "weight": 4}).status_code == 200
    for weight in (0, -1, 1e9):
        assert (
            world.send("PUT", "/shares", "system", json={"org": "beta", "weight": weight}).status_code == 422
        )
    jobs = [world.submit(role, simulate="1h", per_task={"cpus": 8}) for role in ("owner", "stranger")]
    for job, role in zip(jobs, ("owner", "stranger"), strict=True):
        world.until(job, "running", role=role)
    world.step()
    ahead = world.get("/fair-share", "system").json()
    ranks = {row["org_id"]: row["rank"] for row in ahead["items"]}
    acme, beta = (world.get(f"/orgs/{slug}", "system").json()["id"] for slug in ("acme", "beta"))
    assert ranks[beta] < ranks[acme], ahead
    assert all(row["why"] for row in ahead["items"])
    busy = max((row for row in ahead["items"] if row["org_id"] == acme), key=lambda row: row["share"])
    assert f"it holds {100 * busy['share']:.3g} %" in busy["why"] and "its organisation holds" in busy["why"]
    seen = {row["org_id"] for row in world.get("/fair-share").json()["items"]}
    assert seen == {acme}
    assert world.send("DELETE", "/shares?org=beta", "system").json()["weight"] == 1.0
    for job, role in zip(jobs, ("owner", "stranger"), strict=True):
        world.post(f"/jobs/{job}/cancel", role)


def test_the_audit_log_is_filtered_and_verified(world: World) -> None:
    world.send("PUT", "/orgs/acme/secrets/LOGGED", json={"value": "x"})
    found = world.get("/audit?action=secret.*&org=acme", "audit").json()["items"]
    assert {row["action"] for row in found} == {"secret.set"} and found[0]["details"]["name"] == "LOGGED"
    mine = world.get("/audit").json()["items"]
    assert mine and {row["org_id"] for row in mine} == {world.get("/orgs/acme").json()["id"]}
    by_owner = world.get("/audit?actor=owner", "audit").json()["items"]
    assert by_owner and all(row["actor"].split()[0] == "owner" for row in by_owner)
    assert world.get("/audit?target=%25", "audit").json()["items"] == []
    assert world.get("/audit?action=%25*", "audit").json()["items"] == []
    future = world.get("/audit?from=2090-01-01T00:00:00Z", "audit").json()["items"]
    assert future == []
    assert world.get("/audit?from=yesterday", "audit").status_code == 422
    verified = world.get("/audit/verify", "audit").json()
    assert verified["is_right"] and verified["rows"] > 10


def test_a_suspended_organisation_reads_only(world: World) -> None:
    assert (
        world.post("/orgs/beta/suspend", "system", json={"reason": "unpaid"}).json()["state"] == "suspended"
    )
    try:
        assert world.get("/jobs", "stranger").status_code == 200
        refused = world.post("/jobs", "stranger", json=JOB)
        assert refused.status_code == 403 and "suspended" in refused.json()["detail"]
        assert world.get("/me", "stranger").json()["orgs"][0]["suspended"]
    finally:
        assert world.post("/orgs/beta/resume", "system").json()["state"] == "active"
    assert world.post("/jobs", "stranger", json=JOB).status_code == 201


def test_signing_in_is_slowed_after_failures_and_says_when(world: World) -> None:
    wrong = {"name": "viewer", "password": "not the password"}
    answers = [world.post("/sign-in", None, json=wrong) for _ in range(7)]
    assert [answer.status_code for answer in answers[:5]] == [401] * 5
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1
    unknown = world.post("/sign-in", None, json={"name": "nobody-here", "password": "x"})
    assert unknown.json()["detail"] == answers[0].json()["detail"]


def test_sessions_end_when_told(world: World) -> None:
    invited = world.post("/users", "security", json={"name": "sam", "org": "acme"}).json()
    password = {"name": "sam", "password": "correct horse battery"}
    set_to = {"token": invited["token"], "password": password["password"]}
    assert world.post("/set-password", None, json=set_to).status_code == 200
    assert world.post("/set-password", None, json=set_to).status_code == 401
    one, two = (world.post("/sign-in", None, json=password).json() for _ in range(2))
    listed = world.get("/sessions", one["token"]).json()["items"]
    assert [item["current"] for item in listed] == [False, True]
    assert world.send("DELETE", f"/sessions/{two['session_id']}", one["token"]).status_code == 200
    assert world.get("/me", two["token"]).status_code == 401
    change = {"current": password["password"], "new": "another horse battery"}
    assert world.post("/password", one["token"], json={**change, "current": "x"}).status_code == 403
    assert world.post("/password", one["token"], json=change).status_code == 200
    assert world.post("/sign-out", one["token"]).json()["ended"] == one["session_id"]
    assert world.get("/me", one["token"]).status_code == 401


def test_operators_have_one_duty_and_no_organisation(world: World) -> None:
    two = world.send("PUT", "/users/system/operator-role", "security", json={"operator_role": "audit"})
    assert two.status_code == 409
    own = world.send("PUT", "/users/security/operator-role", "security", json={"operator_role": None})
    assert own.status_code == 403
    member = world.send("PUT", "/orgs/acme/members/system", "security", json={"role": "owner"})
    assert member.status_code == 404
    invited = world.send(
        "POST", "/orgs/acme/invitations", "security", json={"user": "system", "role": "owner"}
    )
    assert invited.status_code == 409
    last = world.send("DELETE", "/orgs/acme/members/owner", "security")
    assert last.status_code == 409
