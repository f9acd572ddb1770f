"""What people enter in the console: jobs, keys, members, quotas, prices, webhooks; and what they take away from it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.center import Center
from tests.e2e.conftest import Visit

LANGUAGES = ("en", "zh-CN")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_tenant_submits_a_job_and_reads_its_log_to_the_end(
    visit: Visit, center: Center, language: str
) -> None:
    name = f"by-form-{language.lower()}"
    with visit("owner", language=language) as visitor:
        page = visitor.page
        visitor.goto("/submit")
        page.locator("[id='f-name']").fill(name)
        page.locator("[id='f-command']").fill("python train.py")
        page.locator("[id='f-per_task.cpus']").fill("nonsense")
        page.locator("button[name=do][value=submit]").click()
        expect(page.locator(".field.wrong[data-field='per_task.cpus']")).to_be_visible()
        expect(page.locator("[id='f-name']")).to_have_value(name)
        expect(page.locator("[id='f-per_task.cpus']")).to_have_value("nonsense")
        page.locator("[id='f-per_task.cpus']").fill("2")
        page.locator("button[name=do][value=submit]").click()
        expect(page).to_have_url(re.compile(r"/jobs/job_\w+$"))
        expect(page.locator("h1")).to_have_text(name)
        expect(page.locator("pre[data-log]")).to_be_visible()
        visitor.check_quiet()
        job = page.url.rpartition("/")[2]
        center.until(job, "running", "succeeded", "failed")
        if center.call("GET", f"/jobs/{job}")["state"] == "running":
            center.call("POST", f"/jobs/{job}/cancel")
        center.until(job, "cancelled", "succeeded", "failed")
        expect(page.locator("pre[data-log]")).to_have_attribute("data-done", "true")
        expect(page.locator("pre[data-log]")).not_to_be_empty()
        visitor.check_quiet()


def test_an_invoice_is_seen_and_taken_as_pdf(visit: Visit, center: Center) -> None:
    with visit("owner") as visitor:
        page = visitor.page
        visitor.goto("/billing")
        expect(page.locator("main")).to_contain_text("¥")
        visitor.goto(f"/billing/invoices/{center.things['month']}")
        with page.expect_download() as given:
            page.get_by_role("link", name="PDF").click()
        assert given.value.path().read_bytes().startswith(b"%PDF-")
        visitor.check_quiet()


def test_a_key_is_shown_once_and_works(visit: Visit, center: Center) -> None:
    with visit("owner") as visitor:
        page = visitor.page
        visitor.goto("/keys")
        page.locator("#f-label").fill("for-the-laptop")
        visitor.do("create")
        shown = page.locator(".secret code")
        expect(shown).to_have_text(re.compile(r"^pearl_\w+"))
        key = shown.inner_text()
        assert key not in page.url
        assert not any(key in cookie["value"] for cookie in page.context.cookies())
        me = center.http.get("/api/v1/me", headers={"authorization": f"Bearer {key}"})
        assert me.json()["user"]["name"] == "owner"
        visitor.goto("/keys")
        expect(page.locator("main")).to_contain_text("for-the-laptop")
        assert key not in page.content()
        row = page.locator("tr", has_text="for-the-laptop")
        row.locator("button[value=revoke]").click()
        visitor.sure()
        expect(visitor.notice()).to_be_visible()
        assert center.http.get("/api/v1/me", headers={"authorization": f"Bearer {key}"}).status_code == 401
        visitor.check_quiet()


def test_an_owner_adds_a_member(visit: Visit) -> None:
    with visit("owner") as visitor:
        page = visitor.page
        visitor.goto("/members")
        page.locator("#f-name").fill("Not A Name")
        visitor.do("add")
        expect(visitor.problem()).to_be_visible()
        expect(page.locator("#f-name")).to_have_value("Not A Name")
        page.locator("#f-name").fill("newcomer")
        visitor.do("add")
        expect(page.locator("main")).to_contain_text("newcomer")
        expect(page.locator("main")).to_contain_text("/set-password?link=")
        visitor.goto("/members")
        expect(page.get_by_role("cell", name="newcomer").first).to_be_visible()
        visitor.check_quiet()


def test_the_audit_log_is_searched_and_verified(visit: Visit) -> None:
    with visit("audit") as visitor:
        page = visitor.page
        visitor.goto("/audit")
        page.locator("#q-action").fill("node.*")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("action=node"))
        expect(page.locator("table")).to_contain_text("h100-0016")
        visitor.do("verify")
        expect(page.locator("main .good").first).to_be_visible()
        expect(page.locator("main .bad:visible")).to_have_count(0)
        visitor.check_quiet()


def test_a_quota_is_set_and_taken_away(visit: Visit, center: Center) -> None:
    with visit("system") as visitor:
        page = visitor.page
        visitor.goto("/quotas")
        page.locator("#f-quota_org").fill("acme")
        page.locator("#f-resource").fill("cpus")
        page.locator("#f-maximum").fill("many")
        visitor.do("set")
        expect(visitor.problem()).to_be_visible()
        expect(page.locator("#f-maximum")).to_have_value("many")
        page.locator("#f-maximum").fill("5000")
        visitor.do("set")
        row = page.locator("#now tr", has_text="cpus")
        expect(row).to_contain_text("5,000")
        row.locator("button[value=delete]").click()
        visitor.sure()
        expect(page.locator("#now tr", has_text="cpus")).to_have_count(0)
        visitor.check_quiet()


def test_a_wrong_price_list_stays_in_the_form(visit: Visit, center: Center) -> None:
    with visit("system") as visitor:
        page = visitor.page
        visitor.goto("/prices")
        page.locator("#f-list").fill("[[rules]\nthis is not TOML")
        visitor.do("publish")
        visitor.sure()
        expect(visitor.problem()).to_be_visible()
        expect(page.locator("#f-list")).to_have_value("[[rules]\nthis is not TOML")
        assert str(center.call("GET", "/prices/current")["number"]) == center.things["number"]
        visitor.check_quiet()


def test_a_webhook_is_added_and_notices_are_read(visit: Visit) -> None:
    with visit("owner") as visitor:
        page = visitor.page
        visitor.goto("/notices/webhooks")
        page.locator("#f-url").fill("https://127.0.0.1/inside")
        visitor.do("add")
        expect(visitor.problem()).to_be_visible()
        expect(page.locator("#f-url")).to_have_value("https://127.0.0.1/inside")
        visitor.goto("/notices")
        visitor.do("test")
        expect(visitor.notice()).to_be_visible()
        visitor.goto("/notices/preferences")
        visitor.do("set")
        expect(visitor.notice()).to_be_visible()
        visitor.check_quiet()
