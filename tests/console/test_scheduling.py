"""The pages of policy, queues, maintenance and reservations, and decisions."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

from pearlstreet.base.clock import to_rfc3339
from tests.console.visitors import Console, words

HOSTILE = """<script>alert("x")</script>'"&"""


def test_an_operator_changes_the_policy_and_goes_back(console: Console) -> None:
    system, owner = console.visitor("system"), console.visitor("owner")
    answer = system.post("/policy", "set", {"order": "fifo", "min_run_s": "30", "note": HOSTILE})
    assert answer.headers["location"] == "/policy"
    page = system.get("/policy")
    assert "<script>alert" not in page.text
    assert HOSTILE in unescape(page.text)
    assert re.search(r'<option value="fifo" selected', page.text)
    assert "fair-share → fifo" in words(page)
    wrong = system.post("/policy", "set", {"order": "fifo", "min_run_s": "soon"})
    assert wrong.status_code == 422
    assert "soon is not a number" in words(wrong)
    assert system.post("/policy", "set", {"depth": "0"}).status_code == 422
    shown = owner.get("/policy")
    assert shown.status_code == 200
    assert "Let it rule" not in words(shown)
    assert HOSTILE not in unescape(shown.text), "who did it and why is the operators' business"
    assert owner.post("/policy", "set", {"order": "priority"}).status_code == 403
    system.post("/policy", "rollback", {"number": "0"})
    assert re.search(r'<option value="fair-share" selected', system.get("/policy").text)
    assert "back to version 0" in words(console.visitor("audit").get("/policy"))


def test_a_queue_is_set_up_changed_and_removed(console: Console) -> None:
    system, owner = console.visitor("system"), console.visitor("owner")
    form = {
        "name": "urgent",
        "title": HOSTILE,
        "rank": "-3",
        "order": "fifo",
        "grace_s": "",
        "allowed": "acme\n",
    }
    assert system.post("/queues", "set", form).headers["location"] == "/queues"
    page = owner.get("/queues")
    assert "<script>alert" not in page.text
    assert "urgent" in words(page)
    assert "urgent" not in words(console.visitor("stranger").get("/queues"))
    edit = system.get("/queues?queue=urgent")
    assert re.search(r'<option value="fifo" selected', edit.text)
    assert "Acme" in words(edit) or "acme" in words(edit)
    assert system.post("/queues", "set", {**form, "allowed": "nobody"}).status_code == 422
    assert system.post("/queues", "set", {**form, "rank": "1.5"}).status_code == 422
    assert owner.post("/queues", "remove", {"queue": "urgent"}).status_code == 403
    system.post("/queues", "remove", {"queue": "urgent"})
    assert "<code>urgent</code>" not in system.get("/queues").text


def test_maintenance_is_set_up_seen_by_all_and_ended(console: Console) -> None:
    system, owner = console.visitor("system"), console.visitor("owner")
    form = {"kind": "maintenance", "nodes": "h100-0002", "until": "2100-01-01T00:00", "reason": HOSTILE}
    assert system.post("/windows", "make", form).status_code == 422, "a year is the longest"
    assert system.post("/windows", "make", {**form, "until": ""}).status_code == 422
    from_now = console.world.center.store.clock.now_us()
    soon = to_rfc3339(from_now + 7 * 86_400 * 10**6)[:16]
    assert system.post("/windows", "make", {**form, "until": soon}).headers["location"] == "/windows"
    page = owner.get("/windows")
    assert "h100-0002" in words(page)
    assert "<script>alert" not in page.text
    assert 'value="end"' not in page.text
    window = re.search(r'name="window" value="(win_\w+)"', system.get("/windows").text)
    assert window is not None
    assert owner.post("/windows", "end", {"window": window[1]}).status_code == 403
    system.post("/windows", "end", {"window": window[1]})
    assert "Nothing is kept free" in words(owner.get("/windows"))
    assert "h100-0002" in words(owner.get("/windows?over=yes"))


def test_a_decision_is_planned_again_by_who_looks_on(console: Console) -> None:
    job = console.world.submit()
    console.world.until(job, "running", "succeeded")
    console.world.runtime.decisions.flush()
    audit = console.visitor("audit")
    found = re.search(r'name="decision" value="(dec_\w+)"', audit.get("/decisions").text)
    assert found is not None
    assert "Identical" in words(audit.post("/decisions", "replay", {"decision": found[1]}))
    assert audit.post("/decisions", "replay", {"decision": "dec_1"}).status_code == 404
    assert console.visitor("owner").get("/decisions").status_code == 403


def test_the_pages_speak_chinese(console: Console) -> None:
    system = console.visitor("system", language="zh-CN")
    for path, word in (
        ("/policy", "调度策略"),
        ("/queues", "队列"),
        ("/windows", "预约"),
        ("/decisions", "重放"),
    ):
        assert word in words(system.get(path)), path


def test_a_what_if_is_asked_shown_and_stopped(console: Console) -> None:
    owner = console.visitor("owner")
    assert owner.post("/what-if", "ask", {"days": "7"}).status_code == 422
    assert owner.post("/what-if", "ask", {"days": "soon", "order_1": "fifo"}).status_code == 422
    answer = owner.post("/what-if", "ask", {"days": "7", "order_1": "fifo", "extra": "1x8xH100-80G"})
    page = answer.headers["location"]
    assert "waiting" in words(owner.get(page))
    assert "order=fifo" in words(owner.get("/what-if"))
    assert console.visitor("stranger").get(page).status_code == 404
    owner.post(page, "stop")
    assert "stopped" in words(owner.get(page))
    page = owner.post("/what-if", "ask", {"days": "7", "order_1": "fifo"}).headers["location"]
    for loop in console.world.loops:
        if loop.name == "what_ifs":
            loop.step(console.world.center.store)
    shown = words(owner.get(page))
    assert "Replayed against actual" in shown and "Nothing differs" in shown
    supposed = {
        "days": "7",
        "less": "h100-0002",
        "quota_of": "acme",
        "quota_maximum": "4",
        "quota_borrow": "no",
        "queue_name": "default",
        "queue_rank": "-2",
        "window_kind": "maintenance",
        "window_nodes": "h100-0001, h100-0002",
        "window_from": "2h",
        "window_for": "30m",
    }
    page = owner.post("/what-if", "ask", supposed).headers["location"]
    shown = words(owner.get(page))
    for line in (
        "without h100-0002",
        "acme:cards,maximum=4,borrow=no",
        "default,rank=-2",
        "maintenance,nodes=h100-0001|h100-0002,from=2h,for=30m",
    ):
        assert line in shown
    owner.post(page, "stop")
    wrong = owner.post("/what-if", "ask", {**supposed, "quota_of": "nobody", "window_nodes": "n1"})
    assert wrong.status_code == 422
    assert "No organisation nobody" in words(wrong)
    assert 'id="f-window_kind" name="window_kind" aria-invalid="true"' in wrong.text
    assert 'value="4"' in wrong.text, "what was typed is still there"
    assert "重放" in words(console.visitor("owner", language="zh-CN").get("/what-if"))


def test_a_jobs_page_says_where_it_is_and_what_stands_in_the_way_of_another(console: Console) -> None:
    world = console.world
    node = {"accelerator": "H100", "count": 8, "cpus": 1, "memory_gib": 1}
    running = world.submit(tasks=2, per_task=node, simulate="1h", time_limit="2h")
    world.until(running, "running")
    waiting = world.submit(per_task=node, simulate="1m", time_limit="5m")
    world.step()
    owner = console.visitor("owner")
    assert "Placed on" in words(owner.get(f"/jobs/{running}"))
    assert world.get(f"/jobs/{running}/why").json()["here"]["chosen"] is None, "two nodes, chosen together"
    page = words(owner.get(f"/jobs/{waiting}"))
    assert "8 × H100 on one node" in page
    assert "Likely start" in page
    assert "rough" not in page
    assert world.get(f"/jobs/{waiting}/why").json()["start_rough"] is False
    planner_status = world.runtime.planner_status
    told, seen = planner_status.wait_of(waiting), planner_status.snapshot()
    assert told is not None and seen is not None and told.reason.start is not None
    rough = replace(told.reason.start, guess=True)
    planner_status.publish(seen, {waiting: replace(told, reason=replace(told.reason, start=rough))})
    why = world.get(f"/jobs/{waiting}/why").json()
    assert (why["start_rough"], why["start_latest"]) == (True, to_rfc3339(rough.latest_us))
    page = words(owner.get(f"/jobs/{waiting}"))
    assert "rough" in page
    assert "hardly later than" in page
    for job in (running, waiting):
        world.post(f"/jobs/{job}/cancel")


def test_a_jobs_page_says_which_nodes_came_next_and_why_not(console: Console) -> None:
    world = console.world
    part = {"accelerator": "H100", "count": 3, "cpus": 1, "memory_gib": 1}
    first = world.submit(per_task=part, simulate="1h", time_limit="2h")
    world.until(first, "running")
    job = world.submit(per_task={**part, "count": 2}, simulate="1h", time_limit="2h")
    world.until(job, "running")
    here = world.get(f"/jobs/{job}/why").json()["here"]
    chosen = here["chosen"]
    assert chosen["policy"] == "expected-fill"
    (other,) = chosen["alternatives"]
    assert {other["node"], *here["nodes"]} == {"h100-0001", "h100-0002"}
    assert other["more"] >= 0
    assert world.get(f"/jobs/{job}/attempts").json()["items"][0]["placement"]["chosen"] == chosen
    page = words(console.visitor("owner").get(f"/jobs/{job}"))
    assert "Instead of" in page
    assert other["node"] in page
    assert "未选的节点" in words(console.visitor("owner", language="zh-CN").get(f"/jobs/{job}"))
    for one in (first, job):
        world.post(f"/jobs/{one}/cancel")
