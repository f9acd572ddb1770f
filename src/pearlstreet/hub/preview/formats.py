"""PURE choice of the reader for a file, by the ending of its name."""

from __future__ import annotations

from enum import StrEnum

PICKLE_ENDINGS = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".dill", ".npy", ".npz")
"""Endings of files that are, or can hold, pickles."""


class Format(StrEnum):
    """Reader of a file. Its number goes up when its results change, so that kept previews are made again."""

    PARQUET = "parquet:1"
    CSV = "csv:1"
    JSON_LINES = "jsonl:1"
    SAFETENSORS = "safetensors:1"
    PICKLE = "pickle:1"
    PLAIN = "plain:1"
    """Text, an image or sound; a pickle if its first bytes are those of one."""


_ENDINGS = (
    (".parquet", Format.PARQUET),
    (".csv", Format.CSV),
    (".tsv", Format.CSV),
    (".jsonl", Format.JSON_LINES),
    (".ndjson", Format.JSON_LINES),
    (".safetensors", Format.SAFETENSORS),
    *((ending, Format.PICKLE) for ending in PICKLE_ENDINGS),
)


def format_of(path: str) -> Format:
    """Return the reader for a file; the ending `.gz` behind CSV and JSON lines is passed over."""
    name = path.lower()
    plain = name.removesuffix(".gz")
    for ending, found in _ENDINGS:
        if name.endswith(ending) or (found in (Format.CSV, Format.JSON_LINES) and plain.endswith(ending)):
            return found
    return Format.PLAIN
