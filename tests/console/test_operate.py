"""The operators' pages of the pool: nodes, accelerators, quotas, prices, incidents."""

from __future__ import annotations

from html import unescape

import pytest

from pearlstreet.base.errors import BugError
from pearlstreet.compute.pool import inventory
from pearlstreet.console.paging import cut
from pearlstreet.store.loop import failing, forget_failure, note_failure
from pearlstreet.tenancy.model import SYSTEM
from tests.console.visitors import Console, words

HOSTILE = """<script>alert("x")</script>'"&"""


def test_a_tenant_opens_no_operators_page(console: Console) -> None:
    owner = console.visitor("owner")
    for path in ("/incidents", "/orgs", "/orgs/acme", "/credit", "/settings"):
        assert owner.get(path).status_code == 403, path
    assert 'href="/incidents"' not in owner.get("/").text
    system = console.visitor("system")
    for path in ("/incidents", "/orgs", "/orgs/acme", "/credit", "/settings"):
        assert system.get(path).status_code == 200, path


def test_a_tenant_sees_the_pool_and_changes_nothing(console: Console) -> None:
    owner = console.visitor("owner")
    page = owner.get("/nodes/h100-0001")
    assert page.status_code == 200
    assert 'value="drain"' not in page.text
    assert owner.post("/nodes/h100-0001", "drain", {"reason": "mine"}).status_code == 403
    assert 'value="publish"' not in owner.get("/prices").text
    assert owner.post("/quotas", "weigh", {"weight_org": "acme", "weight": "9"}).status_code == 403


def test_a_node_is_drained_found_by_its_state_and_resumed(console: Console) -> None:
    system = console.visitor("system")
    try:
        answer = system.post("/nodes/h100-0001", "drain", {"reason": HOSTILE})
        assert answer.headers["location"] == "/nodes/h100-0001"
        assert "is drained; running jobs continue" in words(system.get("/nodes/h100-0001"))
        drained = system.get("/nodes?state=drained")
        assert "<script>alert" not in drained.text
        assert HOSTILE in unescape(drained.text)
        assert "h100-0001" in drained.text
        assert "h100-0002" not in drained.text
        assert "h100-0001" not in system.get("/nodes?state=healthy").text
    finally:
        system.post("/nodes/h100-0001", "resume")
    assert "No matching nodes" in words(system.get("/nodes?state=drained"))


def test_a_reason_that_is_too_long_is_kept_in_the_form(console: Console) -> None:
    system = console.visitor("system")
    answer = system.post("/nodes/h100-0001", "drain", {"reason": "r" * 501})
    assert answer.status_code == 422
    assert "r" * 501 in answer.text
    assert not inventory.get_node(console.world.center.store, SYSTEM, "h100-0001").drained


def test_a_node_shows_what_runs_on_it_to_whom_it_belongs(console: Console) -> None:
    world = console.world
    job = world.submit(name="on-a-node", per_task={"cpus": 1, "memory_gib": 1, "accelerator": "H100"})
    world.until(job, "running")
    node = next(
        node["name"]
        for node in world.get("/nodes", "system").json()["items"]
        for d in node["devices"]
        if job in d["jobs"]
    )
    assert "on-a-node" in words(console.visitor("system").get(f"/nodes/{node}"))
    assert "on-a-node" in words(console.visitor("owner").get(f"/nodes/{node}"))
    foreign = words(console.visitor("stranger").get(f"/nodes/{node}"))
    assert "on-a-node" not in foreign
    assert "1 job of another organisation" in foreign
    world.post(f"/jobs/{job}/cancel")
    world.until(job, "cancelled")


def test_a_node_that_is_there_cannot_be_forgotten(console: Console) -> None:
    system = console.visitor("system")
    answer = system.post("/nodes/h100-0001", "forget")
    assert answer.status_code == 409
    assert "still there" in words(answer)
    assert system.get("/nodes/nothing").status_code == 404


@pytest.mark.parametrize(
    ("count", "number", "first", "shown"),
    [(0, 1, 0, 0), (5, 1, 1, 2), (5, 3, 5, 1), (5, 99, 5, 1), (4, 2, 3, 2)],
)
def test_a_list_is_cut_into_pages(count: int, number: int, first: int, shown: int) -> None:
    found = cut(range(count), number, per_page=2)
    assert (found.first_row, len(found.rows), found.count) == (first, shown, count)


def test_the_catalogue_is_searched_by_any_name(console: Console) -> None:
    viewer = console.visitor("viewer")
    assert "Ascend 910B" in words(viewer.get("/accelerators?q=ascend+910b"))
    assert "No matching accelerators" in words(viewer.get("/accelerators?q=nothing-such"))
    amd = words(viewer.get("/accelerators?vendor=AMD"))
    assert "Instinct" in amd
    assert "Tesla" not in amd
    page = viewer.get(f"/accelerators?q={HOSTILE.replace('&', '%26')}").text
    assert "<script>alert" not in page


def test_a_quota_is_set_seen_and_taken_away(console: Console) -> None:
    system, owner = console.visitor("system"), console.visitor("owner")
    wish = {"quota_org": "acme", "resource": "cards:H100", "guaranteed": "4", "maximum": "8", "borrow": "no"}
    answer = system.post("/quotas", "set", wish)
    assert answer.headers["location"] == "/quotas"
    (quota,) = console.world.get("/quotas", "system").json()["items"]
    assert (quota["guaranteed"], quota["maximum"], quota["borrow"]) == (4.0, 8.0, False)
    assert "cards:H100" in owner.get("/quotas").text, "its own organisation sees it"
    assert "cards:H100" not in console.visitor("stranger").get("/quotas").text
    assert owner.post("/quotas", "delete", {"quota": quota["id"]}).status_code == 403
    system.post("/quotas", "delete", {"quota": quota["id"]})
    assert console.world.get("/quotas", "system").json()["items"] == []


def test_a_quota_that_cannot_be_keeps_what_was_typed(console: Console) -> None:
    system = console.visitor("system")
    wish = {"quota_org": HOSTILE, "resource": "cards", "guaranteed": "9", "maximum": "many"}
    answer = system.post("/quotas", "set", wish)
    assert answer.status_code == 422
    assert "many is not a number" in words(answer)
    assert "<script>alert" not in answer.text
    assert HOSTILE in unescape(answer.text)
    assert "The maximum is less" in words(
        system.post("/quotas", "set", wish | {"quota_org": "acme", "maximum": "1"})
    )
    assert system.post("/quotas", "set", wish | {"maximum": "nan"}).status_code == 422
    assert system.post("/quotas", "set", wish | {"quota_org": "no-such", "maximum": "9"}).status_code == 404


def test_use_is_shown_against_a_quota(console: Console) -> None:
    world, system = console.world, console.visitor("system")
    system.post("/quotas", "set", {"quota_org": "acme", "resource": "cards", "maximum": "2", "borrow": "yes"})
    job = world.submit(per_task={"cpus": 1, "memory_gib": 1, "accelerator": "H100", "count": 2})
    world.until(job, "running")
    world.step()
    try:
        assert "full" in words(system.get("/quotas"))
    finally:
        world.post(f"/jobs/{job}/cancel")
        world.until(job, "cancelled")
        (quota,) = world.get("/quotas", "system").json()["items"]
        system.post("/quotas", "delete", {"quota": quota["id"]})


def test_a_weight_is_set_and_goes_back_to_one(console: Console) -> None:
    system = console.visitor("system")
    assert system.post("/quotas", "weigh", {"weight_org": "acme", "weight": "0"}).status_code == 422
    system.post("/quotas", "weigh", {"weight_org": "acme", "weight": "2.5"})
    (share,) = console.world.get("/shares", "system").json()["items"]
    assert share["weight"] == 2.5
    system.post("/quotas", "unweigh", {"org": share["org_id"], "project": ""})
    assert console.world.get("/shares", "system").json()["items"] == []


LIST = """
[[price]]
resource = "accelerator/*"
kind = "card_hour"
yuan = "6.00"

[[price]]
resource = "cpu"
kind = "core_hour"
yuan = "0.06"

[[price]]
resource = "memory"
kind = "gib_hour"
yuan = "0.02"

[[price]]
resource = "storage"
kind = "gib_month"
yuan = "0.60"
"""


def test_a_price_list_shows_what_it_changes_before_it_is_published(console: Console) -> None:
    system = console.visitor("system")
    before = console.world.get("/prices/current", "owner").json()["number"]
    shown = words(system.post("/prices", "compare", {"list": LIST, "note": HOSTILE}))
    assert "5.00 6.00 +20.0 %" in shown
    assert "0.12 0.06 -50.0 %" in shown
    assert "25.00 no price" in shown
    assert console.world.get("/prices/current", "owner").json()["number"] == before, (
        "nothing is published yet"
    )
    answer = system.post("/prices", "publish", {"list": LIST, "note": HOSTILE, "once": "prices-1"})
    assert answer.headers["location"] == "/prices"
    again = system.post("/prices", "publish", {"list": LIST, "note": HOSTILE, "once": "prices-1"})
    assert again.status_code == 303
    assert console.world.get("/prices/current", "owner").json()["number"] == before + 1, "once"
    page = console.visitor("viewer").get("/prices")
    assert "<script>alert" not in page.text
    assert HOSTILE in unescape(page.text)
    assert "5.00 6.00 +20.0 %" in words(console.visitor("viewer").get(f"/prices/{before + 1}"))
    assert system.get("/prices/99").status_code == 404


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (LIST.replace('"0.06"', '"cheap"'), "Line 7: "),
        (LIST.replace('"core_hour"', '"per_core"'), "Line 7: "),
        (LIST.replace('yuan = "0.02"', "yuan = 0.02.1"), "Line 15: "),
        (LIST.replace("storage", "shelves"), "A gib_month price for storage is missing"),
        ("price = 3", "A price list is a series of"),
        ("price = [3]", "A price list is a series of"),
    ],
)
def test_a_price_list_that_is_wrong_is_kept_and_says_where(console: Console, written: str, said: str) -> None:
    answer = console.visitor("system").post("/prices", "publish", {"list": written, "note": "a note"})
    assert answer.status_code == 422
    assert said in words(answer)
    assert written.strip() in unescape(answer.text)
    assert "a note" in answer.text


def test_a_list_is_not_valid_from_the_past(console: Console) -> None:
    form = {"list": LIST, "valid_from": "2001-01-01T00:00"}
    assert "past" in words(console.visitor("system").post("/prices", "publish", form))
    form["valid_from"] = "yesterday"
    assert "yesterday is not a date and time" in words(
        console.visitor("system").post("/prices", "publish", form)
    )


def test_what_was_given_up_is_tried_again_by_an_operator(console: Console) -> None:
    store = console.world.center.store
    for row in ("att_one", "att_two"):
        for _ in range(5):
            store.write(lambda tx, row=row: note_failure(tx, "start", row, BugError(HOSTILE)))
    store.write(lambda tx: note_failure(tx, "watch", "att_three", ValueError("slow")))
    system, security = console.visitor("system"), console.visitor("security")
    try:
        page = system.get("/incidents")
        assert "<script>alert" not in page.text
        assert HOSTILE in unescape(page.text)
        assert 'value="retry"' not in security.get("/incidents").text
        assert security.post("/incidents", "retry", {"loop": "start", "row": "att_one"}).status_code == 403
        system.post("/incidents", "retry", {"loop": "start", "row": "att_one"})
        assert {row["row_id"] for row in store.read(failing)} == {"att_two", "att_three"}
        system.post("/incidents", "retry")
        assert {row["row_id"] for row in store.read(failing)} == {"att_three"}, "it was not given up"
    finally:
        store.write(lambda tx: forget_failure(tx, "watch", "att_three"))
    done = console.world.get("/audit?action=incident.retry", "audit").json()["items"]
    assert [row["details"]["count"] for row in done] == [1, 1]


def test_a_waiting_job_gives_its_reason_once(console: Console) -> None:
    quota = {"org": "acme", "resource": "cards:H100", "maximum": 1}
    set_quota = console.world.send("PUT", "/quotas", "system", json=quota).json()
    spec = {"command": "x", "per_task": {"accelerator": "H100", "count": 2}, "simulate": 60}
    job = console.world.post("/jobs", "owner", json=spec).json()["id"]
    reason = "The limit of acme for H100 cards is 1"
    try:
        console.world.step()
        page = words(console.visitor("owner").get(f"/jobs/{job}"))
        assert page.count(reason) == 1
        assert page.count("The limit must be raised") == 1
    finally:
        console.world.post(f"/jobs/{job}/cancel", "owner")
        console.world.send("DELETE", f"/quotas/{set_quota['id']}", "system")


def test_operators_see_and_check_engines_and_tenants_only_what_they_can_do(console: Console) -> None:
    system, owner = console.visitor("system"), console.visitor("owner")
    assert 'href="/engines/simulated"' in system.get("/engines").text
    page = system.get("/engines/simulated")
    assert "PFLOPS" in page.text and "Last inventory" in page.text
    checked = words(system.post("/engines/simulated", "check"))
    assert "It answers and has nodes" in checked and "passed" in checked
    for path in ("/engines", "/engines/simulated"):
        seen = owner.get(path)
        assert seen.status_code == 200
        assert (
            "shares of cards" in seen.text and "Last inventory" not in seen.text and "PFLOPS" not in seen.text
        )
    assert owner.post("/engines/simulated", "check").status_code == 403
    assert system.get("/engines/nowhere").status_code == 404
    assert 'href="/engines/simulated"' in system.get("/nodes/h100-0001").text
    assert "h100-0001" in system.get("/nodes?engine=simulated").text
    assert "h100-0001" not in words(system.get("/nodes?engine=other"))
