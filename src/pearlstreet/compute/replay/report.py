"""The comparison as one page of HTML that needs nothing else: table, charts, by virtual cluster, what was assumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources

from markupsafe import Markup

from pearlstreet import __version__
from pearlstreet.base.durations import rough_duration
from pearlstreet.base.text import Text, plural, text
from pearlstreet.charts.curves import Curve, curves
from pearlstreet.compute.replay.compare import Compared, Comparison

_ORGS_MAX = 60


class Words:
    """Puts messages into one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, message: Text) -> str:
        return message.render(self.language)


def figure_rows(case: Compared, t: Words) -> list[tuple[str, str]]:
    """Name and value of each figure of a case."""
    m = case.measures
    orgs = len(m.by_org)
    return [
        (t(text("Average JCT")), t(rough_duration(m.times.avg_jct_s))),
        (t(text("Median JCT")), t(rough_duration(m.times.p50_jct_s))),
        (t(text("99th percentile of JCT")), t(rough_duration(m.times.p99_jct_s))),
        (t(text("Average time in queue")), t(rough_duration(m.times.avg_queue_s))),
        (t(text("99th percentile of time in queue")), t(rough_duration(m.times.p99_queue_s))),
        (t(text("Average time to first start")), t(rough_duration(m.times.avg_first_wait_s))),
        (t(text("Makespan")), t(rough_duration(m.makespan_s))),
        (t(text("Use of cards")), _percent(m.utilisation_cards)),
        (t(text("Use of normalised compute")), _percent(m.utilisation_compute)),
        (t(text("Cards held, lost work included")), _percent(m.held_cards)),
        (t(text("Preemptions")), f"{m.preemptions:,}"),
        (t(text("Resizes")), f"{m.resizes:,}"),
        (t(text("Lost work, card hours")), f"{m.lost_card_h:,.0f}"),
        (t(text("Fairness between accounts")), f"{m.fairness:.3f}" if orgs > 1 else "–"),
        (t(text("Fragmentation of free cards")), _percent(m.fragmentation)),
        (t(text("Jobs that ended")), f"{m.times.jobs:,}"),
        (t(text("Jobs that never ran")), f"{m.never:,}"),
    ]


def page(comparison: Comparison, language: str = "en") -> str:
    """Return the whole page. Names come from files: everything is escaped."""
    t = Words(language)
    style = Markup(resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8"))  # noqa: S704
    cases = comparison.cases
    body = Markup("").join(
        [
            Markup("<h1>{}</h1><p class=\"lead\">{}</p>").format(
                t(text("What if: {trace}", trace=comparison.trace_name)),
                t(text(
                    "{jobs}, replayed {times} by the planner of Pearlstreet {version}",
                    jobs=plural("{count} job", "{count} jobs", count=f"{comparison.jobs:,}"),
                    times=plural("once", "{count} times", count=len(cases)), version=__version__,
                )),
            ),
            _figures(cases, t),
            _charts(cases, t),
            _by_org(cases, t),
            _assumed(cases, t),
        ]
    )  # fmt: skip
    return str(
        Markup(
            '<!doctype html>\n<html lang="{}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            '<meta name="color-scheme" content="light dark"><title>{}</title><style>{}</style></head>'
            "<body><main>{}</main></body></html>\n"
        ).format(language, t(text("What if: {trace}", trace=comparison.trace_name)), style, body)
    )


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _figures(cases: Sequence[Compared], t: Words) -> Markup:
    columns = [figure_rows(case, t) for case in cases]
    head = Markup("").join(
        Markup('<th scope="col" class="number"><span class="key s{}"></span>{}</th>').format(
            i % 8, case.measures.name
        )
        for i, case in enumerate(cases)
    )
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            name,
            Markup("").join(Markup('<td class="number">{}</td>').format(column[i][1]) for column in columns),
        )
        for i, (name, _) in enumerate(columns[0])
    )
    return Markup(
        '<section><h2>{}</h2><div class="wide"><table><thead><tr><th scope="col">{}</th>{}</tr></thead>'
        "<tbody>{}</tbody></table></div></section>"
    ).format(t(text("Figures")), t(text("Figure")), head, rows)


def _charts(cases: Sequence[Compared], t: Words) -> Markup:
    def over_time(title: str, values: str, *, percent: bool, unit: str = "") -> Markup:
        factor = 100.0 if percent else 1.0
        series = [
            Curve(
                case.measures.name,
                [
                    (at, value * factor)
                    for at, value in zip(case.curves.at_s, getattr(case.curves, values), strict=True)
                ],
            )
            for case in cases
        ]
        return curves(
            title,
            series,
            unit=unit,
            top=100.0 if percent else None,
            empty=t(text("There is nothing to show")),
            name_x=lambda seconds: t(rough_duration(seconds)),
        )

    spread = [
        Curve(
            case.measures.name,
            [(x, share * 100) for x, share in zip(case.curves.jct_s, case.curves.jct_share, strict=True)],
        )
        for case in cases
    ]
    charts = [
        over_time(t(text("Cards in use")), "cards", percent=True, unit=" %"),
        over_time(t(text("Jobs that wait")), "waiting", percent=False),
        over_time(t(text("Cards that waiting jobs ask for")), "waiting_cards", percent=False),
        curves(
            t(text("Jobs that are over within a time since their submission")),
            spread, unit=" %", top=100.0, log=True, empty=t(text("There is nothing to show")),
        ),
        over_time(t(text("Normalised compute in use")), "compute", percent=True, unit=" %"),
        over_time(t(text("Fragmentation of free cards")), "fragmentation", percent=True, unit=" %"),
    ]  # fmt: skip
    return Markup('<section><h2>{}</h2><div class="charts">{}</div></section>').format(
        t(text("Over time")), Markup("").join(charts)
    )


def _by_org(cases: Sequence[Compared], t: Words) -> Markup:
    orgs = sorted({org for case in cases for org in case.measures.by_org})
    if len(orgs) < 2:
        return Markup("")
    head = Markup("").join(
        Markup('<th scope="col" class="number">{}</th>').format(case.measures.name) for case in cases
    )

    def cell(case: Compared, org: str) -> str:
        found = case.measures.by_org.get(org)
        return (
            "–"
            if found is None
            else f"{t(rough_duration(found.avg_queue_s))} / {t(rough_duration(found.p99_queue_s))}"
        )

    jobs = {org: max(c.measures.by_org[org].jobs for c in cases if org in c.measures.by_org) for org in orgs}
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td class="number">{}</td>{}</tr>').format(
            org,
            f"{jobs[org]:,}",
            Markup("").join(Markup('<td class="number">{}</td>').format(cell(case, org)) for case in cases),
        )
        for org in sorted(orgs, key=lambda org: (-jobs[org], org))[:_ORGS_MAX]
    )
    more = (
        Markup('<p class="quiet">{}</p>').format(
            t(
                plural(
                    "{count} more with fewer jobs is not shown",
                    "{count} more with fewer jobs are not shown",
                    count=len(orgs) - _ORGS_MAX,
                )
            )
        )
        if len(orgs) > _ORGS_MAX
        else Markup("")
    )
    return Markup(
        '<section><h2>{}</h2><div class="wide"><table><thead><tr><th scope="col">{}</th>'
        '<th scope="col" class="number">{}</th>{}</tr></thead><tbody>{}</tbody></table></div>{}</section>'
    ).format(
        t(text("Time in queue by account: average / 99th percentile")),
        t(text("Account")),
        t(text("Jobs")),
        head,
        rows,
        more,
    )


def _assumed(cases: Sequence[Compared], t: Words) -> Markup:
    sharing = {
        "isolated": t(text("each virtual cluster for itself")),
        "pool": t(text("all cards for everybody")),
        "guaranteed": t(text("each virtual cluster guaranteed its own cards, idle ones lent")),
    }
    items = Markup("").join(
        Markup("<details><summary><strong>{}</strong> · {} · {}</summary><pre>{}</pre></details>").format(
            case.measures.name,
            t(
                text(
                    "{nodes}, {cards}",
                    nodes=plural("{count} node", "{count} nodes", count=len(case.case.cluster.nodes)),
                    cards=plural("{count} card", "{count} cards", count=case.case.cluster.cards),
                )
            ),
            sharing[case.case.sharing],
            json.dumps(
                {"config": case.case.config.to_json(), "settings": case.case.settings.to_json()}, indent=1
            ),
        )
        for case in cases
    )
    notes = Markup("").join(
        Markup("<li>{}</li>").format(note)
        for note in (
            t(
                text(
                    "JCT: from submission to the end. Time in queue: JCT less the run time; restarts count as queue."
                )
            ),
            t(
                text(
                    "Use counts useful work only, until the last job ended; the curves count all that was held."
                )
            ),
            t(text("Fairness: Jain's index of run time over JCT by account; 1 when all are slowed alike.")),
            t(text("Fragmentation: share of free cards that an average task of the trace could not use.")),
        )
    )
    return Markup('<section><h2>{}</h2>{}<ul class="quiet">{}</ul></section>').format(
        t(text("What was asked, and how it is counted")), items, notes
    )
