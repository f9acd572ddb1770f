"""`predict`: what is read of a file of runs, what is not, and what is said of what is wrong."""

from __future__ import annotations

import csv
import io

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.estimate.runs import Answer, predict, write
from pearlstreet.compute.estimate.table import READ

TRAINING = {
    "id": "a", "model": "Llama 2 7B", "family": "dense-transformer", "params_total_b": "6.74",
    "params_active_b": "6.74", "layers": "32", "hidden": "4096", "heads": "32", "seq_len": "4096", "vocab": "32000",
    "global_batch_tokens": "4194304", "accelerator": "a100-sxm-80g", "accel_count": "64", "precision": "bf16",
    "training_mode": "pretrain", "tp": "1", "pp": "1", "dp": "64", "parallelism_other": "", "interconnect": "",
    "activation_recompute": "", "fwd_gflops_per_sample": "",
}  # fmt: skip
INFERENCE = {
    "id": "b", "model": "Llama 3.1 8B", "family": "dense-transformer", "params_total_b": "8.03", "params_active_b": "8.03",
    "accelerator": "h100-sxm", "accel_count": "1", "tp": "1", "pp": "1", "engine": "TensorRT-LLM", "precision": "fp8",
    "scenario": "offline max throughput", "input_len": "1000", "output_len": "1000", "concurrency": "unbounded",
}  # fmt: skip
ITERATION = {
    "params_b": "18.4", "accel_count": "256", "global_batch": "1024", "micro_batch": "8", "hidden": "6144", "heads": "48",
    "layers": "40", "seq_len": "2048", "tp": "8", "dp": "32", "pp": "1", "accelerator": "a100-sxm-80g",
}  # fmt: skip
MEMORY = {
    "id": "m", "model": "Llama 3.1 8B", "params_total_b": "8.03", "layers": "32", "hidden": "4096", "heads": "32",
    "seq_len": "8192", "vocab": "128256", "micro_batch": "2", "accelerator": "h100-sxm", "accel_count": "8", "tp": "1",
    "pp": "1", "dp": "8", "sharding": "FSDP2", "activation_recompute": "selective", "precision": "bf16",
    "component": "peak reserved",
}  # fmt: skip
KINDS = {"training": TRAINING, "inference": INFERENCE, "iteration": ITERATION, "memory": MEMORY}
OUTCOMES = (
    "reported_days", "reported_accelerator_hours", "reported_tflops_per_gpu", "reported_mfu",
    "reported_tokens_per_s_per_accel", "reported_samples_per_s", "reported_memory_gib", "reported_energy_mwh",
    "reported_co2e_t", "obs_accel_s_per_mtoken", "obs_accel_s_per_sample", "obs_derivation", "obs_quality",
    "output_tokens_per_s", "total_tokens_per_s", "output_tokens_per_s_per_accel", "samples_per_s", "ttft_ms_mean",
    "tpot_ms_mean", "prefill_ms", "decode_ms_per_token", "iteration_ms", "memory_gib", "notes", "source_title",
    "source_locator", "source_kind", "source", "verified", "recalled_fields", "score_exclude", "group_key",
)  # fmt: skip


def table(*rows: dict[str, str]) -> str:
    """CSV of the rows."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def metrics(answer: Answer) -> dict[str, float]:
    return {line.metric: line.band.median for line in answer.predictions}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_observed_changes_nothing(kind: str) -> None:
    """Every column with an outcome, filled with anything at all, or absent: the answer is the same to the letter."""
    plain = write(predict(table(KINDS[kind])).predictions)
    for filling in ("1", "123456", "-7", "nonsense", "a100 took 3 days"):
        filled = KINDS[kind] | dict.fromkeys(OUTCOMES, filling)
        assert write(predict(table(filled)).predictions) == plain
    assert plain.count("\n") > 1


def test_no_column_with_an_outcome_is_readable() -> None:
    for names in READ.values():
        assert not names & set(OUTCOMES)
        assert not [
            name for name in names if name.startswith(("reported_", "obs_", "ttft", "tpot", "source"))
        ]


def test_each_kind_has_its_metrics() -> None:
    assert set(metrics(predict(table(TRAINING)))) == {"obs_accel_s_per_mtoken"}
    assert set(metrics(predict(table(ITERATION)))) == {"iteration_ms"}
    assert set(metrics(predict(table(MEMORY)))) == {"memory_gib"}
    served = metrics(predict(table(INFERENCE)))
    assert {
        "output_tokens_per_s",
        "total_tokens_per_s",
        "samples_per_s",
        "ttft_ms_mean",
        "tpot_ms_mean",
    } <= set(served)
    assert served["total_tokens_per_s"] == pytest.approx(2 * served["output_tokens_per_s"])
    images = TRAINING | {"family": "vision", "fwd_gflops_per_sample": "8.2", "params_total_b": "0.0256", "params_active_b": "",
                         "layers": "", "hidden": "", "heads": "", "seq_len": "", "vocab": ""}  # fmt: skip
    assert set(metrics(predict(table(images)))) == {"obs_accel_s_per_sample"}


def test_a_file_without_ids_is_numbered_from_zero() -> None:
    answer = predict(table(ITERATION, ITERATION))
    assert [line.id for line in answer.predictions] == ["0", "1"]


def test_predictions_are_ordered_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(write(predict(table(INFERENCE)).predictions))))
    assert list(rows[0]) == ["id", "metric", "pred", "p10", "p90"]
    for row in rows:
        assert 0 < float(row["p10"]) <= float(row["pred"]) <= float(row["p90"])


@pytest.mark.parametrize(
    ("kind", "field", "value", "words"),
    [
        ("training", "params_total_b", "-7", "greater than zero"),
        ("training", "params_total_b", "nan", "not a number"),
        ("training", "params_total_b", "inf", "not a number"),
        ("training", "params_total_b", "1e30", "beyond anything"),
        ("training", "layers", "3.5", "whole number"),
        ("training", "accel_count", "0", "greater than zero"),
        ("training", "accel_count", "many", "not a number"),
        ("training", "params_active_b", "70", "more than all"),
        ("training", "family", "astrology", "no known family"),
        ("training", "precision", "fp3", "no known precision"),
        ("training", "training_mode", "osmosis", "no known mode"),
        ("training", "tp", "128", "there are 64"),
        ("training", "heads", "9999", "do not fit"),
        ("inference", "concurrency", "lots", "no number of requests"),
        ("inference", "tp", "4", "there are 1"),
        ("inference", "input_len", "-1", "greater than zero"),
        ("iteration", "micro_batch", "512", "more than the batch"),
        ("iteration", "global_batch", "", "empty"),
        ("memory", "component", "", "empty"),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_field(kind: str, field: str, value: str, words: str) -> None:
    bad = KINDS[kind] | {field: value}
    answer = predict(table(KINDS[kind], bad))
    named = [problem for problem in answer.wrong if problem.line == 3 and words in str(problem.message)]
    assert named, answer
    assert field == "tp" or any(problem.field == field for problem in named)
    assert {line.id for line in answer.predictions} == {KINDS[kind].get("id", "0")}


def test_an_unknown_accelerator_is_named_and_the_others_are_answered() -> None:
    answer = predict(table(TRAINING, TRAINING | {"id": "z", "accelerator": "h1000-sxm"}))
    (skipped,) = answer.skipped
    assert skipped.field == "accelerator"
    assert "h1000-sxm" in str(skipped.message)
    assert {line.id for line in answer.predictions} == {"a"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "fit no kind"),
        (b"name,age\nx,3\n", "fit no kind"),
        (b"\xff\xfe\x00training_mode", "UTF-8"),
        (b"training_mode,family\npretrain,moe\n", "header"),
        (b"training_mode,accelerator,params_total_b,accelerator\np,a,1,a\n", "header"),
        (b'training_mode,accelerator,params_total_b\npretrain,"a100\n', "not CSV"),
        (b"training_mode,accelerator,params_total_b\npretrain,a\x00b,7\n", "accelerator"),
    ],
)
def test_a_broken_file_is_explained(content: bytes, words: str) -> None:
    try:
        answer = predict(content)
    except InvalidInput as error:
        said = f"{error.message} {[(problem.field, str(problem.message)) for problem in error.problems]}"
    else:
        said = f"{[(problem.field, str(problem.message)) for problem in (*answer.wrong, *answer.skipped)]}"
        assert not answer.predictions
    assert words in said


def test_a_batch_too_small_for_its_devices_is_answered_all_the_same() -> None:
    odd = TRAINING | {"accel_count": "97", "tp": "", "pp": "", "dp": "", "global_batch_tokens": "8192"}
    assert metrics(predict(table(odd)))["obs_accel_s_per_mtoken"] > 0


def test_a_short_row_is_named() -> None:
    content = table(TRAINING) + "only,three,cells\n"
    answer = predict(content)
    assert [problem.line for problem in answer.wrong] == [3]
    assert answer.predictions


@pytest.mark.parametrize("line", ['b,"unclosed\n', 'b,"closed"x,1\n', "\xff\xfe,b\n"])
def test_an_unreadable_line_is_named_and_the_rows_after_it_are_answered(line: str) -> None:
    rows = table(TRAINING | {"id": "first"}, TRAINING | {"id": "last"}).splitlines(keepends=True)
    content = "".join([*rows[:2], line, *rows[2:]]).encode("latin-1")
    answer = predict(content)
    assert {found.id for found in answer.predictions} == {"first", "last"}
    assert [problem.line for problem in answer.wrong] == [3]


def test_a_cell_may_span_lines() -> None:
    rows = table(TRAINING | {"model": "two\nlines"}, TRAINING | {"id": "last"})
    answer = predict(rows)
    assert not answer.wrong and {found.id for found in answer.predictions} == {"a", "last"}


@pytest.mark.parametrize(
    ("said", "meant"),
    [("Pre-Training", "pretrain"), ("fine_tuning", "full"), ("Full Fine-Tuning", "full"), ("PEFT", "lora"),
     ("LoRA", "lora"), ("instruction tuning", "sft"), ("time-to-train", "pretrain-to-target")],
)  # fmt: skip
def test_training_modes_go_by_the_fields_other_names(said: str, meant: str) -> None:
    by_synonym = predict(table(TRAINING | {"training_mode": said}))
    by_name = predict(table(TRAINING | {"training_mode": meant}))
    assert metrics(by_synonym) == metrics(by_name) != {}


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    plain = table(TRAINING)
    assert (
        predict(("\ufeff" + plain.replace("\n", "\r\n")).encode()).predictions == predict(plain).predictions
    )
