"""Notices through the REST API: from a job that fails to the inbox and a real receiver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.world import World, a_world
from tests.fakes.receivers import http_receiver


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A center whose webhooks may go to this machine."""
    with a_world(tmp_path_factory.mktemp("center"), webhooks_private_allowed=True) as world:
        yield world


def test_a_job_that_fails_is_told_to_its_owner_and_to_the_webhook(telling: World) -> None:
    with http_receiver() as receiver:
        wanted = {"url": receiver.url, "kinds": ["job.failed"]}
        made = telling.post("/orgs/acme/webhooks", json=wanted).json()
        assert made["secret"].startswith("whsec_")
        assert "secret" not in telling.get("/orgs/acme/webhooks").json()["items"][0]
        job = telling.submit("member", variables={"SIMULATE_EXIT_CODE": "3"}, retries=0, simulate="1s")
        telling.until(job, "failed", role="member")
        telling.step()
        telling.step()
        assert [json.loads(got.body)["data"]["job"] for got in receiver.got] == [job]
        telling.send("DELETE", f"/orgs/acme/webhooks/{made['id']}")
    found = telling.get("/notices", "member", headers={"accept-language": "zh-CN"}).json()["items"]
    assert [notice["title"] for notice in found] == ["作业 train 失败"]
    assert telling.get("/notices/unread", "member").json() == {"count": 1}
    assert telling.get("/notices", "owner").json()["items"] == []
    assert telling.post("/notices/read", "member", json={"ids": [found[0]["id"]]}).json() == {"changed": 1}
    assert telling.get("/notices?unread=true", "member").json()["items"] == []


def test_a_page_of_notices_leads_to_the_next(telling: World) -> None:
    for _ in range(3):
        assert telling.post("/notices/test", "viewer").status_code == 202
        telling.step()
    first = telling.get("/notices?limit=2", "viewer").json()
    second = telling.get(f"/notices?limit=2&cursor={first['next_cursor']}", "viewer").json()
    assert (len(first["items"]), len(second["items"])) == (2, 1)
    assert second["next_cursor"] is None


def test_preferences_are_changed_part_by_part(telling: World) -> None:
    first = telling.get("/notices/preferences", "viewer").json()
    assert first["kinds"]["job.failed"] == ["email", "inbox"] and not first["mail_available"]
    changed = telling.send(
        "PATCH", "/notices/preferences", "viewer", json={"kinds": {"job.failed": ["inbox"]}}
    )
    assert changed.json()["kinds"]["job.failed"] == ["inbox"]
    changed = telling.send("PATCH", "/notices/preferences", "viewer", json={"language": "zh-CN"}).json()
    assert changed["language"] == "zh-CN" and changed["kinds"]["job.failed"] == ["inbox"]
    wrong = telling.send("PATCH", "/notices/preferences", "viewer", json={"kinds": {"x": ["inbox"]}})
    assert wrong.status_code == 422 and wrong.json()["problems"][0]["field"] == "kinds.x"


def test_a_backup_that_is_asked_for_twice_under_one_key_is_made_once(telling: World) -> None:
    once = {"idempotency-key": "the-same-backup"}
    first = telling.post("/backups", "system", headers=once)
    again = telling.post("/backups", "system", headers=once)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json() and again.headers["idempotent-replayed"] == "true"
    files = sorted(path.name for path in (telling.data / "backups").iterdir())
    assert files == [first.json()["name"]]


def test_a_backup_that_fails_is_told_to_the_operators(
    telling: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = telling.data / "backups"
    before = {path.name for path in folder.iterdir()} if folder.exists() else set()
    from pearlstreet.app import backups
    from pearlstreet.base.errors import Unavailable

    def full(*_: object, **__: object) -> None:
        raise Unavailable("No space left on device")

    monkeypatch.setattr(backups, "backup", full)
    assert telling.post("/backups", "system").status_code == 503
    telling.step()
    told = telling.get("/notices", "system").json()["items"]
    assert told[0]["kind"] == "backup.failed" and "No space left" in told[0]["text"]
    assert {path.name for path in folder.iterdir()} == before
