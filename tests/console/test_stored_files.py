"""Outputs and uploads in the console: pin, unpin and delete the ticked ones, and only one's own."""

from __future__ import annotations

import re

import pytest
import sqlalchemy as sa

from pearlstreet.compute.jobs.tables import artefacts, jobs
from pearlstreet.storage.levels import change_level, stored_bytes
from pearlstreet.store.core import Tx
from tests.console.visitors import Console, words

OUTPUTS = {"art_0000000000000000000000000A": "model.pt", "art_0000000000000000000000000B": "log.csv"}
FIRST, SECOND = OUTPUTS


@pytest.fixture
def job(console: Console) -> str:
    """A job that left two outputs."""
    store, job_id = console.world.center.store, console.world.submit()
    console.world.until(job_id, "running", "succeeded")
    blob = console.world.runtime.blobs.keep(iter([b"result"]), "out", limit_bytes=100)

    def add(tx: Tx) -> None:
        row = tx.first(sa.select(jobs).where(jobs.c.id == job_id))
        assert row is not None
        tx.execute(sa.delete(artefacts))
        for id_, path in OUTPUTS.items():
            values = {"id": id_, "path": path, "job_id": job_id, "attempt_id": row["attempt_id"] or "att_1"}
            values |= {"org_id": row["org_id"], "size_bytes": blob.size_bytes, "sha256": blob.sha256}
            tx.execute(sa.insert(artefacts).values(**values, at_us=tx.now_us))
            change_level(tx, row["org_id"], row["project_id"], blob.size_bytes)

    store.write(add)
    return job_id


def _left(console: Console) -> dict[str, bool]:
    query = sa.select(artefacts.c.path, artefacts.c.pinned)
    rows = console.world.center.store.read(lambda tx: tx.rows(query))
    return {row["path"]: row["pinned"] for row in rows}


def test_ticked_outputs_are_pinned_unpinned_and_deleted(console: Console, job: str) -> None:
    owner, page = console.visitor("owner"), f"/jobs/{job}"
    shown = owner.get(page).text
    assert f'name="artefact" value="{FIRST}"' in shown and 'data-confirm="Delete {count} files' in shown
    assert owner.post(page, "pin", {"artefact": FIRST}).status_code == 303
    assert _left(console) == {"model.pt": True, "log.csv": False}
    assert "never: pinned" in words(owner.get(page))
    assert owner.post(page, "delete", {"artefact": [FIRST, SECOND]}).status_code == 303
    assert "1 file is deleted; kept, because pinned or needed by a job: 1" in words(owner.get(page))
    assert _left(console) == {"model.pt": True}
    refused = owner.post(page, "delete", {"artefact": FIRST})
    assert refused.status_code == 409 and "model.pt is pinned" in words(refused)
    assert owner.post(page, "unpin", {"artefact": FIRST}).status_code == 303
    assert owner.post(page, "delete", {"artefact": FIRST}).status_code == 303
    assert _left(console) == {}
    assert owner.post(page, "delete").status_code == 422


def test_others_neither_see_the_buttons_nor_get_past_them(console: Console, job: str) -> None:
    viewer = console.visitor("viewer")
    shown = viewer.get(f"/jobs/{job}").text
    assert "model.pt" in shown and 'value="delete"' not in shown and 'name="artefact"' not in shown
    for do in ("pin", "unpin", "delete"):
        assert viewer.post(f"/jobs/{job}", do, {"artefact": FIRST}).status_code == 403
        for path in (f"/jobs/{job}", "/jobs/job_00000000000000000000000000"):
            answer = console.visitor("stranger").post(path, do, {"artefact": FIRST})
            assert answer.status_code == 404, answer.text
    assert _left(console) == {"model.pt": False, "log.csv": False}


def test_uploads_are_listed_and_deleted_unless_a_job_needs_them(console: Console) -> None:
    world, owner = console.world, console.visitor("owner")
    ids = [world.post(f"/uploads?name={name}.csv", content=b"12345").json()["id"] for name in ("a", "b")]
    needs = world.submit(files=[{"upload": ids[0], "path": "a.csv"}], not_before="2099-01-01T00:00:00Z")
    org_id = world.get("/orgs/acme").json()["id"]
    before = world.center.store.read(lambda tx: stored_bytes(tx, org_id))
    shown = owner.get("/projects")
    assert re.search(r"a\.csv 5 B default .* owner", words(shown))
    assert "要永久删除所选的" in console.visitor("owner", language="zh-CN").get("/projects").text
    assert owner.post("/projects", "delete", {"upload": ids}).status_code == 303
    assert "1 file is deleted; kept" in words(owner.get("/projects"))
    assert world.center.store.read(lambda tx: stored_bytes(tx, org_id)) == before - 5
    refused = owner.post("/projects", "delete", {"upload": ids[0]})
    assert refused.status_code == 409 and f"Job {needs} needs the upload a.csv" in words(refused)
    world.post(f"/jobs/{needs}/cancel")
    viewer = console.visitor("viewer")
    assert "a.csv" in viewer.get("/projects").text and 'name="upload"' not in viewer.get("/projects").text
    assert viewer.post("/projects", "delete", {"upload": ids[0]}).status_code == 403
    stranger = console.visitor("stranger")
    assert "a.csv" not in stranger.get("/projects").text
    assert stranger.post("/projects", "delete", {"upload": ids[0]}).status_code == 404
    assert owner.post("/projects", "delete", {"upload": ids[0]}).status_code == 303
    assert "a.csv" not in owner.get("/projects").text
