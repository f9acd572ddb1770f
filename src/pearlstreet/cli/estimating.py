"""Estimates before anything runs: one question, or a whole file of runs. No center is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.base.amounts import amount
from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import plural, text
from pearlstreet.base.units import format_range
from pearlstreet.cli.accounts import Json
from pearlstreet.cli.output import done, facts, say, show_json, table, warn

if TYPE_CHECKING:
    from pearlstreet.compute.estimate.band import Band
from pearlstreet.compute.estimate.estimators import Layout, ServingEstimate, TrainingEstimate

estimate = typer.Typer(
    help="How long a run takes and what it needs, before it runs; no center is needed.", no_args_is_help=True
)
SHOWN = 8

Name = Annotated[str, typer.Option("--model", "-m", help="A published model, e.g. 'Llama 3.1 8B'")]
Params = Annotated[str | None, typer.Option(help="Parameters, e.g. 7B")]
Active = Annotated[str | None, typer.Option(help="Parameters that a token meets, of a mixture of experts")]
Family = Annotated[str, typer.Option(help="dense-transformer, moe, encoder, vision, diffusion or other")]
Layers = Annotated[int | None, typer.Option(help="Layers")]
Hidden = Annotated[int | None, typer.Option(help="Hidden size")]
Heads = Annotated[int | None, typer.Option(help="Attention heads")]
KvHeads = Annotated[int | None, typer.Option(help="Heads of keys and values")]
Vocabulary = Annotated[int | None, typer.Option(help="Size of the vocabulary")]
Accelerator = Annotated[
    str, typer.Option("--accelerator", "-a", help="Accelerator of the catalogue, e.g. H100-80G")
]
Count = Annotated[int, typer.Option("--count", "-n", help="How many accelerators")]
PerNode = Annotated[int | None, typer.Option(help="Accelerators that share the fastest links")]
Network = Annotated[
    float | None, typer.Option(help="Network between nodes, GB/s of each accelerator, one direction")
]
Precision = Annotated[str, typer.Option("--precision", "-p", help="bf16, fp16, fp8, int8, fp4, tf32, fp32")]
Tensor = Annotated[int | None, typer.Option("--tp", help="Fix tensor parallelism")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(estimate, name="estimate")


@estimate.command("file")
def file_of_runs(
    runs: Annotated[Path, typer.Argument(help="CSV of runs", metavar="RUNS.csv")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where predictions are written (default: standard output)"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing when any row is wrong")] = False,
) -> None:
    """Predict every metric that applies to each row of a CSV of training, inference, iteration or memory rows."""
    from pearlstreet.compute.estimate.runs import predict, where, write

    try:
        content = runs.read_bytes()
    except OSError as error:
        raise InvalidInput(
            text("{file} cannot be read: {reason}", file=runs, reason=error.strerror or str(error))
        ) from error
    answer = predict(content)
    if answer.wrong and (strict or not answer.predictions):
        raise InvalidInput(
            text("Rows of {file} are wrong; nothing was written", file=runs), problems=answer.wrong
        )
    for problem in (*answer.wrong, *answer.skipped):
        warn(text("{where}: {what}", where=where(problem), what=problem.message))
    written = write(answer.predictions)
    if out is None:
        typer.echo(written, nl=False)
    else:
        try:
            out.write_text(written, encoding="utf-8")
        except OSError as error:
            raise InvalidInput(
                text("{file} cannot be written: {reason}", file=out, reason=error.strerror or str(error))
            ) from error
        rows = plural("{count} row", "{count} rows", count=answer.rows)
        done(plural("{count} prediction for {rows} is in {file}", "{count} predictions for {rows} are in {file}",
                    count=len(answer.predictions), rows=rows, file=out))  # fmt: skip


@estimate.command("train")
def train(
    accelerator: Accelerator,
    count: Count = 8,
    model: Name = "",
    params: Params = None,
    active: Active = None,
    family: Family = "",
    layers: Layers = None,
    hidden: Hidden = None,
    heads: Heads = None,
    kv_heads: KvHeads = None,
    vocabulary: Vocabulary = None,
    forward_gflops: Annotated[
        float | None, typer.Option(help="10⁹ operations of one sample's forward pass, where samples count")
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="Tokens to train on, e.g. 300B")] = None,
    samples: Annotated[str | None, typer.Option(help="Samples to train on, e.g. 1.2M")] = None,
    epochs: Annotated[float, typer.Option(help="Passes over them")] = 1.0,
    sequence: Annotated[int | None, typer.Option(help="Tokens of a sequence")] = None,
    batch_tokens: Annotated[str | None, typer.Option(help="Tokens of a step, e.g. 4M")] = None,
    precision: Precision = "bf16",
    mode: Annotated[str, typer.Option(help="pretrain, full, sft or lora")] = "pretrain",
    per_node: PerNode = None,
    network: Network = None,
    tensor: Tensor = None,
    pipeline: Annotated[int | None, typer.Option("--pp", help="Fix pipeline parallelism")] = None,
    data: Annotated[int | None, typer.Option("--dp", help="Fix data parallelism")] = None,
    recompute: Annotated[str | None, typer.Option(help="none, selective or full")] = None,
    as_json: Json = False,
) -> None:
    """Estimate a training run: time, memory, energy, and the best ways to lay it out."""
    from pearlstreet.compute.estimate import building
    from pearlstreet.compute.estimate.estimators import estimate_training
    from pearlstreet.compute.estimate.model import Partial
    from pearlstreet.compute.hardware.catalogue import catalogue

    run = building.training(
        building.Model(
            model, family, amount("params", params), amount("active", active), layers, hidden, heads, kv_heads,
            vocabulary, None if forward_gflops is None else forward_gflops * 1e9,
        ),
        building.Machines(accelerator, count, per_node, network),
        catalogue(),
        precision=precision,
        mode=mode,
        tokens=amount("tokens", tokens),
        samples=amount("samples", samples),
        epochs=epochs,
        sequence=sequence,
        batch_tokens=amount("batch_tokens", batch_tokens),
        layout=Partial(tensor=tensor, pipeline=pipeline, data=data),
        recompute=recompute,
    )  # fmt: skip
    found = estimate_training(run)
    if as_json:
        show_json(_training_json(found))
        return
    _show_training(found)


@estimate.command("serve")
def serve(
    accelerator: Accelerator,
    count: Count = 1,
    model: Name = "",
    params: Params = None,
    active: Active = None,
    family: Family = "",
    layers: Layers = None,
    hidden: Hidden = None,
    heads: Heads = None,
    kv_heads: KvHeads = None,
    vocabulary: Vocabulary = None,
    input_tokens: Annotated[int, typer.Option("--input", help="Tokens of a prompt")] = 1024,
    output_tokens: Annotated[int, typer.Option("--output", help="Tokens of an answer")] = 256,
    concurrency: Annotated[
        float | None, typer.Option(help="Requests at once (default: as many as fit)")
    ] = None,
    requests_per_s: Annotated[
        float | None, typer.Option(help="Requests that arrive a second, at random times")
    ] = None,
    precision: Precision = "bf16",
    engine: Annotated[str, typer.Option(help="vLLM, SGLang, TensorRT-LLM, MindIE …")] = "vLLM",
    per_node: PerNode = None,
    tensor: Tensor = None,
    as_json: Json = False,
) -> None:
    """Estimate how fast a language model serves: tokens a second, time to the first token and between tokens."""
    from pearlstreet.compute.estimate import building
    from pearlstreet.compute.estimate.estimators import estimate_serving
    from pearlstreet.compute.hardware.catalogue import catalogue

    ask = building.serving(
        building.Model(
            model, family, amount("params", params), amount("active", active), layers, hidden, heads, kv_heads, vocabulary
        ),
        building.Machines(accelerator, count, per_node),
        catalogue(),
        precision=precision,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        concurrency=concurrency,
        requests_per_s=requests_per_s,
        tensor=tensor,
        engine=engine,
    )  # fmt: skip
    found = estimate_serving(ask)
    if as_json:
        show_json(_serving_json(found))
        return
    _show_serving(found)


def _show_training(found: TrainingEstimate) -> None:
    if found.unit == "token":
        facts({"Device-seconds per million tokens": _band(found.per_unit_s.times(1e6))})
    else:
        facts({"Device-seconds per sample": _band(found.per_unit_s)})
    if found.device_s is not None and found.elapsed_s is not None and found.energy_kwh is not None:
        facts(
            {
                "Device-hours": _band(found.device_s.times(1 / 3600)),
                "Elapsed hours": _band(found.elapsed_s.times(1 / 3600)),
                "IT energy, kWh": _band(found.energy_kwh),
            }
        )
    facts({"Start-up, loading and saving, s": _band(found.overhead.total_s)})
    facts({"Share of the rated peak (MFU)": f"{found.utilisation:.1%}"})
    if found.layouts:
        table(
            ("Layout", "Recomputes", "Micro-batch", "Device GiB", "Seconds a step", "Fits"),
            [
                (
                    _words(one),
                    one.recompute,
                    one.micro_batch,
                    f"{one.memory_gib:.1f}",
                    f"{one.step_s:.3g}",
                    say("yes" if one.fits else "no"),
                )
                for one in found.layouts[:SHOWN]
            ],
            right=(2, 3, 4),
        )
    if not found.fits:
        warn(text("No layout fits into the memory; the first needs least"))
    _show_notes(found)


def _show_serving(found: ServingEstimate) -> None:
    facts(
        {
            "Output tokens per second": _band(found.output_tokens_per_s),
            "Requests per second": _band(found.requests_per_s),
            "Time to the first token, ms": _band(found.ttft_s.times(1e3)),
            "Time between tokens, ms": _band(found.tpot_s.times(1e3)),
            "IT energy, Wh per 1,000 tokens": _band(found.energy_wh_per_1k_tokens),
        }
    )
    table(
        ("TP", "Replicas", "Requests at once", "Output tokens per second", "Device GiB", "Fits"),
        [
            (
                way.tensor, way.replicas, f"{way.at_once:.0f}", f"{way.output_tokens_per_s:.0f}",
                f"{way.memory / (1 << 30):.1f}", say("yes" if way.fits else "no"),
            )
            for way in found.ways[:SHOWN]
        ],
        right=(0, 1, 2, 3, 4),
    )  # fmt: skip
    _show_notes(found)


def _show_notes(found: TrainingEstimate | ServingEstimate) -> None:
    from pearlstreet.compute.estimate.assumptions import assumptions

    for reason in found.outside:
        warn(text("Outside the evidence, so the range is wider: {reason}", reason=reason))
    if (assumed := assumptions(found.assumed)) is not None:
        warn(assumed)


def _words(one: Layout) -> str:
    """Return the layout without what it does not use, in the field's letters."""
    parts = (
        ("TP", one.tensor), ("PP", one.pipeline), ("DP", one.data), ("CP", one.context), ("EP", one.expert),
        ("VP", one.virtual_stages),
    )  # fmt: skip
    used = [f"{name}{size}" for name, size in parts if size > 1]
    return "-".join([*used, f"ZeRO{one.zero}"] if one.zero else used) or "1"


def _band(band: Band) -> str:
    return format_range(band.p10, band.median, band.p90)


def _band_json(band: Band | None) -> dict[str, float] | None:
    return None if band is None else {"p10": band.p10, "median": band.median, "p90": band.p90}


def _training_json(found: TrainingEstimate) -> dict[str, object]:
    return {
        "unit": found.unit,
        "device_s_per_unit": _band_json(found.per_unit_s),
        "device_s": _band_json(found.device_s),
        "elapsed_s": _band_json(found.elapsed_s),
        "overhead_s": _band_json(found.overhead.total_s),
        "it_energy_kwh": _band_json(found.energy_kwh),
        "flops_per_unit": found.flops_per_unit,
        "utilisation": found.utilisation,
        "fits": found.fits,
        "layouts": [_layout_json(one) for one in found.layouts],
        "outside_evidence": [str(reason) for reason in found.outside],
        "assumed": list(dict.fromkeys(found.assumed)),
    }


def _layout_json(one: Layout) -> dict[str, object]:
    names = ("tensor", "pipeline", "data", "context", "expert", "zero", "recompute", "micro_batch", "virtual_stages",
             "memory_gib", "fits", "step_s", "shares")  # fmt: skip
    return {name: getattr(one, name) for name in names}


def _serving_json(found: ServingEstimate) -> dict[str, object]:
    way_names = ("tensor", "replicas", "at_once", "output_tokens_per_s", "ttft_s", "tpot_s", "memory", "fits")
    return {
        "output_tokens_per_s": _band_json(found.output_tokens_per_s),
        "total_tokens_per_s": _band_json(found.total_tokens_per_s),
        "requests_per_s": _band_json(found.requests_per_s),
        "ttft_s": _band_json(found.ttft_s),
        "tpot_s": _band_json(found.tpot_s),
        "overhead_s": _band_json(found.overhead.total_s),
        "it_energy_wh_per_1k_tokens": _band_json(found.energy_wh_per_1k_tokens),
        "ways": [{name: getattr(way, name) for name in way_names} for way in found.ways],
        "outside_evidence": [str(reason) for reason in found.outside],
        "assumed": list(dict.fromkeys(found.assumed)),
    }
