"""A center whose files are in a bucket: a real job with an input and an output, garbage collection, and a server that is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.jobs.model import ENDED, JobState
from pearlstreet.compute.jobs.retention import ORPHAN_S, drop_orphans
from pearlstreet.objects.model import SHARDS
from tests.api.world import a_world
from tests.faults.test_stager import io_bytes
from tests.unit.objects.test_blobs import s3_settings

pytestmark = pytest.mark.slow


def test_a_job_reads_and_writes_files_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = s3_settings("center")
    monkeypatch.setenv("PEARL_OBJECTS_KEY_ID", settings.key_id)
    monkeypatch.setenv("PEARL_OBJECTS_SECRET", settings.secret)
    objects = {"url": "s3://center/prod", "endpoint": settings.endpoint}
    content = os.urandom(100_000)
    with a_world(tmp_path / "data", simulate="", simulate_speed=1, objects=objects) as world:
        upload = world.post("/uploads?name=numbers.bin", content=content).json()
        job = world.submit(
            command="cat $PEARL_INPUT_NUMBERS $PEARL_INPUT_NUMBERS > $PEARL_OUTPUTS/twice.bin",
            inputs={"NUMBERS": upload["id"]},
            variables={},
        )
        ended = world.until(job, *(state.value for state in ENDED), within_s=60)
        assert ended["state"] == JobState.SUCCEEDED.value, ended
        assert not list((tmp_path / "data" / "objects" / "copies").glob("??/*")), (
            "the engine read it by its address"
        )
        (artefact,) = world.get(f"/jobs/{job}/artefacts").json()["items"]
        assert world.get(f"/artefacts/{artefact['id']}").content == content * 2
        assert not list((tmp_path / "data" / "blobs").glob("??/*")), "nothing is in the folder"
        _stages_large_output(world)

        _collect_garbage(world, later=True)
        assert world.get(f"/artefacts/{artefact['id']}").content == content * 2, "a row names it"
        blobs = world.runtime.blobs
        orphan = blobs.keep(iter([b"nobody names this"]), "orphan", limit_bytes=99)
        _collect_garbage(world, later=False)
        assert blobs.size_bytes(orphan.sha256) == 17, "its row may still be written"
        assert _collect_garbage(world, later=True) == 1
        assert world.get(f"/artefacts/{artefact['id']}").content == content * 2

        monkeypatch.setattr("pearlstreet.objects.s3._answered", _gone)
        for answer in (
            world.get(f"/artefacts/{artefact['id']}"),
            world.post("/uploads?name=more.bin", content=b"more"),
        ):
            assert answer.status_code == 503 and answer.headers["retry-after"], answer.text
        monkeypatch.undo()
        assert world.get(f"/artefacts/{artefact['id']}").content == content * 2


def _stages_large_output(world) -> None:  # type: ignore[no-untyped-def]
    """An output of several parts is uploaded by the stager, without the bucket's keys and past the server."""
    before = io_bytes()
    job = world.submit(
        command="yes pearl | head -c 50000000 > $PEARL_OUTPUTS/big; yes pearl | head -c 2000000 > $PEARL_OUTPUTS/small",
        variables={},
    )
    ended = world.until(job, *(state.value for state in ENDED), within_s=90)
    assert ended["state"] == JobState.SUCCEEDED.value, ended
    assert io_bytes() - before < 16 << 20
    artefacts = {row["path"]: row for row in world.get(f"/jobs/{job}/artefacts").json()["items"]}
    blobs = world.runtime.blobs
    for path, size in (("big", 50_000_000), ("small", 2_000_000)):
        data = b"".join(blobs.read(artefacts[path]["sha256"]))  # verified by the store
        assert len(data) == size


def _collect_garbage(world, *, later: bool) -> int:  # type: ignore[no-untyped-def]
    """Collect in every shard, now or when everything stored so far is old; the number of blobs deleted."""
    store = world.center.store
    now_us = store.clock.now_us()
    with pytest.MonkeyPatch.context() as patch:
        if later:
            patch.setattr(type(store.clock), "now_us", lambda _: now_us + int((ORPHAN_S + 60) * US_PER_S))
        return sum(drop_orphans(world.runtime, store, shard) for shard in range(SHARDS))


def _gone(call: object) -> object:
    from pearlstreet.base.errors import Unavailable
    from pearlstreet.base.text import text

    raise Unavailable(
        text("The object store does not answer: {problem}", problem="it is gone"), retry_after_s=15
    )
