"""Rules of thumb as quote questions, with every assumption made explicit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pearlstreet.base.errors import InvalidInput, NotFound, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.compute.estimate import devices
from pearlstreet.compute.estimate.building import Model
from pearlstreet.compute.hardware.catalogue import Accelerator, catalogue
from pearlstreet.compute.jobs.runtime import Runtime
from pearlstreet.ledger.prices import current_prices
from pearlstreet.quotes.calibrating import read_calibration
from pearlstreet.quotes.candidates import CPUS_A_CARD, MEMORY_GIB_A_CARD, MOST_CARDS, Candidate
from pearlstreet.quotes.estimating import Background, Unfit, Work, check_workload, estimate
from pearlstreet.quotes.footprint import Site
from pearlstreet.quotes.model import Kind, Offer, Workload
from pearlstreet.quotes.offers import Terms, make_offers, refuse_nothing
from pearlstreet.store.core import Store
from pearlstreet.tenancy.model import Actor

DAY_S = 86_400.0
EXA = 1e18
FLOPS_PER_TOKEN = 6.0
"""Operations per parameter and token of training: two forward, four backward."""
TOKENS_A_PARAMETER = 20.0
"""Tokens per parameter of compute-optimal training of dense models (Hoffmann et al. 2022, arXiv 2203.15556)."""
NODE = 8
USUAL = ("h100-sxm-80g", "ascend-910b1")
MOST_NAMED = 6


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of thumb: parameters, compute and days of a training."""

    name: str
    title: Text
    params: float
    exaflops: float
    """Dense bf16 peak of the machines, in EFLOPS."""
    days: float
    mfu: float
    """Utilisation (MFU) that is assumed where the rule names none."""


RULES: Mapping[str, Rule] = {
    "1t-50-days": Rule(
        "1t-50-days",
        text("One trillion parameters need one EFLOPS for 50 days"),
        params=1e12,
        exaflops=1.0,
        days=50.0,
        mfu=0.4,
    )
}


@dataclass(frozen=True, slots=True)
class Changes:
    """Numbers that replace the rule's own."""

    tokens: float | None = None
    mfu: float | None = None
    accelerators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The rule at one utilisation, with the tokens that follow from it."""

    mfu: float
    tokens: float
    tokens_a_parameter: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """A rule, its assumptions, and the estimates for it."""

    rule: Rule
    mfu: float
    tokens: float
    flops: float
    """Operations of the whole training."""
    rule_days: float
    """Days with these tokens and this utilisation."""
    readings: tuple[Reading, ...]
    optimal_days: float
    """Days with twenty tokens per parameter."""
    offers: tuple[Offer, ...]
    unfit: tuple[Text, ...] = ()
    notes: tuple[Text, ...] = field(default=())


def list_scenarios() -> Sequence[Rule]:
    """Return all rules."""
    return tuple(RULES.values())


def run_scenario(
    store: Store, actor: Actor, runtime: Runtime, name: str, changes: Changes | None = None
) -> Scenario:
    """Estimate a rule with explicit tokens and utilisation on hypothetical hardware of its size.

    Raises NotFound, InvalidInput.
    """
    actor.require("nodes:read")
    rule = RULES.get(name)
    if rule is None:
        raise NotFound(
            text("There is no scenario {name}", name=name[:60]),
            hint=text("Known are {names}", names=", ".join(RULES)),
        )
    changes = changes or Changes()
    candidates = _machines(rule, changes)
    mfu, tokens = _numbers(rule, changes)
    work = Workload(kind=Kind.TRAIN, model=Model(params=rule.params), tokens=tokens)
    prices, learnt, site, now_us = store.read(
        lambda tx: (current_prices(tx), read_calibration(tx), Site.read(tx), tx.now_us)
    )
    known = Background(catalogue(), learnt, "")
    check_workload(work, known.book, ())
    found: list[tuple[Candidate, Work]] = []
    unfit: list[tuple[Candidate, Unfit]] = []
    for candidate in candidates:
        made = estimate(work, candidate, known)
        if isinstance(made, Unfit):
            unfit.append((candidate, made))
        else:
            found.append((candidate, made))
    if not found:
        raise refuse_nothing(unfit, len(candidates), 0)
    terms = Terms(work, None, prices, site.footprint, site.greenest, lambda spec, elapsed_s: None, now_us)
    flops = FLOPS_PER_TOKEN * rule.params * tokens
    a_day = rule.exaflops * EXA * DAY_S
    return Scenario(
        rule=rule,
        mfu=mfu,
        tokens=tokens,
        flops=flops,
        rule_days=flops / (a_day * mfu),
        readings=tuple(_reading(rule, share) for share in (0.3, 0.4, 0.5, 1.0)),
        optimal_days=FLOPS_PER_TOKEN * rule.params**2 * TOKENS_A_PARAMETER / (a_day * mfu),
        offers=make_offers(found, terms),
        unfit=tuple(one.why for _, one in unfit),
        notes=_notes(),
    )


def _reading(rule: Rule, mfu: float) -> Reading:
    tokens = rule.exaflops * EXA * rule.days * DAY_S * mfu / (FLOPS_PER_TOKEN * rule.params)
    return Reading(mfu, tokens, tokens / rule.params)


def _numbers(rule: Rule, changes: Changes) -> tuple[float, float]:
    """Return utilisation and tokens. Raises InvalidInput."""
    mfu = rule.mfu if changes.mfu is None else changes.mfu
    problems = []
    if not (0.01 <= mfu <= 1.0):
        problems.append(Problem("mfu", text("A share of the peak lies between 0.01 and 1")))
    tokens = changes.tokens
    if tokens is not None and not (1e6 <= tokens <= 1e17):
        problems.append(Problem("tokens", text("Tokens lie between 10⁶ and 10¹⁷")))
    if problems:
        raise InvalidInput(text("The scenario cannot be worked out like this"), problems=problems)
    return mfu, _reading(rule, mfu).tokens if tokens is None else tokens


def _machines(rule: Rule, changes: Changes) -> list[Candidate]:
    """Return for each accelerator the number of 8-device nodes, in multiples of 16, whose peaks reach the rule's."""
    book, found, problems = catalogue(), [], []
    for number, name in enumerate(changes.accelerators[:MOST_NAMED] or USUAL):
        entry = devices.find(name, book)
        peak = _peak(entry)
        if entry is None or peak is None:
            near = book.suggest(name)
            message = text("The catalogue has no accelerator called {name}", name=repr(name[:60]))
            if entry is not None:
                message = text("The catalogue knows no peak of {name}", name=entry.id)
            hint = text("Did you mean {names}?", names=", ".join(near)) if near else None
            problems.append(Problem(f"accelerators[{number}]", message, hint=hint))
            continue
        nodes = math.ceil(rule.exaflops * EXA / (peak * 1e12) / NODE / 16) * 16
        if nodes * NODE > MOST_CARDS:
            message = text("It would take more than {most} of them", most=MOST_CARDS)
            problems.append(Problem(f"accelerators[{number}]", message))
            continue
        found.append(Candidate(entry.id, nodes, NODE, NODE, False, CPUS_A_CARD, MEMORY_GIB_A_CARD, None))
    if problems:
        raise InvalidInput(text("The scenario cannot be worked out like this"), problems=problems)
    return list(dict.fromkeys(found))


def _peak(entry: Accelerator | None) -> float | None:
    if entry is None:
        return None
    return entry.device_peak_tflops("bf16") or entry.device_peak_tflops("fp16")


def _notes() -> tuple[Text, ...]:
    return (
        text("The rule names neither tokens nor utilisation: both are stated here, and decide the answer"),
        text("EFLOPS are dense bf16 peaks; a mixture of experts counts the parameters that a token meets"),
        text("The hardware is hypothetical: no price and no start, and nothing to accept"),
    )
