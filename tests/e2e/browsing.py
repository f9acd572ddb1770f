"""Chromium, driven: one context a person, and everything a page complains about is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Response, expect, sync_playwright

from tests.e2e.center import PASSWORD, Center
from tests.engines_present import need

CHROMIUM = "/usr/bin/chromium"
WITHIN_MS = 60_000
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
LISTEN = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.__violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""
EXPECTED = (
    "status of 401",
    "status of 403",
    "status of 404",
    "status of 409",
    "status of 422",
    "status of 429",
)
"""Chromium writes one line for every answer that is an error; a test that asks for one expects it."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine. Skips where there is none, before Playwright's driver starts: it needs libraries of its own."""
    need(Path(CHROMIUM).exists(), "Chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=WITHIN_MS)
        try:
            yield found
        finally:
            found.close()


@dataclass
class Visitor:
    """A person at a browser."""

    center: Center
    page: Page
    complaints: list[str] = field(default_factory=list)

    def goto(self, path: str) -> int:
        """Open a page of the console; its status."""
        answer = self.page.goto(self.center.url + path)
        assert isinstance(answer, Response), path
        return answer.status

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """By the form."""
        self.goto("/sign-in")
        self.page.locator("#f-name").fill(name)
        self.page.locator("#f-password").fill(password)
        self.page.locator("button[value=in]").click()
        expect(self.page.locator("details.menu")).to_be_visible()

    def do(self, action: str) -> None:
        """Press the button of an action."""
        self.page.locator(f"button[name=do][value={action}]").first.click()

    def sure(self) -> None:
        """Say yes to the question."""
        self.page.locator("dialog[open] [data-confirm-yes]").click()

    def notice(self) -> Any:
        """What the page tells after an action."""
        return self.page.locator("#main .notice.good")

    def problem(self) -> Any:
        """What the page says is wrong."""
        return self.page.locator("#main .notice.bad[role=alert]:not([hidden])")

    def check_quiet(self, where: str = "") -> None:
        """No complaints of the browser so far."""
        violations = self.page.evaluate("window.__violations || []")
        assert not violations, f"{where}: {violations}"
        assert not self.complaints, f"{where}: {self.complaints}"


@contextmanager
def visiting(
    browser: Browser,
    center: Center,
    *,
    language: str = "en",
    theme: str = "light",
    width: int = 1280,
    state: Any = None,
    **options: Any,
) -> Iterator[Visitor]:
    """A fresh browser context. `state`: cookies of a sign-in that was done before."""
    context = browser.new_context(
        viewport={"width": width, "height": 860},
        locale=language,
        color_scheme=theme,
        storage_state=state,
        accept_downloads=True,
        timezone_id="Asia/Shanghai",
        **options,
    )
    context.set_default_timeout(WITHIN_MS)
    context.add_init_script(LISTEN)
    page = context.new_page()
    found = Visitor(center, page)

    def said(message: Any) -> None:
        if message.type in ("error", "warning") and not any(one in message.text for one in EXPECTED):
            found.complaints.append(f"{message.text} {message.location}")

    page.on("console", said)
    page.on("pageerror", lambda error: found.complaints.append(f"error in a script: {error}"))
    try:
        yield found
    finally:
        context.close()
