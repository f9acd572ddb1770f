"""File trees against a plain dictionary."""

from __future__ import annotations

import random

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.hub.model import Changes, EntryNotFound, TreeEntry
from pearlstreet.hub.tree import Manifest, apply_changes, find_entry, has_folder, iterate_entries


def entry(path: str, content: int = 0) -> TreeEntry:
    return TreeEntry(path, f"{content:064x}", content + 1, "")


def test_a_tree_is_what_a_dictionary_would_be() -> None:
    rng = random.Random(1)
    pages: dict[str, bytes] = {}
    manifest, model = Manifest(), dict[str, TreeEntry]()
    names = [f"d{a}/f{b:04d}.bin" for a in range(5) for b in range(700)]
    for step in range(25):
        files = {name: entry(name, step) for name in rng.sample(names, rng.choice((0, 1, 40, 900)))}
        gone = frozenset(rng.sample(sorted(model), min(len(model), rng.choice((0, 1, 300))))) - set(files)
        folders = {name.split("/")[0] for name in model}
        dropped = frozenset({"d3"} & folders) if step % 7 == 6 else frozenset[str]()
        gone = frozenset(path for path in gone if not path.startswith("d3/")) if dropped else gone
        written = apply_changes(manifest, pages.__getitem__, Changes(files, gone, dropped))
        pages |= written.pages
        manifest = Manifest.decode(written.manifest.encode())
        model = {p: e for p, e in model.items() if p not in gone and p.split("/")[0] not in dropped} | files
        assert [one.path for one in iterate_entries(manifest, pages.__getitem__)] == sorted(model)
        assert (manifest.files, manifest.size_bytes) == (
            len(model), sum(one.size_bytes for one in model.values()),
        )  # fmt: skip
    for name in rng.sample(names, 200):
        assert find_entry(manifest, pages.__getitem__, name) == model.get(name)
    assert has_folder(manifest, pages.__getitem__, "d1") and not has_folder(manifest, pages.__getitem__, "d")


def test_a_small_change_rewrites_few_pages() -> None:
    files = {f"f{at:05d}": entry(f"f{at:05d}") for at in range(20_000)}
    first = apply_changes(Manifest(), {}.__getitem__, Changes(files))
    assert 40 < len(first.pages) < 160
    pages = dict(first.pages)
    second = apply_changes(first.manifest, pages.__getitem__, Changes({"f00777x": entry("f00777x")}))
    assert len(second.pages) <= 2 and second.manifest.files == 20_001


@pytest.mark.parametrize("clash", ["a", "a/b/c", "x/y"])
def test_a_path_is_not_a_file_and_a_folder(clash: str) -> None:
    first = apply_changes(Manifest(), {}.__getitem__, Changes({p: entry(p) for p in ("a/b", "x/y/z")}))
    with pytest.raises(InvalidInput):
        apply_changes(first.manifest, dict(first.pages).__getitem__, Changes({clash: entry(clash)}))


def test_deleting_what_is_not_there_is_refused() -> None:
    for changes in (Changes(deleted_files=frozenset({"a"})), Changes(deleted_folders=frozenset({"b"}))):
        with pytest.raises(EntryNotFound):
            apply_changes(Manifest(), {}.__getitem__, changes)
