"""PURE reading of what the inspector recorded of a repository."""

from __future__ import annotations

from collections.abc import Mapping

from pearlstreet.hub.model import Repository

LEVELS = {"expected": "safe", "unknown": "suspicious", "dangerous": "unsafe"}
"""Rating of a pickle → level by which the Hugging Face clients call it."""


def weights_of(repo: Repository) -> Mapping[str, object] | None:
    """Return parameters of the weights by data type and their total, or None."""
    found = repo.facts.get("safetensors")
    return found if isinstance(found, dict) else None


def count_parameters(repo: Repository) -> int | None:
    """Return the number of parameters of a model, or None if it has no safetensors."""
    weights = weights_of(repo)
    total = weights.get("total") if weights is not None else None
    return total if isinstance(total, int) else None


def list_pickles(repo: Repository) -> list[Mapping[str, object]]:
    """Return the pickles of a repository, the most dangerous first."""
    found = repo.facts.get("pickles")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def format_count(parameters: int) -> str:
    """Return a number of parameters as the field writes it: `7.24B`, `350M`, `12.3K`."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return str(parameters)
