"""PURE: Conversion between the quote form and a quote's question, and the inputs for the question's problems."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pearlstreet.base.amounts import amount, read_amount, short_amount
from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate.building import Model
from pearlstreet.console.forms.job_fields import Input, input_of, inputs
from pearlstreet.console.forms.job_text import document, filled
from pearlstreet.quotes.candidates import MOST_CARDS
from pearlstreet.quotes.model import Kind, Question, Wanted, Workload

T = TypeVar("T")
PRETRAIN, FINETUNE, INFER, SERVE, AGAIN, MEASURED = (
    "pretrain",
    "finetune",
    "infer",
    "serve",
    "again",
    "measured",
)
KINDS: Mapping[str, Kind] = {
    PRETRAIN: Kind.TRAIN,
    FINETUNE: Kind.TRAIN,
    INFER: Kind.INFER,
    SERVE: Kind.SERVE,
    AGAIN: Kind.HISTORY,
    MEASURED: Kind.CUSTOM,
}
"""Choice in the form → kind of workload."""
TOKENS, SAMPLES = "tokens", "samples"
PLAIN = Workload()
DECIDED = re.compile(
    r"(tasks|time_limit|queue|elastic\..*|array\..*|per_task\.(accelerator|count|fraction\..*))"
)
"""Inputs of a job that an offer determines, or that exclude a single run (arrays)."""
LEFT_OPEN = ("per_task.cpus", "per_task.memory_gib")
"""Inputs that follow the node's resources per accelerator if they are empty."""
_DECIDED_KEYS = ("tasks", "time_limit", "elastic", "array")
_DECIDED_OF_A_TASK = ("accelerator", "count", "fraction")
_INPUTS = {
    "workload.model.name": "model",
    "workload.model.params": "model",
    "workload.model.forward_flops": "forward_gflops",
    "workload.tokens": "amount",
    "workload.samples": "amount",
    "workload.count": "measured_count",
    "workload.accelerator": "measured_on",
    "wanted.hypothetical": "hypothetical",
    "wanted.count": "count",
    "wanted.most": "most",
    "wanted": "only",
}


def question_of(form: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> Question:
    """Return the question in a filled form. Raises InvalidInput with all unreadable values."""
    form = {name: value.strip() if name != "command" else value for name, value in form.items()}
    typed = _Typed(form)
    what = form.get("what", PRETRAIN)
    if what not in KINDS:
        typed.wrong("what", text("{value} is none of the choices", value=repr(what[:40])))
    workload = _workload(what, typed)
    count, most = typed.whole("count", 1, MOST_CARDS), typed.whole("most", 1, MOST_CARDS)
    wanted = Wanted(tuple(lists.get("only", ())), count, most, form.get("hypothetical", ""))
    if typed.problems:
        raise InvalidInput(text("Some entries are invalid"), problems=typed.problems)
    return Question(workload, draft_of(form, lists), wanted, form.get("project") or None)


def draft_of(form: Mapping[str, str], lists: Mapping[str, Sequence[str]]) -> dict[str, object] | None:
    """Return the specification of the job; None if the form has no command."""
    if not form.get("command", "").strip():
        return None
    made = without_decided(document(form, lists))
    for one in inputs("en"):
        # A job's default value is an explicit request here, since an empty input follows the node.
        if one.name in LEFT_OPEN and form.get(one.name, "").strip() == one.default:
            made.setdefault("per_task", {})[one.name.partition(".")[2]] = float(one.default)
    return made


def without_decided(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification without the fields that an offer determines."""
    kept = {name: value for name, value in spec.items() if name not in (*_DECIDED_KEYS, "per_task")}
    per = {k: v for k, v in spec.get("per_task", {}).items() if k not in _DECIDED_OF_A_TASK}
    return kept | ({"per_task": per} if per else {})


def is_open(one: Input) -> bool:
    """Return whether an input of a job is part of the quote form."""
    return DECIDED.fullmatch(one.name) is None


def job_form(spec: Mapping[str, object]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the inputs of the job for a specification: single values and lists."""
    open_spec = without_decided(spec)
    form, lists = filled(open_spec)
    per = open_spec.get("per_task", {})
    return form | {name: "" for name in LEFT_OPEN if name.partition(".")[2] not in per}, lists


def form_of(question: Question) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the form for a question, to ask it again."""
    work, wanted = question.workload, question.wanted
    form, lists = job_form(question.draft or {})
    model = work.model
    form |= {
        "what": _what(work),
        "model": model.name or ("" if model.params is None else short_amount(model.params)),
        "amount": short_amount(work.tokens or work.samples or 0.0) if work.tokens or work.samples else "",
        "unit": SAMPLES if work.samples else TOKENS,
        "mode": work.mode if work.mode != "pretrain" else "lora",
        "precision": work.precision,
        "recompute": work.recompute or "",
        "family": model.family,
        "engine": work.engine,
        "job_name": work.job_name,
        "recipe": work.recipe,
        "measured_on": work.accelerator,
        "measured_count": str(work.count),
        "hypothetical": wanted.hypothetical,
        "took_hours" if work.kind is Kind.CUSTOM else "serve_hours": _number(work.hours),
        "forward_gflops": _number(None if model.forward_flops is None else model.forward_flops / 1e9),
    }
    numbers: dict[str, float | None] = {
        "epochs": work.epochs, "sequence": work.sequence, "batch_tokens": work.batch_tokens, "tensor": work.tensor,
        "pipeline": work.pipeline, "data": work.data, "input_tokens": work.input_tokens,
        "output_tokens": work.output_tokens, "concurrency": work.concurrency, "requests": work.requests,
        "requests_per_s": work.requests_per_s, "active": model.active, "layers": model.layers, "hidden": model.hidden,
        "count": wanted.count, "most": wanted.most,
    }  # fmt: skip
    form |= {name: _number(value) for name, value in numbers.items()}
    if question.project:
        form["project"] = question.project
    return form, {**lists, "only": list(wanted.accelerators)}


def input_at(problem: str, what: str) -> str | None:
    """Return the input for a problem's field in the question; None if there is none."""
    if problem in _INPUTS:
        return _INPUTS[problem]
    if problem == "workload.hours":
        return "took_hours" if what == MEASURED else "serve_hours"
    if problem.startswith("wanted.accelerators"):
        return "only"
    if problem.startswith("job."):
        return input_of(problem.removeprefix("job."))
    for prefix in ("workload.model.", "workload."):
        if problem.startswith(prefix):
            return problem.removeprefix(prefix)
    return problem if problem in TYPED else input_of(problem)


TYPED = frozenset(
    {
        "what", "model", "amount", "active", "layers", "hidden", "forward_gflops", "epochs", "sequence", "batch_tokens",
        "tensor", "pipeline", "data", "input_tokens", "output_tokens", "concurrency", "requests", "requests_per_s",
        "serve_hours", "took_hours", "measured_count", "count", "most",
    }
)  # fmt: skip
"""Inputs that this module validates."""


def _workload(what: str, typed: _Typed) -> Workload:
    kind = KINDS.get(what, Kind.TRAIN)
    said = typed.form
    if kind is Kind.HISTORY:
        return Workload(kind=kind, job_name=said.get("job_name", ""), recipe=said.get("recipe", ""))
    if kind is Kind.CUSTOM:
        return Workload(
            kind=kind,
            hours=typed.number("took_hours"),
            accelerator=said.get("measured_on", ""),
            count=typed.whole("measured_count", 1, MOST_CARDS) or 1,
            recipe=said.get("recipe", ""),
        )
    shared: dict[str, Any] = {
        "kind": kind,
        "model": _model(typed),
        "precision": said.get("precision") or PLAIN.precision,
        "tensor": typed.whole("tensor"),
        "recipe": said.get("recipe", ""),
    }
    if kind is Kind.TRAIN:
        much = typed.number("amount")
        by_sample = said.get("unit") == SAMPLES
        epochs = typed.number("epochs")
        return Workload(
            **shared,
            mode=(said.get("mode") or "lora") if what == FINETUNE else "pretrain",
            tokens=None if by_sample else much,
            samples=much if by_sample else None,
            epochs=PLAIN.epochs if epochs is None else epochs,
            sequence=typed.whole("sequence"),
            batch_tokens=typed.number("batch_tokens"),
            recompute=said.get("recompute") or None,
            pipeline=typed.whole("pipeline"),
            data=typed.whole("data"),
        )
    load: dict[str, Any] = {
        "input_tokens": typed.whole("input_tokens", 1) or PLAIN.input_tokens,
        "output_tokens": typed.whole("output_tokens", 1) or PLAIN.output_tokens,
        "concurrency": typed.number("concurrency"),
        "engine": said.get("engine") or PLAIN.engine,
    }
    if kind is Kind.INFER:
        return Workload(**shared, **load, requests=typed.number("requests"))
    return Workload(
        **shared, **load, requests_per_s=typed.number("requests_per_s"), hours=typed.number("serve_hours")
    )


def _model(typed: _Typed) -> Model:
    """Return the model, given by name or by number of parameters."""
    written = typed.form.get("model", "")
    params = read_amount(written)
    gflops = typed.number("forward_gflops")
    return Model(
        name="" if params is not None else written[:200],
        params=params,
        active=typed.number("active"),
        family=typed.form.get("family", ""),
        layers=typed.whole("layers"),
        hidden=typed.whole("hidden"),
        forward_flops=None if gflops is None else gflops * 1e9,
    )


@dataclass(slots=True)
class _Typed:
    """Entered values, and the problems found while parsing them."""

    form: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, name: str, message: Text) -> None:
        self.problems.append(Problem(name, message))

    def number(self, name: str) -> float | None:
        """Parse a number such as 7B."""
        return self._caught(lambda: amount(name, self.form.get(name, "")))

    def whole(self, name: str, low: float = -math.inf, high: float = 1e15) -> int | None:
        """Parse a whole number between `low` and `high`."""
        value = self.number(name)
        if value is None:
            return None
        if not math.isfinite(value) or value != int(value):
            self.wrong(name, text("{value} is not a whole number", value=self.form[name][:40]))
            return None
        if not low <= value <= high:
            between = text(
                "It must be between {low} and {high}", low=f"{max(low, 1):,.0f}", high=f"{high:,.0f}"
            )
            self.wrong(name, between)
            return None
        return int(value)

    def _caught(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except InvalidInput as error:
            self.problems += error.problems
            return None


def _what(work: Workload) -> str:
    if work.kind is Kind.TRAIN:
        return PRETRAIN if work.mode == "pretrain" else FINETUNE
    return next(what for what, kind in KINDS.items() if kind is work.kind)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.12g}" if abs(value) < 1e6 else short_amount(value)
