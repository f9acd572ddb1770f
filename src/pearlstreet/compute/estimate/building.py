"""Builds the input of an estimate from plain values of a command line or form; every problem is reported by field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.base.units import format_short
from pearlstreet.compute.estimate import devices
from pearlstreet.compute.estimate.model import (
    FAMILIES,
    PRECISIONS,
    RECOMPUTES,
    Architecture,
    Family,
    Hardware,
    Partial,
    Recompute,
    Serving,
    Training,
)
from pearlstreet.compute.estimate.reading import TYPICAL_BATCH_TOKENS, TYPICAL_SAMPLES
from pearlstreet.compute.estimate.shapes import architecture, known, plain, suggest
from pearlstreet.compute.estimate.training_modes import MODE_OF, read_purpose
from pearlstreet.compute.hardware.catalogue import Catalogue

TRAINED = ("pretrain", "full", "lora", "sft")
"""Purposes that a person may ask for; others are measurements."""
MOST = 1e20
MOST_DEVICES = 1_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """Known facts of the model. Parameters are a plain number, not billions."""

    name: str = ""
    family: str = ""
    params: float | None = None
    active: float | None = None
    layers: int | None = None
    hidden: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    vocabulary: int | None = None
    forward_flops: float | None = None
    """Operations of the forward pass of one sample."""


@dataclass(frozen=True, slots=True)
class Machines:
    """Hardware that the workload shall run on."""

    accelerator: str
    count: int = 1
    per_node: int | None = None
    network_gbs: float | None = None
    """A device's share of the network between nodes, 10⁹ bytes/s, one direction."""


@dataclass(slots=True)
class _Checks:
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, name: str, message: Text, hint: Text | None = None) -> None:
        self.problems.append(Problem(name, message, hint=hint))

    def positive(self, values: Mapping[str, float | None]) -> None:
        for name, value in values.items():
            if value is None:
                continue
            if not value > 0 or value == math.inf:
                self.wrong(name, text("{value} must be greater than zero", value=format_short(value)))
            elif value > MOST:
                self.wrong(name, text("{value} is beyond anything that exists", value=format_short(value)))

    def one_of(self, name: str, value: str, choices: tuple[str, ...]) -> bool:
        if value in choices:
            return True
        self.wrong(
            name,
            text("{value} is none of the choices", value=repr(value)),
            text("Known are {names}", names=", ".join(choices)),
        )
        return False

    def done(self) -> None:
        if self.problems:
            raise InvalidInput(text("The estimate cannot be made from these fields"), problems=self.problems)


def training(
    model: Model,
    machines: Machines,
    book: Catalogue,
    *,
    precision: str = "bf16",
    mode: str = "pretrain",
    tokens: float | None = None,
    samples: float | None = None,
    epochs: float = 1.0,
    sequence: int | None = None,
    batch_tokens: float | None = None,
    layout: Partial = Partial(),  # noqa: B008  a frozen value
    recompute: str | None = None,
    recipe: str = "",
) -> Training:
    """Return a training run. Raises InvalidInput with every field that is wrong."""
    checks = _Checks()
    checks.positive(
        {
            "tokens": tokens, "samples": samples, "epochs": epochs, "sequence": sequence, "batch_tokens": batch_tokens,
            "tensor": layout.tensor, "pipeline": layout.pipeline, "data": layout.data, "micro_batch": layout.micro_batch,
        }
    )  # fmt: skip
    purpose = read_purpose(mode)
    checks.one_of("mode", purpose if purpose in TRAINED else mode, TRAINED)
    if recompute is not None:
        checks.one_of("recompute", recompute, RECOMPUTES)
    if tokens is not None and samples is not None:
        checks.wrong("samples", text("Give tokens or samples, not both"))
    shape = _shape(model, checks)
    hardware = _hardware(machines, precision, book, checks)
    taken = (layout.tensor or 1) * (layout.pipeline or 1) * (layout.data or 1)
    if hardware is not None and taken > hardware.count:
        checks.wrong(
            "tensor",
            text(
                "The layout takes {taken} accelerators; there are {count}", taken=taken, count=hardware.count
            ),
        )
    if batch_tokens is not None and sequence is not None and 0 < batch_tokens < sequence:
        checks.wrong(
            "batch_tokens",
            text("A batch of {batch} tokens is shorter than a sequence of {sequence}",
                 batch=f"{batch_tokens:g}", sequence=sequence),
        )  # fmt: skip
    checks.done()
    if shape is None or hardware is None:
        raise InvalidInput(text("The estimate cannot be made from these fields"))
    assumed = [
        name for name, value in (("sequence", sequence), ("batch_tokens", batch_tokens)) if value is None
    ]
    length = sequence or (512 if shape.family == "encoder" else 4096)
    batch = batch_tokens or _batch(shape, length, hardware.count)
    level: Recompute | None = recompute  # type: ignore[assignment]
    return Training(
        architecture=shape,
        hardware=hardware,
        precision=precision,
        mode=MODE_OF.get(purpose or "", "pretrain"),
        sequence=length,
        batch=max(1.0, batch / length),
        tokens=None if tokens is None else tokens * epochs,
        samples=None if samples is None else samples * epochs,
        layout=Partial(
            tensor=layout.tensor,
            pipeline=layout.pipeline,
            data=layout.data,
            context=layout.context,
            expert=layout.expert,
            micro_batch=layout.micro_batch,
            virtual_stages=layout.virtual_stages,
            zero=layout.zero,
            recompute=level,
            sequence_parallel=layout.sequence_parallel,
        ),
        recipe=recipe,
        purpose={"lora": "lora", "full": "sft", "sft": "sft"}.get(purpose or "", "pretrain"),
        assumed=tuple(assumed),
    )


def serving(
    model: Model,
    machines: Machines,
    book: Catalogue,
    *,
    precision: str = "bf16",
    input_tokens: int = 1024,
    output_tokens: int = 256,
    concurrency: float | None = None,
    requests_per_s: float | None = None,
    tensor: int | None = None,
    engine: str = "vLLM",
) -> Serving:
    """Return a way to serve. Raises InvalidInput with every field that is wrong."""
    checks = _Checks()
    checks.positive(
        {
            "input_tokens": input_tokens, "output_tokens": output_tokens, "concurrency": concurrency,
            "requests_per_s": requests_per_s, "tensor": tensor,
        }
    )  # fmt: skip
    shape = _shape(model, checks)
    if shape is not None and shape.family not in ("dense-transformer", "moe"):
        checks.wrong("family", text("Only language models are served token by token"))
    hardware = _hardware(machines, precision, book, checks)
    if hardware is not None and tensor is not None and tensor > hardware.count:
        checks.wrong(
            "tensor",
            text(
                "The layout takes {taken} accelerators; there are {count}", taken=tensor, count=hardware.count
            ),
        )
    checks.done()
    if shape is None or hardware is None:
        raise InvalidInput(text("The estimate cannot be made from these fields"))
    return Serving(
        architecture=shape,
        hardware=hardware,
        precision=precision,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        concurrency=concurrency,
        tensor=tensor,
        engine=engine,
        requests_per_s=requests_per_s,
    )


def _shape(model: Model, checks: _Checks) -> Architecture | None:
    before = len(checks.problems)
    checks.positive(
        {
            "params": model.params, "active": model.active, "layers": model.layers, "hidden": model.hidden,
            "heads": model.heads, "kv_heads": model.kv_heads, "vocabulary": model.vocabulary,
            "forward_flops": model.forward_flops,
        }
    )  # fmt: skip
    published = known().get(plain(model.name)) if model.name else None
    if model.name and published is None and model.params is None and not (model.layers and model.hidden):
        checks.wrong(
            "name",
            text("No published architecture is called {name}", name=repr(model.name)),
            text("Did you mean {names}?", names=", ".join(near))
            if (near := suggest(model.name))
            else text("Give its parameters, or its layers and hidden size"),
        )
    elif not (published or model.params or model.forward_flops or (model.layers and model.hidden)):
        checks.wrong("params", text("Nothing says how large the model is"))
    if model.params and model.active and model.active > model.params:
        checks.wrong(
            "active",
            text(
                "{active} active parameters are more than all {total}",
                active=f"{model.active:g}",
                total=f"{model.params:g}",
            ),
        )
    family = model.family or (
        published.family if published else "moe" if _routed(model) else "dense-transformer"
    )
    if not checks.one_of("family", family, FAMILIES) or len(checks.problems) > before:
        return None
    kind: Family = family  # type: ignore[assignment]
    return architecture(
        family=kind,
        params=model.params,
        active=model.active,
        layers=model.layers,
        hidden=model.hidden,
        heads=model.heads,
        kv_heads=model.kv_heads,
        vocabulary=model.vocabulary,
        forward_flops=model.forward_flops,
        name=model.name,
    )


def _routed(model: Model) -> bool:
    return bool(model.params and model.active and model.active < model.params * 0.95)


def _hardware(machines: Machines, precision: str, book: Catalogue, checks: _Checks) -> Hardware | None:
    before = len(checks.problems)
    checks.one_of("precision", precision, PRECISIONS)
    checks.positive(
        {"count": machines.count, "per_node": machines.per_node, "network_gbs": machines.network_gbs}
    )
    if machines.count > MOST_DEVICES:
        checks.wrong("count", text("{value} is beyond anything that exists", value=machines.count))
    entry = devices.find(machines.accelerator, book)
    if entry is None:
        near = book.suggest(machines.accelerator)
        checks.wrong(
            "accelerator",
            text("The catalogue has no accelerator called {name}", name=repr(machines.accelerator)),
            text("Did you mean {names}?", names=", ".join(near)) if near else None,
        )
    if entry is None or len(checks.problems) > before:
        return None
    found = devices.device(
        entry, precision, machines.count, book, per_node=machines.per_node, network_gbs=machines.network_gbs
    )
    if found is None:
        checks.wrong("accelerator", text("The catalogue knows no figure of {name}", name=entry.id))
    return found


def _batch(shape: Architecture, sequence: int, count: int) -> float:
    """Return tokens of a usual step, at least one sequence a device."""
    if shape.family in ("encoder", "vision", "diffusion"):
        return TYPICAL_SAMPLES * count * sequence
    return max(
        next(
            (tokens for limit, tokens in TYPICAL_BATCH_TOKENS if shape.params <= limit),
            TYPICAL_BATCH_TOKENS[-1][1],
        ),
        count * sequence,
    )
