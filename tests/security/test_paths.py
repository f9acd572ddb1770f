"""Names of files from outside, at every door that takes one: nothing beside the folder is read, made or changed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from pearlstreet.base.errors import InvalidInput, NotFound, PearlError
from pearlstreet.base.outcome import Done
from pearlstreet.base.paths import mount_problem, path_problem
from pearlstreet.compute.engines.staging.runner.inputs import InputWriter, StageError
from pearlstreet.compute.jobs.uploads import check_name
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.store.files import create_beneath, open_beneath
from pearlstreet.store.restore import MANIFEST, restore
from pearlstreet.workload.spec.parse import parse_json
from pearlstreet.workload.spec.patterns import is_kept
from tests.api.world import JOB, World, a_world
from tests.security.yard import KEPT, MARK, REFUSED, Yard, some
from tests.unit.engines_local.kit import Bench

ALL = [*REFUSED, *KEPT]
UPLOAD = "upl_00000000000000000000000000"


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "yard")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("center")) as made:
        yield made


def test_the_corpus_is_large_and_has_no_repeats() -> None:
    assert len(REFUSED) >= 300
    assert len(KEPT) >= 50
    assert len(set(ALL)) == len(ALL)


def test_the_door_for_names_tells_them_apart() -> None:
    assert [name for name in REFUSED if path_problem(name) is None] == []
    assert [name for name in KEPT if path_problem(name) is not None] == []


def test_a_control_would_be_seen(yard: Yard) -> None:
    """What a careless door does, the yard notices."""
    (yard.inside / "../x").write_text("changed")
    with pytest.raises(AssertionError):
        yard.check("../x")


@pytest.mark.parametrize("field", ["files", "git"])
def test_a_specification_with_a_bad_path_is_refused(field: str) -> None:
    def spec(name: str) -> dict[str, object]:
        if field == "files":
            return {**JOB, "files": [{"upload": UPLOAD, "path": name}]}
        return {**JOB, "git": {"url": "https://git.example.org/x.git", "path": name}}

    passed = []
    for name in REFUSED:
        with suppress(InvalidInput):
            parse_json(spec(name))
            passed.append(name)
    assert not passed


def test_a_pattern_of_outputs_chooses_and_opens_nothing() -> None:
    for name in ALL:
        assert is_kept([name], "a") in (True, False)
        assert not is_kept([f"../{name}"], "secret.key")


def test_names_are_opened_and_made_inside_only(yard: Yard) -> None:
    for name in REFUSED:
        with pytest.raises(InvalidInput):
            open_beneath(yard.inside, name)
        with pytest.raises(InvalidInput):
            create_beneath(yard.inside, name)
        yard.check(name)
    for number, name in enumerate(KEPT):
        folder = yard.inside / str(number)
        folder.mkdir()
        if name.endswith("/"):
            continue
        with create_beneath(folder, name) as file:
            file.write(b"mine")
        with open_beneath(folder, name) as file:
            assert file.read() == b"mine"
    yard.check("the honest ones")


def test_links_put_in_the_way_are_not_followed(yard: Yard) -> None:
    (yard.inside / "out").symlink_to("../..")
    (yard.inside / "file").symlink_to("../secret.key")
    (yard.inside / "root").symlink_to("/")
    (yard.inside / "dangling").symlink_to("../new")
    for name in (
        "out/secret.key",
        "file",
        "root/etc/hostname",
        "out/b/secret.key",
        "root" + str(yard.root / "x"),
    ):
        with pytest.raises(NotFound):
            open_beneath(yard.inside, name)
    for name in ("out/new", "dangling", "root/tmp/pearl-new", "out/b/new/x"):
        with suppress(NotFound, FileExistsError):
            create_beneath(yard.inside, name).close()
        yard.check(name)


def test_an_upload_is_named_without_folders() -> None:
    for name in ALL:
        try:
            kept = check_name(name)
        except InvalidInput:
            continue
        assert "/" not in kept and path_problem(kept) is None and kept not in ("", ".", "..")


def _tar(path: Path, name: str, *, kind: bytes = tarfile.REGTYPE, target: str = "") -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        member.size = 4 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"evil") if member.size else None)
        if kind != tarfile.REGTYPE:
            through = tarfile.TarInfo(f"{name.rstrip('/')}/planted")
            through.size = 4
            tar.addfile(through, io.BytesIO(b"evil"))
    return path


@pytest.mark.parametrize("kind", ["file", "folder", "link", "link to", "hard link to", "device"])
def test_an_archive_unpacks_inside_only(yard: Yard, kind: str) -> None:
    for name in some(ALL, len(kind)):
        shutil.rmtree(yard.inside)
        yard.inside.mkdir()
        packed = yard.root.parent / "packed.tar"
        try:
            if kind == "link to":
                _tar(packed, "link", kind=tarfile.SYMTYPE, target=name)
            elif kind == "hard link to":
                _tar(packed, "link", kind=tarfile.LNKTYPE, target=name)
            else:
                types = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "device": tarfile.CHRTYPE}
                _tar(packed, name, kind=types.get(kind, tarfile.SYMTYPE), target="../..")
        except (ValueError, UnicodeError):
            continue  # no archive can hold it
        writer = InputWriter(str(yard.inside), None, 1 << 20, lambda: False)
        with suppress(StageError, OSError):
            writer.put({"source": str(packed), "target": ".", "kind": "archive"})
        writer.close()
        yard.check((kind, name))
        for path in yard.inside.rglob("*"):
            if path.is_symlink():
                assert path.resolve().is_relative_to(yard.inside), (kind, name)
            elif path.is_file():
                assert path.stat().st_nlink == 1 and path.read_bytes() != MARK.encode(), (kind, name)


def test_a_stage_is_put_inside_only(yard: Yard) -> None:
    source = yard.root.parent / "source"
    source.write_text("staged")
    for name in some(ALL, 3):
        writer = InputWriter(str(yard.inside), None, 1 << 20, lambda: False)
        with suppress(StageError, OSError, ValueError):
            writer.put({"source": str(source), "target": name, "kind": "file"})
        writer.close()
        yard.check(name)


def test_a_backup_is_restored_inside_only(yard: Yard) -> None:
    """Even with a list of contents that fits."""
    for number, name in enumerate(some(ALL, 1)):
        target = yard.inside / str(number)
        packed = yard.inside / f"{number}.tar.gz"
        manifest = {
            "format": 1, "made_at_us": 0, "schema": None, "database": name, "mac": "",
            "members": [{"name": name, "sha256": hashlib.sha256(b"evil").hexdigest(), "bytes": 4}],
        }  # fmt: skip
        raw = json.dumps(manifest).encode()
        try:
            with gzip.open(packed, "wb") as out, tarfile.open(fileobj=out, mode="w") as tar:
                for member_name, content in ((name, b"evil"), (MANIFEST, raw)):
                    member = tarfile.TarInfo(member_name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        except (ValueError, UnicodeError):
            continue
        with suppress(PearlError):
            restore(packed, target)
        yard.check(name)
        packed.unlink()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_backup_with_anything_but_files_is_refused(yard: Yard, kind: bytes) -> None:
    packed = _tar(yard.inside / "b.tar", "data", kind=kind, target="../../secret.key")
    zipped = packed.with_suffix(".gz")
    zipped.write_bytes(gzip.compress(packed.read_bytes()))
    with pytest.raises(InvalidInput):
        restore(zipped, yard.inside / "new")
    yard.check(kind)


def test_data_is_mounted_beside_the_system_only() -> None:
    for name in REFUSED:
        for path in (name, f"/data/{name}", f"/{name}"):
            if mount_problem(path) is None:
                parts = path.split("/")
                assert ".." not in parts and parts[1] not in ("etc", "proc", "sys", "dev", "usr"), path


def test_a_blob_is_named_by_its_digest_only(yard: Yard) -> None:
    blobs = FolderBlobs(yard.inside)
    for name in ALL:
        with pytest.raises(NotFound):
            blobs.path(name)


def test_the_engine_is_led_nowhere(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    try:
        report, _ = bench.run('echo mine > "$PEARL_OUTPUTS/x"')
        beside = bench.attempt_folder(report.attempt_id).parent / "secret.key"
        for place in (
            beside,
            beside.parent.parent / "secret.key",
            bench.attempt_folder(report.attempt_id) / "secret.key",
        ):
            place.write_text(MARK)
        before = sorted(path for path in tmp_path.rglob("*") if path.name == "secret.key")
        engine = bench.engine
        for name in some(ALL, 2):
            for asked in (name, f"../{name}", f"x/../../{name}"):
                data = engine.read_output(report.attempt_id, asked, offset=0, limit=1 << 16)
                if isinstance(data, Done):
                    assert data.value == b"mine\n", asked
            for answer in (
                engine.read_log(name, 0, offset=0, limit=100),
                engine.list_outputs(name),
                engine.read_metrics(name, since_us=0),
                engine.stop(name, grace_s=0),
                engine.forget(name),
            ):
                assert not isinstance(answer, Done) or not answer.value, (name, answer)
        assert sorted(path for path in tmp_path.rglob("*") if path.name == "secret.key") == before
    finally:
        bench.clean_up()


ADDRESSES: list[Callable[[str], str]] = [
    lambda name: f"/artefacts/{name}",
    lambda name: f"/uploads/{name}",
    lambda name: f"/jobs/{name}",
    lambda name: f"/jobs/{name}/logs",
    lambda name: f"/jobs/job_00000000000000000000000000/logs?attempt={name}",
    lambda name: f"/orgs/{name}/projects/default",
    lambda name: f"/orgs/acme/invoices/{name}",
    lambda name: f"/orgs/acme/secrets/{name}",
    lambda name: f"/nodes/{name}",
]


@pytest.mark.parametrize("number", range(len(ADDRESSES)))
def test_no_address_of_the_api_is_a_path_of_a_file(world: World, number: int) -> None:
    """Encoded and as it is; by somebody who may read all of it."""
    key = (world.data / "secret.key").read_text().strip()
    for name in some(REFUSED, number):
        encoded = quote(name.encode("utf-8", "surrogatepass"), safe="")
        for written in (encoded, quote(name.encode("utf-8", "surrogatepass"), safe="/.%")):
            if len(written) > 4000:
                continue
            answer = world.get(ADDRESSES[number](written), "owner")
            assert key not in answer.text and "root:" not in answer.text, name
            assert answer.status_code != 200 or answer.headers["content-type"] == "application/json", name
            assert answer.status_code < 500, (name, answer.text)
