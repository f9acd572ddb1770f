"""Paths of the submitter's machine in a job specification: found, and replaced by uploads. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

_UPLOAD = "upl_"
"""How ids of uploads begin; any other text under `files` and `inputs` is a path."""
Sent = Mapping[str, tuple[str, bool]]
"""Path → id of its upload, and whether it is an archive of a folder."""


def parse_text(content: str) -> dict[str, object] | None:
    """Return a specification from YAML or JSON text, with every scalar as it was written (`3.10` stays that).

    None where it is not one, so that the center says what is wrong and in which line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML().load(content)
    except (YAMLError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def format_text(spec: dict[str, object]) -> str:
    """Return what `parse_text` has read, as YAML again."""
    from ruamel.yaml import YAML

    out = StringIO()
    YAML().dump(spec, out)
    return out.getvalue()


def local_paths(spec: Mapping[str, object]) -> tuple[str, ...]:
    """Return paths under `files` and `inputs` that must be uploaded, each once, in the order of the specification."""
    return tuple(dict.fromkeys(path for path in map(_path_of, _items(spec)) if path is not None))


def replace_paths(spec: dict[str, Any], sent: Sent) -> None:
    """Put the upload in the place of each local path. `spec` changes; what it holds is not touched."""
    if "files" in spec:
        spec["files"] = [_uploaded(item, sent) for item in _listed(spec["files"])]
    if isinstance(spec.get("inputs"), Mapping):
        spec["inputs"] = {name: _uploaded(item, sent) for name, item in spec["inputs"].items()}


def _items(spec: Mapping[str, object]) -> Iterator[Any]:
    yield from _listed(spec.get("files"))
    inputs = spec.get("inputs")
    if isinstance(inputs, Mapping):
        yield from inputs.values()


def _listed(value: object) -> list[object]:
    """`files` may be one item alone."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _path_of(item: object) -> str | None:
    path = item.get("source") if isinstance(item, Mapping) else item
    if isinstance(path, Path):
        return str(path)
    return path if isinstance(path, str) and not path.startswith(_UPLOAD) else None


def _uploaded(item: object, sent: Sent) -> object:
    path = _path_of(item)
    if path is None:
        return item
    upload, is_archive = sent[path]
    others = (
        {key: value for key, value in item.items() if key != "source"} if isinstance(item, Mapping) else {}
    )
    return others | {"upload": upload} | ({"kind": "archive"} if is_archive else {})
