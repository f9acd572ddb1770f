"""Quotes in the console: ask, compare, accept, and what stands in the way of each."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
import sqlalchemy as sa

from pearlstreet.base.amounts import read_amount, short_amount
from pearlstreet.console.forms.quote_fields import form_of, question_of
from pearlstreet.quotes.model import Kind, Question, Wanted, Workload
from pearlstreet.quotes.tables import quotes
from tests.console.visitors import Console, words

JOB: dict[str, Any] = {
    "environment.wheels_only": "true",
    "retries.on": ["failure", "engine_lost", "preemption"],
}
TUNE: dict[str, Any] = JOB | {
    "what": "finetune",
    "model": "Llama 3.1 8B",
    "amount": "10M",
    "unit": "tokens",
    "epochs": "1",
    "mode": "lora",
    "name": "tune",
    "command": "python tune.py",
    "simulate": "90s",
    "variables": "SIMULATE_EXIT_CODE=0",
}
PLAN = {"what": "pretrain", "model": "7B", "amount": "10B", "unit": "tokens", "epochs": "1"}
ABSENT = "quo_01k8m3v5q2e7r9t0w4y6z8a1b3"


def _asked(console: Console, form: dict[str, Any]) -> str:
    """The address of a quote that the owner asks for."""
    console.world.step()
    answer = console.visitor("owner").post("/quotes/ask", "submit", form)
    assert answer.status_code == 303, words(answer)
    return str(answer.headers["location"])


def _expire(console: Console, path: str) -> None:
    """As it is when its day is over."""

    def command(tx: Any) -> None:
        row = quotes.c.id == path.rpartition("/")[2]
        tx.execute(sa.update(quotes).where(row).values(valid_until_us=tx.now_us - 1))

    console.world.center.store.write(command)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("7B", 7e9),
        ("8.03B", 8_030_000_000),
        ("1.5T", 1.5e12),
        ("70亿", 7e9),
        ("1.2 万亿", 1.2e12),
        ("300 million", 3e8),
        ("12,000", 12000.0),
    ],
)
def test_large_numbers_are_read_as_people_write_them(written: str, value: float) -> None:
    assert read_amount(written) == pytest.approx(value)
    assert read_amount(short_amount(value)) == value
    assert len(short_amount(value)) <= len("8.03B")


@pytest.mark.parametrize("written", ["Llama 3.1 8B", "many", "", "7 X", "1e400", "1.2.3"])
def test_what_is_no_number_is_not_read_as_one(written: str) -> None:
    assert read_amount(written) is None


@pytest.mark.parametrize(
    "form",
    [
        TUNE | {"count": "4", "only": ["a", "b"], "per_task.cpus": "1"},
        PLAN | {"unit": "samples", "sequence": "2048", "batch_tokens": "4M", "hypothetical": "2x8xH100-80G"},
        {
            "what": "infer",
            "model": "8030261248",
            "requests": "2M",
            "input_tokens": "900",
            "output_tokens": "30",
        },
        {"what": "serve", "model": "Llama 3.1 8B", "requests_per_s": "2.5", "serve_hours": "10"},
        {"what": "again", "job_name": "nightly"},
        {"what": "measured", "took_hours": "12", "measured_on": "A100-80G", "measured_count": "8"},
    ],
)
def test_a_question_survives_the_form(form: dict[str, Any]) -> None:
    first = question_of(
        {k: v for k, v in form.items() if isinstance(v, str)},
        {"only": form.get("only", ())} | {"retries.on": JOB["retries.on"]},
    )
    again = question_of(*form_of(first))
    assert again == first


def test_ask_compare_accept_and_see_the_actual(console: Console) -> None:
    owner = console.visitor("owner")
    form = TUNE | {"once": "bbbb2222"}
    console.world.step()
    asked = owner.post("/quotes/ask", "submit", form)
    assert asked.status_code == 303, words(asked)
    path = asked.headers["location"]
    again = owner.post("/quotes/ask", "submit", form)
    assert again.headers["location"] == "/quotes", "the same form asks once"
    assert len(re.findall(r'href="/quotes/quo_', owner.get("/quotes").text)) == 1
    page = owner.get(path)
    assert page.status_code == 200
    said = words(page)
    assert "Fine-tune Llama 3.1 8B on 10M tokens" in said
    assert "H100" in said
    assert "cheapest" in said
    assert "fastest" in said
    assert page.text.count('class="range"') >= 2, "time and price of an offer as bars"
    question = unescape(re.search(r'data-confirm="(Accept[^"]*)"', page.text)[1])  # type: ignore[index]
    assert re.search(r"Likely price: ¥[\d,.]+.*¥[\d,.]+ is held", question)

    offer = re.search(r'name="offer" value="(\d+)"', page.text)[1]  # type: ignore[index]
    accepted = owner.post(path, "accept", {"offer": offer, "once": "cccc3333"})
    assert accepted.status_code == 303, words(accepted)
    job = accepted.headers["location"]
    assert job.startswith("/jobs/job_")
    console.world.until(job.rpartition("/")[2], "succeeded", within_s=120)
    page = owner.get(path)
    said = words(page)
    assert "Quoted and actual" in said
    assert "Run time" in said
    assert re.search(r"[+-]\d+\.\d %", said), "the error"
    assert "Within the range" in said
    assert "range-in" in page.text or "range-out" in page.text
    assert 'value="accept"' not in page.text, "nobody is asked twice"
    assert f'href="{path}#actual"' in owner.get(job).text
    twice = owner.post(path, "accept", {"offer": offer, "once": "dddd4444"})
    assert twice.status_code == 409
    assert job.rpartition("/")[2] in words(twice)
    for loop in console.world.loops:
        if loop.name == "calibration":
            loop.step(console.world.center.store)
    shown = console.visitor("system").get("/calibration")
    assert "tune" in words(shown)
    assert "× " in words(shown)
    assert 'value="reset"' in shown.text
    assert 'value="reset"' not in owner.get("/calibration").text
    assert owner.post("/calibration", "reset").status_code == 403
    assert console.visitor("system").post("/calibration", "reset").status_code == 303
    assert "No calibration data yet" in words(console.visitor("system").get("/calibration"))
    assert "tune" not in words(console.visitor("stranger").get("/calibration")), "whose runs those are"


def test_problems_stand_at_their_fields_and_what_was_typed_stays(console: Console) -> None:
    owner = console.visitor("owner")
    hostile = '"><script>alert(1)</script>'
    wrong = TUNE | {"model": hostile, "amount": "much", "epochs": "-1", "count": "1.5"}
    answer = owner.post("/quotes/ask", "submit", wrong)
    assert answer.status_code == 422
    assert hostile not in answer.text
    assert 'value="much"' in answer.text
    for name in ("amount", "count"):
        assert re.search(rf'data-problem="{name}">[^<]+<', answer.text), name
    unknown = owner.post("/quotes/ask", "submit", PLAN | {"model": "No Such 9B", "amount": "-5"})
    assert unknown.status_code == 422
    for name in ("model", "amount"):
        assert re.search(rf'data-problem="{name}">[^<]+<', unknown.text), name
    job = owner.post("/quotes/ask", "submit", TUNE | {"per_task.cpus": "many"})
    assert re.search(r'data-problem="per_task.cpus">[^<]+<', job.text)
    away = owner.post("/quotes/ask", "submit", PLAN | {"only": "No-Such-Card"})
    assert re.search(r'data-problem="only">[^<]+No-Such-Card', away.text)


def test_the_check_says_what_was_understood_and_keeps_nothing(console: Console) -> None:
    console.world.step()
    owner = console.visitor("owner")
    before = len(console.world.get("/quotes", "owner").json()["items"])
    told = json.loads(owner.post("/quotes/ask", "check", PLAN | {"live": "1"}).content)
    facts = {name: (value, tone) for name, value, tone in told["facts"]}
    assert facts["The model"][0] == "7B parameters"
    assert facts["Total work"][0] == "10B tokens"
    assert facts["Can be accepted"] == ("no, only for planning", "wait")
    wrong = json.loads(owner.post("/quotes/ask", "check", PLAN | {"live": "1", "amount": "x"}).content)
    assert list(wrong["fields"]) == ["amount"]
    shown = owner.post("/quotes/ask", "check", TUNE)
    assert "yes, for a day" in words(shown), "without scripts, too"
    assert len(console.world.get("/quotes", "owner").json()["items"]) == before


def test_a_plan_cannot_be_accepted_and_is_asked_again(console: Console) -> None:
    owner = console.visitor("owner")
    path = _asked(console, PLAN)
    page = owner.get(path)
    assert "contains no command" in words(page)
    assert 'value="accept"' not in page.text
    assert owner.post(path, "accept", {"offer": "1"}).status_code == 409
    again = owner.get(f"/quotes/ask?again={path.rpartition('/')[2]}").text
    assert re.search(r'name="model" value="7B"', again)
    assert re.search(r'name="amount" value="10B"', again)


def test_an_expired_and_a_withdrawn_quote_say_so(console: Console) -> None:
    owner = console.visitor("owner")
    path = _asked(console, TUNE)
    _expire(console, path)
    assert "has expired" in words(owner.get(path))
    refused = owner.post(path, "accept", {"offer": "1"})
    assert refused.status_code == 409
    assert "was valid until" in words(refused)
    path = _asked(console, TUNE)
    assert owner.post(path, "withdraw").status_code == 303
    assert "was withdrawn" in words(owner.get(path))
    assert owner.post(path, "accept", {"offer": "1"}).status_code == 409


def test_a_foreign_quote_reads_like_an_absent_one(console: Console) -> None:
    path = _asked(console, TUNE)
    stranger, viewer = console.visitor("stranger"), console.visitor("viewer")
    foreign, absent = stranger.get(path), stranger.get(f"/quotes/{ABSENT}")
    assert foreign.status_code == absent.status_code == 404
    assert words(foreign).replace(path.rpartition("/")[2], ABSENT) == words(absent)
    assert stranger.post(path, "accept", {"offer": "1"}).status_code == 404
    assert stranger.get(f"/quotes/ask?again={path.rpartition('/')[2]}").status_code == 404
    assert viewer.get(path).status_code == 200
    assert 'value="accept"' not in viewer.get(path).text
    assert viewer.post(path, "accept", {"offer": "1"}).status_code == 403
    assert viewer.get("/quotes/ask").status_code == 403


def test_an_earlier_job_fills_the_form(console: Console) -> None:
    owner = console.visitor("owner")
    job = console.world.submit("owner", name="nightly", variables={"LR": "0.1"}, time_limit="2h")
    for page in (
        owner.get(f"/quotes/ask?like={job}"),
        owner.post("/quotes/ask", "like", PLAN | {"like": job}),
    ):
        assert page.status_code == 200
        assert "python" in page.text
        assert "LR=0.1" in page.text
        assert 'name="time_limit"' not in page.text, "an offer decides it"
    assert 'name="job_name" value="nightly"' in owner.get(f"/quotes/ask?like={job}").text
    assert console.visitor("stranger").get(f"/quotes/ask?like={job}").status_code == 404


def test_the_rule_of_thumb_names_its_tokens_and_utilisation(console: Console) -> None:
    owner = console.visitor("owner")
    page = owner.get("/quotes/scenarios/1t-50-days")
    said = words(page)
    assert page.status_code == 200
    assert "288B" in said
    assert "40.0 %" in said
    assert "50 days" in said
    assert 'value="accept"' not in page.text
    other = words(owner.get("/quotes/scenarios/1t-50-days?tokens=20T&mfu=50&accelerators=A100-80G"))
    assert "20T" in other
    wrong = owner.get("/quotes/scenarios/1t-50-days?mfu=5000&tokens=x")
    assert wrong.status_code == 422
    assert "is not a number" in words(wrong)
    assert owner.get("/quotes/scenarios/nothing").status_code == 404


def test_every_kind_can_be_asked_for(console: Console) -> None:
    console.world.step()
    for form in (
        {
            "what": "infer",
            "model": "Llama 3.1 8B",
            "requests": "10K",
            "input_tokens": "500",
            "output_tokens": "100",
        },
        {"what": "serve", "model": "Llama 3.1 8B", "requests_per_s": "1", "serve_hours": "2"},
        {"what": "measured", "took_hours": "3", "measured_on": "A100-SXM4-80G", "measured_count": "2"},
    ):
        page = console.visitor("owner").get(
            _asked(console, JOB | {"command": "python x.py", "name": "x"} | form)
        )
        assert page.status_code == 200, form
        assert 'value="accept"' in page.text, form


def test_the_form_of_a_question_keeps_exact_numbers() -> None:
    question = Question(Workload(kind=Kind.CUSTOM, hours=1.25, accelerator="A100-80G"), None, Wanted(most=7))
    form, _ = form_of(question)
    assert (form["took_hours"], form["most"]) == ("1.25", "7")
