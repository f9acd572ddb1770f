"""Laws of shells: a command inside a running task sees what the task sees, and no more, and never outlives it."""

from __future__ import annotations

import itertools
import time

import pytest

from pearlstreet.base.outcome import Done, Refused
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import EndReason
from pearlstreet.compute.engines.shells import Shell, ShellOrder

WAITS = "echo mine > here; export INNER=no; sleep 60 & wait"
_numbers = itertools.count(1)


def need_shells(rig: Rig) -> Rig:
    """Return the rig; skip the law if its engine runs no commands inside tasks."""
    if not rig.engine.capabilities().shells:
        pytest.skip(f"the engine {rig.engine.name} runs no commands inside tasks")
    return rig


def begin(rig: Rig, script: str, *, attempt_id: str = "", rank: int = 0, **fields: object) -> Shell:
    if not attempt_id:
        attempt_id = rig.start(script=WAITS, lasts_s=LONG_S, variables={"COLOUR": "blue"})
        rig.running(attempt_id)
    order = ShellOrder(("sh", "-c", script), **fields)  # type: ignore[arg-type]
    shell: Shell = value_of(rig.engine.open_shell(attempt_id, rank, f"shell-{next(_numbers)}", order))
    rig.shells.append(shell)
    return shell


def output(shell: Shell, *, within_s: float = 20.0) -> bytes:
    """Everything that it writes up to its end."""
    found, deadline = b"", time.monotonic() + within_s
    while (part := shell.read(1 << 16, 0.5)) is not None:
        found += part
        assert time.monotonic() < deadline, found
    return found


def code_of(shell: Shell) -> int | None:
    deadline = time.monotonic() + 10
    while shell.exit_code() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return shell.exit_code()


def test_it_sees_the_work_folder_the_variables_and_the_user_of_the_task(code_rig: Rig) -> None:
    """A shell sees the work folder, the variables and the user of the task."""
    rig = need_shells(code_rig)
    attempt_id = rig.start(script=f"id -u > user; {WAITS}", lasts_s=LONG_S, variables={"COLOUR": "blue"})
    rig.running(attempt_id)
    rig.until(lambda: output(begin(rig, "cat here", attempt_id=attempt_id)) == b"mine\n")
    shell = begin(
        rig, 'echo "$COLOUR"; [ "$(id -u)" = "$(cat user)" ] && echo same; exit 7', attempt_id=attempt_id
    )
    assert output(shell) == b"blue\nsame\n"
    assert code_of(shell) == 7
    shell.close()


def test_what_it_writes_to_the_work_folder_the_task_finds(code_rig: Rig) -> None:
    """The task finds what a shell writes to the work folder."""
    rig = need_shells(code_rig)
    attempt_id = rig.start(script="until [ -e go ]; do sleep 0.05; done; cat go", lasts_s=LONG_S)
    rig.running(attempt_id)
    output(begin(rig, "echo now > go.new && mv go.new go", attempt_id=attempt_id))
    assert rig.ended(attempt_id).exit_code == 0
    assert rig.log(attempt_id) == b"now\n", "and what a shell writes is not in the log"


def test_its_input_and_its_end_reach_the_command(code_rig: Rig) -> None:
    """The shell's input and the end of it reach the command."""
    rig = need_shells(code_rig)
    shell = begin(rig, "cat; echo done")
    assert shell.write(b"some bytes \x00\xff", 5.0) == 13
    shell.end_input()
    assert output(shell) == b"some bytes \x00\xffdone\n"
    assert code_of(shell) == 0


def test_a_terminal_has_a_size_that_can_change_and_takes_keys(code_rig: Rig) -> None:
    """A terminal has a size that can change and takes keys."""
    rig = need_shells(code_rig)
    script = (
        "trap 'exit 130' INT; test -t 1 && stty size && read line && stty size; while :; do sleep 0.1; done"
    )
    shell = begin(rig, script, terminal=True, columns=101, rows=33)
    found = b""
    while b"33 101" not in found:
        found += shell.read(4096, 5.0) or b""
    shell.resize(55, 11)
    shell.write(b"go\n", 5.0)
    while b"11 55" not in found:
        found += shell.read(4096, 5.0) or b""
    shell.write(b"\x03", 5.0)  # Ctrl-C ends what runs on the terminal
    output(shell)
    assert code_of(shell) == 130


def test_a_command_that_does_not_exist_says_so(code_rig: Rig) -> None:
    """A shell whose command does not exist is refused with the reason."""
    rig = need_shells(code_rig)
    attempt_id = rig.start(script=WAITS, lasts_s=LONG_S)
    rig.running(attempt_id)
    refused = rig.engine.open_shell(attempt_id, 0, "shell-x", ShellOrder(("no-such-command",)))
    assert isinstance(refused, Refused) and "No such file" in refused.reason.render("en")


def test_only_a_task_that_runs_has_shells(code_rig: Rig) -> None:
    """Only a task that runs has shells."""
    rig = need_shells(code_rig)
    order = ShellOrder(("true",))
    ended = rig.start(script="true")
    rig.ended(ended)
    running = rig.start(script=WAITS, lasts_s=LONG_S)
    rig.running(running)
    for attempt_id, rank in ((ended, 0), (running, 1), (running, -1), ("nobody", 0), ("../x", 0)):
        assert isinstance(rig.engine.open_shell(attempt_id, rank, "shell-y", order), Refused), attempt_id


def test_a_closed_shell_ends_its_command(code_rig: Rig) -> None:
    """A closed shell ends its command."""
    rig = need_shells(code_rig)
    attempt_id = rig.start(script=WAITS, lasts_s=LONG_S)
    rig.running(attempt_id)
    shell = begin(
        rig,
        "trap '' HUP TERM; while :; do echo x >> ticks; sleep 0.05; done",
        attempt_id=attempt_id,
        terminal=True,
    )
    size = "[ -e ticks ] && wc -c < ticks"
    rig.until(lambda: output(begin(rig, size, attempt_id=attempt_id)).strip() not in (b"", b"0"))
    shell.close()
    time.sleep(0.5)
    before = output(begin(rig, size, attempt_id=attempt_id))
    time.sleep(0.3)
    assert output(begin(rig, size, attempt_id=attempt_id)) == before
    assert rig.report(attempt_id).ended_us is None, "the task goes on"


def test_a_shell_does_not_outlive_its_task_nor_delay_a_stop(code_rig: Rig) -> None:
    """A shell does not outlive its task nor delay a stop."""
    rig = need_shells(code_rig)
    by_itself = rig.start(script="sleep 1", lasts_s=LONG_S)
    rig.running(by_itself)
    stopped = rig.start(script=WAITS, lasts_s=LONG_S)
    rig.running(stopped)
    ignores = "trap '' HUP TERM INT; echo ready; while :; do sleep 0.1; done"
    shells = [begin(rig, ignores, attempt_id=one, terminal=True) for one in (by_itself, stopped)]
    for shell in shells:
        assert (shell.read(4096, 5.0) or b"").strip() == b"ready"
    report = rig.ended(by_itself)
    assert report.exit_code == 0 and report.end_reason is EndReason.EXITED
    asked = time.monotonic()
    value_of(rig.engine.stop(stopped, grace_s=30))
    assert rig.ended(stopped).end_reason is EndReason.STOPPED
    assert time.monotonic() - asked < 20, "it waited for a shell that ignores SIGTERM"
    for shell in shells:
        output(shell)
        assert code_of(shell) == 137


def test_the_ranks_of_a_gang_have_shells_of_their_own(code_rig: Rig) -> None:
    """The ranks of a gang have shells of their own."""
    rig = need_shells(code_rig)
    attempt_id = rig.start(
        script='echo "$PEARL_RANK" > "rank-$PEARL_RANK"; sleep 60', tasks=2, lasts_s=LONG_S
    )
    rig.running(attempt_id)
    for rank in (0, 1):
        assert output(begin(rig, 'echo "$PEARL_RANK"', attempt_id=attempt_id, rank=rank)) == b"%d\n" % rank


def test_many_shells_leave_nothing_behind(code_rig: Rig) -> None:
    """Many shells leave nothing behind."""
    rig = need_shells(code_rig)
    attempt_id = rig.start(script="sleep 60; exit 3", lasts_s=LONG_S)
    rig.running(attempt_id)
    for _ in range(10):
        shell = begin(rig, "echo out; echo err >&2; exit 1", attempt_id=attempt_id)
        assert sorted(output(shell).split()) == [b"err", b"out"]
        shell.close()
    assert isinstance(rig.engine.stop(attempt_id, grace_s=0), Done)
    assert rig.ended(attempt_id).end_reason is EndReason.STOPPED
