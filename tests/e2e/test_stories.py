"""What people do in the console, done by a browser: the stories that every change must leave alive."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.center import PASSWORD, Center
from tests.e2e.conftest import Visit

LANGUAGES = ("en", "zh-CN")


@pytest.mark.parametrize("language", LANGUAGES)
def test_signing_in_and_out(visit: Visit, language: str) -> None:
    wrong = {"en": "The login name or the password is wrong", "zh-CN": "登录名或密码不正确"}[language]
    with visit(language=language) as visitor:
        page = visitor.page
        assert visitor.goto("/jobs?state=running") == 200
        page.locator("#f-name").fill("viewer")
        page.locator("#f-password").fill("not this one")
        page.keyboard.press("Enter")
        expect(visitor.problem()).to_contain_text(wrong)
        expect(page.locator("#f-name")).to_have_value("viewer")
        expect(page.locator("#f-password")).to_have_value("")
        page.locator("#f-password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text({"en": "Jobs", "zh-CN": "作业"}[language])
        copy = page.context.storage_state()
        page.locator("details.menu summary").click()
        visitor.do("out")
        expect(visitor.notice()).to_be_visible()
        page.go_back()
        visitor.goto("/jobs")
        expect(page.locator("#f-password")).to_be_visible()
        visitor.check_quiet()
    with visit(language=language) as thief:
        thief.page.context.add_cookies(copy["cookies"])
        thief.goto("/jobs")
        expect(thief.page.locator("#f-password")).to_be_visible()


def test_guessing_passwords_costs_time(visit: Visit) -> None:
    with visit() as visitor:
        visitor.goto("/sign-in")
        for _ in range(8):
            visitor.page.locator("#f-name").fill("guessed")
            visitor.page.locator("#f-password").fill("a guess")
            visitor.do("in")
            expect(visitor.problem()).to_be_visible()
            if "Too many" in visitor.problem().inner_text():
                break
        expect(visitor.problem()).to_contain_text("Too many")
        expect(visitor.page.locator("#f-name")).to_have_value("guessed")


def test_language_and_theme_stay_as_chosen(visit: Visit) -> None:
    with visit("viewer") as visitor:
        page = visitor.page
        visitor.goto("/jobs")
        expect(page.locator("html")).to_have_attribute("lang", "en")
        page.locator("button[name=language]").click()
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(page.locator("h1")).to_have_text("作业")
        light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.locator("button[name=theme]").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
        visitor.goto("/")
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        visitor.check_quiet()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_overview_follows_what_happens(visit: Visit, center: Center, language: str) -> None:
    with visit("system", language=language) as visitor:
        page = visitor.page
        visitor.goto("/")
        expect(page.locator("svg .cell").first).to_be_visible()
        page.evaluate("window.__same_page = true")
        waiting = page.locator("#now .figure", has=page.locator("a[href='/jobs?state=queued']")).locator(
            "strong"
        )
        before = int(waiting.inner_text())
        card = {"accelerator": "h100-80g", "count": 8, "cpus": 1, "memory_gib": 1}
        job = center.submit(f"waits-{language.lower()}", tasks=14, per_task=card, simulate="1h")
        expect(waiting).to_have_text(str(before + 1))
        center.call("POST", f"/jobs/{job}/cancel")
        expect(waiting).to_have_text(str(before))
        assert page.evaluate("window.__same_page"), "without loading the page again"
        visitor.check_quiet()


def test_an_operator_drains_a_node_and_uses_it_again(visit: Visit) -> None:
    with visit("system") as visitor:
        page = visitor.page
        visitor.goto("/nodes")
        page.locator("a[href='/nodes/h100-0015']").first.click()
        expect(page.locator("h1")).to_have_text("h100-0015")
        page.locator("input[name=reason]").fill("fan is loud")
        visitor.do("drain")
        expect(visitor.notice()).to_contain_text("h100-0015")
        expect(page.locator("#now")).to_contain_text("drained")
        expect(page.locator("#now")).to_contain_text("fan is loud")
        visitor.do("resume")
        expect(page.locator("#now")).not_to_contain_text("drained")
        visitor.check_quiet()


def test_a_tenant_cancels_a_job_and_is_asked_before(visit: Visit, center: Center) -> None:
    job = center.submit("to-be-cancelled", simulate="11h")
    with visit("owner") as visitor:
        page = visitor.page
        visitor.goto(f"/jobs/{job}")
        visitor.do("cancel")
        dialog = page.locator("dialog[open]")
        expect(dialog.get_by_role("button", name="Cancel", exact=True)).to_be_focused()
        dialog.get_by_role("button", name="Cancel", exact=True).click()
        expect(dialog).to_have_count(0)
        visitor.do("cancel")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        assert center.call("GET", f"/jobs/{job}")["state"] not in ("cancelled", "stopping")
        visitor.do("cancel")
        visitor.sure()
        expect(visitor.notice()).to_contain_text("to-be-cancelled")
        expect(page.locator("#state .badge").first).to_have_text("cancelled")
        visitor.check_quiet()


def test_many_jobs_are_cancelled_at_once(visit: Visit, center: Center) -> None:
    jobs = [center.submit(f"many-{number}", simulate="11h") for number in range(3)]
    with visit("owner") as visitor:
        page = visitor.page
        visitor.goto("/jobs?name=many-")
        for job in jobs[:2]:
            page.locator(f"#b-{job}").check()
        visitor.do("cancel")
        expect(page.locator("dialog[open]")).to_contain_text("Cancel 2 jobs?")
        visitor.sure()
        expect(visitor.notice()).to_have_text("2 jobs are cancelled")
        for job in jobs[:2]:
            center.until(job, "cancelled")
        assert center.call("GET", f"/jobs/{jobs[2]}")["state"] not in ("cancelled", "stopping")
        page.locator(f"#b-{jobs[2]}").check()
        visitor.do("cancel")
        expect(page.locator("dialog[open]")).to_contain_text("Cancel 1 job? Its costs up to now")
        visitor.sure()
        expect(visitor.notice()).to_have_text("1 job is cancelled")
        visitor.check_quiet()


def test_a_log_is_followed_to_its_end(visit: Visit, center: Center) -> None:
    job = center.submit("talks", simulate="100s")
    center.until(job, "running", "succeeded")
    with visit("viewer") as visitor:
        visitor.goto(f"/jobs/{job}")
        log = visitor.page.locator("pre[data-log]")
        expect(log).to_have_attribute("data-done", "true")
        expect(log).not_to_be_empty()
        expect(visitor.page.locator("#state .badge").first).to_have_text("succeeded")
        visitor.check_quiet()


def test_by_keyboard_alone(visit: Visit) -> None:
    with visit("system") as visitor:
        page = visitor.page
        visitor.goto("/")
        page.keyboard.press("Tab")
        expect(page.locator("a.skip")).to_be_focused()
        expect(page.locator("a.skip")).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#keys")).to_be_hidden()
        page.keyboard.press("g")
        page.keyboard.press("j")
        expect(page).to_have_url(re.compile(r"/jobs$"))
        page.keyboard.press("/")
        expect(page.locator("#q-name")).to_be_focused()
        page.keyboard.type("pretrain")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"name=pretrain"))
        expect(page.locator("#list tbody tr")).to_have_count(1)
        seen = []
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.name")
            )
            ring = page.evaluate(
                "(() => { const s = getComputedStyle(document.activeElement);"
                " return s.outlineStyle !== 'none' || s.boxShadow !== 'none' })()"
            )
            assert ring or seen[-1] is None, f"nothing shows that {seen[-1]} has the focus"
        order = [one for one in seen if one]
        for wanted in ("#main", "/", "language", "theme", "/jobs", "name", "state"):
            assert wanted in order, order
        page.locator("details.menu summary").focus()
        page.keyboard.press("Enter")
        expect(page.locator("details.menu .sheet")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("details.menu .sheet")).to_be_hidden()
        visitor.check_quiet()


def test_on_a_phone_the_menu_opens_and_nothing_runs_off(visit: Visit) -> None:
    with visit("system", width=390, has_touch=True) as visitor:
        page = visitor.page
        for path in ("/", "/jobs", "/nodes"):
            visitor.goto(path)
            assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), path
        expect(page.locator(".nav a[href='/jobs']")).to_be_hidden()
        page.locator("details.nav > summary").tap()
        page.locator(".nav a[href='/jobs']").tap()
        expect(page).to_have_url(re.compile(r"/jobs$"))
        visitor.check_quiet()


def test_it_works_without_scripts(visit: Visit, center: Center) -> None:
    job = center.submit("no-scripts", simulate="11h")
    with visit("owner", java_script_enabled=False) as visitor:
        page = visitor.page
        visitor.goto("/jobs?name=no-scripts")
        page.locator(f"#b-{job}").check()
        visitor.do("cancel")
        expect(visitor.notice()).to_have_text("1 job is cancelled")
    center.until(job, "cancelled")
