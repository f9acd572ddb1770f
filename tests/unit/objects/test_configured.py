"""The table `[objects]`: a bucket or the folder, and messages that name what is wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.objects.configured import blobs_from_settings
from pearlstreet.objects.folder import FolderBlobs

RIGHT = {"url": "s3://center/prod", "endpoint": "http://127.0.0.1:9000", "key_id": "key"}
SECRET = {"PEARL_OBJECTS_SECRET": "secret"}


def test_without_the_table_blobs_are_in_the_folder(tmp_path: Path) -> None:
    found = blobs_from_settings({}, {}, folder=tmp_path / "blobs", work=tmp_path / "objects", now_s=time.time)
    assert isinstance(found, FolderBlobs)
    assert not (tmp_path / "objects").exists()


def test_a_bucket_keeps_its_unfinished_files_outside_the_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    table = {**RIGHT, "secret_file": str(secret)}
    found = blobs_from_settings(
        table, {}, folder=tmp_path / "blobs", work=tmp_path / "objects", now_s=time.time
    )
    assert type(found).__name__ == "S3Blobs"
    assert (tmp_path / "objects" / "tmp").is_dir()


@pytest.mark.parametrize(
    ("table", "environment", "words"),
    [
        ({**RIGHT, "bucket": "x"}, SECRET, "no key bucket"),
        ({**RIGHT, "url": "https://center/prod"}, SECRET, "url must be like s3://"),
        ({**RIGHT, "url": "s3://"}, SECRET, "url must be like s3://"),
        ({**RIGHT, "url": 7}, SECRET, "url must be text"),
        ({**RIGHT, "endpoint": "127.0.0.1:9000"}, SECRET, "endpoint must be like https://"),
        (RIGHT, {}, "secret_file is missing"),
        ({**RIGHT, "secret_file": "/no/such/file"}, {}, "/no/such/file cannot be read"),
        ({key: RIGHT[key] for key in ("url", "endpoint")}, SECRET, "key_id is missing"),
    ],
)
def test_a_wrong_table_stops_the_start(
    tmp_path: Path, table: dict[str, object], environment: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        blobs_from_settings(
            table, environment, folder=tmp_path / "blobs", work=tmp_path / "objects", now_s=time.time
        )
    assert words in str(wrong.value.message)


def test_a_bucket_beside_a_folder_with_files_stops_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    blob = FolderBlobs(folder).keep(iter([b"x"]), "one", limit_bytes=9)
    with pytest.raises(ConfigurationError, match="would not be found"):
        blobs_from_settings(RIGHT, SECRET, folder=folder, work=tmp_path / "objects", now_s=time.time)
    FolderBlobs(folder).delete(blob.sha256)
    blobs_from_settings(RIGHT, SECRET, folder=folder, work=tmp_path / "objects", now_s=time.time)
