"""Page to request a quote, with a form about the workload that needs no knowledge of accelerators."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pearlstreet.base.amounts import rough_amount, short_amount
from pearlstreet.base.errors import InvalidInput, PearlError, Problem
from pearlstreet.base.text import Text, plural, text
from pearlstreet.compute.estimate.model import PRECISIONS
from pearlstreet.compute.estimate.shapes import known, plain
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.console import form_uploads
from pearlstreet.console.forms import quote_fields
from pearlstreet.console.forms.job_fields import common, more
from pearlstreet.console.forms.job_text import read
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, RawResponse, Redirect, View
from pearlstreet.console.pages.org_scope import SHOWN_MAX, org_of
from pearlstreet.console.routing import once
from pearlstreet.quotes.model import Kind, Question
from pearlstreet.quotes.service import Checked
from pearlstreet.services.jobs import JobFilter, JobsService
from pearlstreet.services.nodes import NodesService
from pearlstreet.services.quotes import QuotesService
from pearlstreet.services.storage import StorageService
from pearlstreet.store.core import Replayed
from pearlstreet.tenancy.orgs import list_projects
from pearlstreet.tenancy.secrets import list_secrets

UPLOAD_BYTES_MAX = 64 << 20
FORM_BYTES = 1 << 20
DEFAULT_PROJECT = "default"
LIKE_MAX = 50
"""Maximum number of earlier jobs to choose from."""
WHAT: Mapping[str, tuple[Text, Text]] = {
    quote_fields.PRETRAIN: (text("Train"), text("a model from scratch")),
    quote_fields.FINETUNE: (text("Fine-tune"), text("an existing model, on your own data")),
    quote_fields.INFER: (text("Batch inference"), text("a fixed number of requests")),
    quote_fields.SERVE: (text("Serve"), text("a model for some hours")),
    quote_fields.AGAIN: (text("Run again"), text("a job that you ran here before")),
    quote_fields.MEASURED: (text("Something else"), text("a workload measured on an accelerator")),
}

FAMILIES_SAID: Mapping[str, Text] = {
    "": text("from the model"),
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
"""Collapsed inputs and their default values."""


def show(request: PageRequest, quotes: QuotesService, jobs: JobsService, nodes: NodesService) -> PageResponse:
    """Show the form: empty, as entered, or filled from another quote or job."""
    form, lists = _prefilled(request, quotes, jobs)
    return _view(request, quotes, jobs, nodes, form, lists)


def check(
    request: PageRequest, quotes: QuotesService, jobs: JobsService, nodes: NodesService
) -> PageResponse:
    """Show all problems at their fields, or a summary of the estimate to come; as JSON for the page's script."""
    live = bool(request.value("live"))
    try:
        question = quote_fields.question_of(request.form, request.lists)
        found = quotes.check_question(request.actor, org_of(request).id, question)
    except PearlError as error:
        if not live:
            raise
        return RawResponse(json.dumps(_problems_json(request, error), ensure_ascii=False).encode())
    facts = _facts(request, question, found)
    if live:
        return RawResponse(
            json.dumps({"fields": {}, "other": [], "facts": facts}, ensure_ascii=False).encode()
        )
    return _view(request, quotes, jobs, nodes, request.form, request.lists, facts=facts)


def submit(request: PageRequest, quotes: QuotesService, storage: StorageService) -> PageResponse:
    """Create the quote. The same form sent twice creates one quote."""
    request = form_uploads.with_uploads(request, storage)
    question = quote_fields.question_of(request.form, request.lists)
    try:
        quote = quotes.on(once(request)).ask_quote(request.actor, org_of(request).id, question)
    except Replayed:
        return Redirect("/quotes", text("This quote was requested already"))
    return Redirect(
        f"/quotes/{quote.id}",
        plural("{count} offer, valid for a day", "{count} offers, valid for a day", count=len(quote.offers)),
    )


def upload(
    request: PageRequest,
    storage: StorageService,
    quotes: QuotesService,
    jobs: JobsService,
    nodes: NodesService,
) -> PageResponse:
    """Store the files of the form as uploads and refer to them in it."""
    kept = form_uploads.upload(request, storage)
    if isinstance(kept, RawResponse):
        return kept
    return _view(kept, quotes, jobs, nodes, kept.form, kept.lists)


def like(request: PageRequest, quotes: QuotesService, jobs: JobsService, nodes: NodesService) -> PageResponse:
    """Fill the job's part of the form from an earlier job."""
    chosen = request.value("like")
    if not chosen:
        message = text("No job is selected")
        raise InvalidInput(message, problems=[Problem("like", message)])
    job = jobs.get_job(request.actor, chosen)
    form, lists = quote_fields.job_form(job.spec or {})
    return _view(request, quotes, jobs, nodes, {**request.form, **form}, {**request.lists, **lists})


def _view(
    request: PageRequest,
    quotes: QuotesService,
    jobs: JobsService,
    nodes: NodesService,
    form: Mapping[str, str],
    lists: Mapping[str, Sequence[str]],
    *,
    facts: list[list[str]] | None = None,
) -> View:
    org = org_of(request)
    newest = jobs.list_jobs(request.actor, JobFilter(org=org.id), limit=LIKE_MAX)
    groups = [
        replace(group, inputs=tuple(one for one in group.inputs if quote_fields.is_open(one)))
        for group in more(request.language)
    ]
    return View(
        "quote_request.html",
        {
            "org": org,
            "form": form,
            "lists": lists,
            "facts": facts,
            "what": form.get("what", quote_fields.PRETRAIN),
            "whats": [
                (name, request.say(title), request.say(about)) for name, (title, about) in WHAT.items()
            ],
            "common": common(request.language),
            "job_groups": [group for group in groups if group.inputs],
            "said": {
                one.name for group in groups for one in group.inputs if read(one, form, lists) is not None
            },
            "wrong": _by_input(request, form.get("what", "")),
            "project_pairs": [
                (one.slug, one.slug)
                for one in list_projects(request.store, request.actor, org.id, limit=SHOWN_MAX)
                if one.slug != DEFAULT_PROJECT
            ],
            "default_project": DEFAULT_PROJECT,
            "secret_names": sorted({one.name for one in list_secrets(request.store, request.actor, org.id)}),
            "is_more": any(form.get(name) not in (None, "", usual) for name, usual in MORE.items())
            or bool(lists.get("only"))
            or bool(set(MORE) & set(_by_input(request, form.get("what", "")))),
            "precisions": [(name, name) for name in PRECISIONS],
            "families": [(name, request.say(words)) for name, words in FAMILIES_SAID.items()],
            "models": _models(request, nodes),
            "published": sorted(one.name for one in known().values()),
            "accelerators": sorted(one.name for one in catalogue()),
            "job_names": quotes.past_names(request.actor, org.id, limit=LIKE_MAX),
            "earlier": [(job.id, job.name) for job in newest if job.array_size is None],
            "upload_max": UPLOAD_BYTES_MAX,
        },
    )


def _models(request: PageRequest, nodes: NodesService) -> list[str]:
    """Return the accelerators in the pool and the chosen ones."""
    pool = nodes.view_pool(request.actor)
    here = {device.model for node in pool.nodes for device in node.report.devices}
    return sorted(here | set(request.lists.get("only", ())))


def _prefilled(
    request: PageRequest, quotes: QuotesService, jobs: JobsService
) -> tuple[Mapping[str, str], Mapping[str, Sequence[str]]]:
    if request.form:
        return request.form, request.lists
    if again := request.query.get("again"):
        return quote_fields.form_of(quotes.get_quote(request.actor, again).question)
    job = jobs.get_job(request.actor, request.query["like"]) if request.query.get("like") else None
    form, lists = quote_fields.job_form(job.spec or {} if job is not None else {})
    if job is not None:
        form |= {"what": quote_fields.AGAIN, "job_name": job.name}
    return form, lists


def _by_input(request: PageRequest, what: str) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in request.error.problems if request.error is not None else ():
        found.setdefault(quote_fields.input_at(problem.field, what) or "", []).append(problem)
    return found


def _problems_json(request: PageRequest, error: PearlError) -> dict[str, object]:
    fields: dict[str, list[str]] = {}
    other: list[str] = []
    for one in error.problems:
        words = f"{request.say(one.message)} {request.say(one.hint)}".strip()
        name = quote_fields.input_at(one.field, request.value("what"))
        if name is None:
            other.append(f"{one.field}: {words}")
        else:
            fields.setdefault(name, []).append(words)
    if not error.problems:
        other.append(f"{request.say(error.message)} {request.say(error.hint)}".strip())
    return {"fields": fields, "other": other, "facts": []}


def _facts(request: PageRequest, question: Question, found: Checked) -> list[list[str]]:
    """Return rows of (name, value, tone) that summarise the question and the hardware of the offers."""
    say, work = request.say, question.workload
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
        rows.append([say(text("Total work")), say(counted), ""])
    ways = plural(
        "{count} configuration on {models}",
        "{count} configurations on {models}",
        count=found.ways,
        models=", ".join(found.models) or "–",
    )
    rows.append([say(text("Will be compared")), say(ways), "" if found.ways else "bad"])
    acceptable = text("yes, for a day") if found.can_be_accepted else text("no, only for planning")
    rows.append([say(text("Can be accepted")), say(acceptable), "good" if found.can_be_accepted else "wait"])
    return rows


PAGES = (
    ConsolePage(
        "/quotes/ask",
        text("Ask for a quote"),
        show,
        scope="jobs:write",
        actions={"check": check, "submit": submit, "upload": upload, "like": like},
        upload_bytes_max=UPLOAD_BYTES_MAX + FORM_BYTES,
    ),
)
