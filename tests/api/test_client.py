"""The Python client against a whole center: where it takes its key from, what `submit` uploads, what errors it raises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pearlstreet
from pearlstreet.client.profile import Profile, save_profile
from tests.api.bridge import Bridge
from tests.api.world import World

PER_TASK = {"cpus": 1, "memory_gib": 1}


@pytest.fixture(autouse=True)
def _no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "KEY", "ORG", "CA", "PROFILE"):
        monkeypatch.delenv(f"PEARL_{name}", raising=False)
    monkeypatch.setenv("PEARL_CONFIG", str(tmp_path / "profiles.toml"))


@pytest.fixture
def client(world: World) -> Iterator[pearlstreet.Client]:
    """One of acme's owner."""
    with pearlstreet.Client("http://center", world.keys["owner"], http=Bridge(world)) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program, a folder beside it, and data."""
    (tmp_path / "code" / "lib").mkdir(parents=True)
    (tmp_path / "code" / "lib" / "part.py").write_text("x = 1\n")
    (tmp_path / "train.py").write_text("print(1)\n")
    (tmp_path / "digits.csv").write_text("1,2\n")
    return tmp_path


def test_without_arguments_it_is_who_the_profile_says(world: World, tmp_path: Path) -> None:
    save_profile("default", Profile("http://center/", world.keys["owner"]))
    with pearlstreet.Client(http=Bridge(world)) as client:
        assert client.session.me()["user"] == world.get("/me").json()["user"]
        assert client.url == "http://center"


def test_variables_stand_above_the_profile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    save_profile("default", Profile("http://elsewhere", "pearl_wrong"))
    monkeypatch.setenv("PEARL_URL", "http://center")
    monkeypatch.setenv("PEARL_KEY", world.keys["member"])
    with pearlstreet.Client(http=Bridge(world)) as client:
        assert client.session.me()["user"] == world.get("/me", "member").json()["user"]


def test_without_a_key_anywhere_it_says_how_to_get_one() -> None:
    with pytest.raises(pearlstreet.NotSignedIn) as caught:
        pearlstreet.Client()
    assert "pearl login" in str(caught.value.hint)


def test_an_address_of_ones_own_never_gets_the_profiles_key(world: World) -> None:
    save_profile("default", Profile("http://center", world.keys["owner"]))
    with (
        pearlstreet.Client("http://center", http=Bridge(world)) as client,
        pytest.raises(pearlstreet.ApiError) as caught,
    ):
        client.session.me()
    assert (caught.value.status, caught.value.code) == (401, "unauthenticated")
    assert isinstance(caught.value, pearlstreet.PearlError)


def test_files_and_folders_of_a_mapping_are_uploaded(
    world: World, client: pearlstreet.Client, folder: Path
) -> None:
    spec = {
        "command": ["python", "train.py"],
        "files": ["train.py", {"source": "code", "path": "lib/"}],
        "inputs": {"DIGITS": Path("digits.csv")},
        "per_task": PER_TASK,
    }
    job = client.jobs.submit(spec, folder=folder, org="acme")
    stored = _spec(world, job["id"])
    first, second = stored["files"]
    assert client.files.get(first["upload"])["name"] == "train.py"
    assert (second["path"], second["kind"]) == ("lib/", "archive")
    assert client.files.get(second["upload"])["name"] == "code.tar.gz"
    assert client.files.get(stored["inputs"]["DIGITS"]["upload"])["size_bytes"] == 4
    assert spec["files"] == ["train.py", {"source": "code", "path": "lib/"}]


def test_paths_of_a_file_are_relative_to_it_and_its_scalars_stay_as_written(
    world: World, client: pearlstreet.Client, folder: Path
) -> None:
    (folder / "job.yaml").write_text(
        "# first\nname: from-file\ncommand: python train.py\nfiles: ./train.py\n"
        "variables: {VERSION: 3.10, AT: 2026-01-31}\nper_task: {cpus: 1, memory_gib: 1}\n"
    )
    job = client.jobs.submit(folder / "job.yaml", org="acme")
    stored = _spec(world, job["id"])
    assert job["name"] == "from-file"
    assert stored["variables"] == {"VERSION": "3.10", "AT": "2026-01-31"}
    assert stored["files"][0]["upload"].startswith("upl_")


def test_uploads_are_named_as_they_are(world: World, client: pearlstreet.Client, folder: Path) -> None:
    upload = client.files.upload(folder / "train.py", org="acme")["id"]
    text = f"command: python train.py\nfiles: [{upload}]\nper_task: {{cpus: 1, memory_gib: 1}}\n"
    job = client.jobs.submit(text, org="acme")
    assert _spec(world, job["id"])["files"][0]["upload"] == upload


def test_a_path_that_is_not_there_is_refused_before_anything_is_sent(
    client: pearlstreet.Client, folder: Path
) -> None:
    before = len(list(client.files.list("acme")))
    with pytest.raises(pearlstreet.InvalidInput, match="does not exist"):
        client.jobs.submit({"command": "x", "files": ["train.py", "absent.py"]}, folder=folder, org="acme")
    assert len(list(client.files.list("acme"))) == before


def test_a_submit_repeated_under_its_key_makes_one_job_and_one_upload(
    client: pearlstreet.Client, folder: Path
) -> None:
    spec = {"command": "x", "files": ["code", "train.py"], "per_task": PER_TASK}
    before = len(list(client.files.list("acme")))
    jobs = {
        client.jobs.submit(spec, folder=folder, org="acme", idempotency_key="mine")["id"] for _ in range(2)
    }
    assert len(jobs) == 1
    assert len(list(client.files.list("acme"))) == before + 2


def test_text_that_is_no_specification_gets_the_centers_answer(client: pearlstreet.Client) -> None:
    with pytest.raises(pearlstreet.ApiError) as caught:
        client.jobs.submit("command: [x\nfiles: ./train.py\n", org="acme")
    assert caught.value.status == 422
    assert caught.value.problems[0].line is not None


def _spec(world: World, job: str) -> dict[str, Any]:
    found: dict[str, Any] = world.get(f"/jobs/{job}").json()["spec"]
    return found
