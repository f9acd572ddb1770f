"""A repository in the browser: made, filled by choosing files, read, and found by Chinese words."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.conftest import Visit

CARD = """---
license: mit
language: zh
task_categories: [text-classification]
---

# 河流水质

Measured **every hour** at twelve stations.
"""
TABLE = "station,ph\nnorth,7.1\nsouth,6.9\n"


def _files(folder: Path) -> list[Path]:
    """A card, a table, and a pickle that would run a program."""
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    (folder / "measured.csv").write_text(TABLE)
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    return sorted(folder.iterdir())


def test_a_repository_is_made_filled_read_and_found(visit: Visit, tmp_path: Path) -> None:
    with visit("owner") as visitor:
        page = visitor.page
        visitor.goto("/hub")
        page.locator("#f-name").fill("river")
        page.locator("#f-type").last.select_option("dataset")
        visitor.do("create")
        expect(page.locator("h1")).to_have_text("acme/river")
        address = page.url.removeprefix(visitor.center.url).partition("?")[0]
        page.get_by_role("link", name="Add files").click()
        page.locator("#f-upload").set_input_files(_files(tmp_path))
        expect(page.locator("[data-state]")).to_have_text("3 of 3 files have arrived")
        visitor.do("commit")
        expect(page.locator("main table")).to_contain_text("model.pkl")
        visitor.goto(address)
        expect(page.locator("article.prose")).to_contain_text("河流水质")
        expect(page.locator("article.prose strong")).to_have_text("every hour")
        visitor.goto(f"{address}/file?rev=main&path=measured.csv")
        expect(page.locator("main table")).to_contain_text("north")
        visitor.goto(f"{address}/file?rev=main&path=model.pkl")
        expect(page.locator("main")).to_contain_text("system")
        visitor.goto("/hub")
        page.locator("#f-q").fill("水质")
        page.keyboard.press("Enter")
        expect(page.locator("ul.tiles li")).to_have_count(1)
        expect(page.locator("ul.tiles")).to_contain_text("acme/river")
        visitor.check_quiet()


def test_a_data_set_is_kept_for_jobs_of_approved_projects(visit: Visit) -> None:
    with visit("owner", language="zh-CN") as visitor:
        page = visitor.page
        visitor.center.call("POST", "/hub", json={"name": "acme/patients", "type": "dataset"})
        visitor.goto("/hub/dataset/acme/patients/settings")
        page.locator("#f-use").select_option("jobs")
        visitor.do("change")
        expect(visitor.notice()).to_be_visible()
        page.get_by_role("link", name="作业使用").click()
        page.locator("#f-reason").fill("血糖预测")
        visitor.do("ask")
        expect(page.locator("main table")).to_contain_text("血糖预测")
        visitor.do("approve")
        expect(page.locator("main .badge.good")).to_have_text("已批准")
        expect(page.locator("button[value=revoke]")).to_be_visible()
        visitor.check_quiet()
