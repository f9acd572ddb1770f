"""Notices: one's own inbox with its bell, what is heard of where, webhooks with a secret shown once."""

from __future__ import annotations

import re

from pearlstreet.store import outbox
from tests.console.visitors import Console, Visitor, words

HOOK = "https://127.0.0.1:9/hook"
"""Nothing listens there."""


def _tell(console: Console, user: str, org: str, name: str) -> None:
    """A failed job of somebody, as the jobs room tells it."""
    told = {"job": "job_x", "name": name, "user": user, "state": "failed", "reason": "it broke"}
    world = console.world
    org_id = world.get(f"/orgs/{org}", "system").json()["id"]
    world.center.store.write(lambda tx: outbox.emit(tx, "job.ended", told, org_id=org_id))
    for _ in range(50):
        world.step()
        if (
            name in words(console.visitor(user).get("/notices"))
            or name in console.visitor(user).get("/notices").text
        ):
            return
    raise AssertionError("the notice did not come")


def _first(visitor: Visitor) -> str:
    found = re.search(r'name="notice" value="(ntc_[0-9a-z]+)"', visitor.get("/notices").text)
    assert found
    return found[1]


def test_a_failed_job_is_told_to_its_owner_and_escaped(console: Console) -> None:
    _tell(console, "owner", "acme", "ended-one")
    owner = console.visitor("owner")
    shown = owner.get("/notices")
    assert "Job ended-one has failed" in words(shown) and 'href="/jobs/job_x"' in shown.text
    assert "1 unread" in words(owner.get("/")), "the bell counts it everywhere"
    assert "ended-one" not in words(console.visitor("stranger").get("/notices"))
    chinese = console.visitor("owner", language="zh-CN").get("/notices")
    assert "未读" in words(chinese)


def test_reading_and_unreading(console: Console) -> None:
    _tell(console, "owner", "acme", "ended-two")
    owner = console.visitor("owner")
    notice = _first(owner)
    assert console.visitor("stranger").post("/notices", "read", {"notice": notice}).status_code == 404
    assert owner.post("/notices", "read", {"notice": notice}).status_code == 303
    assert "ended-two" not in words(owner.get("/notices?unread=1"))
    assert owner.post("/notices", "unread", {"notice": notice}).status_code == 303
    assert "ended-two" in words(owner.get("/notices?unread=1"))
    assert owner.post("/notices", "read_all").status_code == 303
    assert "Notices: 0 unread" in words(owner.get("/"))
    assert owner.post("/notices", "read").status_code == 422, "nothing was chosen"


def test_what_is_ticked_is_kept_and_usual_stays_usual(console: Console) -> None:
    viewer = console.visitor("viewer")
    page = viewer.get("/notices/preferences").text
    ticked = re.findall(r'name="(kind:[^"]+)" value="([a-z]+)" checked', page)
    assert ("kind:job.failed", "inbox") in ticked and ("kind:job.ended", "inbox") not in ticked
    assert "node.unhealthy" not in page, "what is the operators' business"
    form: dict[str, list[str] | str] = {"whose": "me", "language": "zh-CN"}
    for name, channel in [*ticked, ("kind:job.ended", "inbox")]:
        form.setdefault(name, []).append(channel)  # type: ignore[union-attr]
    assert viewer.post("/notices/preferences", "set", form).status_code == 303
    again = viewer.get("/notices/preferences").text
    assert re.search(r'name="kind:job.ended" value="inbox" checked', again)
    assert words(viewer.get("/notices/preferences")).count("(changed)") == 1


def test_a_wrong_address_keeps_what_was_typed(console: Console) -> None:
    form = {"whose": "me", "language": "en", "email": "not an address"}
    answer = console.visitor("owner").post("/notices/preferences", "set", form)
    assert answer.status_code == 422 and 'value="not an address"' in answer.text


def test_a_webhooks_secret_is_shown_once(console: Console) -> None:
    owner = console.visitor("owner")
    made = owner.post("/notices/webhooks", "add", {"whose": "acme", "url": HOOK, "kind": ["job.failed"]})
    assert made.status_code == 200, words(made)
    secret = re.search(r'data-copy="([^"]{20,})"', made.text)
    assert secret and secret[1] not in owner.get("/notices/webhooks?whose=acme").text
    page = owner.get("/notices/webhooks").text
    hook = re.search(r"/notices/webhooks/(whk_[0-9a-z]+)", page)
    assert hook and HOOK in page
    form = {"whose": "acme", "hook": hook[1]}
    assert console.visitor("stranger").post("/notices/webhooks", "remove", form).status_code == 404
    assert console.visitor("stranger").get(f"/notices/webhooks/{hook[1]}?whose=beta").status_code == 404
    assert console.visitor("viewer").get("/notices/webhooks").status_code == 403
    assert owner.post("/notices/webhooks", "test", form).status_code == 303
    assert "test evt_" in words(owner.get(f"/notices/webhooks/{hook[1]}?whose=acme"))
    assert owner.post("/notices/webhooks", "disable", form).status_code == 303
    assert "disabled" in words(owner.get("/notices/webhooks"))
    assert owner.post("/notices/webhooks", "test", form).status_code == 409
    assert owner.post("/notices/webhooks", "enable", form).status_code == 303
    assert owner.post("/notices/webhooks", "remove", form).status_code == 303
    assert "is deleted" in words(owner.get("/notices/webhooks")), "told once"
    assert HOOK not in owner.get("/notices/webhooks").text


def test_an_inner_address_is_refused_at_its_field(console: Console) -> None:
    owner = console.visitor("owner")
    answer = owner.post("/notices/webhooks", "add", {"whose": "acme", "url": "https://169.254.169.254/x"})
    assert answer.status_code == 422 and 'value="https://169.254.169.254/x"' in answer.text
    assert "No webhook yet" in words(answer) or "169.254.169.254" not in words(owner.get("/notices/webhooks"))
