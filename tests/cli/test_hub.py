"""A model from its folder into the hub and back, by commands alone; and what another organisation gets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.center import Center, Pearl, a_center, a_tenant


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with a_center(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest.fixture(scope="module")
def ann(here: Center) -> Pearl:
    return a_tenant(here, "studio", "ann")


@pytest.fixture(scope="module")
def bob(here: Center) -> Pearl:
    return a_tenant(here, "other", "bob")


def test_a_folder_goes_into_the_hub_and_comes_back(ann: Pearl, bob: Pearl, tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "deep").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("secret")
    (source / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    weights = bytes(range(256)) * 9000
    (source / "deep" / "weights.bin").write_bytes(weights)
    (source / "link.bin").symlink_to(source / "deep" / "weights.bin")

    ann.right("hub", "upload", "studio/tiny", str(source), "--create", "-m", "First weights")
    assert "studio/tiny" in ann.right("hub", "search", "tin", "--licence", "mit").out
    assert "studio/tiny" not in bob.right("hub", "search", "tiny").out
    assert "Tiny" in ann.right("hub", "preview", "studio/tiny").out
    shown = ann.right("hub", "show", "studio/tiny", "--json").value
    assert shown["commit"]["title"] == "First weights" and shown["repository"]["tags"] == ["license:mit"]
    files = ann.right("hub", "files", "studio/tiny", "-r", "--json").rows
    assert [row["path"] for row in files] == ["README.md", "deep/weights.bin", "link.bin"]
    ann.right("hub", "tag", "studio/tiny", "v1")

    (source / "deep" / "weights.bin").write_bytes(b"newer")
    ann.right("hub", "upload", "studio/tiny", str(source))
    target = tmp_path / "back"
    ann.right("hub", "download", "studio/tiny@v1", "--to", str(target))
    assert (target / "deep" / "weights.bin").read_bytes() == weights
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == [
        "README.md",
        "link.bin",
        "weights.bin",
    ]
    assert len(ann.right("hub", "log", "studio/tiny", "--json").rows) == 3
    counted = ann.right("hub", "downloads", "studio/tiny", "--json").rows
    assert [(row["user"], row["files"]) for row in counted] == [("ann", 3)]

    for words in (("show", "studio/tiny"), ("download", "studio/tiny", "--to", str(tmp_path / "no"))):
        assert bob("hub", *words).code != 0
    assert bob.right("hub", "list", "--json").rows == []
    ann.right("hub", "change", "studio/tiny", "--visibility", "public", "--gate", "manual")
    assert bob("hub", "download", "studio/tiny", "--to", str(tmp_path / "no")).code != 0
    bob.right("hub", "request", "studio/tiny", "-m", "for a course")
    ann.right("hub", "accept", "studio/tiny", "bob")
    bob.right("hub", "download", "studio/tiny", "--to", str(tmp_path / "yes"), "--path", "README.md")
    assert ann("hub", "delete", "studio/tiny").code != 0
    ann.right("hub", "delete", "studio/tiny", "--yes")
    assert ann("hub", "show", "studio/tiny").code != 0


def test_env_prints_what_the_clients_of_the_hub_read(ann: Pearl) -> None:
    lines = ann.right("hub", "env").out.splitlines()
    assert lines[0].startswith("export HF_ENDPOINT=http://127.0.0.1:") and lines[0].endswith("/hf")
    assert lines[1].startswith("export HF_TOKEN=")


def test_a_job_reads_a_data_set_and_its_outputs_become_a_model(ann: Pearl, tmp_path: Path) -> None:
    source = tmp_path / "corpus"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.txt").write_text("three words here")
    (source / "big.bin").write_bytes(bytes(range(256)) * 8192)
    ann.right("hub", "upload", "datasets/studio/corpus", str(source), "--create")
    ann.right("hub", "tag", "datasets/studio/corpus", "v1")
    (source / "deep" / "a.txt").write_text("changed later")
    ann.right("hub", "upload", "datasets/studio/corpus", str(source))

    job = tmp_path / "job.yaml"
    job.write_text(
        "name: count\n"
        "command: |\n"
        "  mkdir -p $PEARL_OUTPUTS/model/deep\n"
        "  wc -w < $PEARL_INPUT_TEXT/deep/a.txt | tr -d ' ' > $PEARL_OUTPUTS/model/deep/words.txt\n"
        "  wc -c < $PEARL_INPUT_TEXT/big.bin | tr -d ' ' > $PEARL_OUTPUTS/model/bytes.txt\n"
        "  echo no > $PEARL_OUTPUTS/other.txt\n"
        "per_task: {cpus: 0.5, memory_gib: 0.25}\n"
        "time_limit: 5m\n"
        "inputs: {TEXT: {dataset: studio/corpus@v1}}\n"
        "outputs: [other.txt, {path: 'model/**', model: studio/counted}]\n"
    )
    assert ann("run", str(job), "-F").code == 0
    ends = time.monotonic() + 60
    while not (made := ann.right("hub", "show", "studio/counted", "--json").value["commit"])["made_by_job"]:
        assert time.monotonic() < ends
        time.sleep(0.2)
    assert made["author"] == "ann"
    lineage = ann.right("hub", "lineage", "studio/counted", "--json").value
    assert lineage["facts"]["name"] == "count"
    assert [(one["repository"], one["name"]) for one in lineage["sources"]] == [("studio/corpus", "TEXT")]
    forward = ann.right("hub", "lineage", "datasets/studio/corpus@v1", "--json").value
    assert forward["jobs"][0]["job"] == lineage["job"]
    assert forward["jobs"][0]["made"][0]["repository"] == "studio/counted"
    event = ann.right("hub", "lineage", "studio/counted", "--openlineage").value[0]
    assert event["eventType"] == "COMPLETE" and event["outputs"][0]["name"] == "models/studio/counted"
    assert event["inputs"][0]["facets"]["version"]["datasetVersion"] == lineage["sources"][0]["commit"]
    target = tmp_path / "counted"
    ann.right("hub", "download", "studio/counted", "--to", str(target))
    assert (target / "deep" / "words.txt").read_text() == "3\n"
    assert (target / "bytes.txt").read_text() == f"{256 * 8192}\n"
    assert not (target / "other.txt").exists()

    kept = ann("hub", "delete", "datasets/studio/corpus", "--yes")
    assert kept.code != 0 and "1 job uses studio/corpus" in kept.err
    ran = ann("run", "--cpus", "0.5", "--memory-gib", "0.25", "-t", "5m", "-F", "--dataset", "studio/corpus",
              "--", "sh", "-c", "cat $PEARL_INPUT_CORPUS/deep/a.txt")  # fmt: skip
    assert ran.code == 0 and "changed later" in ran.out


def test_a_job_gets_only_what_its_submitter_may_read(ann: Pearl, bob: Pearl) -> None:
    ann.right("hub", "create", "datasets/studio/hidden")
    for wanted in ("studio/hidden", "studio/absent", "other/none"):
        refused = bob("run", "--dataset", wanted, "--", "true")
        assert refused.code != 0 and f"There is no dataset {wanted}" in refused.err, refused.err
    empty = ann("run", "--dataset", "studio/hidden", "--", "true")
    assert empty.code != 0 and "has 0 files" in empty.err
