"""The console's routing: foreign forms, cookies, redirects, forms sent twice, parts, and what failures show."""

from __future__ import annotations

from typing import Any

import pytest

from pearlstreet.app.web import create_web
from pearlstreet.console import cookies
from pearlstreet.console.registry import PAGES
from pearlstreet.services.jobs import JobsService
from pearlstreet.tenancy.scopes import ORG_ROLES, OrgRole
from tests.api.world import Browser
from tests.console.visitors import PASSWORD, Console, Visitor, words

KEY = {"label": "for the test"}


def _cookie(answer: Any, name: str) -> str:
    return next(line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}="))


# -- signing in, and the cookie it gives


def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use(console: Console) -> None:
    visitor = console.visitor()
    answer = visitor.post("/sign-in", "in", {"name": "viewer", "password": PASSWORD})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    line = _cookie(answer, "pearl_session").lower()
    assert "httponly" in line and "samesite=lax" in line and "path=/" in line and "domain" not in line
    assert "secure" not in line, "plain http on loopback cannot carry it"
    assert visitor.get("/").status_code == 200


def test_over_tls_the_cookie_is_bound_to_the_host(console: Console) -> None:
    visitor = Visitor(console.app, base="https://center")
    answer = visitor.post("/sign-in", "in", {"name": "viewer", "password": PASSWORD})
    line = _cookie(answer, "__Host-pearl_session").lower()
    assert "secure" in line and "httponly" in line and "path=/" in line and "domain" not in line
    assert visitor.get("/").status_code == 200
    renamed = Visitor(
        console.app, {"pearl_session": visitor.cookies["__Host-pearl_session"]}, "https://center"
    )
    assert renamed.get("/").status_code == 303, "a cookie that plain http can set counts for nothing"


def test_a_wrong_password_keeps_the_name_and_not_the_password(console: Console) -> None:
    answer = console.visitor().post("/sign-in", "in", {"name": "viewer", "password": "wrong-Pass-9"})
    assert answer.status_code == 401
    assert "The login name or the password is wrong" in words(answer)
    assert 'value="viewer"' in answer.text and "wrong-Pass-9" not in answer.text
    assert "pearl_session" not in " ".join(answer.headers.get_list("set-cookie"))


def test_an_api_key_in_the_cookie_is_nobody(console: Console) -> None:
    for role in ("owner", "system"):
        visitor = console.visitor()
        visitor.cookies["pearl_session"] = console.world.keys[role]
        answer = visitor.get("/")
        assert answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")


def test_signing_out_ends_the_session_for_every_copy_of_the_cookie(console: Console) -> None:
    visitor = console.visitor("viewer")
    copy = Visitor(console.app, dict(visitor.cookies))
    assert copy.get("/").status_code == 200
    assert visitor.post("/sign-out", "out").status_code == 303
    assert "pearl_session" not in visitor.cookies
    assert copy.get("/").status_code == 303


def test_an_unknown_page_asks_nobody_to_sign_in_and_says_so(console: Console) -> None:
    for visitor in (console.visitor(), console.visitor("viewer")):
        assert visitor.get("/nowhere").status_code == 404
    assert console.visitor("viewer").send("POST", "/live").status_code in (404, 405, 409)
    assert console.visitor("viewer").get("/jobs/%00").status_code == 404


# -- forms that are not ours


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://center.evil.example"},
        {"origin": "http://center:8080"},
        {"origin": "http://center@evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://center", "sec-fetch-site": "cross-site"},
    ],
)
def test_a_form_from_another_site_is_refused(console: Console, headers: dict[str, str]) -> None:
    visitor = console.visitor("viewer")
    assert visitor.post("/sign-out", "out", headers=headers).status_code == 403
    assert visitor.get("/").status_code == 200, "still signed in"
    stranger = console.visitor()
    form = {"name": "viewer", "password": PASSWORD}
    assert stranger.post("/sign-in", "in", form, headers=headers).status_code == 403, "nobody signs us in"


def test_a_form_from_our_own_pages_is_taken(console: Console) -> None:
    visitor = console.visitor("viewer")
    own = {"origin": "http://center", "sec-fetch-site": "same-origin"}
    assert visitor.post("/sign-out", "out", headers=own).status_code == 303


def test_a_form_needs_the_token_of_its_own_session(console: Console) -> None:
    visitor, other = console.visitor("viewer"), console.visitor("viewer")
    for token in ("", "0" * 64, other.token(), "中文"):
        assert visitor.post("/sign-out", "out", token=token).status_code == 403
    assert visitor.get("/").status_code == 200
    assert visitor.token() and visitor.token() != other.token()


def test_every_action_of_every_page_wants_the_token(console: Console) -> None:
    visitor, tried = console.visitor("owner"), 0
    for page in PAGES:
        for action in page.actions:
            if page.at_center or (page.scope and page.scope not in ORG_ROLES[OrgRole.OWNER]):
                continue
            path = page.path.replace("{", "x").replace("}", "x")
            assert visitor.post(path, action, token="0" * 64).status_code == 403, (path, action)
            tried += 1
    assert tried >= 5


def test_a_form_that_cannot_be_read_is_the_senders_fault(console: Console) -> None:
    visitor = console.visitor("viewer")
    token = visitor.token()
    assert visitor.post("/sign-out", "fly").status_code in (400, 422)
    assert visitor.post("/sign-out", "out", {"x": "a\0b"}).status_code in (400, 422)
    assert visitor.post("/sign-out", "out", {"x": ["a\0b", "c"]}).status_code in (400, 422)
    broken = {"content-type": "multipart/form-data; boundary=x"}
    for content in (b"--x\r\nnonsense", b"--x\r\n\r\n\r\n--x--", b"\xff\xfe"):
        assert 400 <= visitor.send("POST", "/sign-out", broken, content=content).status_code < 500
    for kind in ("application/json", "text/plain", ""):
        answer = visitor.send("POST", "/sign-out", {"content-type": kind}, content=f"token={token}&do=out")
        assert answer.status_code == 403
    many = "&".join(f"a{number}=1" for number in range(2000))
    urlencoded = {"content-type": "application/x-www-form-urlencoded"}
    assert 400 <= visitor.send("POST", "/sign-out", urlencoded, content=many).status_code < 500
    assert visitor.send("POST", "/sign-out", urlencoded, content=b"a" * (2 << 20)).status_code == 413
    for length in ("²", "-1", "9" * 5000):
        answer = visitor.send("POST", "/sign-out", urlencoded | {"content-length": length}, content=b"")
        assert 400 <= answer.status_code < 500, length
    assert visitor.get("/").status_code == 200


def test_pages_without_forms_take_none(console: Console) -> None:
    assert console.visitor("viewer").send("POST", "/", data={"do": "x"}).status_code == 409


# -- where a visitor is sent

OWN = ("/", "/jobs", "/jobs?state=running", "/jobs/job_1#log", "/jobs?name=%E4%B8%AD")
TRICKS = (
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\nset-cookie: a=b",
    "\t//evil.example",
    " //evil.example",
    "http:evil.example",
    "http:/evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "evil.example",
    "@evil.example",
    ".evil.example",
    "./jobs",
    "../jobs",
    "?next=//evil.example",
    "#//evil.example",
    "",
    "/\0",
    "/\x0b/evil.example",
    "/\x0c/evil.example",
    "/" + "a" * 3000,
    "\u2028//evil.example",
    "／／evil.example",
)


@pytest.mark.parametrize("trick", TRICKS)
def test_a_place_of_another_site_becomes_the_overview(console: Console, trick: str) -> None:
    visitor = console.visitor("viewer")
    answer = visitor.post("/preferences", "set", {"back": trick, "theme": "dark"})
    if answer.status_code == 303:
        assert answer.headers["location"] == "/"
    else:
        assert answer.status_code in (400, 422) and "\0" in trick
    assert cookies.safe_path(trick) == "/"


@pytest.mark.parametrize("own", OWN)
def test_an_own_place_is_gone_to(console: Console, own: str) -> None:
    answer = console.visitor().post("/sign-in", "in", {"name": "viewer", "password": PASSWORD, "next": own})
    assert answer.status_code == 303 and answer.headers["location"] == own


def test_a_place_in_any_script_is_gone_to(console: Console) -> None:
    answer = console.visitor("viewer").post(
        "/preferences", "set", {"back": "/jobs?name=训练", "theme": "dark"}
    )
    assert answer.headers["location"] == "/jobs?name=%E8%AE%AD%E7%BB%83"


def test_who_must_sign_in_first_comes_back_to_the_page(console: Console) -> None:
    visitor = console.visitor()
    answer = visitor.get("/jobs")
    assert answer.status_code == 303 and answer.headers["location"] == "/sign-in?next=/jobs"
    assert 'name="next" value="/jobs"' in visitor.get(answer.headers["location"]).text


# -- parts of pages


def test_a_part_comes_alone_and_unchanged_it_does_not_come_again(console: Console) -> None:
    visitor = console.visitor("owner")
    whole, part = visitor.get("/jobs"), visitor.get("/jobs", x_part="list")
    assert "<html" in whole.text and "<html" not in part.text and part.text.strip() in whole.text
    tag = part.headers["etag"]
    same = visitor.get("/jobs", x_part="list", if_none_match=tag)
    assert same.status_code == 304 and same.content == b"" and same.headers["etag"] == tag
    console.world.submit(name="a-new-one")
    changed = visitor.get("/jobs", x_part="list", if_none_match=tag)
    assert changed.status_code == 200 and "a-new-one" in changed.text
    assert visitor.get("/jobs", if_none_match=tag).status_code == 200, "whole pages are not kept"


def test_a_part_that_is_not_there_is_a_404(console: Console) -> None:
    visitor = console.visitor("viewer")
    for part in ("nothing", "", "../now", "main", "__class__", "é", "now\x7f"):
        assert visitor.get("/", x_part=part).status_code == 404, part


def test_a_part_is_not_for_everybody(console: Console) -> None:
    assert console.visitor().get("/jobs", x_part="list").status_code == 401
    assert console.visitor().get("/live").status_code == 401


# -- what failures show


def test_a_failure_nobody_foresaw_tells_nothing_of_the_inside(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> Any:
        raise RuntimeError("secret /etc/pearl/secret.key")

    with monkeypatch.context() as patched:
        patched.setattr(JobsService, "list_jobs", breaks)
        for part in ({}, {"x_part": "list"}):
            answer = console.visitor("viewer").get("/jobs", **part)
            assert answer.status_code == 500
            assert "Internal error" in words(answer)
            for inside in ("secret", "RuntimeError", "Traceback", ".py"):
                assert inside not in words(answer)
    assert console.visitor("viewer").get("/jobs").status_code == 200


def test_every_answer_has_the_strict_headers(console: Console) -> None:
    visitor = console.visitor("viewer")
    answers = [
        visitor.get("/"),
        visitor.get("/nowhere"),
        visitor.get("/jobs", x_part="list"),
        console.visitor().get("/"),
        console.visitor().get("/sign-in"),
        visitor.post("/sign-out", "out", token="x"),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_a_cookie_somebody_wrote_breaks_nothing(console: Console) -> None:
    values = ("x", "W10=", "eyJ0IjogWzFdfQ==", "[" * 2500, "%00", "W1tb" * 700, '"', "é")
    for name in ("pearl_notice", "pearl_language", "pearl_theme", "pearl_org", "pearl_session"):
        for value in values:
            visitor = console.visitor("viewer")
            visitor.cookies[name] = value
            answer = visitor.get("/")
            assert answer.status_code == (303 if name == "pearl_session" else 200), (name, value)


def test_addresses_nobody_meant_break_nothing(console: Console) -> None:
    visitor = console.visitor("owner")
    for query in (
        "before=job_x", "before=%00", "before=%ff%fe", "state=nonsense", "state=running&state=%00", "org=beta",
        "org=" + "a" * 500, "name=" + "%25" * 300, "name=%ed%a0%80", "page=99999999999999999999", "a=1;b=2", "=", "&&",
    ):  # fmt: skip
        assert visitor.get(f"/jobs?{query}").status_code < 500, query
    made = console.world.submit(name="odd-offsets")
    for query in ("offset=²", "offset=-1", "offset=1e9", "rank=²", "rank=9", "whole=1&rank=x", "attempt=%00"):
        assert visitor.get(f"/jobs/{made}/log?{query}").status_code in (200, 404), query
    for job in ("job_x", "..", "%2e%2e", "%ff", "job_00000000000000000000000000", "x" * 2000):
        assert visitor.get(f"/jobs/{job}").status_code in (200, 404), job


# -- forms sent twice, and forms that fail


def test_one_form_sent_twice_acts_once(console: Console) -> None:
    visitor = console.visitor("owner")
    form = {"once": "0123456789ab", "project": "twice", "name": "Twice"}
    first, second = visitor.post("/projects", "add", form), visitor.post("/projects", "add", form)
    assert first.status_code == second.status_code == 303, words(second)
    assert "It was already done" in words(visitor.get("/projects"))
    form = {"once": "ba9876543210", "label": "made-twice", "life_days": "30", "which": "all"}
    first, second = visitor.post("/keys", "create", form), visitor.post("/keys", "create", form)
    assert first.status_code == 200 and "pearl_" in first.text
    assert second.status_code == 303, "the key is not shown again"
    assert visitor.get("/keys").text.count("made-twice") <= 2, "one row and its question"
    keys = console.world.get("/keys", "owner").json()["items"]
    assert sum(key["label"] == "made-twice" for key in keys) == 1


def test_a_form_that_fails_keeps_what_was_typed_and_changes_nothing(console: Console) -> None:
    visitor = console.visitor("owner")
    answer = visitor.post("/projects", "add", {"project": "Not A Slug", "name": "A <b>title</b>"})
    assert answer.status_code == 422
    assert 'value="Not A Slug"' in answer.text and "A &lt;b&gt;title&lt;/b&gt;" in answer.text
    assert 'aria-invalid="true"' in answer.text
    slugs = {one["slug"] for one in console.world.get("/orgs/acme/projects", "owner").json()["items"]}
    assert "title" not in " ".join(slugs)


# -- tenants see their own


def test_what_belongs_to_others_reads_like_what_is_not_there(console: Console) -> None:
    job = console.world.submit(name="of-acme")
    stranger = console.visitor("stranger")
    absent = stranger.get("/jobs/job_00000000000000000000000000")
    foreign = stranger.get(f"/jobs/{job}")
    assert foreign.status_code == absent.status_code == 404
    assert words(foreign).replace(job, "ID") == words(absent).replace("job_00000000000000000000000000", "ID")
    assert "of-acme" not in stranger.get("/jobs").text
    assert stranger.post(f"/jobs/{job}", "cancel").status_code == 404
    assert "of-acme" not in stranger.get("/jobs?org=acme").text


def test_a_viewer_cancels_nothing(console: Console) -> None:
    job = console.world.submit(name="stays")
    answer = console.visitor("viewer").post(f"/jobs/{job}", "cancel")
    assert answer.status_code in (403, 404)
    assert console.world.get(f"/jobs/{job}").json()["state"] != "cancelled"


def test_browsers_are_told_to_come_by_https_only_when_they_did(console: Console) -> None:
    strict = Browser(create_web(console.world.center, console.world.services, https_only_days=2))
    try:
        for path in ("/sign-in", "/health", "/nothing-here"):
            safe = Visitor(strict, base="https://center").get(path)
            assert safe.headers["strict-transport-security"] == "max-age=172800"
            assert "strict-transport-security" not in Visitor(strict).get(path).headers
    finally:
        strict.close()
    assert (
        "strict-transport-security" not in Visitor(console.app, base="https://center").get("/health").headers
    )


def test_pages_are_counted_under_their_pattern(console: Console) -> None:
    owner = console.visitor("owner")
    owner.get("/jobs")
    assert owner.get("/jobs/job_00000000000000000000000000").status_code == 404
    system = {"authorization": f"Bearer {console.world.keys['system']}"}
    shown = console.world.browser.send("GET", "/metrics", headers=system).text
    assert 'pearl_console_requests_total{method="GET",page="/jobs",status="200"}' in shown
    assert 'page="/jobs/{job}",status="404"' in shown and "job_0000" not in shown
    assert "pearl_console_seconds_bucket" in shown and "pearl_console_open_pages" in shown
