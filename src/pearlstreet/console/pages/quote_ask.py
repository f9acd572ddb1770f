"""Asking for a quote: a form for people who know what they want to do, and no accelerator by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pearlstreet.base.amounts import rough_amount, short_amount
from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate.model import PRECISIONS
from pearlstreet.compute.estimate.shapes import known, plain
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.compute.jobs import views
from pearlstreet.compute.jobs.pool_view import look
from pearlstreet.console import uploading
from pearlstreet.console.forms import quote_fields
from pearlstreet.console.forms.job_fields import common, more
from pearlstreet.console.forms.job_text import read
from pearlstreet.console.page import Page
from pearlstreet.console.page_request import Answer, Ask, Data, Go, View
from pearlstreet.console.pages.org_scope import SHOWN_MAX, org_of
from pearlstreet.console.routing import once
from pearlstreet.quotes.history import past_names
from pearlstreet.quotes.model import Kind, Question
from pearlstreet.quotes.service import Checked, ask_quote, check_question, get_quote
from pearlstreet.store.core import Replayed
from pearlstreet.tenancy.orgs import list_projects
from pearlstreet.tenancy.secrets import list_secrets

UPLOAD_BYTES_MAX = 64 << 20
FORM_BYTES = 1 << 20
DEFAULT_PROJECT = "default"
LIKE_MAX = 50
"""Earlier jobs to choose from."""
WHAT: Mapping[str, tuple[Text, Text]] = {
    quote_fields.PRETRAIN: (text("Train"), text("a model from the beginning")),
    quote_fields.FINETUNE: (text("Fine-tune"), text("a model that exists, on data of your own")),
    quote_fields.INFER: (text("Batch inference"), text("a number of requests, then end")),
    quote_fields.SERVE: (text("Serve"), text("a model that answers for some hours")),
    quote_fields.AGAIN: (text("Run again"), text("what you have run here before")),
    quote_fields.MEASURED: (text("Something else"), text("that you have measured on some accelerator")),
}

FAMILIES_SAID: Mapping[str, Text] = {
    "": text("as the model says"),
    "dense-transformer": text("dense transformer"),
    "moe": text("mixture of experts"),
    "encoder": text("encoder"),
    "vision": text("vision"),
    "diffusion": text("diffusion"),
    "other": text("another"),
}
MORE: Mapping[str, str] = {
    "precision": "bf16",
    "engine": "vLLM",
    **dict.fromkeys(
        (
            "sequence", "batch_tokens", "recompute", "active", "family", "layers", "hidden", "forward_gflops", "tensor",
            "pipeline", "data", "concurrency", "count", "most", "recipe", "hypothetical", "only",
        ),
        "",
    ),
}  # fmt: skip
"""Inputs that are folded away, and what stands in them when nobody changed it."""


def show(ask: Ask) -> Answer:
    """The form: empty, as it was typed, as another quote asked, or filled like another job."""
    form, lists = _prefilled(ask)
    return _view(ask, form, lists)


def check(ask: Ask) -> Answer:
    """Every problem at its field, or what will be estimated; for the page's script as JSON."""
    live = bool(ask.value("live"))
    try:
        question = quote_fields.question_of(ask.form, ask.lists)
        found = check_question(ask.store, ask.actor, ask.center.runtime, org_of(ask).id, question)
    except PearlError as error:
        if not live:
            raise
        return Data(json.dumps(_told_wrong(ask, error), ensure_ascii=False).encode())
    facts = _facts(ask, question, found)
    if live:
        return Data(json.dumps({"fields": {}, "other": [], "facts": facts}, ensure_ascii=False).encode())
    return _view(ask, ask.form, ask.lists, facts=facts)


def submit(ask: Ask) -> Answer:
    """Ask; the same form sent twice asks once."""
    ask = uploading.with_uploads(ask)
    question = quote_fields.question_of(ask.form, ask.lists)
    try:
        quote = ask_quote(once(ask), ask.actor, ask.center.runtime, org_of(ask).id, question)
    except Replayed:
        return Go("/quotes", text("It was asked already"))
    return Go(f"/quotes/{quote.id}", text("{count} offers, valid for a day", count=len(quote.offers)))


def upload(ask: Ask) -> Answer:
    """Keep the files that came with the form, and name them in it."""
    kept = uploading.upload(ask)
    if isinstance(kept, Data):
        return kept
    return _view(kept, kept.form, kept.lists)


def like(ask: Ask) -> Answer:
    """Take the job's part of the form from an earlier job."""
    chosen = ask.value("like")
    if not chosen:
        message = text("No job is chosen")
        raise InvalidInput(message, problems=[Problem("like", message)])
    job = views.get_job(ask.store, ask.actor, chosen)
    form, lists = quote_fields.job_form(job.spec or {})
    return _view(ask, {**ask.form, **form}, {**ask.lists, **lists})


def _view(
    ask: Ask,
    form: Mapping[str, str],
    lists: Mapping[str, Sequence[str]],
    *,
    facts: list[list[str]] | None = None,
) -> View:
    org = org_of(ask)
    newest = views.list_jobs(ask.store, ask.actor, views.JobFilter(org=org.id), limit=LIKE_MAX)
    groups = [
        replace(group, inputs=tuple(one for one in group.inputs if quote_fields.is_open(one)))
        for group in more(ask.language)
    ]
    return View(
        "quote_ask.html",
        {
            "org": org,
            "form": form,
            "lists": lists,
            "facts": facts,
            "what": form.get("what", quote_fields.PRETRAIN),
            "whats": [(name, ask.say(title), ask.say(about)) for name, (title, about) in WHAT.items()],
            "common": common(ask.language),
            "job_groups": [group for group in groups if group.inputs],
            "said": {
                one.name for group in groups for one in group.inputs if read(one, form, lists) is not None
            },
            "wrong": _by_input(ask, form.get("what", "")),
            "project_pairs": [
                (one.slug, one.slug)
                for one in list_projects(ask.store, ask.actor, org.id, limit=SHOWN_MAX)
                if one.slug != DEFAULT_PROJECT
            ],
            "default_project": DEFAULT_PROJECT,
            "secret_names": sorted({one.name for one in list_secrets(ask.store, ask.actor, org.id)}),
            "is_more": any(form.get(name) not in (None, "", usual) for name, usual in MORE.items())
            or bool(lists.get("only"))
            or bool(set(MORE) & set(_by_input(ask, form.get("what", "")))),
            "precisions": [(name, name) for name in PRECISIONS],
            "families": [(name, ask.say(words)) for name, words in FAMILIES_SAID.items()],
            "models": _models(ask),
            "published": sorted(one.name for one in known().values()),
            "accelerators": sorted(one.name for one in catalogue()),
            "job_names": past_names(ask.store, ask.actor, org.id, limit=LIKE_MAX),
            "earlier": [(job.id, job.name) for job in newest if job.array_size is None],
            "upload_max": UPLOAD_BYTES_MAX,
        },
    )


def _models(ask: Ask) -> list[str]:
    """Accelerators that the pool has, and those that were chosen."""
    pool = look(ask.store, ask.actor, ask.center.runtime)
    here = {device.model for node in pool.nodes for device in node.report.devices}
    return sorted(here | set(ask.lists.get("only", ())))


def _prefilled(ask: Ask) -> tuple[Mapping[str, str], Mapping[str, Sequence[str]]]:
    if ask.form:
        return ask.form, ask.lists
    if again := ask.query.get("again"):
        return quote_fields.form_of(get_quote(ask.store, ask.actor, again).question)
    job = views.get_job(ask.store, ask.actor, ask.query["like"]) if ask.query.get("like") else None
    form, lists = quote_fields.job_form(job.spec or {} if job is not None else {})
    if job is not None:
        form |= {"what": quote_fields.AGAIN, "job_name": job.name}
    return form, lists


def _by_input(ask: Ask, what: str) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in ask.error.problems if ask.error is not None else ():
        found.setdefault(quote_fields.input_at(problem.field, what) or "", []).append(problem)
    return found


def _told_wrong(ask: Ask, error: PearlError) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    other: list[str] = []
    for one in error.problems:
        words = f"{ask.say(one.message)} {ask.say(one.hint)}".strip()
        name = quote_fields.input_at(one.field, ask.value("what"))
        if name is None:
            other.append(f"{one.field}: {words}")
        else:
            fields.setdefault(name, []).append(words)
    if not error.problems:
        other.append(f"{ask.say(error.message)} {ask.say(error.hint)}".strip())
    return {"fields": fields, "other": other, "facts": []}


def _facts(ask: Ask, question: Question, found: Checked) -> list[list[str]]:
    """Name, value, tone: what was understood, and from what the offers will come."""
    say, work = ask.say, question.workload
    rows: list[list[str]] = []
    if work.kind in (Kind.TRAIN, Kind.INFER, Kind.SERVE):
        published = known().get(plain(work.model.name)) if work.model.name else None
        params = work.model.params or (published.params if published is not None else None)
        if params is not None:
            size = text("{params} parameters", params=rough_amount(params))
            rows.append(
                [say(text("The model")), f"{published.name}: {say(size)}" if published else say(size), ""]
            )
    if work.tokens or work.samples:
        much = (work.tokens or work.samples or 0.0) * work.epochs
        counted = text("{count} tokens", count=short_amount(much)) if work.tokens else None
        counted = counted or text("{count} samples", count=short_amount(much))
        rows.append([say(text("Work in all")), say(counted), ""])
    ways = text("{count} ways, on {models}", count=found.ways, models=", ".join(found.models) or "–")
    rows.append([say(text("Will be compared")), say(ways), "" if found.ways else "bad"])
    acceptable = text("yes, for a day") if found.can_be_accepted else text("no: to plan with")
    rows.append([say(text("Can be accepted")), say(acceptable), "good" if found.can_be_accepted else "wait"])
    return rows


PAGES = (
    Page(
        "/quotes/ask",
        text("Ask for a quote"),
        show,
        scope="jobs:write",
        actions={"check": check, "submit": submit, "upload": upload, "like": like},
        upload_bytes_max=UPLOAD_BYTES_MAX + FORM_BYTES,
    ),
)
