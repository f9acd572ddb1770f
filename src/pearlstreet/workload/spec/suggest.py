"""Suggestions ("did you mean …?") for unknown names and for values in another unit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

from pearlstreet.base.text import Text, text

_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?\s*$", re.IGNORECASE)
_POWER = {"k": -2, "m": -1, "": 0, "g": 0, "t": 1, "p": 2}
_NAME_MAX = 80

OTHER_WORDS: Mapping[str, str] = {
    "accelerators": "per_task.count",
    "after": "depends_on",
    "args": "command",
    "arguments": "command",
    "artefacts": "outputs",
    "artifacts": "outputs",
    "begin": "not_before",
    "cmd": "command",
    "code": "files",
    "container": "environment.image",
    "cpu": "per_task.cpus",
    "cpu_count": "per_task.cpus",
    "data": "inputs",
    "dependencies": "depends_on",
    "description": "notes",
    "disk": "limits.disk_gib",
    "docker": "environment.image",
    "entrypoint": "command",
    "env": "variables",
    "environment_variables": "variables",
    "envs": "variables",
    "gpu": "per_task.count",
    "gpu_type": "per_task.accelerator",
    "gpus": "per_task.count",
    "gres": "per_task.accelerator",
    "internet": "network",
    "job_name": "name",
    "mem": "per_task.memory_gib",
    "memory": "per_task.memory_gib",
    "nodes": "tasks",
    "ntasks": "tasks",
    "num_gpus": "per_task.count",
    "num_tasks": "tasks",
    "partition": "queue",
    "pip": "environment.packages",
    "python_version": "environment.python",
    "ram": "per_task.memory_gib",
    "replicas": "tasks",
    "repository": "git.url",
    "resources": "per_task",
    "results": "outputs",
    "retry": "retries",
    "run": "command",
    "script": "command",
    "start_after": "not_before",
    "tags": "labels",
    "time": "time_limit",
    "timeout": "time_limit",
    "walltime": "time_limit",
    "workers": "tasks",
}
"""Field of the job specification by the word that other systems use for it."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the one of `choices` that is most similar to `word`; None if none is."""
    if len(word) > _NAME_MAX:
        return None
    folded = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def field_hint(word: str, here: Iterable[str], elsewhere: Mapping[str, str]) -> Text | None:
    """Return a hint with the field that was probably meant, in this section or another; None without a guess."""
    lowered = word.lower().replace("-", "_")
    known = tuple(here)
    if lowered in known:
        return text("Did you mean {name}?", name=lowered)
    for table in (OTHER_WORDS, elsewhere):  # `timeout` of a whole job is its time_limit, not that of a check
        if lowered in table and table[lowered] != word:
            return text("Did you mean {name}?", name=table[lowered])
    close = nearest(word, known)
    if close is None:
        close = elsewhere.get(nearest(word, elsewhere) or "")
    return text("Did you mean {name}?", name=close) if close else None


def in_gib(value: str) -> str | None:
    """Return the size in GiB as text, such as `16` for `16GB` or `0.5` for `512M`; None if it is no size."""
    match = _SIZE.match(value)
    if match is None:
        return None
    number = float(match.group(1)) * 1024.0 ** _POWER[match.group(2).lower()]
    return f"{number:.6g}"
