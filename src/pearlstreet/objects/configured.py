"""The store of blobs that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import Text, text
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.objects.model import BlobStore

KEYS: Mapping[str, str] = {
    "url": "Bucket, and prefix of all names in it, such as `s3://bucket/prefix`; required.",
    "endpoint": "Address of the S3 server, such as `https://s3.example.com`; default: Amazon's of the region.",
    "region": "Region of the bucket; default `us-east-1`.",
    "key_id": "Access key id; `PEARL_OBJECTS_KEY_ID` takes precedence.",
    "secret_file": "File that holds the secret access key; `PEARL_OBJECTS_SECRET` takes precedence.",
}
"""Keys of the table `[objects]`, with what each means."""


def blobs_from_settings(
    table: Mapping[str, object],
    environment: Mapping[str, str],
    *,
    folder: Path,
    work: Path,
    now_s: Callable[[], float],
) -> BlobStore:
    """Return the bucket that the table `[objects]` names, or without one `folder`. Raises ConfigurationError.

    `work`: folder for the unfinished files and copies of a bucket. `now_s`: the time in seconds since 1970.
    """
    if not table:
        return FolderBlobs(folder)
    _refuse_files_in(folder)
    from pearlstreet.objects.s3 import S3Blobs, S3Settings

    unknown = sorted(str(key) for key in table if key not in KEYS)
    if unknown:
        raise _wrong(text("it has no key {key}", key=unknown[0][:60]))
    texts = {key: _text(table, key) for key in KEYS}
    address = urlsplit(texts["url"] or "")
    if address.scheme != "s3" or not address.netloc:
        raise _wrong(text("{key} must be like {example}", key="url", example="s3://bucket/prefix"))
    endpoint = texts["endpoint"] or ""
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise _wrong(text("{key} must be like {example}", key="endpoint", example="https://s3.example.com"))
    key_id = environment.get("PEARL_OBJECTS_KEY_ID") or texts["key_id"]
    secret = environment.get("PEARL_OBJECTS_SECRET") or _secret(texts["secret_file"])
    if not key_id or not secret:
        raise _wrong(text("{key} is missing", key="key_id" if not key_id else "secret_file"))
    region = texts["region"] or "us-east-1"
    return S3Blobs(S3Settings(address.netloc, address.path, endpoint, region, key_id, secret), work, now_s)


def _refuse_files_in(folder: Path) -> None:
    """Raise ConfigurationError if the folder has blobs: they would not be found in the bucket."""
    if any(shard.name != "tmp" and any(shard.iterdir()) for shard in folder.glob("*") if shard.is_dir()):
        raise ConfigurationError(
            text("The folder {folder} has files that would not be found in the bucket", folder=str(folder)),
            hint=text(
                "Copy it into the bucket under the prefix, for example by aws s3 sync (the layout is the same), then rename it"
            ),
        )


def _secret(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise _wrong(text("{file} cannot be read", file=file)) from None


def _text(table: Mapping[str, object], key: str) -> str | None:
    value = table.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(text("{key} must be text", key=key))
    return value


def _wrong(problem: Text) -> ConfigurationError:
    return ConfigurationError(
        text("The settings in [objects] are wrong: {problem}", problem=problem),
        hint=text("Its keys are: {keys}", keys=", ".join(KEYS)),
    )
