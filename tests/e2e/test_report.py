"""The report of a what-if, opened as a file in a real browser: it needs nothing else and breaks nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from pearlstreet.compute.replay.cases import Case
from pearlstreet.compute.replay.clusters import Cluster, plain_node
from pearlstreet.compute.replay.compare import compare
from pearlstreet.compute.replay.reading.shapes import whole_devices
from pearlstreet.compute.replay.report import page
from pearlstreet.compute.replay.trace import Job, make_trace
from pearlstreet.compute.scheduling.config import PlannerConfig

HOSTILE = '<script>window.hurt = 1</script><img src=x onerror="window.hurt = 1">'


def report(language: str) -> str:
    trace = make_trace(
        Job(f"j{i}", i * 7, 30 + i * 11 % 90, whole_devices(1 + i % 4), org=("red", HOSTILE)[i % 2])
        for i in range(60)
    )
    cluster = Cluster({name: (plain_node(f"{name}/0", 8, "gpu"),) for name in ("red", HOSTILE)}, "two nodes")
    cases = [
        Case(name, cluster, PlannerConfig(order="fifo"), sharing=how)
        for name, how in (("alone", "isolated"), (HOSTILE, "pool"))
    ]
    return page(compare(HOSTILE, trace, cases)[0], language)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("language", "heading"), [("en", "Figures"), ("zh-CN", "指标")])
def test_the_report_stands_by_itself(
    browser: Browser, tmp_path: Path, scheme: str, language: str, heading: str
) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(language), encoding="utf-8")
    for width in (1280, 390):
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
        asked: list[str] = []
        shown = context.new_page()
        shown.on("request", lambda request, asked=asked: asked.append(request.url))
        shown.on("pageerror", lambda error, asked=asked: asked.append(str(error)))
        shown.goto(file.as_uri())
        expect(shown.locator("h2").first).to_have_text(heading)
        expect(shown.locator("figure.chart svg")).to_have_count(6)
        expect(shown.locator("html")).to_have_attribute("lang", language)
        assert shown.evaluate("window.hurt") is None
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert asked == [file.as_uri()], "nothing is fetched"
        paper, ink = (
            shown.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
        )
        bright = sum(map(int, paper[4:-1].split(","))) > sum(map(int, ink[4:-1].split(",")))
        assert bright == (scheme == "light")
        context.close()
