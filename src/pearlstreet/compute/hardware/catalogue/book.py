"""The catalogue as a whole: look-up by any spelling, and reading it from its packaged file."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources

from pearlstreet.base.errors import check
from pearlstreet.compute.hardware.catalogue.accelerator import PRECISIONS, Accelerator
from pearlstreet.compute.hardware.catalogue.mig import instance_of, is_mig, split_model
from pearlstreet.compute.hardware.catalogue.names import ANY, exact_keys, group_keys, key


class Catalogue:
    """Accelerators by id and by every name they go under. Earlier rows win where a name fits several."""

    def __init__(self, entries: Sequence[Accelerator]) -> None:
        self.entries = tuple(entries)
        self._by_id = {entry.id: entry for entry in self.entries}
        check(len(self._by_id) == len(self.entries), "catalogue ids are unique")
        self._exact: dict[str, Accelerator] = {}
        self._groups: dict[str, list[Accelerator]] = {}
        for entry in self.entries:
            for name in exact_keys(entry):
                self._exact.setdefault(name, entry)
            for name in group_keys(entry):
                self._groups.setdefault(name, []).append(entry)

    def __iter__(self) -> Iterator[Accelerator]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, model_id: str) -> Accelerator | None:
        """Return the entry with exactly that id, or that of a MIG instance of a device (`a100-sxm-40g-mig-3g.20gb`)."""
        found = self._by_id.get(model_id)
        split = split_model(model_id) if found is None else None
        whole = self._by_id.get(split[0]) if split is not None else None
        return instance_of(whole, split[1]) if whole is not None and split is not None else found

    def candidates(self, name: str) -> tuple[Accelerator, ...]:
        """Return every entry that `name` may mean, likeliest first; case, spaces and dashes do not matter."""
        wanted = key(name)
        found = [self._exact[wanted]] if wanted in self._exact else []
        return tuple(dict.fromkeys([*found, *self._groups.get(wanted, ())]))

    def find(self, name: str) -> Accelerator | None:
        """Return the entry that `name` means: an exact name, else the first of its family."""
        found = self.candidates(name)
        return found[0] if found else (self.get(name) if is_mig(name) else None)

    def identify(self, name: str, memory_gib: float) -> Accelerator | None:
        """Return the entry a driver means by `name`, told apart from its sisters by the memory that it reports."""
        found = self.candidates(name)
        if len(found) < 2 or memory_gib <= 0:
            return found[0] if found else None
        return min(found, key=lambda entry: abs(entry.device_memory_gib - memory_gib))

    def matches(self, wanted: str, model: str) -> bool:
        """Return whether a device of `model` (id or vendor's name) serves a job that asks for `wanted` or `any`.

        A MIG instance serves only jobs that name its profile.
        `H100` fits every H100, `H100-80G` those with 80 GB, `h100-sxm-80g` that one alone.
        """
        name = key(wanted)
        if name in ANY:
            return not is_mig(model)
        entry = self._by_id.get(model) or self.find(model)
        if entry is None:
            return name == key(model)
        return name in group_keys(entry) or self._exact.get(name) is entry

    def suggest(self, name: str, count: int = 3) -> tuple[str, ...]:
        """Return ids that look most like a misspelt `name`, best first."""
        close = difflib.get_close_matches(key(name), [*self._groups, *self._exact], n=count * 8, cutoff=0.6)
        ids = [(self._exact.get(item) or self._groups[item][0]).id for item in close]
        return tuple(dict.fromkeys(ids))[:count]


@cache
def catalogue() -> Catalogue:
    """Return the packaged catalogue, read once."""
    path = resources.files("pearlstreet.compute.hardware.catalogue") / "accelerators.csv"
    return Catalogue(read(path.read_text(encoding="utf-8")))


def read(content: str) -> list[Accelerator]:
    """Return entries from CSV text with the columns of `accelerators.csv`.

    Raises ValueError for a number that is none.
    """
    return [_entry(row) for row in csv.DictReader(content.splitlines())]


def _entry(row: Mapping[str, str]) -> Accelerator:
    peaks = {
        precision: float(value)
        for precision in PRECISIONS
        if (value := row["int8_tops" if precision == "int8" else f"{precision}_tflops"])
    }
    return Accelerator(
        id=row["id"],
        family=row["family"],
        vendor=row["vendor"],
        name=row["name"],
        aliases=tuple(name for name in row["aliases"].split(";") if name),
        form_factor=row["form_factor"],
        release=row["release"],
        peak_tflops=peaks,
        memory_gib=_number(row["memory_gib"]),
        memory_type=row["memory_type"],
        bandwidth_gbs=_number(row["bandwidth_gbs"]),
        link=row["link"],
        link_gbs=_number(row["link_gbs"]),
        power_w=_number(row["power_w"]),
        domestic_cn=row["domestic_cn"] == "yes",
        dies=int(row["dies"] or 1),
        source=row["source"],
        source_date=row["source_date"],
        notes=row["notes"],
    )


def _number(value: str) -> float | None:
    return float(value) if value else None
