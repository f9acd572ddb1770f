"""Page to submit a job, with a form generated from the specification's field table or as YAML."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ruamel.yaml import YAML

from pearlstreet.base.errors import PearlError, Problem
from pearlstreet.base.text import plural, text
from pearlstreet.console import form_uploads
from pearlstreet.console.forms.job_fields import Input, common, input_of, more
from pearlstreet.console.forms.job_text import document, filled, read
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, RawResponse, Redirect, View
from pearlstreet.console.pages.org_scope import SHOWN_MAX, org_of
from pearlstreet.console.routing import once
from pearlstreet.services.jobs import JobQuote, JobsService
from pearlstreet.services.nodes import NodesService, PoolView
from pearlstreet.services.storage import StorageService
from pearlstreet.store.core import Replayed
from pearlstreet.tenancy.orgs import list_projects
from pearlstreet.tenancy.secrets import list_secrets
from pearlstreet.workload.spec.model import JobSpec
from pearlstreet.workload.spec.parse import parse_json, parse_yaml
from pearlstreet.workload.spec.write import to_json

UPLOAD_BYTES_MAX = 64 << 20
FORM_BYTES = 1 << 20
DEFAULT_PROJECT = "default"


@dataclass(frozen=True, slots=True)
class CardChoice:
    """A card model in the pool, with its number of cards and of free cards."""

    model: str
    total: int
    free: float


def show(request: PageRequest, jobs: JobsService, nodes: NodesService) -> PageResponse:
    """Show the form: empty, as entered, or filled from another job."""
    form, lists = _prefilled(request, jobs)
    return _view(
        request, nodes, form, lists, as_yaml=request.value("as") == "yaml", yaml=request.form.get("yaml")
    )


def check(request: PageRequest, jobs: JobsService, nodes: NodesService) -> PageResponse:
    """Show all problems at their fields, or the price; as JSON for the page's script."""
    live = bool(request.value("live"))
    try:
        quote = jobs.quote_job(request.actor, org_of(request).id, _spec(request))
    except PearlError as error:
        if not live:
            raise
        return RawResponse(json.dumps(_problems_json(request, error), ensure_ascii=False).encode())
    facts = _facts(request, quote)
    if live:
        return RawResponse(
            json.dumps({"fields": {}, "other": [], "facts": facts}, ensure_ascii=False).encode()
        )
    return _view(
        request,
        nodes,
        request.form,
        request.lists,
        as_yaml=request.value("as") == "yaml",
        yaml=request.form.get("yaml"),
        facts=facts,
    )


def submit(request: PageRequest, jobs: JobsService, storage: StorageService) -> PageResponse:
    """Submit the job. The same form sent twice submits one job."""
    request = form_uploads.with_uploads(request, storage)
    try:
        job = jobs.on(once(request)).submit_job(request.actor, org_of(request).id, _spec(request))
    except Replayed:
        return Redirect("/jobs", text("It was submitted already"))
    return Redirect(f"/jobs/{job.id}", text("{job} is submitted", job=job.name))


def upload(request: PageRequest, storage: StorageService, nodes: NodesService) -> PageResponse:
    """Store the files of the form as uploads and refer to them in it."""
    kept = form_uploads.upload(request, storage)
    if isinstance(kept, RawResponse):
        return kept
    return _view(
        kept, nodes, kept.form, kept.lists, as_yaml=kept.value("as") == "yaml", yaml=kept.form.get("yaml")
    )


def to_yaml(request: PageRequest, nodes: NodesService) -> PageResponse:
    """Show the specification in the form as YAML."""
    spec = document(request.form, request.lists)
    return _view(request, nodes, request.form, request.lists, as_yaml=True, yaml=_yaml(spec))


def to_form(request: PageRequest, nodes: NodesService) -> PageResponse:
    """Show the specification in YAML as a form. Raises InvalidInput for unreadable YAML."""
    written = request.form.get("yaml", "")
    spec = to_json(parse_yaml(written, "job.yaml")) if written.strip() else {}
    form, lists = filled(spec)
    return _view(request, nodes, form, lists, as_yaml=False, yaml=None)


def _view(
    request: PageRequest,
    nodes: NodesService,
    form: Mapping[str, str],
    lists: Mapping[str, Sequence[str]],
    *,
    as_yaml: bool,
    yaml: str | None,
    facts: list[list[str]] | None = None,
) -> View:
    org = org_of(request)
    return View(
        "submit.html",
        {
            "org": org,
            "form": form,
            "lists": lists,
            "as_yaml": as_yaml,
            "yaml": yaml if yaml is not None else _yaml(document(form, lists)),
            "facts": facts,
            "common": common(request.language),
            "more": more(request.language),
            "said": {one.name for group in more("en") for one in group.inputs if _is_said(one, form, lists)},
            "wrong": _by_input(request.error),
            "project_pairs": [
                (one.slug, one.slug)
                for one in list_projects(request.store, request.actor, org.id, limit=SHOWN_MAX)
                if one.slug != DEFAULT_PROJECT
            ],
            "default_project": DEFAULT_PROJECT,
            "secret_names": sorted({one.name for one in list_secrets(request.store, request.actor, org.id)}),
            "offers": offers(nodes.view_pool(request.actor), lists.get("per_task.accelerator", ())),
            "upload_max": UPLOAD_BYTES_MAX,
        },
    )


def offers(pool: PoolView, chosen: Sequence[str]) -> list[CardChoice]:
    """PURE: Return the card models in the pool, most cards first, followed by other chosen ones."""
    total: dict[str, int] = {}
    free: dict[str, float] = {}
    for node in pool.nodes:
        given = pool.use(node.report.name).given
        for device in node.report.devices:
            total[device.model] = total.get(device.model, 0) + 1
            if node.schedulable and device.healthy:
                free[device.model] = free.get(device.model, 0.0) + 1.0 - given.get(device.index, 0.0)
    found = [
        CardChoice(model, count, round(max(free.get(model, 0.0), 0.0), 2)) for model, count in total.items()
    ]
    found.sort(key=lambda one: (-one.total, one.model))
    return found + [CardChoice(one, 0, 0.0) for one in chosen if one not in total and one != "any"]


def _spec(request: PageRequest) -> JobSpec:
    if request.value("as") == "yaml":
        return parse_yaml(request.form.get("yaml", ""), "job.yaml")
    return parse_json(document(request.form, request.lists))


def _prefilled(
    request: PageRequest, jobs: JobsService
) -> tuple[Mapping[str, str], Mapping[str, Sequence[str]]]:
    if request.form:
        return request.form, request.lists
    like = request.query.get("like")
    spec: Mapping[str, object] = {}
    if like:
        spec = jobs.get_job(request.actor, like).spec or {}
    form, lists = filled(spec)
    return {**form, **{name: request.query[name] for name in common("en") if request.query.get(name)}}, lists


def _is_said(one: Input, form: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> bool:
    return read(one, form, lists) is not None


def _yaml(spec: Mapping[str, object]) -> str:
    """Return a specification as readable YAML."""
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


def _problems_json(request: PageRequest, error: PearlError) -> dict[str, object]:
    fields: dict[str, list[str]] = {}
    other: list[str] = []
    as_yaml = request.value("as") == "yaml"
    for one in error.problems:
        words = f"{request.say(one.message)} {request.say(one.hint)}".strip()
        name = input_of(one.field)
        if name is None or as_yaml:
            place = request.say(text("line {line}", line=one.line)) + ", " if one.line else ""
            other.append(f"{place}{one.field}: {words}")
        else:
            fields.setdefault(name, []).append(words)
    if not error.problems:
        other.append(f"{request.say(error.message)} {request.say(error.hint)}".strip())
    return {"fields": fields, "other": other, "facts": []}


def _facts(request: PageRequest, quote: JobQuote) -> list[list[str]]:
    """Return rows of (name, value, tone) about price, balance and start."""
    say = request.say
    hourly = text("¥{amount} an hour", amount=f"{quote.hourly.micro / 1e6:,.2f}")
    whole = text("¥{amount}", amount=f"{quote.whole.micro / 1e6:,.2f}")
    left = text("¥{amount}", amount=f"{quote.available.micro / 1e6:,.2f}")
    rows = [
        [say(text("Price")), say(hourly), ""],
        [
            say(text("Maximum, for the whole time limit"))
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
    if quote.fits_now is not None:
        verdict = (
            plural(
                "enough is free now; {count} job waits",
                "enough is free now; {count} jobs wait",
                count=quote.waiting or 0,
            )
            if quote.fits_now
            else plural(
                "not enough is free now: it would wait; {count} job waits",
                "not enough is free now: it would wait; {count} jobs wait",
                count=quote.waiting or 0,
            )
        )
        rows.append([say(text("Start")), say(verdict), "good" if quote.fits_now else "wait"])
    return rows


PAGES = (
    ConsolePage(
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
        menu=MenuPlace(MenuGroup.WORK, 3, "plus", "+"),
    ),
)
