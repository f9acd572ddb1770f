"""Laws of checkpoint folders: what one attempt leaves in place the next one finds, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.base.outcome import Refused
from pearlstreet.compute.engines.conformance.program_laws import run
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import EndReason, Limits

SAVE = 'echo one > "$PEARL_CHECKPOINT/step-1.tmp" && mv "$PEARL_CHECKPOINT/step-1.tmp" "$PEARL_CHECKPOINT/step-1"'
LIST = 'cd "$PEARL_CHECKPOINT" && find . -type f | sort'


def test_what_is_in_place_is_found_by_the_next_attempt_after_a_restart_too(code_rig: Rig) -> None:
    """What is in place is found by the next attempt after a restart too."""
    first, _ = run(code_rig, SAVE, checkpoint="job_a")
    code_rig.restart()
    value_of(code_rig.engine.forget(first))
    _, log = run(code_rig, f'cat "$PEARL_CHECKPOINT/step-1"; {LIST}', checkpoint="job_a")
    assert log.split() == [b"one", b"./step-1"]


def test_what_is_half_written_is_gone(code_rig: Rig) -> None:
    """What is half written is gone."""
    leave = """
        cd "$PEARL_CHECKPOINT" && mkdir -p 0 step-2.partial && echo x > step-2.partial/a && echo x > b.tmp
        echo x > 0/c.tmp && echo x > 0/d && ln -s /etc e.tmp
    """
    run(code_rig, leave, checkpoint="job_a")
    _, log = run(code_rig, "cd $PEARL_CHECKPOINT && find . | sort", checkpoint="job_a")
    assert log.split() == [b".", b"./0", b"./0/d"]


def test_no_owner_finds_the_folder_of_another(code_rig: Rig) -> None:
    """No owner finds the checkpoint folder of another."""
    run(code_rig, SAVE, checkpoint="job_a", tenant_id="org_a")
    _, log = run(code_rig, LIST, checkpoint="job_b", tenant_id="org_b")
    assert log == b""
    _, log = run(code_rig, 'echo "${PEARL_CHECKPOINT-none}"')
    assert log == b"none\n", "without a key there is no folder"


def test_the_report_of_an_ended_attempt_tells_when_it_last_saved(code_rig: Rig) -> None:
    """The report of an ended attempt tells when it last saved."""
    nothing, _ = run(code_rig, "true", checkpoint="job_a")
    assert code_rig.report(nothing).saved_us is None
    unfinished, _ = run(code_rig, 'echo x > "$PEARL_CHECKPOINT/a.tmp"', checkpoint="job_a")
    assert code_rig.report(unfinished).saved_us is None
    saved, _ = run(code_rig, f"sleep 0.1; {SAVE}; sleep 0.3", checkpoint="job_a")
    report = code_rig.report(saved)
    assert report.saved_us is not None and report.started_us is not None and report.ended_us is not None
    assert report.started_us <= report.saved_us < report.ended_us
    later, _ = run(code_rig, "true", checkpoint="job_a")
    assert code_rig.report(later).saved_us == report.saved_us, "it is still the newest, of an earlier attempt"


def test_what_was_saved_survives_a_stop_with_grace(code_rig: Rig) -> None:
    """What was saved survives a stop with grace."""
    script = f"trap '{SAVE}; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    attempt_id = code_rig.start(script=script, checkpoint="job_a", lasts_s=LONG_S)
    code_rig.until(lambda: b"ready" in code_rig.log(attempt_id))
    value_of(code_rig.engine.stop(attempt_id, grace_s=10))
    assert code_rig.ended(attempt_id).saved_us is not None
    _, log = run(code_rig, LIST, checkpoint="job_a")
    assert log == b"./step-1\n"


def test_a_gang_shares_one_folder(code_rig: Rig) -> None:
    """A gang shares one folder."""
    script = 'mkdir -p "$PEARL_CHECKPOINT/$RANK" && echo $RANK > "$PEARL_CHECKPOINT/$RANK/state"'
    run(code_rig, script, checkpoint="job_a", tasks=2)
    _, log = run(code_rig, f'{LIST}; cat "$PEARL_CHECKPOINT"/*/state', checkpoint="job_a")
    assert log.split() == [b"./0/state", b"./1/state", b"0", b"1"]


def test_the_listing_names_what_is_in_place_newest_first(code_rig: Rig) -> None:
    """The listing names what is in place newest first."""
    script = """
        cd "$PEARL_CHECKPOINT" && mkdir step-1 && head -c 5000 /dev/zero > step-1/weights && sleep 0.05
        echo x > step-2 && echo x > step-3.tmp
    """
    run(code_rig, script, checkpoint="job_a")
    entries = value_of(code_rig.engine.list_checkpoint("job_a"))
    assert [entry.name for entry in entries] == ["step-2", "step-1"]
    assert entries[1].size_bytes >= 5000 and entries[0].saved_us > entries[1].saved_us


def test_a_deleted_folder_is_empty_for_the_next_attempt(code_rig: Rig) -> None:
    """A deleted folder is empty for the next attempt."""
    run(code_rig, SAVE, checkpoint="job_a")
    assert value_of(code_rig.engine.checkpoint_sizes())["job_a"] > 0
    value_of(code_rig.engine.delete_checkpoint("job_a"))
    assert value_of(code_rig.engine.checkpoint_sizes()) == {}
    _, log = run(code_rig, LIST, checkpoint="job_a")
    assert log == b""


def test_what_earlier_attempts_left_counts_against_the_disk_limit(code_rig: Rig) -> None:
    """What earlier attempts left counts against the disk limit."""
    fill = 'head -c {}000000 /dev/zero > "$PEARL_CHECKPOINT/{}"; sleep {}'
    run(code_rig, fill.format(20, "a", 0), checkpoint="job_a")
    limits = Limits(disk_gib=30e6 / 2**30)
    attempt_id = code_rig.start(script=fill.format(20, "b", 60), checkpoint="job_a", limits=limits)
    report = code_rig.ended(attempt_id)
    assert report.end_reason is EndReason.DISK_LIMIT


def test_unknown_keys_have_nothing_and_bad_ones_are_refused(rig: Rig) -> None:
    """Unknown keys have nothing and bad ones are refused."""
    assert list(value_of(rig.engine.list_checkpoint("job_none"))) == []
    value_of(rig.engine.delete_checkpoint("job_none"))
    value_of(rig.engine.delete_checkpoint("../attempts"))
    assert list(value_of(rig.engine.list_checkpoint("../attempts"))) == []
    answer = rig.engine.start(replace(rig.order(), checkpoint="../escape"))
    assert isinstance(answer, Refused) and answer.code == "bad_id"
