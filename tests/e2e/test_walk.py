"""Every page of the registry × every role × language, theme and width: opens or is refused, quietly, in one language,
and for everybody."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pearlstreet.console.registry import PAGES
from tests.e2e.browsing import Visitor
from tests.e2e.center import Center
from tests.e2e.conftest import Visit
from tests.e2e.walking import NOT_PAGES, SCOPES, filled, may_open, pages
from tests.engines.axe.axe import axe_source

SAID = """() => {
  // cells and values of lists are data: names, sizes, what the catalogue says of a card
  const hidden = "code,pre,kbd,time,script,style,option,td,dd,textarea,svg,body [lang],[translate=no],[data-copy]",
    found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement, words = walk.currentNode.textContent.trim();
    if (words && !parent.closest(hidden)) found.add(words);
  }
  for (const one of document.querySelectorAll("[title],[aria-label],[alt]"))
    for (const name of ["title", "aria-label", "alt"])
      if (one.getAttribute(name) && !one.closest(hidden)) found.add(one.getAttribute(name).trim());
  return [...found];
}"""
NAMES = re.compile(
    r"^(pearlstreet|[aA]cme|default|owner|viewer|system|security|audit|pretrain|evaluate|huge|sweep|short|broken|unwanted|tune|simulated|digits|acme/digits|main"
    r"|English|简体中文|Pod)$|^[a-z]+-?\d[\w-]*$|[\w.+-]+@[\w.-]+|\b(usr|job|key|org|prj|quo|att|evt)_\w+"
)
AXE = """() => axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations
  .filter(({impact}) => impact === "serious" || impact === "critical")
  .map(({id, impact, help, nodes}) => ({id, impact, help, nodes: nodes.slice(0, 3).map((node) => node.html)})))"""


def _open(visitor: Visitor, path: str, role: str) -> None:
    status = visitor.goto(path)
    assert status == 200, f"{path} for {role}: {status}"
    assert visitor.page.locator("h1").count() == 1, f"{path}: {visitor.page.locator('h1').count()} headings"
    title = visitor.page.title()
    assert " · " in title and not title.startswith(" ·"), f"{path} has no title"


def _fits(visitor: Visitor, path: str) -> None:
    over = visitor.page.evaluate(
        "[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1"
        " && !one.closest('.scroll,pre,.sr,svg')).slice(0, 3).map((one) => one.outerHTML.slice(0, 120))"
    )
    fits = visitor.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert fits, f"{path} runs off at {visitor.page.viewport_size}: {over}"


def _accessible(visitor: Visitor, path: str) -> list[str]:
    """What axe finds. The page's policy forbids strange scripts; only this context is let past it."""
    visitor.page.evaluate(axe_source())
    found: list[dict[str, Any]] = visitor.page.evaluate(AXE)
    return [f"{path}: {json.dumps(one, ensure_ascii=False)}" for one in found]


def _walk(center: Center, role: str) -> list[str]:
    paths = []
    for page in pages():
        if page.path in ("/sign-in", "/set-password") or not may_open(page, role):
            continue
        path = filled(page, center, role)
        assert path, f"nothing to fill {page.path} with: tell tests/e2e/walking.py"
        paths.append(path)
        if role not in ("owner", "viewer") and page.scope and not page.at_center:
            paths.append(f"{path}?org=acme")
    return paths


def test_the_registry_is_walked() -> None:
    assert len(list(pages())) >= 20
    assert set(NOT_PAGES) <= {page.path for page in PAGES}


@pytest.mark.parametrize(("role", "language"), [("owner", "zh-CN"), ("system", "en")])
def test_the_pages_of_the_menu_open_quietly(visit: Visit, role: str, language: str) -> None:
    with visit(role, language=language) as visitor:
        visitor.goto("/")
        links = [one.get_attribute("href") for one in visitor.page.locator(".nav a").all()]
        assert len(links) >= 10
        for path in links:
            _open(visitor, str(path), role)
            _fits(visitor, str(path))
            visitor.check_quiet(str(path))


@pytest.mark.slow
@pytest.mark.parametrize("role", SCOPES)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_page_opens_for_who_may_and_for_nobody_else(
    visit: Visit, center: Center, role: str, language: str
) -> None:
    with visit(role, language=language) as visitor:
        for path in _walk(center, role):
            _open(visitor, path, role)
            _fits(visitor, path)
            visitor.check_quiet(path)
        for page in pages():
            path = filled(page, center, role)
            if path and not may_open(page, role):
                assert visitor.goto(path) == 403, f"{path} for {role}"


@pytest.mark.slow
@pytest.mark.parametrize("role", SCOPES)
def test_on_a_phone_no_page_runs_off(visit: Visit, center: Center, role: str) -> None:
    with visit(role, width=390, theme="dark", language="zh-CN") as visitor:
        for path in ["/sign-in", *_walk(center, role)]:
            visitor.goto(path)
            _fits(visitor, path)


@pytest.mark.slow
@pytest.mark.parametrize("role", SCOPES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_keeps_anybody_out(visit: Visit, center: Center, role: str, theme: str) -> None:
    found = []
    with visit(role, theme=theme, bypass_csp=True) as visitor:
        for path in _walk(center, role):
            visitor.goto(path)
            found += _accessible(visitor, path)
    with visit(theme=theme, bypass_csp=True) as visitor:
        for path in ("/sign-in", "/set-password"):
            visitor.goto(path)
            found += _accessible(visitor, path)
    assert not found, "\n".join(sorted(set(found)))


@pytest.mark.slow
@pytest.mark.parametrize("role", SCOPES)
def test_no_english_is_left_on_chinese_pages(visit: Visit, center: Center, role: str) -> None:
    paths, left = _walk(center, role), []
    with visit(role, language="en") as english, visit(role, language="zh-CN") as chinese:
        for path in paths:
            english.goto(path)
            chinese.goto(path)
            same = set(english.page.evaluate(SAID)) & set(chinese.page.evaluate(SAID))
            left += [f"{path}: {words[:200]}" for words in sorted(same) if _is_english(words)]
    assert not left, "\n".join(left)


def _is_english(words: str) -> bool:
    """Whether it reads like a sentence or a label, and not like a name, a number, a unit or a code."""
    if NAMES.search(words) or re.search(r"[一-鿿]", words):
        return False
    return bool(re.search(r"\b[A-Z]?[a-z]{2,}\b", words))
