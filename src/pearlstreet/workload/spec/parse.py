"""Parses job specifications in YAML or JSON and reports all problems at once, with field, line and suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from pearlstreet.base.text import text
from pearlstreet.workload.spec.context import BAD, Context
from pearlstreet.workload.spec.model import FileItem, InputItem, JobSpec
from pearlstreet.workload.spec.table import JOB, full_names
from pearlstreet.workload.spec.yaml_source import read_yaml

Item = TypeVar("Item", FileItem, InputItem)
ANY = ("any",)


def parse_json(value: object, *, private_git: bool = False, local: bool = False) -> JobSpec:
    """Return the specification in a JSON object. Raises InvalidInput with all problems.

    `private_git`: the operator allows git in the internal network. `local`: paths to be uploaded are allowed.
    """
    return _read(value, _context(private_git=private_git, local=local))


def parse_yaml(
    source: str, file_name: str | None = None, *, private_git: bool = False, local: bool = False
) -> JobSpec:
    """Return the specification in YAML or JSON text. Raises InvalidInput with line and column of all problems."""
    context = _context(private_git=private_git, local=local)
    return _read(read_yaml(source, file_name, context), context)


def parse_stored(value: Mapping[str, object]) -> JobSpec:
    """Return the specification that `to_json` wrote; git in the internal network is accepted, as it was at submit."""
    return _read(value, _context(private_git=True))


def _context(*, private_git: bool = False, local: bool = False) -> Context:
    return Context(private_git=private_git, local=local, full_names=full_names())


def _read(value: object, context: Context) -> JobSpec:
    if value is None or value == {}:
        context.add(
            (), text("The job specification is empty"), text("Write at least command: python train.py")
        )
        context.raise_if_any()
    spec = JOB.parse(value, (), context)
    context.raise_if_any()
    if spec is BAD or not isinstance(spec, JobSpec):
        raise TypeError("a reading without problems gives a specification")
    return _complete(spec)


def _complete(spec: JobSpec) -> JobSpec:
    """Fill in values that follow from other fields.

    A named accelerator implies a count of 1, a count without a name any model, and an elastic job at least its minimum of tasks.
    """
    if spec.elastic is not None and spec.tasks < spec.elastic.min_tasks:
        spec = replace(spec, tasks=spec.elastic.min_tasks)
    per = spec.per_task
    if per.accelerator and not per.count and per.fraction is None:
        return replace(spec, per_task=replace(per, count=1))
    if not per.accelerator and (per.count or per.fraction is not None):
        return replace(spec, per_task=replace(per, accelerator=ANY))
    return spec


def uploads_wanted(spec: JobSpec) -> tuple[str, ...]:
    """Return the local paths that must be uploaded before the specification can be submitted, each once."""
    items: list[FileItem | InputItem] = [*spec.files, *spec.inputs.values()]
    return tuple(dict.fromkeys(item.source for item in items if item.source is not None))


def with_uploads(spec: JobSpec, uploaded: Mapping[str, tuple[str, bool]]) -> JobSpec:
    """Return the specification with local paths replaced by uploads.

    `uploaded`: (upload id, whether it is an archive of a folder) by local path.
    """

    def change(item: Item) -> Item:
        if item.source is None:
            return item
        upload, archive = uploaded[item.source]
        return replace(item, source=None, upload=upload, kind="archive" if archive else item.kind)

    return replace(
        spec,
        files=tuple(change(item) for item in spec.files),
        inputs={name: change(item) for name, item in spec.inputs.items()},
    )
