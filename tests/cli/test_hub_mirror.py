"""`pearl hub mirror`: from a hub by its public API, again when it changed, and from a hub whose bytes are wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.client import hub_mirror
from pearlstreet.client.hub import RepoName
from pearlstreet.client.hub_mirror import RemoteHub
from tests.cli.center import Pearl, a_center, a_tenant


@pytest.fixture(scope="module")
def ann(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pearl]:
    with a_center(tmp_path_factory.mktemp("hub")) as here:
        yield a_tenant(here, "studio", "ann")


def test_a_mirror_gets_what_changed(ann: Pearl, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "README.md").write_text("# One\n")
    (source / "w.bin").write_bytes(os.urandom(2 << 20))
    (source / "old.txt").write_text("old")
    ann.right("hub", "upload", "studio/origin", str(source), "--create")
    key = ann.right("hub", "env").out.partition("HF_TOKEN=")[2].strip()
    command = (
        "hub",
        "mirror",
        "studio/origin",
        "studio/mirror",
        "--quiet",
        "--from",
        f"{ann.variables['PEARL_URL']}/hf",
    )

    absent = ann(*command, "--create", "--token-from", "OTHER_KEY")
    assert absent.code and "OTHER_KEY is not set" in absent.err
    no_key = ann(*command, "--create")
    assert no_key.code and "401" in no_key.err
    command += ("--token-from", "OTHER_KEY")
    first = ann.right(*command, OTHER_KEY=key)
    # The center has the weights already: they are named, not sent.
    assert "2 files fetched, 0 unchanged, 0 deleted" in first.err
    ann.right("hub", "download", "studio/mirror", "--to", str(tmp_path / "got"))
    for name in ("README.md", "w.bin", "old.txt"):
        assert (tmp_path / "got" / name).read_bytes() == (source / name).read_bytes()

    assert "has not changed" in ann.right(*command, OTHER_KEY=key).err
    (source / "README.md").write_text("# Two\n")
    ann.right("hub", "upload", "studio/origin", str(source))
    assert "1 files fetched, 2 unchanged, 0 deleted" in ann.right(*command, OTHER_KEY=key).err
    assert len(ann.right("hub", "log", "studio/mirror", "--json").rows) == 3


@pytest.mark.parametrize("url", ["ftp://hub", "hub.example", "https://user:word@hub.example", "https://", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        RemoteHub(url)


def test_a_token_does_not_travel_in_the_clear() -> None:
    with pytest.raises(InvalidInput, match="https"):
        RemoteHub("http://hub.example", "secret")
    RemoteHub("http://127.0.0.1:1", "secret").close()


def test_a_token_goes_to_the_hub_alone_and_sizes_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, "authorization" in request.headers))
        if request.url.host == "hub.example":
            return httpx.Response(302, headers={"location": "https://files.example/blob"})
        return httpx.Response(200, stream=httpx.ByteStream(b"12345"))

    plain = httpx.Client
    monkeypatch.setattr(
        hub_mirror.httpx, "Client", lambda **options: plain(transport=httpx.MockTransport(serve), **options)
    )
    remote, repo = RemoteHub("https://hub.example", "secret"), RepoName.parse("a/b")
    remote.fetch(repo, "c" * 40, "w.bin", tmp_path / "w", 5)
    assert seen == [("hub.example", True), ("files.example", False)]
    for size in (4, 6):
        with pytest.raises(InvalidInput, match="size"):
            remote.fetch(repo, "c" * 40, "w.bin", tmp_path / "w", size)
    remote.close()
