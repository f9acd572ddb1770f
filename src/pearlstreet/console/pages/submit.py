"""Submitting a job: a form made from the specification's field table, or the same document as YAML."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from pearlstreet.base.errors import PearlError, Problem
from pearlstreet.base.text import text
from pearlstreet.compute.jobs import views
from pearlstreet.compute.jobs.pool_view import PoolView, look
from pearlstreet.compute.jobs.quoting import Quote, quote_job
from pearlstreet.compute.jobs.service import submit_job
from pearlstreet.compute.jobs.spec.model import JobSpec
from pearlstreet.compute.jobs.spec.parse import parse_json, parse_yaml
from pearlstreet.compute.jobs.spec.write import to_json
from pearlstreet.console import uploading
from pearlstreet.console.forms.job_fields import Input, common, input_of, more
from pearlstreet.console.forms.job_text import document, filled, read
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Data, Go, View
from pearlstreet.console.pages.org_scope import SHOWN_MAX, org_of
from pearlstreet.console.routing import once
from pearlstreet.store.core import Replayed
from pearlstreet.tenancy.orgs import list_projects
from pearlstreet.tenancy.secrets import list_secrets

UPLOAD_BYTES_MAX = 64 << 20
FORM_BYTES = 1 << 20
DEFAULT_PROJECT = "default"


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of card in the pool: how many there are, and how many of them are free now."""

    model: str
    total: int
    free: float


def show(ask: Ask) -> Answer:
    """The form, empty, as it was typed, or filled like another job."""
    form, lists = _prefilled(ask)
    return _view(ask, form, lists, as_yaml=ask.value("as") == "yaml", yaml=ask.form.get("yaml"))


def check(ask: Ask) -> Answer:
    """Every problem at its field, or the price; for the page's script as JSON."""
    live = bool(ask.value("live"))
    try:
        quote = quote_job(ask.store, ask.actor, ask.center.runtime, org_of(ask).id, _spec(ask))
    except PearlError as error:
        if not live:
            raise
        return Data(json.dumps(_told_wrong(ask, error), ensure_ascii=False).encode())
    facts = _facts(ask, quote)
    if live:
        return Data(json.dumps({"fields": {}, "other": [], "facts": facts}, ensure_ascii=False).encode())
    return _view(
        ask, ask.form, ask.lists, as_yaml=ask.value("as") == "yaml", yaml=ask.form.get("yaml"), facts=facts
    )


def submit(ask: Ask) -> Answer:
    """Queue the job; the same form sent twice makes one."""
    ask = uploading.with_uploads(ask)
    try:
        job = submit_job(once(ask), ask.actor, ask.center.runtime, org_of(ask).id, _spec(ask))
    except Replayed:
        return Go("/jobs", text("It was submitted already"))
    return Go(f"/jobs/{job.id}", text("{job} is submitted", job=job.name))


def upload(ask: Ask) -> Answer:
    """Keep the files that came with the form, and name them in it."""
    kept = uploading.upload(ask)
    if isinstance(kept, Data):
        return kept
    return _view(kept, kept.form, kept.lists, as_yaml=kept.value("as") == "yaml", yaml=kept.form.get("yaml"))


def to_yaml(ask: Ask) -> Answer:
    """The same document as text."""
    spec = document(ask.form, ask.lists)
    return _view(ask, ask.form, ask.lists, as_yaml=True, yaml=_yaml(spec))


def to_form(ask: Ask) -> Answer:
    """The same document in the form; only what can be read at all."""
    written = ask.form.get("yaml", "")
    spec = to_json(parse_yaml(written, "job.yaml")) if written.strip() else {}
    form, lists = filled(spec)
    return _view(ask, form, lists, as_yaml=False, yaml=None)


def _view(
    ask: Ask,
    form: Mapping[str, str],
    lists: Mapping[str, Sequence[str]],
    *,
    as_yaml: bool,
    yaml: str | None,
    facts: list[list[str]] | None = None,
) -> View:
    org = org_of(ask)
    return View(
        "submit.html",
        {
            "org": org,
            "form": form,
            "lists": lists,
            "as_yaml": as_yaml,
            "yaml": yaml if yaml is not None else _yaml(document(form, lists)),
            "facts": facts,
            "common": common(ask.language),
            "more": more(ask.language),
            "said": {one.name for group in more("en") for one in group.inputs if _is_said(one, form, lists)},
            "wrong": _by_input(ask.error),
            "project_pairs": [
                (one.slug, one.slug)
                for one in list_projects(ask.store, ask.actor, org.id, limit=SHOWN_MAX)
                if one.slug != DEFAULT_PROJECT
            ],
            "default_project": DEFAULT_PROJECT,
            "secret_names": sorted({one.name for one in list_secrets(ask.store, ask.actor, org.id)}),
            "offers": offers(
                look(ask.store, ask.actor, ask.center.runtime), lists.get("per_task.accelerator", ())
            ),
            "upload_max": UPLOAD_BYTES_MAX,
        },
    )


def offers(pool: PoolView, chosen: Sequence[str]) -> list[Offer]:
    """PURE: what the pool has, most cards first, and whatever else was chosen."""
    total: dict[str, int] = {}
    free: dict[str, float] = {}
    for node in pool.nodes:
        given = pool.use(node.report.name).given
        for device in node.report.devices:
            total[device.model] = total.get(device.model, 0) + 1
            if node.schedulable and device.healthy:
                free[device.model] = free.get(device.model, 0.0) + 1.0 - given.get(device.index, 0.0)
    found = [Offer(model, count, round(max(free.get(model, 0.0), 0.0), 2)) for model, count in total.items()]
    found.sort(key=lambda one: (-one.total, one.model))
    return found + [Offer(one, 0, 0.0) for one in chosen if one not in total and one != "any"]


def _spec(ask: Ask) -> JobSpec:
    if ask.value("as") == "yaml":
        return parse_yaml(ask.form.get("yaml", ""), "job.yaml")
    return parse_json(document(ask.form, ask.lists))


def _prefilled(ask: Ask) -> tuple[Mapping[str, str], Mapping[str, Sequence[str]]]:
    if ask.form:
        return ask.form, ask.lists
    like = ask.query.get("like")
    spec: Mapping[str, Any] = {}
    if like:
        spec = views.get_job(ask.store, ask.actor, like).spec or {}
    form, lists = filled(spec)
    return {**form, **{name: ask.query[name] for name in common("en") if ask.query.get(name)}}, lists


def _is_said(one: Input, form: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> bool:
    return read(one, form, lists) is not None


def _yaml(spec: Mapping[str, Any]) -> str:
    """The document as YAML that people like to read."""
    if not spec:
        return ""
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 100
    sink = io.StringIO()
    writer.dump(dict(spec), sink)
    return sink.getvalue()


def _by_input(error: PearlError | None) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in error.problems if error is not None else ():
        found.setdefault(input_of(problem.field) or "", []).append(problem)
    return found


def _told_wrong(ask: Ask, error: PearlError) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    other: list[str] = []
    as_yaml = ask.value("as") == "yaml"
    for one in error.problems:
        words = f"{ask.say(one.message)} {ask.say(one.hint)}".strip()
        name = input_of(one.field)
        if name is None or as_yaml:
            place = ask.say(text("line {line}", line=one.line)) + ", " if one.line else ""
            other.append(f"{place}{one.field}: {words}")
        else:
            fields.setdefault(name, []).append(words)
    if not error.problems:
        other.append(f"{ask.say(error.message)} {ask.say(error.hint)}".strip())
    return {"fields": fields, "other": other, "facts": []}


def _facts(ask: Ask, quote: Quote) -> list[list[str]]:
    """Name, value, tone."""
    say = ask.say
    hourly = text("¥{amount} an hour", amount=f"{quote.hourly.micro / 1e6:,.2f}")
    whole = text("¥{amount}", amount=f"{quote.whole.micro / 1e6:,.2f}")
    left = text("¥{amount}", amount=f"{quote.available.micro / 1e6:,.2f}")
    rows = [
        [say(text("Price")), say(hourly), ""],
        [
            say(text("At most, for the whole time limit"))
            + (f" (× {quote.elements:,})" if quote.elements > 1 else ""),
            say(whole),
            "",
        ],
        [say(text("Available")), say(left), "" if quote.is_covered else "bad"],
    ]
    if not quote.is_covered:
        rows.append(
            [say(text("Balance")), say(text("does not cover the first hour: it would be refused")), "bad"]
        )
    elif quote.available < quote.whole:
        rows.append(
            [
                say(text("Balance")),
                say(text("does not cover the whole time limit: it may be stopped early")),
                "wait",
            ]
        )
    else:
        rows.append([say(text("Balance")), say(text("covers all of it")), "good"])
    if quote.has_room is not None:
        verdict = (
            text("enough is free now; {count} jobs wait", count=quote.waiting or 0)
            if quote.has_room
            else text("not enough is free now: it would wait; {count} jobs wait", count=quote.waiting or 0)
        )
        rows.append([say(text("Start")), say(verdict), "good" if quote.has_room else "wait"])
    return rows


PAGES = (
    Page(
        "/submit",
        text("New job"),
        show,
        scope="jobs:write",
        actions={
            "check": check,
            "submit": submit,
            "upload": upload,
            "to_yaml": to_yaml,
            "to_form": to_form,
        },
        upload_bytes_max=UPLOAD_BYTES_MAX + FORM_BYTES,
    ),
)
