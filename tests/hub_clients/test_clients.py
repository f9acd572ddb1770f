"""Official clients of three generations, unmodified, with nothing set but HF_ENDPOINT and HF_TOKEN."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pearlstreet.hub.tables import xorbs
from tests.hub_clients.server import VERSIONS, LiveHub, a_live_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    with a_live_hub(tmp_path_factory.mktemp("center")) as live:
        yield live


NEWEST = VERSIONS[-1]
XET_BYTES = int(os.environ.get("PEARL_HUB_XET_MIB", "40")) << 20


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_from_upload_to_deletion(hub: LiveHub, version: str, tmp_path: Path) -> None:
    last = hub.run(version, "core_story.py", version, str(12 << 20), home=tmp_path)
    assert len(last.strip().splitlines()[-1]) == 40


@pytest.mark.parametrize("version", VERSIONS)
def test_a_gated_model_between_owner_and_stranger(hub: LiveHub, version: str, tmp_path: Path) -> None:
    hub.run(version, "gated_story.py", version, home=tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_command(hub: LiveHub, version: str, tmp_path: Path) -> None:
    hub.run(version, "command_story.sh", version, home=tmp_path)


@pytest.mark.slow
def test_the_xet_client_reconstructs_a_file_and_sends_only_what_changed(hub: LiveHub, tmp_path: Path) -> None:
    before = _stored_bytes(hub)
    assert "reconstructed" in hub.run(NEWEST, "xet_story.py", str(XET_BYTES), home=tmp_path)
    # Random bytes do not shrink: what is stored beyond the first upload was sent by the second, with 5 bytes inserted.
    sent_again = _stored_bytes(hub) - before - XET_BYTES
    print(f"the second upload of {XET_BYTES >> 20} MiB stored {sent_again:,} bytes")
    assert 0 < sent_again < XET_BYTES / 100


def _stored_bytes(hub: LiveHub) -> int:
    query = sa.select(sa.func.sum(xorbs.c.body_bytes))
    return int(hub.world.center.store.read(lambda tx: tx.scalar(query)) or 0)


@pytest.mark.slow
def test_datasets_and_transformers(hub: LiveHub, tmp_path: Path) -> None:
    assert "ecosystem ok" in hub.run(NEWEST, "ecosystem_story.py", home=tmp_path)
