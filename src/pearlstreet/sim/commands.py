"""The commands `pearl sim run` and `pearl sim replay`. `app.pearl` loads this module by name; no package imports it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.base.errors import PearlError
from pearlstreet.base.text import plural, text
from pearlstreet.cli.output import done, err, out, say, say_plural, show_json, table, warn

if TYPE_CHECKING:
    from pearlstreet.sim.run import Failure, Outcome
    from pearlstreet.sim.swarm import Report

sim = typer.Typer(
    help="The simulator: whole centers under a virtual clock, with faults.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(sim, name="sim")


@sim.command("run")
def run(
    seconds: Annotated[
        float | None, typer.Option(help="Start no further seed after this many seconds (default 90)")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds to run")] = None,
    first: Annotated[int | None, typer.Option(help="The first seed (default: drawn anew each time)")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Parallel processes (default: one per core, at most 2)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON")] = False,
) -> None:
    """Run seeds: each is a center of its own that meets faults, heals and must come to rest."""
    from pearlstreet.base.clock import SystemClock
    from pearlstreet.base.rng import SystemRng
    from pearlstreet.sim.swarm import draw_first, run_swarm, usual_workers

    if seconds is None and seeds is None:
        seconds = 90.0
    if first is None:
        first = draw_first(SystemRng())
    if not as_json:
        err.print(say("The first seed is {first}", first=first), style="dim", markup=False)
    last_shown_s = [0]

    def tell(report: Report, outcome: Outcome) -> None:
        if outcome.failure is not None:
            _tell_failure(outcome.seed, outcome.failure)
        if not as_json and report.seconds >= last_shown_s[0] + 5:
            last_shown_s[0] = int(report.seconds)
            rate = f"{report.total / report.seconds:.0f}"
            words = say_plural(
                "{count} seed, {faults} faults, {rate} a second",
                "{count} seeds, {faults} faults, {rate} a second",
                count=report.seeds,
                faults=report.total,
                rate=rate,
            )
            err.print(words, style="dim", markup=False)

    report = run_swarm(
        SystemClock(),
        first=first,
        seeds=seeds,
        seconds=seconds,
        workers=workers or usual_workers(),
        tell=tell,
    )
    if as_json:
        show_json(_as_json(report))
    else:
        _show(report)
        done("Again: pearl sim run --first {first} --seeds {seeds}", first=report.first, seeds=report.seeds)
    if report.failures:
        raise SystemExit(1)


@sim.command("replay")
def replay(
    seed: Annotated[int, typer.Argument(help="The seed")],
    until: Annotated[int | None, typer.Option(help="Stop after this step")] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Show every step's events, not only the last step's")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON")] = False,
) -> None:
    """Run one seed again, exactly as before, and show the events of the step it failed at."""
    from pearlstreet.sim.run import run_seed
    from pearlstreet.sim.trace import Trace

    kept = Trace(10_000_000)
    outcome = run_seed(seed, kept, until=until)
    events = list(kept.of_steps(0 if trace else outcome.steps, outcome.steps))
    failure = outcome.failure
    if as_json:
        shown: dict[str, object] = {"seed": seed, "steps": outcome.steps, "digest": outcome.digest}
        shown["failure"] = None if failure is None else {"rule": failure.rule, "details": failure.details}
        shown["events"] = [[event.step, event.at_us, event.who, event.what] for event in events]
        show_json(shown)
    else:
        for event in events:
            sys.stdout.write(f"{event.step:5d}  {event.at_us}  {event.who:8s}  {event.what}\n")
        sys.stdout.flush()
        done(
            "Seed {seed}: {steps} steps, trace {digest}",
            seed=seed,
            steps=outcome.steps,
            digest=outcome.digest,
        )
    if failure is not None:
        raise PearlError(
            text(
                "Seed {seed} violates an invariant in step {step}: {rule}",
                seed=seed,
                step=failure.step,
                rule=failure.rule,
            ),
            hint=text("{details}", details=failure.details),
        )


def _tell_failure(seed: int, failure: Failure) -> None:
    warn(
        text(
            "Seed {seed} violates an invariant in step {step}: {rule}",
            seed=seed,
            step=failure.step,
            rule=failure.rule,
        )
    )
    err.print(f"  {failure.details}", markup=False)
    err.print(f"  pearl sim replay {seed}", markup=False)


def _show(report: Report) -> None:
    from pearlstreet.sim.faults.registry import BY_NAME

    per_s = report.total / max(report.seconds, 0.001)
    took_effect = [*report.faults.most_common(), *((name, 0) for name in report.missing)]
    rows = [(name, BY_NAME[name].does, count) for name, count in took_effect]
    table(("Fault", "What happens", "Injected"), rows, right=(2,))
    out.print()
    done(
        plural(
            "{count} seed, {steps} steps, {jobs} jobs; {faults} faults of {kinds} kinds in {seconds} s: {rate} a second",
            "{count} seeds, {steps} steps, {jobs} jobs; {faults} faults of {kinds} kinds in {seconds} s: {rate} a second",
            count=report.seeds,
            steps=report.steps,
            jobs=report.jobs,
            faults=report.total,
            kinds=len(report.faults),
            seconds=f"{report.seconds:.1f}",
            rate=f"{per_s:.0f}",
        )
    )
    cpu_s, per_cpu_s = f"{report.cpu_s:.1f}", f"{report.total / max(report.cpu_s, 0.001):.0f}"
    done("{cpu_s} s of processor time: {rate} faults for each", cpu_s=cpu_s, rate=per_cpu_s)
    if report.cycles:
        done("Every world that healed came to rest within {cycles} cycles", cycles=max(report.cycles))
    if report.missing:
        warn(text("Kinds that never took effect: {kinds}", kinds=", ".join(report.missing)))
    if report.failures:
        warn(
            plural(
                "{count} seed violated an invariant",
                "{count} seeds violated an invariant",
                count=len(report.failures),
            )
        )


def _as_json(report: Report) -> dict[str, object]:
    return {
        "first": report.first,
        "seeds": report.seeds,
        "steps": report.steps,
        "jobs": report.jobs,
        "seconds": round(report.seconds, 2),
        "faults": report.total,
        "faults_per_s": round(report.total / max(report.seconds, 0.001), 1),
        "cpu_s": round(report.cpu_s, 2),
        "faults_per_cpu_s": round(report.total / max(report.cpu_s, 0.001), 1),
        "by_kind": dict(report.faults.most_common()),
        "missing": report.missing,
        "cycles_max": max(report.cycles, default=None),
        "failures": [
            {
                "seed": outcome.seed,
                "step": failure.step,
                "rule": failure.rule,
                "details": failure.details,
                "replay": f"pearl sim replay {outcome.seed}",
            }
            for outcome in report.failures
            if (failure := outcome.failure) is not None
        ],
    }
