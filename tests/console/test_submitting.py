"""The form for a job: what it says becomes a job, problems stand at their fields, the same form makes one job."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from pearlstreet.console.forms.job_fields import Input, common, input_of, inputs, more
from pearlstreet.console.forms.job_text import document, filled
from pearlstreet.workload.spec.parse import parse_json
from pearlstreet.workload.spec.table import JOB
from pearlstreet.workload.spec.write import to_json
from tests.console.visitors import Console, Visitor, words

JOB_ID = "job_01k8m3v5q2e7r9t0w4y6z8a1b3"
UPLOAD = "upl_01k8m3v5q2e7r9t0w4y6z8a1b3"
FORM: dict[str, Any] = {
    "as": "form",
    "name": "first",
    "command": "python train.py",
    "per_task.cpus": "1",
    "per_task.memory_gib": "1",
    "time_limit": "1h",
    "environment.wheels_only": "true",
    "retries.on": ["failure", "engine_lost", "preemption"],
}
SPECS: list[dict[str, Any]] = [
    {"command": "x"},
    {"command": ["python", "a b.py", ""], "variables": {"A": "x\ny", "B": "", "C": " q", "D": '"z"'}},
    {"command": "a\nb", "files": [{"upload": UPLOAD, "path": "d/"}, UPLOAD], "inputs": {"DATA": UPLOAD}},
    {"command": "x", "per_task": {"accelerator": ["H100", "any"], "count": 2, "cpus": 0.5}, "tasks": 3},
    {"command": "x", "per_task": {"accelerator": "any", "fraction": {"memory_gib": 8}}},
    {"command": "x", "retries": {"max": 2, "on": []}, "array": {"values": ["0.1", "0.01"]}, "priority": "high"},
    {"command": "x", "depends_on": [JOB_ID], "time_limit": "90m", "limits": {"grace": 5}},
    {"command": "x", "depends_on": [{"job": JOB_ID, "condition": "ended"}], "preemptible": True},
    {"command": "x", "environment": {"python": "3.10", "packages": ["numpy==2.1"], "wheels_only": False}},
    {"command": "x", "secrets": {"TOKEN": "hub"}, "labels": {"a": "b = c"}, "notes": "one\n two"},
    {"command": "x", "git": {"url": "https://git.example.org/a.git", "ref": "v1"}, "not_before": "2030-01-01T00:00:00Z"},
]  # fmt: skip


def _fields(visitor: Visitor, path: str = "/submit") -> dict[str, Any]:
    """A form as a browser would send it when nothing is changed."""
    page = visitor.get(path).text
    found: dict[str, Any] = {}
    for name, value in re.findall(r'<input id="f-[^"]*" name="([^"]+)" value="([^"]*)"', page):
        found[name] = unescape(value)
    for name, value in re.findall(r'<textarea id="f-[^"]*" name="([^"]+)"[^>]*>([^<]*)</textarea>', page):
        found[name] = unescape(value)
    for name, value in re.findall(r'type="checkbox"[^>]* name="([^"]+)" value="([^"]*)" checked', page):
        found.setdefault(name, []).append(unescape(value))
    for hidden in ("as", "once"):
        match = re.search(rf'name="{hidden}" value="([^"]*)"', page)
        assert match
        found[hidden] = match[1]
    return found


def _job(console: Console, location: str) -> dict[str, Any]:
    answer = console.world.get(location, "owner")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("spec", SPECS)
def test_a_specification_survives_the_form(spec: dict[str, Any]) -> None:
    meant = to_json(parse_json(spec))
    form, lists = filled(meant)
    assert to_json(parse_json(document(form, lists))) == meant


def test_every_field_of_the_table_has_an_input_in_both_languages() -> None:
    named = {one.name.partition(".")[0] for one in inputs("en")}
    assert named == {one.name for one in JOB.fields}
    shown: list[Input] = [
        *common("zh-CN").values(),
        *(one for group in more("zh-CN") for one in group.inputs),
    ]
    assert sorted(one.name for one in shown) == sorted(one.name for one in inputs("en"))
    assert all(re.search("[\u4e00-\u9fff]", one.about) for one in shown)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("per_task.count", "per_task.count"),
        ("environment.packages[3]", "environment.packages"),
        ("variables.PATH", "variables"),
        ("files[0].path", "files"),
        ("per_task", None),
        ("filesystem", None),
    ],
)
def test_a_problem_finds_its_input(field: str, name: str | None) -> None:
    assert input_of(field) == name


def test_a_filled_form_becomes_a_job_once(console: Console) -> None:
    owner = console.visitor("owner")
    form = FORM | {"variables": "EPOCHS=3", "once": "aaaa1111"}
    answer = owner.post("/submit", "submit", form)
    assert answer.status_code == 303, words(answer)
    job = _job(console, answer.headers["location"])
    assert job["name"] == "first" and job["spec"]["variables"] == {"EPOCHS": "3"}
    again = owner.post("/submit", "submit", form)
    assert again.status_code == 303 and again.headers["location"] == "/jobs"
    assert len(console.world.get("/jobs?name=first", "owner").json()["items"]) == 1


def test_problems_stand_at_their_fields_and_what_was_typed_stays(console: Console) -> None:
    hostile = '</textarea><script>alert("1")</script>'
    form = FORM | {"per_task.cpus": "many", "per_task.count": "-3", "notes": hostile}
    answer = console.visitor("owner").post("/submit", "submit", form)
    assert answer.status_code == 422 and hostile not in answer.text
    assert 'value="many"' in answer.text and "&lt;/textarea&gt;&lt;script&gt;" in answer.text
    for name in ("per_task.cpus", "per_task.count"):
        place = re.search(rf'data-problem="{name}">([^<]+)<', answer.text)
        assert place, name
    assert not re.search(r'data-problem="per_task.memory_gib">[^<]+<', answer.text)


def test_the_check_tells_price_balance_and_room(console: Console) -> None:
    console.world.step()
    viewer, owner = console.visitor("viewer"), console.visitor("owner")
    told = json.loads(owner.post("/submit", "check", FORM | {"live": "1"}).content)
    assert told["fields"] == {} and told["other"] == []
    facts = {name: (value, tone) for name, value, tone in told["facts"]}
    assert facts["Price"][0] == "¥0.14 an hour" and facts["Balance"] == ("covers all of it", "good")
    assert facts["Start"][1] == "good"
    dear = FORM | {"live": "1", "per_task.accelerator": "any", "time_limit": "30d", "array.size": "1000"}
    facts = {
        name: tone for name, _, tone in json.loads(owner.post("/submit", "check", dear).content)["facts"]
    }
    assert facts["Balance"] == "wait"
    wrong = json.loads(owner.post("/submit", "check", FORM | {"live": "1", "time_limit": "soon"}).content)
    assert list(wrong["fields"]) == ["time_limit"] and wrong["facts"] == []
    shown = owner.post("/submit", "check", FORM)
    assert shown.status_code == 200 and "¥0.14 an hour" in words(shown), "without scripts, too"
    assert viewer.post("/submit", "check", FORM | {"live": "1"}).status_code == 403
    assert len(console.world.get("/jobs?name=first", "owner").json()["items"]) <= 1, "a check makes nothing"


def test_the_same_document_as_yaml_and_back(console: Console) -> None:
    owner = console.visitor("owner")
    text = owner.post("/submit", "to_yaml", FORM | {"per_task.accelerator": ["any"], "outputs": "a/**\nb"})
    yaml = unescape(re.search(r'<textarea id="f-yaml"[^>]*>([^<]*)</textarea>', text.text)[1])  # type: ignore[index]
    assert "command: python train.py" in yaml and "- a/**" in yaml
    back = owner.post("/submit", "to_form", {"as": "yaml", "yaml": yaml})
    assert 'value="1h"' in back.text and "a/**\nb</textarea>" in back.text
    made = owner.post("/submit", "submit", {"as": "yaml", "yaml": yaml})
    assert _job(console, made.headers["location"])["spec"]["outputs"] == ["a/**", "b"]
    wrong = owner.post("/submit", "submit", {"as": "yaml", "yaml": "command: x\ncpuz: 2\n"})
    assert wrong.status_code == 422 and "(line 2)" in words(wrong) and "cpuz: 2" in wrong.text


def test_another_like_this_fills_the_form(console: Console) -> None:
    owner = console.visitor("owner")
    job = console.world.submit("owner", name="model", variables={"LR": "0.1"}, labels={"team": "a"})
    form = _fields(owner, f"/submit?like={job}")
    made = owner.post("/submit", "submit", form)
    assert made.status_code == 303, words(made)
    first, second = _job(console, f"/jobs/{job}"), _job(console, made.headers["location"])
    assert first["id"] != second["id"] and first["spec"] == second["spec"]
    stranger = console.visitor("stranger").get(f"/submit?like={job}")
    assert stranger.status_code == 404
    absent = console.visitor("stranger").get(f"/submit?like={JOB_ID}")
    assert words(stranger).replace(job, JOB_ID) == words(absent), "a foreign job reads like an absent one"


def test_a_file_comes_with_the_form(console: Console) -> None:
    owner = console.visitor("owner")
    data = FORM | {"do": "upload", "token": owner.token()}
    kept = owner.send("POST", "/submit", data=data, files={"upload": ("train.py", b"print(1)")})
    line = unescape(re.search(r'name="files"[^>]*>([^<]*)</textarea>', kept.text)[1])  # type: ignore[index]
    assert line.startswith("upl_") and line.endswith("# train.py")
    made = owner.post("/submit", "submit", FORM | {"files": line})
    assert _job(console, made.headers["location"])["spec"]["files"][0]["upload"] == line.split()[0]
    foreign = console.visitor("stranger").post("/submit", "submit", FORM | {"files": line})
    assert foreign.status_code == 404 and "There is no upload" in words(foreign)
    live = owner.send(
        "POST",
        "/submit",
        data=data | {"live": "1"},
        files={"upload": ("a.tar.gz", b"x"), "other": ("../b", b"y")},
    )
    assert "is not a file name" in live.json()["problem"]
    fine = owner.send("POST", "/submit", data=data | {"live": "1"}, files={"upload": ("a.tar.gz", b"x")})
    assert '"kind": "archive"' in fine.json()["lines"][0]


def test_a_stored_secret_is_named_and_an_unknown_one_refused(console: Console) -> None:
    owner = console.visitor("owner")
    owner.post("/secrets", "keep", {"name": "hub-token", "secret": "canary-77"})
    page = owner.get("/submit")
    assert "hub-token" in words(page) and "canary-77" not in page.text
    assert owner.post("/submit", "submit", FORM | {"secrets": "TOKEN=hub-token"}).status_code == 303
    answer = owner.post("/submit", "submit", FORM | {"secrets": "TOKEN=nothing"})
    assert answer.status_code == 422 and re.search(r'data-problem="secrets">[^<]+nothing', answer.text)


def test_who_cannot_submit_has_no_form(console: Console) -> None:
    for role in ("viewer", "system", "security", "audit"):
        assert console.visitor(role).get("/submit").status_code == 403
