"""Rows of a file of runs as questions: training runs, iterations and memory points; serving is in serving_rows."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pearlstreet.base.text import text
from pearlstreet.compute.estimate import devices
from pearlstreet.compute.estimate.model import (
    FAMILIES,
    PRECISIONS,
    Architecture,
    Family,
    Hardware,
    Partial,
    Recompute,
    Training,
)
from pearlstreet.compute.estimate.shapes import architecture
from pearlstreet.compute.estimate.table import Cells
from pearlstreet.compute.estimate.training_modes import MODE_OF, PURPOSES, read_purpose
from pearlstreet.compute.hardware.catalogue import Catalogue

TYPICAL_BATCH_TOKENS = ((1e9, 0.5e6), (2e10, 2e6), (1e11, 4e6), (1e15, 8e6))
"""(largest number of parameters, tokens of one step) for models whose batch is not given."""
TYPICAL_CARDS = 1024
RECOMPUTED_FROM = 5e9
"""Number of parameters from which an iteration time that does not mention recomputation is taken to recompute everything."""
TYPICAL_SAMPLES = 32.0
"""Samples per device and step where work is measured in samples."""
_NUMBER = {
    "context": re.compile(r"\bCP\s*=?\s*(\d+)"),
    "expert": re.compile(r"\bEP\s*=?\s*(\d+)"),
    "virtual_stages": re.compile(r"\b(?:VP|interleave)\s*=?\s*(\d+)"),
    "micro_batch": re.compile(r"(?:\bmicro_batch|\bLBS)\s*=?\s*(\d+)"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A row as a question."""

    row: Cells
    run: Training
    component: str = ""
    """Part of the memory that a memory point measures."""
    sharding: str = ""


def hardware(row: Cells, book: Catalogue, precision: str, count: int) -> Hardware | None:
    """Return the row's hardware; None, with the reason in its problems, when too little is known of it."""
    name = row.word("accelerator")
    entry = devices.find(name, book) if name else None
    if entry is None:
        near = book.suggest(name)
        row.wrong(
            "accelerator",
            text("The catalogue has no accelerator called {name}", name=repr(name)),
            text("Did you mean {names}?", names=", ".join(near)) if near else None,
        )
        return None
    found = devices.device(entry, precision, count, book, interconnect=row.word("interconnect"))
    if found is None:
        row.wrong("accelerator", text("The catalogue knows no figure of {name}", name=entry.id))
    return found


def precision_of(row: Cells, default: str) -> str:
    """Return the row's number format."""
    found = row.word("precision").lower() or default
    if found not in PRECISIONS:
        row.wrong(
            "precision",
            text("{value} is no known precision", value=repr(found)),
            text("Known are {names}", names=", ".join(PRECISIONS)),
        )
        return default
    return found


def shape_of(row: Cells, *, forward_flops: float | None = None) -> Architecture | None:
    """Return the row's network; None when nothing says how large it is."""
    family = row.word("family") or "dense-transformer"
    if family not in FAMILIES:
        row.wrong(
            "family",
            text("{value} is no known family", value=repr(family)),
            text("Known are {names}", names=", ".join(FAMILIES)),
        )
        return None
    total = row.number_of("params_total_b") or row.number_of("params_b")
    active = row.number_of("params_active_b")
    if total and active and active > total * 1.02:
        row.wrong(
            "params_active_b",
            text(
                "{active} active parameters are more than all {total}",
                active=f"{active:g}",
                total=f"{total:g}",
            ),
        )
    layers, hidden, heads = row.whole("layers"), row.whole("hidden"), row.whole("heads")
    if heads and hidden and heads > hidden:
        row.wrong(
            "heads", text("{heads} heads do not fit into a width of {hidden}", heads=heads, hidden=hidden)
        )
    if total is None and not (layers and hidden) and forward_flops is None:
        row.wrong("params_total_b", text("Nothing says how large the model is"))
    if row.problems:
        return None
    kind: Family = family
    return architecture(
        family=kind,
        params=None if total is None else total * 1e9,
        active=None if active is None else active * 1e9,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=row.whole("kv_heads"),
        vocabulary=row.whole("vocab"),
        forward_flops=forward_flops,
        name=row.word("model"),
    )


def training(row: Cells, book: Catalogue) -> Question | None:
    """Return a row of training_runs; None when it cannot be asked, with the reasons in its problems."""
    gflops = row.number_of("fwd_gflops_per_sample")
    shape = shape_of(row, forward_flops=None if gflops is None else gflops * 1e9)
    purpose = read_purpose(row.word("training_mode") or "pretrain")
    if purpose is None:
        row.wrong(
            "training_mode",
            text("{value} is no known mode", value=repr(row.word("training_mode"))),
            text("Known are {names}", names=", ".join(PURPOSES)),
        )
    count = row.whole("accel_count")
    given = given_layout(row)
    assumed = [] if count else ["accel_count"]
    if count is None:
        count = (given.tensor or 1) * (given.pipeline or 1) * (given.data or 1)
        count = count if count > 1 else TYPICAL_CARDS if shape is None or shape.params > 1e9 else 8
    device = hardware(row, book, precision_of(row, "bf16"), count)
    check_layout(row, given, count)
    if shape is None or device is None or purpose is None or row.problems:
        return None
    sequence = row.whole_or("seq_len", 0)
    if not sequence:
        sequence = 512 if shape.family == "encoder" else 4096 if device.release >= 2022 else 2048
        assumed.append("seq_len")
    tokens = row.number_of("global_batch_tokens")
    if tokens is None:
        tokens = _typical_batch(shape, sequence, count)
        assumed.append("global_batch_tokens")
    billions, millions = row.number_of("tokens_b"), row.number_of("samples_m")
    return Question(
        row,
        Training(
            architecture=shape,
            hardware=device,
            precision=precision_of(row, "bf16"),
            mode=MODE_OF.get(purpose, "pretrain"),
            sequence=sequence,
            batch=max(1.0, tokens / sequence),
            tokens=None if billions is None else billions * 1e9,
            samples=None if millions is None else millions * 1e6,
            layout=given,
            purpose=purpose,
            assumed=tuple(assumed),
        ),
    )


def _typical_batch(shape: Architecture, sequence: int, count: int) -> float:
    if shape.family in ("encoder", "vision", "diffusion"):
        return TYPICAL_SAMPLES * count * sequence
    usual = next(tokens for limit, tokens in TYPICAL_BATCH_TOKENS if shape.params <= limit)
    return max(usual, float(count * sequence))


def iteration(row: Cells, book: Catalogue) -> Question | None:
    """Return a row of iteration_times."""
    shape = shape_of(row)
    count = row.whole("accel_count")
    batch = row.whole("global_batch")
    for name in ("accel_count", "global_batch", "micro_batch", "tp", "pp", "dp", "hidden", "layers"):
        if not row.word(name):
            row.wrong(name, text("The cell is empty"))
    given = given_layout(row)
    precision = precision_of(row, "fp16")
    device = hardware(row, book, precision, count or 1)
    check_layout(row, given, count or 1)
    if given.data and given.micro_batch and batch and given.data * given.micro_batch > batch:
        row.wrong(
            "micro_batch",
            text(
                "{replicas} replicas with {micro} samples each are more than the batch of {batch}",
                replicas=given.data, micro=given.micro_batch, batch=batch,
            ),
        )  # fmt: skip
    if shape is None or device is None or count is None or batch is None or row.problems:
        return None
    return Question(
        row,
        Training(
            architecture=shape,
            hardware=device,
            precision=precision,
            mode="pretrain",
            sequence=row.whole_or("seq_len", 2048),
            batch=float(batch),
            layout=replace(
                given,
                virtual_stages=1,
                zero=0,
                sequence_parallel=False,
                recompute=given.recompute or ("full" if shape.params > RECOMPUTED_FROM else "none"),
            ),
            purpose="benchmark",
        ),
    )


def memory_point(row: Cells, book: Catalogue) -> Question | None:
    """Return a row of memory_points."""
    shape = shape_of(row)
    count = row.whole("accel_count")
    sharding = row.word("sharding")
    if not row.word("component"):
        row.wrong("component", text("The cell is empty"))
    given = given_layout(row, sharding)
    precision = precision_of(row, "bf16")
    ranks = (given.tensor or 1) * (given.pipeline or 1) * (given.data or 1) * (given.context or 1)
    device = hardware(row, book, precision, count or ranks)
    check_layout(row, given, count or ranks)
    if shape is None or device is None or row.problems:
        return None
    sequence = row.whole_or("seq_len", 4096)
    data, stages = given.data or 1, given.pipeline or 1
    micro = given.micro_batch or 1
    if "local batch" in sharding:
        micro = max(1, micro // stages)
    per_stage = shape.layers // stages
    virtual = given.virtual_stages
    if virtual is None and not sharding.startswith(("FSDP", "ZeRO")) and stages > 1 and per_stage % 3 == 0:
        # Megatron interleaves three chunks a stage where they come out even, unless a file says otherwise.
        virtual = 3
    given = replace(
        given,
        tensor=given.tensor or 1,
        pipeline=stages,
        data=data,
        context=given.context or 1,
        expert=given.expert or 1,
        micro_batch=micro,
        virtual_stages=virtual or 1,
        zero=0 if given.zero is None else given.zero,
    )
    return Question(
        row,
        Training(
            architecture=shape,
            hardware=device,
            precision=precision,
            mode="pretrain",
            sequence=sequence,
            batch=float(micro * data * max(4, stages)),
            layout=given,
            purpose="benchmark",
            assumed=() if row.word("seq_len") else ("seq_len",),
        ),
        component=row.word("component"),
        sharding=sharding,
    )


def given_layout(row: Cells, sharding: str = "") -> Partial:
    """Return what the row says of its layout, in its columns and in the words of `parallelism_other`."""
    words = f"{row.word('parallelism_other')}; {sharding}"
    found = {name: int(match[1]) for name, pattern in _NUMBER.items() if (match := pattern.search(words))}
    recompute: Recompute | None = None
    said = row.word("activation_recompute").lower()
    for name in ("none", "selective", "full"):
        if said.startswith(name):
            recompute = name
    sequence_parallel: bool | None = None
    if "seqpar" in said or "sequence-parallel=true" in words.lower() or "sequence-parallel" in said:
        sequence_parallel = True
    elif "sequence-parallel=false" in words.lower():
        sequence_parallel = False
    return Partial(
        tensor=row.whole("tp"),
        pipeline=row.whole("pp"),
        data=row.whole("dp"),
        context=found.get("context") or None,
        expert=found.get("expert") or None,
        micro_batch=row.whole("micro_batch") or found.get("micro_batch") or None,
        virtual_stages=found.get("virtual_stages") or None,
        zero=zero_stage(words),
        recompute=recompute,
        sequence_parallel=sequence_parallel,
    )


def zero_stage(words: str) -> int | None:
    """Return the ZeRO stage that the words name: PyTorch's FSDP full sharding is stage 3."""
    match = re.search(r"ZeRO-?\s*(\d)", words)
    if match:
        return min(int(match[1]), 3)
    if "SHARD_GRAD_OP" in words:
        return 2
    if re.search(r"FSDP\s*=\s*0", words):
        return 1
    return 3 if "FSDP" in words else None


def check_layout(row: Cells, given: Partial, count: int) -> None:
    """Report a layout that needs more devices than there are."""
    taken = (given.tensor or 1) * (given.pipeline or 1) * (given.data or 1)
    if taken > count:
        row.wrong(
            "tp",
            text("The layout takes {taken} accelerators; there are {count}", taken=taken, count=count),
        )
