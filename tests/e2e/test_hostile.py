"""What strangers write is shown as they wrote it and never runs: names, notes, logs, names of files, the files themselves.

The pages are looked at twice: under their policy, which must find nothing to forbid, and without it, so that escaping
alone has to hold.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import Visitor, visiting
from tests.e2e.center import Center, make_people, running

SIGNS = (
    "<script>window.__ran='script'</script>",
    '"><img src=x onerror="window.__ran=\'image\'">',
    "'><svg onload=window.__ran='svg'>",
    "</textarea></title></style><script>window.__ran='out'</script>",
    "javascript:window.__ran='url'",
    "{{ 7*7 }}${7*7}<%= 7*7 %>",
    "]]><!-- --!><script>window.__ran=1</script>",
    "abc\u202egnp.exe\u202c",
    "&lt;b&gt;&#x3c;script&#x3e;",
)
"""The template's sign would show 49 if it were run."""
EVIL = " ".join((*SIGNS[:2], "{{7*7}}"))
PROGRAM = f"""
import os, pathlib
folder = pathlib.Path(os.environ["PEARL_OUTPUTS"])
for number, sign in enumerate({SIGNS!r}):
    print(sign, flush=True)
    print("\\x1b[31m\\x1b]0;title\\x07" + sign, flush=True)
    name = sign.replace("/", "-").replace("\\x00", "")[:100]
    (folder / f"{{number}}{{name}}").write_text(sign)
(folder / "page.html").write_text("<!doctype html><script>window.__ran='file'</script>" + {SIGNS[0]!r})
(folder / "picture.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' onload=\\"window.__ran='file'\\"/>")
open(os.environ["PEARL_METRICS"], "a").write('{{"<script>window.__ran=1</script>": 1, "loss": 0.5}}\\n')
"""


@pytest.fixture(scope="module")
def visited(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """A center whose jobs really run, and whose people write strange things wherever they may."""
    with running(tmp_path_factory.mktemp("hostile") / "center") as center:
        make_people(center)
        job = center.submit(
            EVIL,
            command=["python3", "-c", PROGRAM],
            time_limit="5m",
            per_task={"cpus": 0.5, "memory_gib": 0.25},
        )
        center.jobs["evil"] = job
        assert center.until(job, "succeeded", "failed", "cancelled")["state"] == "succeeded"
        center.call("PATCH", "/orgs/acme", json={"name": EVIL})
        center.call("POST", "/orgs/acme/projects", json={"slug": "odd", "name": EVIL})
        center.call("POST", "/keys", json={"org": "acme", "label": EVIL[:90]})
        center.call(
            "POST",
            "/users",
            "security",
            json={"name": "odd", "org": "acme", "role": "viewer", "display_name": EVIL[:90]},
        )
        center.call("PUT", "/orgs/acme/billing", json={"name": EVIL})
        node = center.call("GET", "/nodes", "system")["items"][0]["name"]
        center.call("POST", f"/nodes/{node}/drain", "system", json={"reason": EVIL})
        center.things["node"] = node
        yield center


def _paths(center: Center) -> list[str]:
    job, node, org = center.jobs["evil"], center.things["node"], "?org=acme"
    return [
        "/", "/jobs", f"/jobs/{job}", f"/jobs?name={SIGNS[0]}", "/jobs?state=<script>", "/nowhere/<script>window.__ran=1</script>",
        f"/nodes/{node}", "/nodes?q=" + SIGNS[1], f"/projects{org}", f"/members{org}", "/keys", f"/billing{org}",
        f"/billing/invoices{org}", f"/billing/statement{org}", "/users?q=" + SIGNS[1], "/audit", "/audit?q=" + SIGNS[1], "/orgs",
        "/sign-in?next=javascript:window.__ran=1", "/set-password?link=" + SIGNS[1], f"/submit?like={job}",
    ]  # fmt: skip


@pytest.mark.parametrize("bypass_csp", [False, True], ids=["with the policy", "without it"])
@pytest.mark.parametrize("who", ["owner", "system"])
def test_nothing_that_strangers_wrote_runs(
    browser: Browser, visited: Center, who: str, bypass_csp: bool
) -> None:
    with visiting(browser, visited, bypass_csp=bypass_csp) as visitor:
        visitor.sign_in(who)
        for path in _paths(visited):
            visitor.goto(path)
            _nothing_ran(visitor, path)


def _nothing_ran(visitor: Visitor, path: str) -> None:
    page = visitor.page
    assert page.evaluate("window.__ran") is None, path
    for link in page.locator("a[href]").all():
        assert not (link.get_attribute("href") or "").strip().lower().startswith("javascript:"), path
    assert page.locator("main script, main img[src='x'], main [onerror], main [onload]").count() == 0, path
    visitor.check_quiet(path)


def test_a_log_is_only_text(browser: Browser, visited: Center) -> None:
    with visiting(browser, visited, bypass_csp=True) as visitor:
        visitor.sign_in("owner")
        visitor.goto(f"/jobs/{visited.jobs['evil']}")
        log = visitor.page.locator("pre[data-log]")
        expect(log).to_have_attribute("data-done", "true")
        for sign in SIGNS:
            assert sign in (log.text_content() or ""), sign
        assert log.locator("*").count() == 0
        expect(visitor.page.locator("h1")).to_contain_text(SIGNS[0])
        assert "49" not in visitor.page.locator("h1").inner_text()
        _nothing_ran(visitor, "the log")


def test_files_are_given_and_never_shown(browser: Browser, visited: Center) -> None:
    with visiting(browser, visited) as visitor:
        visitor.sign_in("owner")
        visitor.goto(f"/jobs/{visited.jobs['evil']}")
        links = visitor.page.locator("a[href^='/artefacts/']")
        assert links.count() == len(SIGNS) + 2
        for link in links.all():
            href = link.get_attribute("href")
            answer = visitor.page.request.get(f"{visited.url}{href}")
            headers = answer.headers
            assert answer.status == 200
            assert headers["content-disposition"].startswith("attachment")
            assert "\n" not in headers["content-disposition"] and '"><' not in headers["content-disposition"]
            assert "sandbox" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert "html" not in headers["content-type"] and "svg" not in headers["content-type"]
        with visitor.page.expect_download() as given:
            visitor.page.get_by_role("link", name="page.html").click()
        assert given.value.suggested_filename == "page.html"
        _nothing_ran(visitor, "files")
        log = visitor.page.request.get(f"{visited.url}/jobs/{visited.jobs['evil']}/log?offset=0")
        assert (
            log.headers["content-type"].startswith("text/plain")
            and log.headers["x-content-type-options"] == "nosniff"
        )
