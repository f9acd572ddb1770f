"""Official clients of three generations, unmodified, with nothing set but HF_ENDPOINT and HF_TOKEN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_clients.server import VERSIONS, LiveHub, a_live_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    with a_live_hub(tmp_path_factory.mktemp("center")) as live:
        yield live


NEWEST = VERSIONS[-1]


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
def test_the_xet_client_reconstructs_a_file(hub: LiveHub, tmp_path: Path) -> None:
    assert "reconstructed" in hub.run(NEWEST, "xet_story.py", str(9 << 20), home=tmp_path)


@pytest.mark.slow
def test_datasets_and_transformers(hub: LiveHub, tmp_path: Path) -> None:
    assert "ecosystem ok" in hub.run(NEWEST, "ecosystem_story.py", home=tmp_path)
