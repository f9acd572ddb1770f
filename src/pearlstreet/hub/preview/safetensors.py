"""PURE reading of safetensors files: tensors and parameter counts from the header alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import BinaryIO, TypeGuard

HEADER_BYTES_MAX = 16 << 20
TENSORS_SHOWN = 1000
METADATA_SHOWN = 50
VALUE_CHARACTERS = 300
DIMENSIONS_MAX = 16
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6,
    "F4": 4, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64,
}  # fmt: skip
"""Bits of a value of each data type."""


class BrokenFile(ValueError):
    """The file is not what its name says, or its parts contradict each other."""


def read_safetensors(file: BinaryIO, size_bytes: int) -> dict[str, object]:
    """Return tensors, parameters by data type and metadata of a file. Raises BrokenFile."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= min(HEADER_BYTES_MAX, size_bytes - 8):
        raise BrokenFile("the length of the header is wrong")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise BrokenFile("the header is not JSON") from None
    if not isinstance(header, dict):
        raise BrokenFile("the header is not a table of tensors")
    said = header.pop("__metadata__", {})
    tensors, parameters = [], Counter[str]()
    for name, facts in header.items():
        dtype, shape = _tensor(name, facts, size_bytes - 8 - length)
        parameters[dtype] += prod(shape)
        tensors.append({"name": name[:VALUE_CHARACTERS], "dtype": dtype, "shape": shape})
    metadata = {str(key)[:100]: str(value)[:VALUE_CHARACTERS] for key, value in _items(said)}
    return {
        "kind": "safetensors",
        "parameters": dict(parameters),
        "total": sum(parameters.values()),
        "tensors": tensors[:TENSORS_SHOWN],
        "tensor_count": len(tensors),
        "metadata": metadata,
    }


def _items(said: object) -> list[tuple[object, object]]:
    return list(said.items())[:METADATA_SHOWN] if isinstance(said, dict) else []


def _tensor(name: str, facts: object, data_bytes: int) -> tuple[str, list[int]]:
    """Return data type and shape of a tensor whose size fits its place in the file."""
    if isinstance(facts, Mapping):
        dtype, shape, place = facts.get("dtype"), facts.get("shape"), facts.get("data_offsets")
        if (
            isinstance(dtype, str)
            and dtype in BITS
            and _are_sizes(shape)
            and len(shape) <= DIMENSIONS_MAX
            and _are_sizes(place)
            and len(place) == 2
            and place[0] <= place[1] <= data_bytes
            and (place[1] - place[0]) * 8 == prod(shape) * BITS[dtype]
        ):
            return dtype, shape
    raise BrokenFile(f"the tensor {name[:100]!a} has no right type, shape and place")


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 62 for one in value)
