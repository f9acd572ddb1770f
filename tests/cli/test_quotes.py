"""Quotes by the commands: one line asks, one accepts, one compares."""

from __future__ import annotations

from pathlib import Path

from tests.cli.center import Center, Pearl, until

MEASURED = ("--measured-on", "1xH100-80G", "--hours", "0.002", "--accelerator", "H100", "--most", "1")


def test_ask_accept_and_compare(center: Center, ada: Pearl, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("command: python train.py\nsimulate: 1s\n")
    shown = ada.right("quote", "ask", *MEASURED, "--", "true")
    assert "1 h100-sxm-80g" in shown.out
    assert "cheapest" in shown.out
    assert "pearl quote accept quo_" in shown.err
    quote = ada.right("quote", "ask", str(file), *MEASURED, "--json").value["id"]
    assert quote in ada.right("quote", "list").out
    detail = ada.right("quote", "show", quote, "--offer", "cheapest").out
    assert '"accelerator": "h100-sxm-80g"' in detail
    accepted = ada.right("quote", "accept", quote, "cheapest", "--json").value
    job = accepted["job"]["id"]
    until(lambda: ada.right("job", job, "--json").value["ended"])
    compared = ada.right("quote", "compare", quote)
    assert "Run time" in compared.out
    assert ada.right("quote", "compare", quote, "--json").value["is_over"]
    again = ada("quote", "accept", quote, "1")
    assert again.code != 0
    assert job in again.err


def test_a_job_file_keeps_what_offers_do_not_decide(ada: Pearl, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(
        "name: tune\ncommand: python train.py\ntime_limit: 2h\nper_task: {accelerator: H100, count: 8, cpus: 3}\n"
    )
    answer = ada.right(
        "quote", "ask", str(file), "-m", "Llama 3.1 8B", "--tokens", "10M", "--mode", "lora", "--json"
    )
    assert "time_limit" in answer.err
    assert "per_task.accelerator" in answer.err
    offer = answer.value["offers"][0]
    assert offer["job"]["per_task"]["cpus"] == 3
    assert offer["job"]["name"] == "tune"
    ada.right("quote", "withdraw", answer.value["id"])
    assert ada("quote", "accept", answer.value["id"], "1").code != 0


def test_to_plan_with(center: Center, ada: Pearl) -> None:
    shown = ada.right("quote", "ask", "-m", "Llama 3.1 8B", "--requests-per-s", "2")
    assert "per 10⁶ tokens" in shown.out
    assert "to plan with" in shown.err
    planned = ada.right(
        "quote",
        "ask",
        "-m",
        "Llama 3.1 70B",
        "--tokens",
        "1T",
        "--hypothetical",
        "64x8xB200",
        PEARL_LANG="zh-CN",
    )
    assert "b200" in planned.out
    assert "方案" in planned.out
    scenario = ada.right("quote", "scenario", "1t-50-days").out
    assert "288B" in scenario
    assert "1t-50-days" in ada.right("quote", "scenario").out


def test_what_is_wrong_is_said(ada: Pearl) -> None:
    for arguments, words in (
        (("-m", "Lama 9", "--tokens", "1B"), "Lama 9"),
        (("-m", "Llama 3.1 8B", "--tokens", "-5"), "-5"),
        (("-m", "Llama 3.1 8B"), "tokens"),
        (("--measured-on", "many", "--hours", "1"), "--measured-on"),
        (("--like", "never ran"), "never ran"),
        (("-m", "Llama 3.1 8B", "--tokens", "1B", "-a", "MI300X"), "MI300X"),
    ):
        answer = ada("quote", "ask", *arguments)
        assert answer.code != 0, arguments
        assert words in answer.err, answer.err
    assert ada("quote", "show", "quo_none").code != 0


def test_the_calibration_is_shown_and_reset(center: Center, ada: Pearl) -> None:
    assert "Factor" in ada.right("calibration", "show").out
    assert ada("calibration", "reset", "--yes").code != 0
    assert (
        "are reset" in center.as_("system").right("calibration", "reset", "--device", "H100-80G", "--yes").err
    )
