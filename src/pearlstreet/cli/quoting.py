"""Quotes from the terminal: ask, list, show, accept, compare, withdraw, scenario."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pearlstreet.base.amounts import amount, rough_amount
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.base.units import format_price
from pearlstreet.cli.jobs import Json, Org, specification, upload_files
from pearlstreet.cli.offers_table import show_comparison, show_offer, show_offers, show_scenario
from pearlstreet.cli.output import done, err, facts, say, show_json, show_lines, table, time_cell, warn
from pearlstreet.cli.profile import client
from pearlstreet.client.noun import given
from pearlstreet.client.profile import active

if TYPE_CHECKING:
    from pearlstreet.client import results

quote = typer.Typer(
    help="Offers for a workload before it runs; accept one and compare afterwards.", no_args_is_help=True
)
QuoteArg = Annotated[str, typer.Argument(help="Id of the quote", metavar="QUOTE")]
STATES = ("open", "accepted", "expired", "withdrawn")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(quote, name="quote")


@quote.command("ask")
def ask(
    target: Annotated[
        list[str] | None,
        typer.Argument(
            help="job.yaml, or a command after --; left out: to plan with", metavar="[FILE | -- COMMAND...]"
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="train, infer, serve, custom or history (default: as the other options say)"),
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="A published model, e.g. 'Llama 3.1 8B'")] = "",
    params: Annotated[str | None, typer.Option(help="Parameters, e.g. 7B")] = None,
    active_params: Annotated[
        str | None, typer.Option("--active", help="Parameters that a token meets, of a mixture of experts")
    ] = None,
    family: Annotated[
        str, typer.Option(help="dense-transformer, moe, encoder, vision, diffusion or other")
    ] = "",
    layers: Annotated[int | None, typer.Option(help="Layers")] = None,
    hidden: Annotated[int | None, typer.Option(help="Hidden size")] = None,
    forward_gflops: Annotated[
        float | None, typer.Option(help="10⁹ operations of one sample's forward pass, where samples count")
    ] = None,
    mode: Annotated[str, typer.Option(help="pretrain, full, sft or lora")] = "pretrain",
    tokens: Annotated[str | None, typer.Option(help="Tokens to train on, e.g. 300B")] = None,
    samples: Annotated[str | None, typer.Option(help="Samples to train on, e.g. 1.2M")] = None,
    epochs: Annotated[float, typer.Option(help="Passes over them")] = 1.0,
    sequence: Annotated[int | None, typer.Option(help="Tokens of a sequence")] = None,
    batch_tokens: Annotated[str | None, typer.Option(help="Tokens of a step, e.g. 4M")] = None,
    precision: Annotated[
        str, typer.Option("--precision", "-p", help="bf16, fp16, fp8, int8, fp4, tf32, fp32")
    ] = "bf16",
    input_tokens: Annotated[int, typer.Option("--input", help="Tokens of a prompt")] = 1024,
    output_tokens: Annotated[int, typer.Option("--output", help="Tokens of an answer")] = 256,
    requests: Annotated[str | None, typer.Option(help="Requests to answer in all, e.g. 2M")] = None,
    requests_per_s: Annotated[
        float | None, typer.Option(help="Requests that arrive a second, to serve")
    ] = None,
    concurrency: Annotated[float | None, typer.Option(help="Requests at once")] = None,
    engine: Annotated[str, typer.Option(help="vLLM, SGLang, TensorRT-LLM, MindIE …")] = "vLLM",
    hours: Annotated[
        float | None, typer.Option(help="Hours to serve, or that it took where it was measured")
    ] = None,
    measured: Annotated[
        str | None, typer.Option("--measured-on", help="Where it took --hours, e.g. 8xA100-80G")
    ] = None,
    like: Annotated[str | None, typer.Option(help="Name of your own finished jobs that it is like")] = None,
    accelerator: Annotated[
        list[str] | None, typer.Option("--accelerator", "-a", help="Only on this accelerator; repeatable")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", help="Exactly this number of accelerators")
    ] = None,
    most: Annotated[int | None, typer.Option(help="At most this number of accelerators")] = None,
    hypothetical: Annotated[
        str, typer.Option(help="Hypothetical hardware to plan with, e.g. 128x8xH100-80G")
    ] = "",
    recipe: Annotated[
        str, typer.Option(help="Name under which finished runs correct later quotes (default: the job's)")
    ] = "",
    project: Annotated[str | None, typer.Option(help="Project that pays")] = None,
    org: Org = None,
    as_json: Json = False,
) -> None:
    """Ask for offers: hardware, time, price, energy and start. Valid for a day; nothing runs before you accept."""
    where = _measured(measured)
    shape = given(
        name=model or None,
        family=family or None,
        params=amount("params", params),
        active=amount("active", active_params),
        layers=layers,
        hidden=hidden,
        forward_flops=None if forward_gflops is None else forward_gflops * 1e9,
    )
    workload = given(
        kind=kind or _kind(like, measured, requests, requests_per_s, concurrency),
        model=shape,
        precision=precision,
        mode=mode,
        tokens=amount("tokens", tokens),
        samples=amount("samples", samples),
        epochs=epochs,
        sequence=sequence,
        batch_tokens=amount("batch_tokens", batch_tokens),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        requests=amount("requests", requests),
        requests_per_s=requests_per_s,
        concurrency=concurrency,
        engine=engine,
        hours=hours,
        job_name=like,
        recipe=recipe,
        **where,
    )
    wanted = given(accelerators=accelerator, count=count, most=most, hypothetical=hypothetical or None)
    of = org or active().org
    with client() as center:
        job = None
        if target:
            spec, folder = specification(target, given(project=project))
            job = _without_decided(upload_files(center, spec, folder, of))
        found = center.quotes.ask(workload, job=job, wanted=wanted, project=project, org=of)
    _tell(found, as_json)


def _kind(
    like: str | None,
    measured: str | None,
    requests: str | None,
    requests_per_s: float | None,
    concurrency: float | None,
) -> str:
    """Return the kind of workload that the options describe."""
    if like is not None:
        return "history"
    if measured is not None:
        return "custom"
    if requests is not None:
        return "infer"
    return "serve" if requests_per_s is not None or concurrency is not None else "train"


def _measured(written: str | None) -> dict[str, object]:
    """`8xA100-80G` as number and accelerator."""
    if written is None:
        return {}
    number, cross, name = written.replace("×", "x").partition("x")
    if not cross or not number.strip().isdigit() or not name.strip():
        message = text("{value} does not say where it was measured", value=repr(written))
        hint = text("Write number and accelerator, for example {example}", example="8xA100-80G")
        raise InvalidInput(message, problems=[Problem("--measured-on", message, hint=hint)])
    return {"count": int(number), "accelerator": name.strip()}


def _without_decided(job: dict[str, Any]) -> dict[str, object]:
    """Return the job without the fields that offers decide; warn if it had any."""
    per = dict(job.get("per_task") or {})
    left: list[str] = [name for name in ("tasks", "time_limit") if name in job]
    left += [f"per_task.{name}" for name in ("accelerator", "count", "fraction") if name in per]
    if left:
        warn(
            text(
                "These fields were left out of the job, since each offer sets them: {fields}",
                fields=", ".join(left),
            )
        )
    kept = {name: value for name, value in job.items() if name not in ("tasks", "time_limit", "per_task")}
    per = {name: value for name, value in per.items() if name not in ("accelerator", "count", "fraction")}
    return kept | ({"per_task": per} if per else {})


def _tell(found: results.Quote, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    show_offers(found["offers"])
    if found["state"] != "open":
        facts({"State": say(found["state"]), "Job": found["job_id"], "Accepted": found["accepted"]})
        return
    until = time_cell(found["valid_until"])
    if any(offer["can_be_accepted"] for offer in found["offers"]):
        words = say(
            "Valid until {until} UTC. Accept one: pearl quote accept {quote} OFFER",
            until=until,
            quote=found["id"],
        )
    else:
        words = say(
            "Quote {quote} is to plan with: no job was given that could be submitted", quote=found["id"]
        )
    err.print(words, style="dim", markup=False)


@quote.command("list")
def list_quotes(
    state: Annotated[list[str] | None, typer.Option(help="open, accepted, expired or withdrawn")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many")] = 20,
    org: Org = None,
    as_json: Json = False,
) -> None:
    """List quotes, newest first."""
    with client() as center:
        rows = list(
            islice(center.quotes.list(limit=min(limit, 500), org=org or active().org, state=state), limit)
        )
    if as_json:
        show_lines(rows)
        return
    table(
        ("Quote", "Asked (UTC)", "Workload", "State", "Offers", "Cheapest ¥", "Job"),
        [
            (
                row["id"],
                time_cell(row["created"]),
                _workload(row["workload"]),
                say(row["state"]),
                len(row["offers"]),
                _cheapest(row["offers"]),
                row["job_id"],
            )
            for row in rows
        ],
        right=(4, 5),
    )


def _cheapest(offers: list[results.Offer]) -> str | None:
    prices = [float(offer["price"]["median"]) for offer in offers if offer["price"]]
    return format_price(min(prices)) if prices else None


def _workload(work: Mapping[str, Any]) -> str:
    """Return a workload in a few words."""
    shape = work.get("model", {})
    name = shape.get("name") or work.get("job_name") or work.get("accelerator")
    if name is None and shape.get("params"):
        name = rough_amount(shape["params"])
    return f"{work['kind']} {name or ''}".strip()


@quote.command("show")
def show(
    quote_id: QuoteArg,
    offer: Annotated[str | None, typer.Option(help="Everything about one offer: its number or name")] = None,
    as_json: Json = False,
) -> None:
    """Show a quote with its offers, or one offer with its layout, price lines and job."""
    with client() as center:
        found = center.quotes.show(quote_id)
    if offer is None:
        _tell(found, as_json)
        return
    chosen = next((one for one in found["offers"] if offer == one["id"] or offer in one["names"]), None)
    if chosen is None:
        message = text("Quote {quote} has no offer {offer}", quote=quote_id, offer=repr(offer))
        raise InvalidInput(message, problems=[Problem("--offer", message)])
    if as_json:
        show_json(chosen)
        return
    show_offer(chosen)


@quote.command("accept")
def accept(
    quote_id: QuoteArg,
    offer: Annotated[
        str,
        typer.Argument(help="Number of the offer, or cheapest, fastest, soonest, greenest", metavar="OFFER"),
    ],
    as_json: Json = False,
) -> None:
    """Submit exactly what an offer says, at the prices of the quote."""
    with client() as center:
        found = center.quotes.accept(quote_id, offer)
    if as_json:
        show_json(found)
        return
    done("Offer {offer} of {quote} is accepted: job {job}",
         offer=found["quote"]["accepted"], quote=quote_id, job=found["job"]["id"])  # fmt: skip
    err.print(
        say("Follow it: pearl logs -f {job}; afterwards: pearl quote compare {quote}",
            job=found["job"]["id"], quote=quote_id),
        style="dim",
        markup=False,
    )  # fmt: skip


@quote.command("withdraw")
def withdraw(quote_id: QuoteArg) -> None:
    """Take an open quote back, so that nobody accepts it."""
    with client() as center:
        center.quotes.withdraw(quote_id)
    done("Quote {quote} is withdrawn", quote=quote_id)


@quote.command("compare")
def compare(quote_id: QuoteArg, as_json: Json = False) -> None:
    """Show what was quoted beside what the job took."""
    with client() as center:
        found = center.quotes.compare(quote_id)
    if as_json:
        show_json(found)
        return
    show_comparison(found)


@quote.command("scenario")
def scenario(
    name: Annotated[
        str | None, typer.Argument(help="Such as 1t-50-days; left out: list them", metavar="[SCENARIO]")
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens to train on instead, e.g. 15T")] = None,
    mfu: Annotated[float | None, typer.Option(help="Share of the rated peak that the rule means")] = None,
    accelerator: Annotated[
        list[str] | None, typer.Option("--accelerator", "-a", help="On this accelerator; repeatable")
    ] = None,
    as_json: Json = False,
) -> None:
    """Work a rule of thumb out: its tokens and utilisation made explicit, beside the estimates."""
    with client() as center:
        if name is None:
            rules = center.quotes.scenarios()
        else:
            found = center.quotes.scenario(
                name, tokens=amount("tokens", tokens), mfu=mfu, accelerators=accelerator or ()
            )
    if name is None:
        if as_json:
            show_lines(rules)
        else:
            table(("Scenario", "Rule"), [(rule["name"], rule["title"]) for rule in rules])
    elif as_json:
        show_json(found)
    else:
        show_scenario(found)
