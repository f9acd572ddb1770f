"""A trace under other policies or on other hardware: simulate (no server needed), and what the report and files hold."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import plural, text
from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import done, err, language, out, show_error, show_json, table, warn
from pearlstreet.cli.profile import client
from pearlstreet.cli.what_if import LESS, QUEUE, QUOTA, WINDOW

if TYPE_CHECKING:
    from pearlstreet.compute.replay.cases import Case, Played
    from pearlstreet.compute.replay.clusters import Cluster
    from pearlstreet.compute.replay.compare import Compared, Comparison
    from pearlstreet.compute.replay.scenario_overrides import Supposed
    from pearlstreet.compute.replay.trace import Trace

CENTER = "center"
ORGS_MAX = 40
NAME_MAX = 24
"""Longer names of cases stand above the table, numbered."""
COMPARISON, REPORT = "comparison.json", "report.html"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulate(
    trace: Annotated[
        Path, typer.Argument(help="A file of jobs: from pearl trace export, or another center's")
    ],
    cluster: Annotated[
        list[str],
        typer.Option(
            help="4x8xH100-80G, a file of nodes, or center: the nodes of your center. Repeat to compare"
        ),
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Such as fifo, or order=fifo,backfill=greedy. Repeat to compare (default: a new center's)"
        ),
    ] = None,
    elasticity: Annotated[
        str | None,
        typer.Option(help="Elasticity of every policy that names none: none, shrink, grow or grow-shrink"),
    ] = None,
    less: Annotated[str, typer.Option(help=LESS)] = "",
    quota: Annotated[list[str] | None, typer.Option(help=QUOTA)] = None,
    queue: Annotated[list[str] | None, typer.Option(help=QUEUE)] = None,
    window: Annotated[list[str] | None, typer.Option(help=WINDOW)] = None,
    share: Annotated[
        str | None,
        typer.Option(
            help="How virtual clusters share: isolated, pool, or guaranteed (their own cards, borrowing)"
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for report, figures and decisions")
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="Format of the file, if it is not seen")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without rows that cannot be right")
    ] = False,
    tell_durations: Annotated[
        bool, typer.Option("--tell-durations", help="Tell the planner run times, as an oracle would")
    ] = False,
    restart_cost: Annotated[
        str, typer.Option(help="Seconds that a start after a preemption costs: on one node, on several")
    ] = "40,60",
    checkpoint: Annotated[
        float,
        typer.Option(help="Seconds between checkpoints; 0: only when the job is told to stop; -1: never"),
    ] = 0.0,
    device: Annotated[
        str, typer.Option(help="Model of the devices, where a file of nodes names none")
    ] = "gpu",
    processes: Annotated[int, typer.Option(help="How many virtual clusters or cases to play at once")] = 0,
    as_json: Json = False,
) -> None:
    """Replay a trace under one or several policies, and compare."""
    from pearlstreet.cli.parallel_replay import chosen
    from pearlstreet.compute.replay.compare import compare
    from pearlstreet.compute.replay.scenario_overrides import Supposed

    clusters = [read_cluster(said, device) for said in cluster]
    if less:
        clusters += [_without(one, less) for one in clusters]
    jobs = read_jobs(trace, clusters, file_format, skip_bad)
    settings = (tell_durations, *_pair(restart_cost), checkpoint)
    supposed = Supposed(tuple(quota or ()), tuple(queue or ()), tuple(window or ()))
    cases = list(_cases(clusters, policy or ["default"], share, settings, elasticity, supposed, jobs))
    with showing(len(cases) * jobs.count) as progress:
        comparison, played = compare(trace.name, jobs, cases, progress, chosen(jobs.count, processes))
    files = write_all(folder, comparison, played) if folder is not None else []
    if as_json:
        show_json(comparison.to_json())
        return
    show(comparison)
    for file in files:
        done("Wrote {file}", file=str(file))


def _pair(said: str) -> tuple[float, float]:
    try:
        one, several = (float(part) for part in said.split(","))
    except ValueError:
        one = several = -1.0
    if not (0 <= one <= 1e9 and 0 <= several <= 1e9):
        message = text("Give two numbers of seconds, such as 40,60")
        raise InvalidInput(message, problems=[Problem("--restart-cost", message)])
    return one, several


def read_cluster(said: str, device: str = "gpu") -> Cluster:
    """Return the cluster of a file of nodes, the center's own, or that of a line such as 4x8xH100-80G. Raises InvalidInput."""
    from pearlstreet.compute.engines.simulated.layout import nodes_from
    from pearlstreet.compute.replay import clusters
    from pearlstreet.compute.scheduling.rows import node_row

    if said == CENTER:
        with client() as center:
            return clusters.from_center(center.nodes.list()["items"])
    if Path(said).is_file():
        with opened(Path(said)) as lines:
            return clusters.read_cluster(lines, said, device)
    if "/" in said or said.endswith(".csv"):
        raise InvalidInput(text("There is no file {file}", file=said))
    return clusters.one_pool((node_row(report) for report in nodes_from(said)), said)


def read_jobs(file: Path, clusters: Sequence[Cluster], form: str | None, skip_bad: bool) -> Trace:
    """Return the trace of a file; what was skipped is told. Raises InvalidInput."""
    from pearlstreet.compute.replay.reading.registry import read_trace
    from pearlstreet.compute.replay.reading.rows import Findings

    if not file.is_file():
        raise InvalidInput(text("There is no file {file}", file=str(file)))
    findings = Findings(str(file), skip_bad)
    with opened(file) as lines:
        found = read_trace(lines, findings, per_node=min(one.per_node for one in clusters), name=form)
    if findings.bad:
        warn(
            plural(
                "{count} of {rows} rows was left out",
                "{count} of {rows} rows were left out",
                count=findings.bad,
                rows=findings.rows,
            )
        )
        show_error(InvalidInput(text("The first of them:"), problems=findings.problems[:3]))
    return found


@contextmanager
def opened(file: Path) -> Iterator[Iterable[str]]:
    """Yield the lines of a file of text; what is no UTF-8 is an error that says so."""
    with file.open(encoding="utf-8", newline="") as stream:
        try:
            yield stream
        except UnicodeDecodeError as error:
            raise InvalidInput(
                text("{file} is not UTF-8 text: {problem}", file=str(file), problem=str(error))
            ) from None


def _cases(
    clusters: Sequence[Cluster],
    policies: Sequence[str],
    share: str | None,
    settings: tuple[bool, float, float, float],
    elasticity: str | None,
    supposed: Supposed,
    jobs: Trace,
) -> Iterator[Case]:
    from pearlstreet.compute.replay.cases import ISOLATED, ONE_POOL, Case
    from pearlstreet.compute.replay.constraints import NO_TERMS
    from pearlstreet.compute.replay.policy_args import parse_policy
    from pearlstreet.compute.replay.scenario_overrides import suppose
    from pearlstreet.compute.replay.settings import ReplaySettings
    from pearlstreet.compute.scheduling.config import PlannerConfig

    _check(supposed, clusters, jobs)
    tell, restart_s, restart_gang_s, checkpoint_s = settings
    base = ReplaySettings(
        tell_durations=tell, restart_s=restart_s, restart_gang_s=restart_gang_s, checkpoint_s=checkpoint_s
    )
    config = PlannerConfig(
        restart_s=restart_s, restart_gang_s=restart_gang_s, elasticity=elasticity or "none"
    )
    for one in clusters:
        usual = ISOLATED if len(one.parts) > 1 else ONE_POOL
        for said in policies:
            asked = parse_policy(said, config, base)
            name = f"{asked.name} @ {one.name}" if len(clusters) > 1 else asked.name
            sharing = asked.sharing or share or usual
            yield Case(name, one, asked.config, asked.settings, sharing)
            if supposed:
                terms, changed = suppose(supposed, NO_TERMS, asked.config, one.nodes, jobs.origin_s)
                yield Case(f"{name} · {supposed.words}", one, changed, asked.settings, sharing, terms)


def _check(supposed: Supposed, clusters: Sequence[Cluster], jobs: Trace) -> None:
    """Raise InvalidInput for names of nodes and accounts that are neither in the clusters nor in the trace."""
    from pearlstreet.compute.replay.scenario_overrides import check_nodes, owners

    nodes = [node for one in clusters for node in one.nodes]
    for said in supposed.windows:
        check_nodes(said, nodes)
    projects = {(jobs.orgs[org], project) for org, project in jobs.projects}
    for org, project in owners(supposed):
        if org not in jobs.orgs or (project and (org, project) not in projects):
            raise InvalidInput(
                text("The trace has no account {name}", name=f"{org}/{project}".rstrip("/")),
                hint=text("It has: {names}", names=", ".join(jobs.orgs)[:400]),
            )


def _without(cluster: Cluster, less: str) -> Cluster:
    from pearlstreet.compute.replay.clusters import Cluster
    from pearlstreet.compute.replay.scenario_overrides import without

    left = {node.name for node in without(cluster.nodes, less)}
    parts = {
        name: tuple(node for node in nodes if node.name in left) for name, nodes in cluster.parts.items()
    }
    return Cluster(parts, f"{cluster.name} − {less}")


@contextmanager
def showing(jobs: int) -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a function that draws progress as a bar on a terminal; None elsewhere."""
    if not err.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err.console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(name: str, over: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name.replace("[", "\\["), total=total)
            bar.update(tasks[name], completed=over)

        yield tell


def show(comparison: Comparison) -> None:
    """The table of figures, and one by virtual cluster where there are several."""
    from pearlstreet.compute.replay.report import Words, figure_rows

    columns = [figure_rows(case, Words(language())) for case in comparison.cases]
    rows = [(name, *(column[i][1] for column in columns)) for i, (name, _) in enumerate(columns[0])]
    numbers = tuple(range(1, len(columns) + 1))
    heads = [case.measures.name for case in comparison.cases]
    if len(heads) > 1 and max(map(len, heads)) > NAME_MAX:
        for number, name in enumerate(heads, 1):
            out.print(f"({number}) {name}", markup=False)
        out.print()
        heads = [f"({number})" for number in numbers]
    table(("Figure", *heads), rows, right=numbers)
    orgs = sorted({org for case in comparison.cases for org in case.measures.by_org})
    if len(orgs) < 2:
        return
    out.title("Average time in queue by account")
    table(
        ("Account", *heads),
        [(org, *(_queue(case, org) for case in comparison.cases)) for org in orgs[:ORGS_MAX]],
        right=numbers,
    )


def _queue(case: Compared, org: str) -> str:
    from pearlstreet.base.durations import rough_duration

    found = case.measures.by_org.get(org)
    return "-" if found is None else rough_duration(found.avg_queue_s).render(language())


def write_all(folder: Path, comparison: Comparison, played: Sequence[Played]) -> list[Path]:
    """Write the report, the figures and the decisions of each case; return the files."""
    from pearlstreet.compute.replay.report import page
    from pearlstreet.compute.replay.writing import DECISIONS, SCHEDULE, decision_rows, schedule_rows

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / COMPARISON, folder / REPORT]
    files[0].write_text(
        json.dumps(comparison.to_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    files[1].write_text(page(comparison, language()), encoding="utf-8")
    for number, one in enumerate(played, 1):
        arrivals = all(bool(outcome.trace.stays.all()) for outcome in one.outcomes)
        kind, head = ("decisions", DECISIONS) if arrivals else ("schedule", SCHEDULE)
        rows = decision_rows(one) if arrivals else schedule_rows(one)
        file = folder / f"{kind}-{number}-{_file_name(one.case.name)}.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(head)
            writer.writerows(rows)
        files.append(file)
    return files


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:80]
