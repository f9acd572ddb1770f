"""PURE lines to copy that use a repository with `pearl` and with the Hugging Face clients."""

from __future__ import annotations

from pearlstreet.hub.model import MAIN, RepoKind, Repository


def snippets(repo: Repository, rev: str, url: str) -> list[tuple[str, str]]:
    """Return names of programs and the lines for them. `url`: address of the center."""
    name, kind = repo.full_name, repo.kind
    written = name if kind is RepoKind.MODEL else f"{kind.value}s/{name}"
    at = "" if rev == MAIN else f"@{rev}"
    later = "" if rev == MAIN else f', revision="{rev}"'
    flags = "" if kind is RepoKind.MODEL else f" --repo-type {kind.value}"
    flags += "" if rev == MAIN else f" --revision {rev}"
    found = [
        ("pearl", f"pearl hub download {written}{at} --to ."),
        ("hf", f"export HF_ENDPOINT={url}/hf\nhf download {name}{flags}"),
    ]
    if kind is RepoKind.DATASET:
        python = f'from datasets import load_dataset\n\ndata = load_dataset("{name}"{later})'
        found.append(("datasets", python))
    if kind is RepoKind.MODEL:
        python = f'from transformers import AutoModel\n\nmodel = AutoModel.from_pretrained("{name}"{later})'
        found.append(("transformers", python))
    job = "dataset" if kind is RepoKind.DATASET else "model"
    if kind is not RepoKind.RECIPE:
        found.append(("pearl run", f"pearl run --{job} {name}{at} -- python train.py"))
    return found
