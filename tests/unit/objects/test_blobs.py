"""One suite for all stores of blobs: a folder, and a bucket of a real S3 server (`make s3`)."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from tests.engines.ceph import KEY_ID, SECRET, CephGateway, start_gateway

from pearlstreet.base.errors import NotFound, TooLarge, Unavailable
from pearlstreet.compute.engines.staging.runner.blob_stream import VerifiedStream
from pearlstreet.compute.engines.staging.runner.folder_upload import BlobFolder
from pearlstreet.compute.engines.staging.runner.signed_upload import upload
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.objects.model import Blob, BlobStore

MIB = 1 << 20
ABSENT = "0" * 64


@dataclass(frozen=True)
class Kept:
    """A store, and how to change the stored bytes of a blob behind its back."""

    blobs: BlobStore
    damage: Callable[[str, bytes], object]
    leftovers: Callable[[], list[Path]]


@cache
def gateway() -> CephGateway:
    return start_gateway()


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "folder":

        def damage(sha256: str, content: bytes) -> None:
            (tmp_path / sha256[:2] / sha256).write_bytes(content)

        yield Kept(FolderBlobs(tmp_path), damage, lambda: list((tmp_path / "tmp").iterdir()))
        return
    import obstore

    from pearlstreet.objects.s3 import S3Blobs

    settings = s3_settings(f"b{os.urandom(6).hex()}")
    blobs = S3Blobs(settings, tmp_path, time.time)
    yield Kept(
        blobs,
        lambda sha256, content: obstore.put(blobs._store, f"in/here/{sha256[:2]}/{sha256}", content),
        lambda: list((tmp_path / "tmp").iterdir()),
    )


def s3_settings(bucket: str):  # type: ignore[no-untyped-def]  # its module needs obstore
    """A new bucket on the gateway."""
    import obstore
    from obstore.store import S3Store

    from pearlstreet.objects.s3 import S3Settings

    settings = S3Settings(bucket, "/in/here", gateway().endpoint, "us-east-1", KEY_ID, SECRET)
    store = S3Store(
        bucket,
        config={
            "access_key_id": KEY_ID,
            "secret_access_key": SECRET,
            "endpoint": settings.endpoint,
            "region": "us-east-1",
        },
        client_options={"allow_http": True},
    )
    address = obstore.sign(store, "PUT", "", timedelta(seconds=60))
    urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=10).close()
    return settings


def test_what_is_kept_is_read_back_under_its_digest(kept: Kept) -> None:
    content = os.urandom(3 * MIB + 7)
    blob = kept.blobs.keep(iter([content[:MIB], content[MIB:]]), "one", limit_bytes=1 << 30)
    assert blob.sha256 == hashlib.sha256(content).hexdigest()
    assert blob.size_bytes == kept.blobs.size_bytes(blob.sha256) == len(content)
    assert b"".join(kept.blobs.read(blob.sha256)) == content
    assert kept.blobs.path(blob.sha256).read_bytes() == content
    again = kept.blobs.keep(iter([content]), "two", limit_bytes=1 << 30)
    assert again == blob
    assert kept.leftovers() == []


def test_an_empty_file_and_one_of_many_parts(kept: Kept) -> None:
    for content in (b"", bytes(40 * MIB), os.urandom(33 * MIB)):
        chunks = (content[at : at + MIB] for at in range(0, len(content), MIB))
        blob = kept.blobs.keep(chunks, "big", limit_bytes=1 << 30)
        assert hashlib.sha256(b"".join(kept.blobs.read(blob.sha256))).hexdigest() == blob.sha256
        assert blob.size_bytes == len(content)


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (5, None), (MIB - 1, 2), (0, 10 * MIB), (2 * MIB, 0), (3 * MIB, 5)]
)
def test_a_part_is_read(kept: Kept, start: int, length: int | None) -> None:
    content = os.urandom(2 * MIB + 9)
    blob = kept.blobs.keep(iter([content]), "one", limit_bytes=1 << 30)
    end = None if length is None else start + length
    assert b"".join(kept.blobs.read(blob.sha256, start=start, length=length)) == content[start:end]


def test_a_collector_deletes_only_what_has_not_arrived_again(kept: Kept) -> None:
    content = os.urandom(1000)
    blob = kept.blobs.keep(iter([content]), "one", limit_bytes=1 << 30)
    assert not kept.blobs.delete_older(blob.sha256, time.time() - 60)
    assert b"".join(kept.blobs.read(blob.sha256)) == content
    assert kept.blobs.delete_older(blob.sha256, time.time() + 60)
    with pytest.raises(NotFound):
        kept.blobs.size_bytes(blob.sha256)
    assert not kept.blobs.delete_older(blob.sha256, time.time() + 60)


def test_a_file_that_is_too_large_leaves_nothing(kept: Kept) -> None:
    with pytest.raises(TooLarge):
        kept.blobs.keep(iter([b"x" * 10, b"y" * 10]), "one", limit_bytes=15)
    assert kept.leftovers() == []
    with pytest.raises(NotFound):
        kept.blobs.size_bytes(hashlib.sha256(b"x" * 10).hexdigest())


@pytest.mark.parametrize("name", [ABSENT, "", "../../etc/passwd", "a" * 63, f"{ABSENT}\n", "A" * 64])
def test_what_is_not_stored_is_not_found(kept: Kept, name: str) -> None:
    for ask in (kept.blobs.read, kept.blobs.path, kept.blobs.size_bytes, kept.blobs.stored_s):
        with pytest.raises(NotFound):
            ask(name)


@pytest.mark.parametrize("change", ["flipped", "shorter", "longer"])
def test_damage_is_seen_before_the_last_bytes_are_given(kept: Kept, change: str) -> None:
    content = os.urandom(9 * MIB)
    blob = kept.blobs.keep(iter([content]), "one", limit_bytes=1 << 30)
    flipped = bytes([content[0] ^ 1]) + content[1:]
    changed = {"flipped": flipped, "shorter": content[:-1], "longer": content + b"x"}[change]
    kept.damage(blob.sha256, changed)
    given = b""
    with pytest.raises(Unavailable, match="damaged"):
        for chunk in kept.blobs.read(blob.sha256):
            given += chunk
    assert len(given) < len(changed)


def test_old_blobs_are_listed_by_shard_and_deleted(kept: Kept) -> None:
    blobs = [kept.blobs.keep(iter([bytes([number])]), f"n{number}", limit_bytes=9) for number in range(20)]
    soon = time.time() + 60
    for blob in blobs:
        shard = int(blob.sha256[:2], 16)
        assert blob.sha256 in kept.blobs.stored_before(shard, soon)
        assert blob.sha256 not in kept.blobs.stored_before((shard + 1) % 256, soon)
        assert kept.blobs.stored_before(shard, time.time() - 3600) == []
        assert abs(kept.blobs.stored_s(blob.sha256) - time.time()) < 60
        kept.blobs.path(blob.sha256)
        kept.blobs.delete(blob.sha256)
        kept.blobs.delete(blob.sha256)
        with pytest.raises(NotFound):
            kept.blobs.path(blob.sha256)


def test_temporary_files_of_a_crash_go_and_blobs_stay(kept: Kept, tmp_path: Path) -> None:
    blob = kept.blobs.keep(iter([b"stays"]), "one", limit_bytes=9)
    kept.blobs.path(blob.sha256)
    (tmp_path / "tmp" / "stray").write_bytes(b"half")
    kept.blobs.drop_stray(time.time() - 60)
    assert kept.leftovers() != []
    kept.blobs.drop_stray(time.time() + 60)
    assert kept.leftovers() == []
    assert b"".join(kept.blobs.read(blob.sha256)) == b"stays" == kept.blobs.path(blob.sha256).read_bytes()


def test_a_folder_has_no_addresses(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    blob = blobs.keep(iter([b"x"]), "one", limit_bytes=9)
    assert blobs.signed_url(blob.sha256, valid_s=60) is None


@pytest.mark.slow
def test_a_signed_address_opens_one_blob_without_credentials(tmp_path: Path) -> None:
    from pearlstreet.objects.s3 import S3Blobs

    blobs = S3Blobs(s3_settings("signed"), tmp_path, time.time)
    blob = blobs.keep(iter([b"for a while"]), "one", limit_bytes=99)
    address = blobs.signed_url(blob.sha256, valid_s=60)
    assert address is not None
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.read() == b"for a while"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address.partition("?")[0], timeout=10)
    with pytest.raises(NotFound):
        blobs.signed_url(ABSENT, valid_s=60)


@pytest.mark.slow
def test_a_server_that_is_wrong_or_gone_is_unavailable(tmp_path: Path) -> None:
    from pearlstreet.objects.s3 import S3Blobs

    settings = s3_settings("gone")
    for wrong in (
        replace(settings, secret="wrong"),
        replace(settings, bucket="no-such-bucket"),
        replace(settings, endpoint="http://127.0.0.1:9"),
    ):
        blobs = S3Blobs(wrong, tmp_path / wrong.bucket, time.time)
        with pytest.raises(Unavailable) as failed:
            blobs.keep(iter([b"x"]), "one", limit_bytes=9)
        assert failed.value.retry_after_s
        assert list((tmp_path / wrong.bucket / "tmp").iterdir()) == []


@pytest.mark.slow
def test_an_old_blob_that_is_kept_again_counts_as_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else garbage collection could delete it before the row that names it is written."""
    from pearlstreet.objects import s3

    blobs = s3.S3Blobs(s3_settings("again"), tmp_path, time.time)
    blob = blobs.keep(iter([b"again"]), "one", limit_bytes=9)
    first_s = blobs.stored_s(blob.sha256)
    monkeypatch.setattr(s3, "FRESH_S", 0.0)
    time.sleep(1.1)
    blobs.keep(iter([b"again"]), "two", limit_bytes=9)
    assert blobs.stored_s(blob.sha256) > first_s


@pytest.mark.parametrize("size", [0, 5, 20 * MIB + 3])
def test_a_stager_stores_a_file_without_credentials(kept: Kept, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    left = tmp_path / "left"
    left.write_bytes(content)
    blob = Blob(hashlib.sha256(content).hexdigest(), size)
    folder = kept.blobs.upload_folder()
    with left.open("rb") as file:
        if folder is not None:
            BlobFolder(str(folder), "stager").put(file.fileno(), size, may_link=False)
        else:
            _send(kept.blobs, file.fileno(), blob)
            assert kept.blobs.grant_upload(blob, valid_s=60) is None, "it is stored already"
    assert b"".join(kept.blobs.read(blob.sha256)) == content
    source = kept.blobs.reference(blob, valid_s=60)
    where = {"sha256": source.sha256, "size_bytes": size, "path": source.path, "url": source.url}
    with VerifiedStream(where) as stream:
        assert b"".join(iter(lambda: stream.read(MIB), b"")) == content


@pytest.mark.parametrize("size", [5, 20 * MIB + 3])
def test_a_grant_stores_no_other_bytes(kept: Kept, tmp_path: Path, size: int) -> None:
    if kept.blobs.upload_folder() is not None:
        pytest.skip("a folder needs no grants")
    content = os.urandom(size)
    (tmp_path / "left").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    blob = Blob(hashlib.sha256(content).hexdigest(), size)
    with (tmp_path / "left").open("rb") as file, pytest.raises(OSError, match="changed"):
        _send(kept.blobs, file.fileno(), blob)
    with pytest.raises(NotFound):
        kept.blobs.size_bytes(blob.sha256)


def test_what_was_granted_is_not_collected(kept: Kept) -> None:
    if kept.blobs.upload_folder() is not None:
        pytest.skip("a folder needs no grants")
    blob = kept.blobs.keep(iter([b"old"]), "one", limit_bytes=99)
    kept.blobs.grant_upload(blob, valid_s=3600)
    assert not kept.blobs.delete_older(blob.sha256, time.time() + 60)


def _send(blobs: BlobStore, handle: int, blob: Blob) -> None:
    grant = blobs.grant_upload(blob, valid_s=60)
    assert grant is not None
    assert SECRET not in str(grant)
    upload(handle, asdict(grant))


def test_a_blob_whose_age_was_renewed_meanwhile_is_not_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FolderBlobs(tmp_path)
    blob = blobs.keep(iter([b"old"]), "one", limit_bytes=99)
    place = blobs.path(blob.sha256)
    os.utime(place, (1, 1))
    real = Path.replace

    def replace_and_renew(self: Path, target: Path) -> Path:
        if self == place:
            os.utime(place)  # what a stager does between the collector's look and its deletion
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace_and_renew)
    assert not blobs.delete_older(blob.sha256, time.time() - 60)
    monkeypatch.undo()
    assert b"".join(blobs.read(blob.sha256)) == b"old"
    assert blobs.delete_older(blob.sha256, time.time() + 60)


def test_a_received_file_becomes_a_blob_and_is_gone(kept: Kept, tmp_path: Path) -> None:
    content = os.urandom(2 * MIB)
    blob = Blob(hashlib.sha256(content).hexdigest(), len(content))
    received = tmp_path / "received"
    received.write_bytes(content)
    os.utime(received, (1, 1))
    kept.blobs.keep_file(received, blob, "one")
    assert b"".join(kept.blobs.read(blob.sha256)) == content
    assert not received.exists() and not kept.leftovers()
    assert not kept.blobs.delete_older(blob.sha256, time.time() - 60), "it counts as stored now"
