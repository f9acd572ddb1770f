"""Secrets handed to a real center come out nowhere: answers, errors, logs, events, audit, exports, backups, processes."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from pearlstreet.api.app import all_routes
from tests.cli.center import Center, a_center, until
from tests.months import present_month

GIVEN = {
    "password": "canary-password-5c1e77",
    "job secret": "canary-secret-0b94d2",
    "provider secret": "canary-oidc-91f3aa",
    "mail password": "canary-mail-77d0be",
    "wrong password": "canary-wrong-3e8a14",
}
"""Handed in here; what the center makes itself (keys, tokens, its own key) is added while it is used."""
SCRIPT = 'echo "my secret is $TOKEN"; echo "$TOKEN" >&2; echo "$TOKEN" | rev; echo up; sleep 600'
pytestmark = pytest.mark.slow


@dataclass
class Used:
    """What was asked of a center, and what must not be seen."""

    center: Center
    canaries: dict[str, str]
    heard: list[tuple[str, str]] = field(default_factory=list)
    job: str = ""
    server: int = 0
    while_it_ran: list[tuple[str, bytes]] = field(default_factory=list)
    """(place, content) of command lines and environments."""


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    """A real server with the local engine, through which every kind of secret has gone."""
    folder = tmp_path_factory.mktemp("center")
    data = folder / "data"
    data.mkdir(mode=0o700)
    (data / "pearl.toml").write_text(
        '[oidc.corp]\nissuer = "https://127.0.0.1:9/"\nclient_id = "pearl"\nprivate = true\n'
        f'client_secret = "{GIVEN["provider secret"]}"\n'
        '[mail]\nhost = "127.0.0.1"\nport = 9\nfrom = "pearl@example.com"\nsecurity = "none"\nuser = "pearl"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEARL_MAIL_PASSWORD", GIVEN["mail password"])
        with a_center(folder) as center:
            made = Used(center, dict(GIVEN))
            made.canaries["sealing key"] = (data / "secret.key").read_text().strip()
            for duty, key in center.keys.items():
                made.canaries[f"key of {duty}"] = key.rsplit("_", 1)[1]
            with httpx.Client(base_url=f"{center.url}/api/v1", timeout=60) as client:
                _use(made, client)
                _ask_everything(made, client)
            yield made


class _Asking:
    """A client that keeps every answer that must hold no secret."""

    def __init__(self, used: Used, client: httpx.Client, key: str | None) -> None:
        self._used, self._client = used, client
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def __call__(self, method: str, path: str, *, shows: bool = False, **options: Any) -> httpx.Response:
        """`shows`: the one answer in which a fresh secret is shown."""
        answer = self._client.request(method, path, headers=self._headers, **options)
        if not shows:
            self._used.heard.append((f"{method} {path}", f"{answer.headers}{answer.text}"))
        return answer


def _use(used: Used, client: httpx.Client) -> None:
    keys = used.center.keys
    nobody, system, security = (
        _Asking(used, client, key) for key in (None, keys["system"], keys["security"])
    )
    assert system("POST", "/orgs", json={"slug": "acme"}).status_code == 201
    assert system("POST", "/orgs/acme/credit", json={"amount": "1000"}).status_code == 201
    invited = security(
        "POST", "/users", shows=True, json={"name": "sam", "org": "acme", "role": "owner"}
    ).json()
    used.canaries["one-time token"] = invited["token"].rsplit("_", 1)[1]
    password, wrong = GIVEN["password"], GIVEN["wrong password"]
    nobody("POST", "/set-password", json={"token": invited["token"], "password": password, "pasword": wrong})
    assert nobody("POST", "/set-password", json={"token": invited["token"], "password": password}).is_success
    nobody("POST", "/sign-in", json={"name": "sam", "password": wrong})
    nobody("POST", "/sign-in", json={"name": wrong, "password": password})
    nobody(
        "POST",
        "/sign-in",
        content=f'{{"name": "sam", "password": "{wrong}'.encode(),
    )
    signed_in = nobody("POST", "/sign-in", shows=True, json={"name": "sam", "password": password}).json()
    used.canaries["session"] = signed_in["token"].rsplit("_", 1)[1]
    sam = _Asking(used, client, signed_in["token"])
    issued = sam("POST", "/keys", shows=True, json={"label": "ci"}).json()
    used.canaries["API key"] = issued["key"].rsplit("_", 1)[1]
    sam("POST", "/password", json={"current": wrong, "new": password})
    secret = GIVEN["job secret"]
    for name, body in (
        ("TOKEN", {"value": secret}),
        ("bad name", {"value": secret}),
        ("X", {"vaule": secret}),
    ):
        sam("PUT", f"/orgs/acme/secrets/{name}", json=body)
    hook = sam("POST", "/orgs/acme/webhooks", shows=True, json={"url": "https://140.82.112.3/x"})
    if hook.is_success:
        used.canaries["webhook secret"] = hook.json()["secret"].removeprefix("whsec_")
    nobody("GET", "/oidc/corp/start")
    for credential in (wrong, issued["key"][:-4] + "aaaa"):
        _Asking(used, client, credential)("GET", "/me")
    _run_a_job(used, sam)
    sam("POST", "/sign-out")
    assert system("POST", "/backups").status_code == 201


def _run_a_job(used: Used, sam: _Asking) -> None:
    spec = {
        "name": "uses-a-secret",
        "command": ["bash", "-c", SCRIPT],
        "secrets": {"TOKEN": "TOKEN"},
        "per_task": {"cpus": 0.5, "memory_gib": 0.25},
    }
    submitted = sam("POST", "/jobs", json=spec)
    assert submitted.status_code == 201, submitted.text
    used.job = submitted.json()["id"]
    path = f"/jobs/{used.job}"
    until(lambda: "up" in sam("GET", f"{path}/logs").text)
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                used.while_it_ran.append((str(folder / name), (folder / name).read_bytes()))
    used.server = json.loads((used.center.data / "server.json").read_text())["pid"]
    assert sam("POST", f"{path}/cancel").is_success
    until(lambda: sam("GET", path).json()["state"] == "cancelled")


def _ask_everything(used: Used, client: httpx.Client) -> None:
    """Every route that reads, by every operator and by the tenant's key."""
    ids = {
        "org": "acme", "project": "default", "job": used.job, "user": "sam", "provider": "corp", "month": "2026-11",
        "name": "TOKEN",
    }  # fmt: skip
    for route in all_routes():
        if route.method != "GET":
            continue
        path = re.sub(r"\{(\w+)\}", lambda found: ids.get(found.group(1), "nothing"), route.path)
        for key in used.center.keys.values():
            asking = _Asking(used, client, key)
            asking(
                "GET", f"{used.center.url}{path}", params={"draft": "true", "org": "acme", "everyone": "true"}
            )
            if "format" in path or "invoices/" in path:
                asking("GET", f"{used.center.url}{path}", params={"draft": "true", "format": "text"})


def _files(used: Used) -> Iterator[tuple[Path, bytes]]:
    """Every file of the center, packed ones unpacked too."""
    for file in sorted(used.center.data.parent.rglob("*")):
        if file.is_file() and not file.is_symlink():
            raw = file.read_bytes()
            yield file, raw
            if file.name.endswith(".gz"):
                yield file, gzip.decompress(raw)


def test_the_secrets_were_really_used(used: Used) -> None:
    assert len(used.canaries) >= 10 and all(len(value) >= 12 for value in used.canaries.values())
    assert len(used.heard) > 200
    seen = [content for _, content in used.while_it_ran]
    assert any(GIVEN["job secret"].encode() in content for content in seen), "the job had its secret"
    log = next(text for place, text in reversed(used.heard) if place == f"GET /jobs/{used.job}/logs")
    assert "my secret is" in log


def test_no_answer_holds_one(used: Used) -> None:
    found = [
        (name, place) for name, value in used.canaries.items() for place, text in used.heard if value in text
    ]
    assert not found


def test_no_file_holds_one_but_the_few_that_must(used: Used) -> None:
    """The key is in its file, and what the operator wrote in pearl.toml; what a job was given, in its own order."""
    allowed = {
        ("sealing key", "secret.key"),
        ("provider secret", "pearl.toml"),
        ("job secret", "order.json"),
    }
    found = []
    for file, raw in _files(used):
        for name, value in used.canaries.items():
            if value.encode() in raw:
                found.append((name, file.name))
                assert file.stat().st_mode & 0o077 == 0 or file.name == "pearl.toml", (name, file)
    assert set(found) <= allowed, found
    assert ("sealing key", "secret.key") in found, "the search finds what is there"


def test_backups_logs_and_events_are_among_the_files_searched(used: Used) -> None:
    names = {file.name for file, _ in _files(used)}
    assert {"server.log", "events.jsonl", "pearl.db", "state.json"} <= names, names
    assert any(name.endswith(".tar.gz") for name in names)


def test_a_secret_is_in_no_command_line_and_in_no_environment_but_the_jobs(used: Used) -> None:
    for place, content in used.while_it_ran:
        for name, value in used.canaries.items():
            if value.encode() not in content:
                continue
            assert place.endswith("environ"), (name, place)
            if name == "job secret":
                assert b"PEARL_ATTEMPT_ID=" in content, place
            else:
                # the server was given it in its environment; nothing that it started may have it
                assert name == "mail password" and b"PEARL_ATTEMPT_ID=" not in content, (name, place)
    holders = {place for place, content in used.while_it_ran if GIVEN["mail password"].encode() in content}
    assert holders == {f"/proc/{used.server}/environ"}


def test_pdf_pages_hold_none(used: Used) -> None:
    """Text in a PDF is packed: look inside."""
    with httpx.Client(base_url=f"{used.center.url}/api/v1", timeout=60) as client:
        answer = client.get(
            f"/orgs/acme/invoices/{present_month()}",
            params={"format": "pdf", "draft": "true"},
            headers={"authorization": f"Bearer {used.center.keys['system']}"},
        )
    assert answer.headers["content-type"] in ("application/pdf", "application/problem+json")
    whole = answer.content
    for part in re.findall(rb"stream\r?\n(.*?)endstream", answer.content, re.S):
        with contextlib.suppress(zlib.error):
            whole += zlib.decompress(part)
    assert not [name for name, value in used.canaries.items() if value.encode() in whole]
