"""Traces of every format, good and bad: what comes out, and what is said about what cannot be right."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from pearlstreet.base.errors import InvalidInput
from pearlstreet.compute.replay.clusters import from_center, read_cluster
from pearlstreet.compute.replay.reading.registry import FORMATS, format_of, read_trace
from pearlstreet.compute.replay.reading.rows import PROBLEMS_MAX, Findings
from pearlstreet.compute.replay.reading.shapes import gang
from pearlstreet.compute.replay.trace import Trace

CANONICAL = "job,vc,submit,duration,gpus,user\na,red,5,10,1,ada\nb,blue,0,20.5,16,bob\n"
MURI = (
    "job_id,num_gpu,submit_time,iterations,model_name,batch_size,duration,interval,iteration_time\n"
    "7,4,1500,10,bert,4,2500,0,886\n"
)
PHILLY = (
    "timestamp,duration,num_gpus,gpu_time,cluster\n"
    "2017-10-01 00:01:00,61.0,12,1,b\n2017-10-01 00:00:45,30.0,1,30.0,a\n"
)
OPENB = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,creation_time,deletion_time,scheduled_time\n"
    "p0,12000,16384,1,460,V100M16|T4,LS,10,100,20\np1,4000,8192,0,0,,LS,11,12,11\n"
)
SEQUENCE = "pod,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np0,1000,10,2,1000,\np1,1000,10,1,1000,\n"
SLURM = (
    "JobID|User|Account|Partition|Submit|Start|End|ElapsedRaw|TimelimitRaw|NNodes|ReqTRES|State\n"
    "12|ada|phys|gpu|2026-01-01T00:00:00|2026-01-01T00:01:00|2026-01-01T01:01:00|3600|120|2|"
    "billing=16,cpu=16,gres/gpu=8,mem=64G,node=2|COMPLETED\n"
    "12.batch|||gpu|2026-01-01T00:00:00|2026-01-01T00:01:00|2026-01-01T01:01:00|3600||1||COMPLETED\n"
    "13|bob|chem|cpu|2026-01-01T00:00:10|None|Unknown|0|UNLIMITED|1|cpu=4,mem=4000M,node=1|CANCELLED\n"
    "14|bob|chem|cpu|2026-01-01T00:00:20|2026-01-01T00:00:20|2026-01-01T00:00:50|30|UNLIMITED|1|"
    "cpu=4,gres/gpu:a100=1,mem=4000M,node=1|FAILED\n"
)
SWF = (
    "; Version: 2.2\n"
    "1 0 5 100 8 -1 -1 8 200 -1 1 3 2 -1 1 -1 -1 -1\n"
    "2 10 -1 -1 -1 -1 -1 4 200 -1 5 3 2 -1 1 -1 -1 -1\n"
)
HISTORY = (
    '{"job": "job_1", "org": "acme", "project": "vision", "user": "ada", "submitted": "2026-01-01T00:00:00Z",'
    ' "duration_s": 12.5, "tasks": 2, "accelerators": ["H100"], "count": 8, "cpus": 16, "memory_gib": 128,'
    ' "priority": -5, "time_limit_s": 3600, "preemptible": true}\n'
    '{"job": "job_2", "submitted": "2026-01-01T00:00:30Z", "duration_s": 1, "fraction_memory_gib": 10}\n'
)


def read(content: str, *, per_node: int = 8, name: str | None = None, skip_bad: bool = False) -> Trace:
    findings = Findings("trace.txt", skip_bad)
    return read_trace(content.splitlines(keepends=True), findings, per_node=per_node, name=name)


def test_the_plainest_form() -> None:
    trace = read(CANONICAL)
    assert trace.ids == ("b", "a"), "by submit time"
    assert trace.submit_us.tolist() == [0, 5_000_000]
    assert trace.duration_us.tolist() == [20_500_000, 10_000_000]
    assert trace.tasks.tolist() == [2, 1]
    assert [trace.orgs[org] for org in trace.org] == ["blue", "red"]
    assert [trace.users[user] for user in trace.user] == ["bob", "ada"]
    assert [trace.requests[request].count for request in trace.request] == [8, 1]


def test_muri_counts_in_milliseconds() -> None:
    trace = read(MURI)
    assert (trace.ids, trace.origin_s, trace.duration_us.tolist()) == (("7",), 1.5, [2_500_000])


def test_philly_jobs_are_numbered_by_their_time_stamps() -> None:
    trace = read(PHILLY)
    assert trace.ids == ("0", "1")
    assert trace.submit_us.tolist() == [0, 15_000_000]
    assert (trace.tasks.tolist(), trace.requests[int(trace.request[1])].count) == ([1, 2], 6)


def test_openb_pods_ask_for_parts_of_devices() -> None:
    trace = read(OPENB)
    first, second = (trace.requests[request] for request in trace.request)
    assert first.share is not None
    assert (first.share.compute_bp, first.accelerators, first.cpu_milli) == (4600, ("V100M16", "T4"), 12_000)
    assert not second.wants_device
    assert trace.duration_us.tolist() == [80_000_000, 1_000_000]
    assert not trace.stays.any()
    assert read(SEQUENCE).stays.all()


def test_slurm_jobs_without_their_steps_and_without_those_that_never_ran() -> None:
    trace = read(SLURM)
    assert trace.ids == ("12", "14")
    one, two = (trace.requests[request] for request in trace.request)
    assert (one.count, one.cpu_milli, one.memory_mib, trace.tasks.tolist()) == (4, 8000, 32_768, [2, 1])
    assert (two.count, two.accelerators) == (1, ("a100",))
    assert trace.limit_us.tolist() == [7_200_000_000, 0]
    assert trace.duration_us.tolist() == [3_600_000_000, 30_000_000]


def test_the_standard_workload_format() -> None:
    trace = read(SWF)
    assert (trace.ids, trace.duration_us.tolist(), trace.limit_us.tolist()) == (
        ("1",),
        [100_000_000],
        [200_000_000],
    )
    assert trace.users == ("3",)


def test_our_own_history() -> None:
    trace = read(HISTORY)
    first, second = (trace.requests[request] for request in trace.request)
    assert (first.accelerators, first.count, first.cpu_milli, first.memory_mib) == (
        ("H100",),
        8,
        16_000,
        131_072,
    )
    assert second.share is not None
    assert (second.share.memory_mib, trace.priority.tolist(), trace.preemptible.tolist()) == (
        10_240, [-5, 0], [True, False],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "name"),
    [(CANONICAL, "canonical"), (MURI, "muri"), (PHILLY, "philly"), (OPENB, "openb"), (SEQUENCE, "openb"),
     (SLURM, "slurm"), (SWF, "swf"), (HISTORY, "history-json")],
)  # fmt: skip
def test_a_format_is_seen_by_the_first_line(content: str, name: str) -> None:
    assert format_of(content.splitlines()[0]) == name
    assert name in FORMATS


BAD = [
    ("job,vc,submit,duration,gpus\nx,a,0,-5,1\n", 2, "duration", "negative"),
    ("job,vc,submit,duration,gpus\nx,a,-1,5,1\n", 2, "submit", "negative"),
    ("job,vc,submit,duration,gpus\nx,a,0,5,1.5\n", 2, "gpus", "whole number"),
    ("job,vc,submit,duration,gpus\nx,a,0,nan,1\n", 2, "duration", "not a number"),
    ("job,vc,submit,duration,gpus\nx,a,0,1e99,1\n", 2, "duration", "more than"),
    ("job,vc,submit,duration,gpus\nx,a,0,5,1\ny,a,1,5,1\nx,a,2,5,1\n", 4, "id", "line 2"),
    ("job,vc,submit,duration,gpus\nx,a,0,5\n", 2, "-", "5 columns"),
    ("job,vc,submit,duration,gpus\n,a,0,5,1\n", 2, "job", "empty"),
    (PHILLY + "yesterday,1,1,1,a\n", 4, "timestamp", "not a time"),
    (OPENB + "p2,1,1,4,500,,LS,0,1,0\n", 4, "gpu_milli", "500"),
    (OPENB + "p2,1,1,1,1000,,LS,50,10,50\n", 4, "deletion_time", "before"),
    (SWF + "3 10 5 100\n", 4, "-", "18 columns"),
    (SLURM + "15|a|b|c|2026-01-01T00:00:00|2026-01-01T00:01:00|x|soon||1|cpu=1|F\n", 6, "ElapsedRaw", "soon"),
    (HISTORY + "[1, 2]\n", 3, "-", "JSON object"),
    (HISTORY + '{"job": "z", "submitted": 1, "duration_s": true}\n', 3, "duration_s", "not a number"),
    (HISTORY + '{"job": "z", "submitted": 1, "duration_s": 1, "count": 1, "fraction_memory_gib": 1}\n', 3, "count", "both"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line", "name", "said"), BAD)
def test_a_row_that_cannot_be_right_is_named(content: str, line: int, name: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(content)
    problem = caught.value.problems[0]
    assert (problem.file, problem.line, problem.field) == ("trace.txt", line, name)
    assert said in str(problem.message)


@pytest.mark.parametrize(("content", "line", "name", "said"), BAD)
def test_the_rest_can_be_read_without_it(content: str, line: int, name: str, said: str) -> None:
    try:
        trace = read(content, skip_bad=True)
    except InvalidInput as error:
        assert "no jobs" in str(error)
    else:
        assert trace.count >= 1


def test_missing_columns_are_named_with_those_that_are_there() -> None:
    with pytest.raises(InvalidInput) as caught:
        read("job,submit,gpus\nx,0,1\n")
    assert "duration" in str(caught.value.message)
    assert "job, submit, gpus" in str(caught.value.hint)


def test_a_file_that_nobody_knows() -> None:
    for content in ("", "\n\n", "hello\nworld\n", "job,vc,submit,duration,gpus\n"):
        with pytest.raises(InvalidInput):
            read(content)
    with pytest.raises(InvalidInput, match="no format named excel"):
        read(CANONICAL, name="excel")


def test_only_so_many_bad_rows_are_named() -> None:
    content = "job,vc,submit,duration,gpus\n" + "".join(f"j{i},a,0,-1,1\n" for i in range(5000))
    with pytest.raises(InvalidInput) as caught:
        read(content)
    assert len(caught.value.problems) == PROBLEMS_MAX


def test_rows_come_one_by_one_and_take_bounded_memory() -> None:
    """Lines are made as they are read: 50,000 of them never stand in memory together."""

    def lines() -> Iterator[str]:
        yield "job,vc,submit,duration,gpus,comment\n"
        for i in range(50_000):
            yield f"j{i},vc{i % 11},{i},{i % 977},{1 << i % 4},{'x' * 400}\n"

    tracemalloc.start()
    trace = read_trace(lines(), Findings("big"), per_node=8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert trace.count == 50_000
    assert peak < 20_000_000, "less than the lines alone"


@pytest.mark.parametrize(
    ("devices", "per_node", "expected"),
    [
        (0, 8, (1, 0)),
        (1, 8, (1, 1)),
        (8, 8, (1, 8)),
        (16, 8, (2, 8)),
        (12, 8, (2, 6)),
        (9, 8, (3, 3)),
        (7, 4, (7, 1)),
    ],
)
def test_devices_in_all_become_equal_tasks(devices: int, per_node: int, expected: tuple[int, int]) -> None:
    assert gang(devices, per_node) == expected


def test_clusters_by_parts_and_by_nodes() -> None:
    parts = read_cluster(["vc,nodes,gpus_per_node\n", "a,2,8\n", "b,1,4\n"], "c.csv")
    assert [(name, len(nodes)) for name, nodes in parts.parts.items()] == [("a", 2), ("b", 1)]
    assert (parts.cards, parts.per_node, parts.nodes[0].name) == (20, 8, "a/0")
    assert [node.name for node in parts.merged().nodes] == ["all/0", "all/1", "all/2"]
    nodes = read_cluster(
        ["sn,cpu_milli,memory_mib,gpu,model\n", "n0,64000,262144,2,P100\n", "n1,9,9,0,\n"], "n.csv"
    )
    assert [(node.name, len(node.devices), node.cpu_milli) for node in nodes.nodes] == [
        ("n0", 2, 64_000),
        ("n1", 0, 9),
    ]


@pytest.mark.parametrize(
    "lines",
    [["nodes\n", "3\n"], [], ["vc,nodes,gpus_per_node\n"], ["vc,nodes,gpus_per_node\n", "a,x,8\n"],
     ["vc,nodes,gpus_per_node\n", "a,1,8\n", "a,1,8\n"], ["vc,nodes,gpus_per_node\n", "a,1000000,1024\n"],
     ["sn,cpu_milli,memory_mib,gpu,model\n", "n,1,1,2,\n"]],
)  # fmt: skip
def test_a_cluster_that_cannot_be_right(lines: list[str]) -> None:
    with pytest.raises(InvalidInput):
        read_cluster(lines, "c.csv")


def test_a_cluster_from_what_the_api_answers() -> None:
    node = {
        "name": "n", "cpus": 16.0, "memory_gib": 64.0, "rack": "r", "pod": "",
        "devices": [{"index": 3, "model": "h100-sxm-80g", "memory_gib": 80.0, "link_group": 1}],
    }  # fmt: skip
    made = from_center([node]).nodes[0]
    assert (made.cpu_milli, made.memory_mib, made.rack) == (16_000, 65_536, "r")
    assert (made.devices[0].index, made.devices[0].memory_mib, made.devices[0].link_group) == (3, 81_920, 1)
