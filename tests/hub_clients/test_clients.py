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


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_from_upload_to_deletion(hub: LiveHub, version: str, tmp_path: Path) -> None:
    last = hub.run(version, "core_story.py", version, str(12 << 20), home=tmp_path)
    assert len(last.strip().splitlines()[-1]) == 40
