"""What tenants store is limited, metered, billed and kept for as long as was said."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.store.jobs.fakes import Working
from tests.store.jobs.harness import ORG, Center

from pearlstreet.base.clock import US_PER_S
from pearlstreet.base.errors import Conflict, InvalidInput, NotFound, PaymentRequired, TooLarge, TooMany
from pearlstreet.base.money import parse_yuan
from pearlstreet.compute.jobs import collecting, uploads
from pearlstreet.compute.jobs.model import JobState
from pearlstreet.compute.jobs.retention import drop_orphans
from pearlstreet.compute.jobs.runtime import JobsSettings
from pearlstreet.compute.jobs.storage import files, retention_rules
from pearlstreet.compute.jobs.views import artefacts_of
from pearlstreet.compute.queueing.quota_use import quota_uses
from pearlstreet.compute.queueing.quotas import QuotaWish, set_quota
from pearlstreet.ledger.funds import read_balance
from pearlstreet.ledger.prices import parse_prices, publish_prices
from pearlstreet.ledger.proof import prove
from pearlstreet.ledger.tables import charges, spans, streams
from pearlstreet.objects.model import Blob
from pearlstreet.storage.levels import change_level, end_metering, stored_bytes
from pearlstreet.storage.upload_reservations import RUNNING_MAX, UploadReservation
from pearlstreet.store.core import Row
from pearlstreet.store.tables import outbox, state_events
from pearlstreet.tenancy.model import SYSTEM
from pearlstreet.tenancy.orgs import create_org, create_project, get_project

MIB = 1 << 20
HOUR_S = 3600.0
PRICES = """
[[price]]
resource = "accelerator/*"
kind = "card_hour"
yuan = "4.00"
[[price]]
resource = "cpu"
kind = "core_hour"
yuan = "0.10"
[[price]]
resource = "memory"
kind = "gib_hour"
yuan = "0.01"
[[price]]
resource = "storage"
kind = "gib_month"
yuan = "720.00"
"""
"""A GiB costs 1 yuan an hour in November, which has 720."""


def _center(folder: Path, **settings: object) -> tuple[Center, Working]:
    center = Center(folder, cluster="1x1xH100-80G", wrap=Working, settings=JobsSettings(**settings))  # type: ignore[arg-type]
    engine = center.runtime.engines["simulated"]
    assert isinstance(engine, Working)
    return center, engine


def _upload(center: Center, size: int, project: str | None = None) -> str:
    with center.runtime.uploads.begin() as own:
        place = uploads.find_place(center.store, SYSTEM, center.runtime, ORG, project, size, own)
        blob = uploads.keep_bytes(center.store, center.runtime, iter([bytes(size)]), f"t{size}", place, own)
        return str(uploads.record_upload(center.store, SYSTEM, center.runtime, place, "a.bin", blob)["id"])


def _keep(
    center: Center, place: uploads.UploadPlace, own: UploadReservation, chunks: Iterator[bytes]
) -> Blob:
    return uploads.keep_bytes(center.store, center.runtime, chunks, "one", place, own)


def _stored(center: Center, project: str | None = None) -> int:
    return center.store.read(lambda tx: stored_bytes(tx, center.org.id, project))


def _spans(center: Center) -> list[Row]:
    query = (
        sa.select(spans, streams.c.external_id, streams.c.price_version_id)
        .join(streams, streams.c.id == spans.c.stream_id)
        .where(streams.c.source == "storage")
        .order_by(spans.c.id)
    )
    return [dict(row) for row in center.store.read(lambda tx: tx.rows(query))]


def _byte_hours(rows: list[Row]) -> Fraction:
    total = sum(row["amount"] * (row["end_us"] - row["start_us"]) for row in rows)
    return Fraction(total, int(HOUR_S) * US_PER_S)


def _proved(center: Center) -> None:
    found = center.store.read(prove)
    assert found.is_right, found


def test_uploads_and_outputs_count_with_every_name(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    engine.files = {"a": b"x" * 100, "same": b"x" * 100}
    center.finish(center.submit(simulate="5s"))
    _upload(center, 100)
    _upload(center, 100)
    assert _stored(center) == 400


def test_a_level_held_for_hours_is_billed_to_the_byte(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    publish_prices(center.store, SYSTEM, parse_prices(PRICES))
    _upload(center, 8 * MIB)
    for _ in range(5):
        center.clock.advance(HOUR_S)
        center.run(120)
    rows = _spans(center)
    assert len(rows) >= 5
    assert {row["amount"] for row in rows} == {8 * MIB}
    assert all(before["end_us"] == after["start_us"] for before, after in itertools.pairwise(rows))
    hours = Fraction(rows[-1]["end_us"] - rows[0]["start_us"], int(HOUR_S) * US_PER_S)
    billed = center.store.read(lambda tx: tx.scalar(sa.select(sa.func.sum(charges.c.amount_micro))))
    assert abs(Fraction(billed) - hours * Fraction(8, 1024) * 10**6) <= 1
    _proved(center)


def test_time_while_the_server_was_down_is_billed_by_what_was_stored(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    _upload(center, MIB)
    center.clock.advance(50 * HOUR_S)
    center.run(120)
    assert _byte_hours(_spans(center)) >= 50 * MIB
    _proved(center)


def test_changes_within_an_hour_come_to_their_exact_mean(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    project = get_project(center.store, SYSTEM, ORG).id
    parts = [(3, 600.0), (5, 1111.0), (-4, 700.0), (1000, 3000.0), (-1004, 900.0), (7, 3600.0), (-7, 0.0)]
    level, expected = 0, Fraction(0)
    for change, seconds in parts:
        center.store.write(lambda tx, change=change: change_level(tx, center.org.id, project, change))
        level += change
        expected += Fraction(level) * Fraction(seconds) / 3600
        center.clock.advance(seconds)
    center.store.write(lambda tx: end_metering(tx, center.org.id))
    assert expected - 1 < _byte_hours(_spans(center)) <= expected


def test_a_new_price_list_holds_from_the_next_hour_on(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    _upload(center, MIB)
    center.clock.advance(HOUR_S)
    center.run(120)
    publish_prices(center.store, SYSTEM, parse_prices(PRICES))
    for _ in range(2):
        center.clock.advance(HOUR_S)
        center.run(120)
    rows = _spans(center)
    versions = [row["price_version_id"] for row in rows]
    assert versions == sorted(versions, key=versions.index)
    assert len(set(versions)) == 2
    assert len({row["external_id"] for row in rows}) == 2
    _proved(center)


def test_an_hour_without_anything_stored_costs_nothing_and_may_be_followed_by_others(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    first = _upload(center, MIB)
    center.clock.advance(HOUR_S)
    center.run(120)
    files.delete_upload(center.store, SYSTEM, first)
    center.clock.advance(HOUR_S)
    center.run(120)
    count = len(_spans(center))
    center.clock.advance(10 * HOUR_S)
    center.run(120)
    assert len(_spans(center)) == count
    _upload(center, MIB)
    center.clock.advance(HOUR_S)
    center.run(120)
    assert len(_spans(center)) > count
    _proved(center)


def test_a_crash_between_metering_and_its_commit_bills_once(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    _upload(center, MIB)
    center.clock.advance(HOUR_S)

    def crash(tx: object) -> None:
        end_metering(tx, center.org.id)  # type: ignore[arg-type]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        center.store.write(crash)
    assert _spans(center) == []
    center.run(120)
    center.run(120)
    assert len(_spans(center)) == 1


def test_an_upload_over_the_quota_is_refused_with_who_and_how_much(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    set_quota(center.store, SYSTEM, ORG, QuotaWish("storage", maximum=3 / 1024))
    _upload(center, 2 * MIB)
    with pytest.raises(Conflict, match=r"acme stores 2.0 MiB of at most 3.0 MiB; 2.0 MiB more do not fit"):
        _upload(center, 2 * MIB)
    _upload(center, MIB)
    with pytest.raises(Conflict, match="nothing more fits"):
        center.submit()
    (use,) = quota_uses(center.store, SYSTEM, center.runtime, ORG)
    assert use.used == 3 / 1024


def test_an_upload_whose_length_was_not_told_ends_at_the_quota(tmp_path: Path) -> None:
    center, _ = _center(tmp_path, org_storage_bytes_max=MIB)
    with center.runtime.uploads.begin() as own:
        place = uploads.find_place(center.store, SYSTEM, center.runtime, ORG, None, None, own)
        with pytest.raises(Conflict, match=r"acme stores 0 B of at most 1.0 MiB; 1.1 MiB more do not fit"):
            _keep(center, place, own, itertools.repeat(bytes(MIB // 10)))
        first = _keep(center, place, own, iter([bytes(MIB)]))
    uploads.record_upload(center.store, SYSTEM, center.runtime, place, "one", first)
    with pytest.raises(Conflict):
        uploads.record_upload(center.store, SYSTEM, center.runtime, place, "two", first)


def test_running_uploads_never_pass_the_quota_together(tmp_path: Path) -> None:
    """What was said is reserved, and what arrives unsaid; an upload that breaks off gives its share back."""
    center, _ = _center(tmp_path)
    set_quota(center.store, SYSTEM, ORG, QuotaWish("storage", maximum=3 / 1024))
    create_project(center.store, SYSTEM, ORG, "vision")
    running = center.runtime.uploads
    with running.begin() as said:
        uploads.find_place(center.store, SYSTEM, center.runtime, ORG, "vision", 2 * MIB, said)
        with pytest.raises(Conflict, match=r"running uploads need 2.0 MiB of the rest"):
            _upload(center, 2 * MIB)
        with running.begin() as unsaid:
            place = uploads.find_place(center.store, SYSTEM, center.runtime, ORG, None, None, unsaid)
            with pytest.raises(Conflict, match=r"running uploads need 2.0 MiB of the rest"):
                _keep(center, place, unsaid, iter([bytes(MIB), b"x"]))
            with pytest.raises(Conflict, match=r"running uploads need 3.0 MiB of the rest"):
                _upload(center, 1)
    _upload(center, 3 * MIB)
    assert _stored(center) == 3 * MIB


def test_running_uploads_of_other_tenants_and_projects_do_not_count(tmp_path: Path) -> None:
    center, _ = _center(tmp_path, org_storage_bytes_max=3 * MIB)
    create_org(center.store, SYSTEM, "other")
    create_project(center.store, SYSTEM, ORG, "vision")
    set_quota(center.store, SYSTEM, ORG, QuotaWish("storage", maximum=1 / 1024), project="vision")
    with center.runtime.uploads.begin() as foreign, center.runtime.uploads.begin() as sibling:
        uploads.find_place(center.store, SYSTEM, center.runtime, "other", None, 3 * MIB, foreign)
        uploads.find_place(center.store, SYSTEM, center.runtime, ORG, None, 2 * MIB, sibling)
        _upload(center, MIB, "vision")


def test_an_organisation_sends_so_many_files_at_once_and_others_still_send(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    create_org(center.store, SYSTEM, "other")
    with ExitStack() as stack:
        for _ in range(RUNNING_MAX):
            own = stack.enter_context(center.runtime.uploads.begin())
            uploads.find_place(center.store, SYSTEM, center.runtime, ORG, None, 0, own)
        with pytest.raises(TooMany, match="already sends 32 files"):
            _upload(center, 1)
        other = stack.enter_context(center.runtime.uploads.begin())
        uploads.find_place(center.store, SYSTEM, center.runtime, "other", None, 1, other)
    _upload(center, 1)


def test_a_project_keeps_so_many_uploads_however_small(tmp_path: Path) -> None:
    center, _ = _center(tmp_path, project_uploads_max=2)
    create_project(center.store, SYSTEM, ORG, "vision")
    kept = [_upload(center, 0), _upload(center, 0, "default")]
    for project in (None, "default"):
        with pytest.raises(Conflict, match="A project keeps at most 2 uploads"):
            _upload(center, 0, project)
    _upload(center, 0, "vision")
    files.delete_upload(center.store, SYSTEM, kept[0])
    _upload(center, 0)


def test_a_file_beyond_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    center, _ = _center(tmp_path, upload_bytes_max=MIB)
    with (
        center.runtime.uploads.begin() as own,
        pytest.raises(TooLarge, match=r"The file is larger than 1.0 MiB"),
    ):
        uploads.find_place(center.store, SYSTEM, center.runtime, ORG, None, MIB + 1, own)


def test_a_projects_quota_leaves_other_projects_alone(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    create_project(center.store, SYSTEM, ORG, "vision")
    set_quota(center.store, SYSTEM, ORG, QuotaWish("storage", maximum=1 / 1024), project="vision")
    with pytest.raises(Conflict, match="acme/vision"):
        _upload(center, 2 * MIB, "vision")
    _upload(center, 2 * MIB)


def test_who_owes_more_than_allowed_stores_no_more_and_loses_nothing(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    publish_prices(center.store, SYSTEM, parse_prices(PRICES.replace("720.00", "720000000.00")))
    _upload(center, 16 * MIB)
    center.clock.advance(HOUR_S)
    center.run(120)
    with pytest.raises(PaymentRequired, match="over what it may owe"):
        _upload(center, MIB)
    assert _stored(center) == 16 * MIB
    _proved(center)


def test_a_finished_job_over_the_quota_keeps_its_outputs_once(tmp_path: Path) -> None:
    center, engine = _center(tmp_path)
    engine.files = {"model": b"x" * 5 * MIB}
    set_quota(center.store, SYSTEM, ORG, QuotaWish("storage", maximum=1 / 1024))
    jobs = [center.submit(simulate="5s", limits={"disk_gib": 0.01}) for _ in range(3)]
    center.run(60)
    views = [center.job(job) for job in jobs]
    (waiting,) = (view for view in views if view.state is not JobState.SUCCEEDED)
    assert (waiting.state, waiting.reason_code) == (JobState.FINISHING, "storage_full")
    assert "acme stores 10.0 MiB of at most 1.0 MiB" in str(waiting.reason)
    assert _stored(center) == 10 * MIB
    other = next(job for job in jobs if job != waiting.id)
    for row in artefacts_of(center.store, SYSTEM, other):
        files.delete_artefact(center.store, SYSTEM, row["id"])
    assert center.finish(waiting.id)[0].state is JobState.SUCCEEDED


def test_who_finds_no_room_for_a_day_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "GIVE_UP_S", 120.0)
    center, engine = _center(tmp_path)
    engine.files = {"model": b"x" * 5 * MIB}
    set_quota(center.store, SYSTEM, ORG, QuotaWish("storage", maximum=1 / 1024))
    jobs = [center.submit(simulate="5s", limits={"disk_gib": 0.01}) for _ in range(3)]
    (failed,) = (view for view in center.finish(*jobs) if view.state is not JobState.SUCCEEDED)
    assert (failed.state, failed.reason_code) == (JobState.FAILED, "outputs_refused")
    assert "do not fit" in str(failed.reason)


def test_outputs_are_deleted_when_their_time_is_over_and_pinned_ones_stay(tmp_path: Path) -> None:
    center, engine = _center(tmp_path, outputs_kept_days=30)
    engine.files = {"a": b"a", "b": b"bb"}
    job = center.submit(simulate="5s")
    center.finish(job)
    first, second = artefacts_of(center.store, SYSTEM, job)
    assert first["expires_us"] == first["at_us"] + 30 * 86_400 * US_PER_S
    files.pin_artefact(center.store, SYSTEM, second["id"], pinned=True)
    center.clock.advance(30 * 86_400)
    assert files.drop_expired(center.store) == 1
    assert files.drop_expired(center.store) == 0
    assert [row["path"] for row in artefacts_of(center.store, SYSTEM, job)] == ["b"]
    assert _stored(center) == 2
    noted = sa.select(state_events.c.reason).where(state_events.c.event == "outputs_expired")
    assert "outputs are deleted" in str(center.store.read(lambda tx: tx.scalar(noted)))
    center.clock.advance(2 * 86_400)
    shard = int(first["sha256"][:2], 16)
    assert drop_orphans(center.runtime, center.store, shard) >= 0


def test_owners_are_told_before_their_outputs_are_deleted(tmp_path: Path) -> None:
    center, engine = _center(tmp_path, outputs_kept_days=30)
    engine.files = {"a": b"a", "b": b"b"}
    center.finish(center.submit(simulate="5s", name="train"))

    def warned() -> list[Row]:
        files.warn_of_expiry(center.store)
        query = sa.select(outbox.c.payload).where(outbox.c.topic == "outputs.expiring")
        return list(center.store.read(lambda tx: tx.execute(query).scalars().all()))

    assert warned() == []
    center.clock.advance(23.5 * 86_400)
    assert [(one["name"], one["files"]) for one in warned()] == [("train", 2)]
    assert len(warned()) == 1
    center.clock.advance(6 * 86_400)
    assert len(warned()) == 2


def test_a_rule_of_a_project_goes_before_its_organisations_and_the_centers(tmp_path: Path) -> None:
    center, _ = _center(tmp_path, outputs_kept_days=100)
    store, runtime = center.store, center.runtime
    create_project(store, SYSTEM, ORG, "vision")
    project = get_project(store, SYSTEM, ORG, "vision").id

    def days() -> int:
        return store.read(lambda tx: retention_rules.kept_days(tx, runtime.settings, center.org.id, project))

    assert days() == 100
    retention_rules.set_retention(store, SYSTEM, runtime, ORG, 0)
    assert days() == 0
    retention_rules.set_retention(store, SYSTEM, runtime, ORG, 7, project="vision")
    assert days() == 7
    retention_rules.delete_retention(store, SYSTEM, ORG, project="vision")
    retention_rules.delete_retention(store, SYSTEM, ORG)
    assert days() == 100
    with pytest.raises(NotFound):
        retention_rules.delete_retention(store, SYSTEM, ORG)
    with pytest.raises(InvalidInput):
        retention_rules.set_retention(store, SYSTEM, runtime, ORG, -1)


def test_a_job_may_keep_its_outputs_for_less_but_not_for_longer(tmp_path: Path) -> None:
    center, engine = _center(tmp_path, outputs_kept_days=30)
    engine.files = {"a": b"a"}
    job = center.submit(simulate="5s", outputs_kept_days=2)
    center.finish(job)
    (row,) = artefacts_of(center.store, SYSTEM, job)
    assert row["expires_us"] == row["at_us"] + 2 * 86_400 * US_PER_S
    for days in (31, 0):
        with pytest.raises(InvalidInput, match="kept for 30 days"):
            center.submit(outputs_kept_days=days)


def test_an_upload_that_a_waiting_job_names_is_not_deleted(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    upload = _upload(center, 10)
    job = center.submit(inputs={"DATA": {"upload": upload}}, not_before="2099-01-01T00:00:00Z")
    with pytest.raises(Conflict, match=job):
        files.delete_upload(center.store, SYSTEM, upload)
    with pytest.raises(NotFound):
        files.delete_upload(center.store, SYSTEM, "upl_none")


def test_the_balance_falls_by_what_storage_costs(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    publish_prices(center.store, SYSTEM, parse_prices(PRICES))
    _upload(center, 512 * MIB >> 4)
    before = center.store.read(lambda tx: read_balance(tx, center.org.id)).balance
    center.clock.advance(2 * HOUR_S)
    center.run(120)
    after = center.store.read(lambda tx: read_balance(tx, center.org.id)).balance
    assert parse_yuan("0.06") < before - after < parse_yuan("0.07")


def test_a_clock_that_was_set_back_bills_no_time_twice(tmp_path: Path) -> None:
    center, _ = _center(tmp_path)
    project = get_project(center.store, SYSTEM, ORG).id

    def change(size: int) -> None:
        center.store.write(lambda tx: change_level(tx, center.org.id, project, size))

    change(10 * MIB)
    center.clock.advance(3000)
    change(MIB)
    center.clock.advance(-2000)
    change(-MIB)
    center.clock.advance(2600)
    center.store.write(lambda tx: end_metering(tx, center.org.id))
    (span,) = _spans(center)
    assert 10 * MIB <= span["amount"] <= 11 * MIB
