"""What people write in a job specification, and what they are told when it is wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.workload.spec.model import (
    Array,
    Dependency,
    DeviceFraction,
    JobSpec,
    OutputItem,
    PerTask,
    Retries,
)
from pearlstreet.workload.spec.parse import (
    parse_json,
    parse_stored,
    parse_yaml,
    uploads_wanted,
    with_uploads,
)
from pearlstreet.workload.spec.write import spec_digest, to_json

UPLOAD = "upl_01k8m3v5q2e7r9t0w4y6z8a1b3"
JOB = "job_01k8m3v5q2e7r9t0w4y6z8a1b3"


def problems(value: dict[str, Any], **options: bool) -> list[Problem]:
    """The problems of a specification that only lacks nothing but a command."""
    with pytest.raises(InvalidInput) as refused:
        parse_json({"command": "true", **value}, **options)
    return list(refused.value.problems)


def test_a_command_is_enough() -> None:
    spec = parse_json({"command": "python train.py"})
    assert spec == JobSpec(command=("/bin/sh", "-c", "python train.py"))
    assert spec.time_limit_s == 86_400
    assert spec.per_task == PerTask(accelerator=(), count=0, cpus=1, memory_gib=2)
    assert spec.network == "none"


def test_all_problems_are_told_at_once_each_with_its_place_and_a_way_out() -> None:
    source = """\
name: x
comand: python a.py
per_task:
  cout: 3
  memory_gib: 16GB
  gpus: 3
cpus: 3
network: internt
"""
    with pytest.raises(InvalidInput) as refused:
        parse_yaml(source, "job.yaml")
    told = {
        problem.field: (problem.line, problem.column, str(problem.hint)) for problem in refused.value.problems
    }
    assert told == {
        "comand": (2, 1, "Did you mean command?"),
        "per_task.cout": (4, 3, "Did you mean count?"),
        "per_task.memory_gib": (5, 3, "Write 16: the unit, GiB, is in the field's name"),
        "per_task.gpus": (6, 3, "Did you mean per_task.count?"),
        "cpus": (7, 1, "Did you mean per_task.cpus?"),
        "network": (8, 1, "Did you mean internet?"),
        "command": (1, 1, "Add command"),
    }
    assert {problem.file for problem in refused.value.problems} == {"job.yaml"}


@pytest.mark.parametrize(
    ("word", "meant"),
    [("env", "variables"), ("timeout", "time_limit"), ("image", "environment.image"), ("gpu", "per_task.count"),
     ("Name", "name"), ("time-limit", "time_limit"), ("memory", "per_task.memory_gib"), ("packages", "environment.packages"),
     ("partition", "queue"), ("prioritty", "priority")],
)  # fmt: skip
def test_words_of_other_systems_are_translated(word: str, meant: str) -> None:
    [problem] = problems({word: 1})
    assert str(problem.hint) == f"Did you mean {meant}?"


@pytest.mark.parametrize(
    ("written", "hint"),
    [("16GB", "16"), ("512M", "0.5"), ("1.5 TiB", "1536"), ("16384MiB", "16"), ("8g", "8")],
)
def test_a_size_with_a_unit_is_answered_with_the_number(written: str, hint: str) -> None:
    [problem] = problems({"per_task": {"memory_gib": written}})
    assert str(problem.hint) == f"Write {hint}: the unit, GiB, is in the field's name"


@pytest.mark.parametrize(
    ("written", "hint"), [("1:30:00", "1h30m0s"), ("2:30", "2h30m"), ("1-12:00:00", "1d12h0m0s")]
)
def test_times_of_slurm_are_answered_with_ours(written: str, hint: str) -> None:
    [problem] = problems({"time_limit": written})
    assert str(problem.hint) == f"Write {hint}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", "x" * 1_000_000),
        ("name", "a\x00b"),
        ("name", "a\nb"),
        ("name", "a\u202eb"),
        ("name", "\ud800"),
        ("name", True),
        ("name", {"a": 1}),
        ("project", "Not A Slug"),
        ("project", "-x"),
        ("labels", {"a b": "c"}),
        ("labels", {"a": "x" * 201}),
        ("labels", {f"l{i}": "" for i in range(33)}),
        ("labels", ["a"]),
        ("notes", "x" * 10_001),
        ("command", ""),
        ("command", "   "),
        ("command", []),
        ("command", ["", "x"]),
        ("command", "x" * 1_000_000),
        ("command", "a\x00b"),
        ("command", ["x"] * 1001),
        ("command", ["x" * 100_000] * 6),
        ("command", {"run": "x"}),
        ("files", [{"upload": "upl_short"}]),
        ("files", [{"upload": UPLOAD, "path": "../x"}]),
        ("files", [{"upload": UPLOAD, "path": "/etc/passwd"}]),
        ("files", [{"upload": UPLOAD, "kind": "zip"}]),
        ("files", [{"upload": UPLOAD, "path": "a"}, {"upload": UPLOAD, "path": "a"}]),
        ("files", [{}]),
        ("files", "./folder"),
        ("git", {"url": "http://github.com/x"}),
        ("git", {"url": "https://10.0.0.1/x"}),
        ("git", {"url": "https://u:p@github.com/x"}),
        ("git", {"url": "https://github.com/x", "ref": "--upload-pack=x"}),
        ("git", {"url": "https://github.com/x", "ref": "a..b"}),
        ("git", {"url": "https://github.com/x", "path": "../x"}),
        ("git", {}),
        ("environment", {}),
        ("environment", {"python": "2.7"}),
        ("environment", {"python": "3.11.4"}),
        ("environment", {"packages": ["--index-url=https://evil.org"]}),
        ("environment", {"packages": ["x @ https://evil.org/x.whl"]}),
        ("environment", {"requirements": "-r other.txt"}),
        ("environment", {"image": "x", "packages": ["numpy"]}),
        ("environment", {"image": "-v /:/host x"}),
        ("tasks", 0),
        ("tasks", 1.5),
        ("tasks", "4"),
        ("tasks", 10**400),
        ("tasks", float("nan")),
        ("per_task", {"count": 1, "fraction": {"memory_gib": 8}}),
        ("per_task", {"count": -1}),
        ("per_task", {"accelerator": "H100", "count": 0}),
        ("per_task", {"accelerator": []}),
        ("per_task", {"accelerator": ["H100", "H100"]}),
        ("per_task", {"fraction": {}}),
        ("per_task", {"fraction": {"compute_percent": 101}}),
        ("per_task", {"cpus": 0}),
        ("per_task", {"cpus": float("inf")}),
        ("per_task", 4),
        ("inputs", {"digits": {"upload": UPLOAD}}),
        ("inputs", {"A": {"upload": UPLOAD, "mount": "/etc"}}),
        ("inputs", {"A": {"upload": UPLOAD, "mount": "/d"}, "B": {"upload": UPLOAD, "mount": "/d/x"}}),
        (
            "inputs",
            {
                "A": {"upload": UPLOAD, "mount": "/d"},
                "B": {"upload": UPLOAD, "mount": "/d-old"},
                "C": {"upload": UPLOAD, "mount": "/d/x"},
            },
        ),
        ("inputs", {"A": {"upload": UPLOAD, "mount": "/"}}),
        ("inputs", {"A": {"upload": UPLOAD, "mount": "/proc/self"}}),
        ("inputs", {"A": "./digits.csv"}),
        ("outputs", ["../x"]),
        ("outputs", ["/etc/*"]),
        ("outputs", ["a/../b"]),
        ("variables", {"1A": "x"}),
        ("variables", {"A=B": "x"}),
        ("variables", {"PEARL_OUTPUTS": "x"}),
        ("variables", {"RANK": "0"}),
        ("variables", {"CUDA_VISIBLE_DEVICES": "0,1"}),
        ("variables", {"LD_PRELOAD": "x.so"}),
        ("variables", {"A": "x\x00y"}),
        ("variables", {"A": True}),
        ("variables", {"A": None}),
        ("variables", {"A": "x" * 1_000_000}),
        ("variables", {f"A{i}": "x" * 30_000 for i in range(20)}),
        ("secrets", {"PEARL_X": "x"}),
        ("secrets", {"A": "../x"}),
        ("time_limit", 0),
        ("time_limit", "31d"),
        ("time_limit", "soon"),
        ("time_limit", -5),
        ("time_limit", True),
        ("retries", 21),
        ("retries", {"on": ["rain"]}),
        ("priority", 101),
        ("priority", "urgent!"),
        ("preemptible", "yes"),
        ("array", {}),
        ("array", {"size": 5, "values": ["a"]}),
        ("array", {"size": 100_001}),
        ("array", {"size": 5, "max_running": 0}),
        ("array", 10),
        ("depends_on", ["job_x"]),
        ("depends_on", [JOB, JOB]),
        ("depends_on", [{"job": JOB, "condition": "failed"}]),
        ("network", "host"),
        ("limits", {"disk_gib": 0}),
        ("limits", {"pids": 10**9}),
        ("not_before", "tomorrow"),
        ("not_before", "2026-01-31T08:00:00"),
        ("not_before", 1_700_000_000),
        ("nothing_like_it", 1),
    ],
)
def test_what_cannot_be_right_is_refused_naming_its_field(field: str, value: Any) -> None:
    found = problems({field: value})
    assert all(problem.field.split(".")[0].split("[")[0] == field for problem in found)
    for problem in found:
        for rendered in (str(problem.message), problem.message.render("zh-CN")):
            assert rendered
            assert len(rendered) < 1500
            assert "\x00" not in rendered


@pytest.mark.parametrize("value", [None, {}, [], "python train.py", 3, True, [{"command": "true"}]])
def test_what_is_no_specification_at_all_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        parse_json(value)


def test_files_and_git_exclude_each_other() -> None:
    both = {"files": [{"upload": UPLOAD}], "git": {"url": "https://github.com/a/b"}}
    assert [problem.field for problem in problems(both)] == ["git"]


def test_a_variable_is_either_plain_or_secret() -> None:
    found = problems({"variables": {"A": "1"}, "secrets": {"A": "token"}})
    assert [problem.field for problem in found] == ["secrets.A"]


def test_a_deadline_before_the_beginning_is_refused() -> None:
    times = {"not_before": "2026-01-02T00:00:00Z", "deadline": "2026-01-01T23:59:59Z"}
    assert [problem.field for problem in problems(times)] == ["deadline"]


def test_a_bad_line_of_requirements_is_named() -> None:
    [problem] = problems({"environment": {"requirements": "numpy\n\n# comment\n-e .\n"}})
    assert str(problem.message) == "Line 4: -e is an option; only packages may be listed here"


def test_short_forms_mean_the_long_ones() -> None:
    short = parse_json(
        {
            "command": "true",
            "files": UPLOAD,
            "inputs": {"A": UPLOAD},
            "per_task": {"accelerator": "H100"},
            "retries": 2,
            "priority": "high",
            "depends_on": JOB,
            "secrets": ["TOKEN"],
            "outputs": "model",
        }
    )
    assert short.files[0].upload == short.inputs["A"].upload == UPLOAD
    assert short.per_task == PerTask(accelerator=("H100",), count=1)
    assert short.retries == Retries(max=2)
    assert short.priority == 50
    assert short.depends_on == (Dependency(JOB),)
    assert short.secrets == {"TOKEN": "TOKEN"}
    assert short.outputs == (OutputItem("model"),)


def test_a_count_without_a_model_means_any() -> None:
    assert parse_json({"command": "x", "per_task": {"count": 2}}).per_task.accelerator == ("any",)
    part = parse_json({"command": "x", "per_task": {"fraction": {"memory_gib": 4}}}).per_task
    assert part == PerTask(accelerator=("any",), fraction=DeviceFraction(memory_gib=4))


def test_numbers_written_where_text_is_wanted_stay_as_written() -> None:
    spec = parse_yaml(
        "command: x\nenvironment: {python: 3.10}\nvariables: {A: 007, B: 1e-3, C: 0x10}\narray: {values: [1.0, 2]}"
    )
    assert spec.environment is not None
    assert spec.environment.python == "3.10"
    assert spec.variables == {"A": "007", "B": "1e-3", "C": "0x10"}
    assert spec.array == Array(values=("1.0", "2"))


def test_local_paths_are_uploaded_by_the_submitter_and_refused_by_the_center() -> None:
    value = {"command": "x", "files": ["./a", "./b"], "inputs": {"A": "./a"}}
    [first, *_] = problems(value)
    assert "submitter's machine" in str(first.message)
    spec = parse_json(value, local=True)
    assert uploads_wanted(spec) == ("./a", "./b")
    sent = with_uploads(spec, {"./a": (UPLOAD, True), "./b": (UPLOAD, False)})
    assert parse_json(to_json(sent)) == sent
    assert [item.kind for item in sent.files] == ["archive", "file"]
    assert sent.inputs["A"].kind == "archive"


def test_git_of_the_inner_network_is_the_operators_choice() -> None:
    git = {"git": {"url": "http://127.0.0.1:8080/x.git"}}
    assert [problem.field for problem in problems(git)] == ["git.url"]
    assert parse_json({"command": "x", **git}, private_git=True).git is not None


def test_one_problem_is_told_in_the_message_itself_in_both_languages() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json({"command": "true", "tasks": 0})
    assert str(refused.value) == (
        "The job specification is wrong at tasks: 0 is out of range; it must be from 1 to 65,536"
    )
    assert refused.value.message.render("zh-CN").startswith("作业说明的 tasks 有误")


def test_a_thousand_mistakes_are_counted_and_not_all_listed() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json({"command": "true", **{f"field{i}": 1 for i in range(1000)}})
    assert len(refused.value.problems) == 50
    assert "1000" in str(refused.value)
    assert str(refused.value.hint) == "950 more problems are not listed"


def test_equal_meaning_gives_equal_digests() -> None:
    short = parse_json({"command": "true", "retries": 1, "tasks": 1, "time_limit": "1h"})
    long = parse_json({"command": ["/bin/sh", "-c", "true"], "retries": {"max": 1}, "time_limit": 3600.0})
    other = parse_json({"command": "true", "retries": 2, "time_limit": "1h"})
    assert spec_digest(short) == spec_digest(long) != spec_digest(other)
    assert parse_stored(to_json(short)) == short


def test_names_are_kept_in_one_unicode_form() -> None:
    assert parse_json({"command": "x", "name": "e\u0301te\u0301"}).name == "été"
    assert parse_json({"command": "x", "name": "手写数字 训练"}).name == "手写数字 训练"


def test_a_large_array_is_read_quickly() -> None:
    value = {"command": "x", "array": {"values": [f"value {i}" for i in range(100_000)]}}
    start = time.perf_counter()
    spec = parse_json(value)
    assert spec.array is not None
    assert spec.array.count == 100_000
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"inputs": {"A": {"dataset": "acme/x", "model": "acme/y"}}}, "inputs.A"),
        ({"inputs": {"A": {"dataset": "acme/x", "upload": UPLOAD}}}, "inputs.A"),
        ({"inputs": {"A": {"dataset": "acme/x", "kind": "archive"}}}, "inputs.A.kind"),
        ({"inputs": {"A": {"dataset": "../x@v1"}}}, "inputs.A.dataset"),
        ({"outputs": [{"path": "a", "model": "acme/x", "dataset": "acme/y"}]}, "outputs[0]"),
        ({"outputs": [{"path": "a", "model": "acme/x@v1"}]}, "outputs[0].model"),
        ({"outputs": [{"model": "acme/x"}]}, "outputs[0].path"),
    ],
)
def test_inputs_and_outputs_name_one_repository(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json({"command": "true", **change})
    assert [problem.field for problem in refused.value.problems] == [field]
