"""Laws of engines that run programs: what a program is given, what it may leave, and how it ends."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pearlstreet.base.outcome import Done, Refused
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import EndReason, Limits, OutputFile, Stage, TaskState


def output(rig: Rig, attempt_id: str, path: str) -> bytes:
    """The whole of one output file."""
    found: bytes = value_of(rig.engine.read_output(attempt_id, path, offset=0, limit=1 << 20))
    return found


def run(rig: Rig, script: str, **wishes: object) -> tuple[str, bytes]:
    """Run a script to its good end; its attempt and log."""
    attempt_id = rig.start(script=script, **wishes)
    report = rig.ended(attempt_id)
    log = rig.log(attempt_id)
    assert report.exit_code == 0, (report, log)
    return attempt_id, log


def test_what_it_prints_is_logged_as_it_came(code_rig: Rig) -> None:
    """What a program prints is logged as it came."""
    _, log = run(code_rig, r"printf 'one\ntwo 中文\n\377\000end'; echo err >&2")
    assert b"one\ntwo \xe4\xb8\xad\xe6\x96\x87\n\xff\x00end" in log
    assert b"err\n" in log


def test_variables_arrive_unchanged(code_rig: Rig) -> None:
    """Variables arrive unchanged."""
    value = "spaces  and 'quotes' \" $HOME `x` 算力\nsecond line"
    attempt_id, _ = run(code_rig, 'printf %s "$VALUE" > "$PEARL_OUTPUTS/value"', variables={"VALUE": value})
    assert output(code_rig, attempt_id, "value").decode() == value


def test_arguments_arrive_unchanged(code_rig: Rig) -> None:
    """Arguments arrive unchanged."""
    words = ("a b", "算力", "$HOME", "*", "")
    script = 'printf "%s|" "$@" > "$PEARL_OUTPUTS/words"'
    order = replace(code_rig.order(), command=("/bin/sh", "-c", script, "sh", *words))
    value_of(code_rig.engine.start(order))
    assert code_rig.ended(order.attempt_id).exit_code == 0
    assert output(code_rig, order.attempt_id, "words").decode() == "|".join((*words, ""))


def test_a_variable_larger_than_the_system_takes_is_refused_or_fails_clearly(code_rig: Rig) -> None:
    """A variable larger than the system takes is refused or fails clearly."""
    order = code_rig.order(variables={"HUGE": "x" * (1 << 20)})
    answer = code_rig.engine.start(order)
    if isinstance(answer, Done):
        ended = code_rig.ended(order.attempt_id)
        assert ended.end_reason is EndReason.START_FAILED
        assert str(ended.message)
    else:
        assert isinstance(answer, Refused)
    run(code_rig, "true")


def test_the_environment_of_the_server_is_not_handed_on(code_rig: Rig) -> None:
    """The environment of the server is not handed on."""
    os.environ["PEARL_TEST_SERVER_SECRET"] = "leaked"
    try:
        _, log = run(code_rig, "env")
    finally:
        del os.environ["PEARL_TEST_SERVER_SECRET"]
    assert b"leaked" not in log


def test_secrets_are_struck_from_logs(code_rig: Rig) -> None:
    """Secrets are struck from logs."""
    secret = "s3cr3t-token-value"
    attempt_id, log = run(
        code_rig,
        'echo "token is $TOKEN."; printf %s "$TOKEN" > "$PEARL_OUTPUTS/seen"',
        variables={"TOKEN": secret},
        secret_names=frozenset({"TOKEN"}),
    )
    assert secret.encode() not in log
    assert b"token is " in log
    assert output(code_rig, attempt_id, "seen").decode() == secret


def test_every_task_knows_its_rank(code_rig: Rig) -> None:
    """Every task knows its rank."""
    attempt_id, _ = run(
        code_rig,
        'echo "$RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT" > "$PEARL_OUTPUTS/rank-$RANK"',
        tasks=3,
    )
    told = [output(code_rig, attempt_id, f"rank-{rank}").decode().split() for rank in range(3)]
    assert [words[:3] for words in told] == [[str(rank), "of", "3"] for rank in range(3)]
    meeting_points = {words[4] for words in told}
    assert len(meeting_points) == 1
    assert meeting_points.pop().rpartition(":")[2].isdigit()


def test_one_failing_task_ends_the_others(code_rig: Rig) -> None:
    """One failing task ends the others."""
    attempt_id = code_rig.start(script=f'[ "$RANK" = 1 ] && exit 4; sleep {LONG_S}', tasks=3)
    ended = code_rig.ended(attempt_id)
    assert (ended.exit_code, ended.end_reason) == (4, EndReason.EXITED)
    assert ended.tasks[1].exit_code == 4
    assert {task.state for task in ended.tasks} == {TaskState.EXITED}
    assert ended.tasks[0].exit_code != 0 and ended.tasks[2].exit_code != 0


def test_a_task_that_ends_well_early_does_not_end_the_others(code_rig: Rig) -> None:
    """A task that ends well early does not end the others."""
    run(code_rig, '[ "$RANK" = 0 ] || sleep 0.5', tasks=2)


def test_a_program_killed_by_a_signal_tells_which(code_rig: Rig) -> None:
    """A program killed by a signal tells which."""
    ended = code_rig.ended(code_rig.start(script="kill -KILL $$"))
    assert ended.tasks[0].signal == signal.SIGKILL
    assert ended.tasks[0].exit_code == ended.exit_code == 128 + signal.SIGKILL
    assert ended.end_reason is EndReason.EXITED


def test_a_command_that_does_not_exist_fails_to_start(code_rig: Rig) -> None:
    """A command that does not exist fails to start."""
    order = replace(code_rig.order(), command=("/no/such/program",))
    answer = code_rig.engine.start(order)
    assert isinstance(answer, Done), answer
    ended = code_rig.ended(order.attempt_id)
    assert ended.end_reason is EndReason.START_FAILED
    assert ended.exit_code != 0
    assert "/no/such/program" in str(ended.message) or b"/no/such/program" in code_rig.log(order.attempt_id)


def test_a_program_may_tidy_up_within_the_grace(code_rig: Rig) -> None:
    """A program may tidy up within the grace."""
    script = f"trap 'echo saved > $PEARL_OUTPUTS/checkpoint; exit 0' TERM; echo ready; sleep {LONG_S} & wait"
    attempt_id = code_rig.start(script=script)
    code_rig.until(lambda: b"ready" in code_rig.log(attempt_id))
    value_of(code_rig.engine.stop(attempt_id, grace_s=10))
    assert code_rig.ended(attempt_id).end_reason is EndReason.STOPPED
    assert output(code_rig, attempt_id, "checkpoint") == b"saved\n"


def test_a_program_that_ignores_the_request_is_killed(code_rig: Rig) -> None:
    """A program that ignores the request is killed."""
    script = "trap '' TERM; echo ready; while true; do sleep 0.1; done"
    attempt_id = code_rig.start(script=script)
    code_rig.until(lambda: b"ready" in code_rig.log(attempt_id))
    value_of(code_rig.engine.stop(attempt_id, grace_s=0.3))
    ended = code_rig.ended(attempt_id)
    assert ended.end_reason is EndReason.STOPPED
    assert ended.tasks[0].signal == signal.SIGKILL


def test_children_left_behind_end_with_the_attempt(code_rig: Rig) -> None:
    """Children left behind end with the attempt."""
    name = f"{LONG_S:.0f}.{os.getpid() % 10_000:04d}7"
    attempt_id = code_rig.start(script=f"setsid sleep {name} & sleep 0.3")
    code_rig.ended(attempt_id)

    def gone() -> bool:
        return not any(name.encode() in _command_line(folder) for folder in Path("/proc").glob("[0-9]*"))

    code_rig.until(gone)


def test_many_starts_of_one_attempt_run_its_program_once(code_rig: Rig) -> None:
    """Many starts of one attempt run its program once."""
    from concurrent.futures import ThreadPoolExecutor

    order = code_rig.order(script='echo ran >> "$PEARL_OUTPUTS/runs"; sleep 0.2')
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: code_rig.engine.start(order), range(8)))
    code_rig.ended(order.attempt_id)
    code_rig.restart().start(order)
    code_rig.ended(order.attempt_id)
    assert output(code_rig, order.attempt_id, "runs") == b"ran\n"


def test_files_and_archives_are_put_into_the_folder(code_rig: Rig) -> None:
    """Files and archives are put into the folder."""
    sources = _sources(code_rig.folder)
    order = replace(
        code_rig.order(
            script='cat one.txt sub/二.txt tree/deep/three.txt copied/inner.txt > "$PEARL_OUTPUTS/all"'
        ),
        stages=sources,
    )
    value_of(code_rig.engine.start(order))
    assert code_rig.ended(order.attempt_id).exit_code == 0, code_rig.log(order.attempt_id)
    assert output(code_rig, order.attempt_id, "all") == b"one\ntwo\nthree\ninner\n"


def test_an_archive_that_leads_out_of_the_folder_does_not_run(code_rig: Rig) -> None:
    """An archive that leads out of the folder does not run."""
    archive = code_rig.folder / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        _add(tar, "../../escaped.txt", b"escaped")
    order = replace(code_rig.order(), stages=(Stage(str(archive), ".", "archive"),))
    answer = code_rig.engine.start(order)
    if isinstance(answer, Done):
        assert code_rig.ended(order.attempt_id).end_reason is EndReason.START_FAILED
    assert not list(code_rig.folder.rglob("escaped.txt"))


def test_path_variables_are_absolute(code_rig: Rig) -> None:
    """Path variables are absolute."""
    source = code_rig.folder / "data.txt"
    source.write_text("the data\n")
    order = replace(
        code_rig.order(script='cd / && cat "$PEARL_INPUT_DATA"'),
        stages=(Stage(str(source), "inputs/data.txt"),),
        path_variables={"PEARL_INPUT_DATA": "inputs/data.txt"},
    )
    value_of(code_rig.engine.start(order))
    code_rig.ended(order.attempt_id)
    assert b"the data" in code_rig.log(order.attempt_id)


def test_outputs_are_listed_and_read(code_rig: Rig) -> None:
    """Outputs are listed and read."""
    script = 'cd "$PEARL_OUTPUTS"; mkdir sub; printf hello > sub/模型.bin; : > empty'
    attempt_id, _ = run(code_rig, script)
    files: Sequence[OutputFile] = value_of(code_rig.engine.list_outputs(attempt_id))
    assert {(file.path, file.size_bytes) for file in files} == {("sub/模型.bin", 5), ("empty", 0)}
    assert value_of(code_rig.engine.read_output(attempt_id, "sub/模型.bin", offset=1, limit=3)) == b"ell"
    assert value_of(code_rig.engine.read_output(attempt_id, "sub/模型.bin", offset=5, limit=3)) == b""


def test_links_among_outputs_are_left_out_and_not_followed(code_rig: Rig) -> None:
    """Links among outputs are left out and not followed."""
    script = 'cd "$PEARL_OUTPUTS"; ln -s /etc/passwd link; ln -s /etc folder; mkfifo pipe; echo real > real'
    attempt_id, _ = run(code_rig, script)
    assert [file.path for file in value_of(code_rig.engine.list_outputs(attempt_id))] == ["real"]
    for path in ("link", "folder/passwd", "pipe"):
        assert isinstance(code_rig.engine.read_output(attempt_id, path, offset=0, limit=10), Refused), path


def test_what_a_job_writes_as_metrics_can_be_read(code_rig: Rig) -> None:
    """What a job writes as metrics can be read."""
    script = """echo '{"step": 1, "loss": 0.5}' >> "$PEARL_METRICS"; sleep 0.3; echo nonsense >> "$PEARL_METRICS"
    echo '{"step": 2, "loss": 0.25}' >> "$PEARL_METRICS"; sleep 0.3"""
    attempt_id, _ = run(code_rig, script)
    samples = value_of(code_rig.engine.read_metrics(attempt_id, since_us=0))
    assert [dict(sample.values) for sample in samples if sample.kind == "user"] == [
        {"step": 1.0, "loss": 0.5},
        {"step": 2.0, "loss": 0.25},
    ]


def test_a_flood_of_log_keeps_its_head_and_tail(code_rig: Rig) -> None:
    """A flood of log keeps its head and tail."""
    limits = Limits(log_bytes=64 << 10, grace_s=1)
    script = "echo first; head -c 1000000 /dev/zero | tr '\\0' 'x'; echo; echo last"
    attempt_id = code_rig.start(script=script, limits=limits)
    code_rig.ended(attempt_id)
    data, offset, dropped, ended = b"", 0, 0, False
    while not ended:
        chunk = value_of(code_rig.engine.read_log(attempt_id, 0, offset=offset, limit=16 << 10))
        assert chunk.next_offset == offset + chunk.dropped_bytes + len(chunk.data)
        data, offset, ended = data + chunk.data, chunk.next_offset, chunk.ended
        dropped += chunk.dropped_bytes
    assert data.startswith(b"first\n") and data.endswith(b"last\n")
    assert len(data) <= 96 << 10
    assert dropped + len(data) == offset == 6 + 1_000_000 + 1 + 5


def test_what_a_program_used_is_told(code_rig: Rig) -> None:
    """The report tells what a program used."""
    attempt_id = code_rig.start(script="i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
    task = code_rig.ended(attempt_id).tasks[0]
    assert task.cpu_s > 0.02
    assert task.memory_peak_gib > 0


def _sources(folder: Path) -> tuple[Stage, ...]:
    (folder / "one").write_text("one\n")
    (folder / "two").write_text("two\n")
    (folder / "whole").mkdir()
    (folder / "whole" / "inner.txt").write_text("inner\n")
    with tarfile.open(folder / "tree.tar", "w") as tar:
        _add(tar, "deep/three.txt", b"three\n")
    return (
        Stage(str(folder / "one"), "one.txt"),
        Stage(str(folder / "two"), "sub/二.txt"),
        Stage(str(folder / "tree.tar"), "tree", "archive"),
        Stage(str(folder / "whole"), "copied", "folder"),
    )


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
