"""The shape of a network from what is known of it: a name, a parameter count, some of its sizes."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources

from pearlstreet.compute.estimate.model import Architecture, Family

ASPECT = 128.0
"""Hidden size over layers of large language models (GPT-3 128, Llama 2 7B 128, 70B 102)."""
HEAD = 128
TYPICAL_EXPERTS = 8


@dataclass(frozen=True, slots=True)
class Known:
    """A published architecture: one row of architectures.csv."""

    name: str
    family: Family
    params: float
    active: float
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    experts: int
    experts_per_token: int
    latent_kv: int
    window_share: float
    source: str


def plain(name: str) -> str:
    """Return the form in which names of models are compared."""
    return re.sub(r"[^a-z0-9.]", "", re.sub(r"\(.*?\)", "", name.lower()))


@cache
def known() -> Mapping[str, Known]:
    """Return published architectures by plain name."""
    path = resources.files("pearlstreet.compute.estimate") / "architectures.csv"
    found = {}
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        entry = Known(
            name=row["name"],
            family=row["family"],  # type: ignore[arg-type]
            params=float(row["params_b"]) * 1e9,
            active=float(row["active_b"] or row["params_b"]) * 1e9,
            layers=int(row["layers"]),
            hidden=int(row["hidden"]),
            heads=int(row["heads"]),
            kv_heads=int(row["kv_heads"]),
            head_size=int(row["head_size"]),
            vocabulary=int(row["vocabulary"]),
            experts=int(row["experts"] or 0),
            experts_per_token=int(row["experts_per_token"] or 0),
            latent_kv=int(row["latent_kv"] or 0),
            window_share=float(row["window_share"] or 1),
            source=row["source"],
        )
        found[plain(entry.name)] = entry
    return found


def suggest(name: str, count: int = 3) -> Sequence[str]:
    """Return published names that look most like a misspelt one, best first."""
    return [known()[near].name for near in get_close_matches(plain(name), known(), n=count, cutoff=0.7)]


def architecture(
    *,
    family: Family,
    params: float | None,
    active: float | None = None,
    layers: int | None = None,
    hidden: int | None = None,
    heads: int | None = None,
    kv_heads: int | None = None,
    vocabulary: int | None = None,
    forward_flops: float | None = None,
    name: str = "",
) -> Architecture:
    """Return a complete shape: given sizes first, then those published for the name, then the usual ones for the size."""
    book = known().get(plain(name))
    if book is not None and params is not None and not 0.8 < book.params / params < 1.25:
        book = None
    inferred: list[str] = []
    if params is None:
        if book is not None:
            params = book.params
        elif layers and hidden:
            params = 12.0 * layers * hidden * hidden + (vocabulary or 50_000) * hidden
            inferred.append("params")
        else:
            params = 1e8
            inferred.append("params")
    if active is None:
        active = book.active if book is not None else params
    if book is not None:
        layers, hidden, heads = layers or book.layers, hidden or book.hidden, heads or book.heads
        vocabulary = vocabulary or book.vocabulary
        kv_heads = kv_heads or book.kv_heads
    if layers is None or hidden is None:
        inferred += [field for field, value in (("layers", layers), ("hidden", hidden)) if value is None]
        layers, hidden = _body(active if family != "moe" else active * 0.8, layers, hidden)
    if heads is None:
        heads = max(1, hidden // (64 if hidden < 2048 else HEAD))
        inferred.append("heads")
    if kv_heads is None:
        kv_heads = heads if params < 5e10 and family != "moe" else max(1, min(heads, 8))
        inferred.append("kv_heads")
    if vocabulary is None:
        vocabulary = 50_304 if family != "moe" else 128_000
        if family in ("vision", "diffusion"):
            vocabulary = 0
        inferred.append("vocabulary")
    head_size = book.head_size if book is not None else max(1, hidden // heads)
    experts = book.experts if book is not None else (64 if family == "moe" else 0)
    per_token = book.experts_per_token if book is not None else (TYPICAL_EXPERTS if family == "moe" else 0)
    return Architecture(
        family=family,
        params=params,
        active=min(active, params),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        vocabulary=vocabulary,
        head_size=head_size,
        experts=experts,
        experts_per_token=per_token,
        latent_kv=book.latent_kv if book is not None else 0,
        window_share=book.window_share if book is not None else 1.0,
        forward_flops=forward_flops,
        name=name,
        inferred=tuple(inferred),
    )


def _body(params: float, layers: int | None, hidden: int | None) -> tuple[int, int]:
    """Return layers and hidden size from 12·layers·hidden² parameters and the usual aspect."""
    if hidden is not None:
        return max(1, round(params / (12.0 * hidden * hidden))), hidden
    if layers is None:
        layers = max(2, round((params / (12.0 * ASPECT * ASPECT)) ** (1.0 / 3.0)))
    return layers, max(64, 64 * round((params / (12.0 * layers)) ** 0.5 / 64))
