"""Laws of the stager: files of ended attempts are stored as they are, once, without links and without waiting for anybody."""

from __future__ import annotations

import pytest

from pearlstreet.base.outcome import Done, Refused, Retry
from pearlstreet.compute.engines.conformance.program_laws import run
from pearlstreet.compute.engines.conformance.rig import LONG_S, Rig, value_of
from pearlstreet.compute.engines.protocol import EndReason
from pearlstreet.compute.engines.staging.model import (
    FileRequest,
    RestoredEntry,
    StagerResult,
    StagerTask,
    UploadTarget,
)
from pearlstreet.objects.folder import FolderBlobs
from pearlstreet.objects.model import Blob

LEAVE = """
cd "$PEARL_OUTPUTS" && mkdir -p d && printf hello > d/a && : > empty && ln -s /etc/passwd link && ln -s /etc out
ln d/a second && mkfifo pipe
"""
HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def _need_stager(rig: Rig) -> None:
    if not rig.engine.capabilities().stager:
        pytest.skip("the engine has no stager")


def _blobs(rig: Rig) -> FolderBlobs:
    return FolderBlobs(rig.folder / "blobs")


def _put(rig: Rig, attempt_id: str, *paths: str, task_id: str = "put-1") -> StagerTask:
    files = tuple(FileRequest(path, 5) for path in paths)
    target = UploadTarget(folder=str(_blobs(rig).upload_folder()))
    return StagerTask(task_id, "put", attempt_id, files=files, target=target)


def _done(rig: Rig, task: StagerTask) -> StagerResult:
    rig.until(lambda: isinstance(rig.engine.start_stager(task), Done))
    rig.until(lambda: value_of(rig.engine.stager_report(task)).state == "done")
    result: StagerResult | None = value_of(rig.engine.stager_report(task)).result
    assert result is not None
    return result


def test_an_engine_without_a_stager_refuses_its_tasks(rig: Rig) -> None:
    """An engine without the capability refuses tasks of the stager and knows none."""
    if rig.engine.capabilities().stager:
        pytest.skip("the engine has a stager")
    task = StagerTask("t", "hash", "att_unknown")
    assert isinstance(rig.engine.start_stager(task), Refused)
    assert value_of(rig.engine.stager_report(task)).state == "absent"


def test_files_of_an_ended_attempt_become_blobs(code_rig: Rig) -> None:
    """Files of an ended attempt are stored under the SHA-256 of their bytes."""
    _need_stager(code_rig)
    attempt_id, _ = run(code_rig, LEAVE)
    result = _done(code_rig, _put(code_rig, attempt_id, "d/a", "empty"))
    assert result.again is None
    assert [(file.path, file.size_bytes, file.problem) for file in result.files] == [
        ("d/a", 5, None),
        ("empty", 0, None),
    ]
    assert b"".join(_blobs(code_rig).read(result.files[0].sha256)) == b"hello"
    assert result.files[0].sha256 == HELLO


def test_links_pipes_folders_and_paths_outside_are_problems_of_their_own(code_rig: Rig) -> None:
    """What is no regular file inside the outputs is never read, and costs only itself."""
    _need_stager(code_rig)
    attempt_id, _ = run(code_rig, LEAVE)
    bad = ("link", "out/passwd", "pipe", "d", "../work", "/etc/passwd", "d/../d/a", "none")
    result = _done(code_rig, _put(code_rig, attempt_id, *bad, "d/a"))
    assert result.again is None
    assert [file.problem is None for file in result.files] == [False] * len(bad) + [True]
    assert [path.name for path in _blobs(code_rig).upload_folder().glob("??/*")] == [HELLO]


def test_digests_alone_store_nothing(code_rig: Rig) -> None:
    """A task that asks for digests returns them and stores nothing."""
    _need_stager(code_rig)
    attempt_id, _ = run(code_rig, LEAVE)
    result = _done(code_rig, StagerTask("hash-1", "hash", attempt_id, files=(FileRequest("d/a", 5),)))
    assert [file.sha256 for file in result.files] == [HELLO]
    assert not list(_blobs(code_rig).upload_folder().glob("??/*"))


def test_a_task_is_done_once_and_its_result_stays(code_rig: Rig) -> None:
    """A task is carried out once; its result stays, after a restart of the engine too."""
    _need_stager(code_rig)
    attempt_id, _ = run(code_rig, LEAVE)
    task = _put(code_rig, attempt_id, "d/a")
    first = _done(code_rig, task)
    _blobs(code_rig).delete(HELLO)
    code_rig.restart()
    assert _done(code_rig, task) == first
    assert not list(_blobs(code_rig).upload_folder().glob("??/*")), "it was not repeated"
    assert _done(code_rig, _put(code_rig, attempt_id, "d/a", task_id="put-2")) == first
    assert _blobs(code_rig).size_bytes(HELLO) == 5


def test_a_running_attempt_is_not_read(code_rig: Rig) -> None:
    """Outputs are read only after the end of their attempt."""
    _need_stager(code_rig)
    attempt_id = code_rig.start(lasts_s=LONG_S)
    code_rig.running(attempt_id)
    answer = code_rig.engine.start_stager(_put(code_rig, attempt_id, "d/a"))
    assert isinstance(answer, Retry)


def test_tasks_of_unknown_attempts_and_bad_names_are_refused(code_rig: Rig) -> None:
    """A task of an attempt that the engine does not know is refused."""
    _need_stager(code_rig)
    for subject in ("att_none", "../escape", ""):
        assert isinstance(code_rig.engine.start_stager(_put(code_rig, subject, "x")), Refused)


def test_nothing_is_left_of_a_forgotten_attempt(code_rig: Rig) -> None:
    """Forgetting an attempt deletes what the stager knew of it, but no blob."""
    _need_stager(code_rig)
    attempt_id, _ = run(code_rig, LEAVE)
    task = _put(code_rig, attempt_id, "d/a")
    _done(code_rig, task)
    code_rig.forget(attempt_id)
    assert value_of(code_rig.engine.stager_report(task)).state == "absent"
    assert isinstance(code_rig.engine.start_stager(task), Refused)
    assert _blobs(code_rig).size_bytes(HELLO) == 5


def test_deleted_work_has_no_files_to_store(code_rig: Rig) -> None:
    """After its work is deleted, nothing of an attempt can be stored."""
    _need_stager(code_rig)
    attempt_id, _ = run(code_rig, LEAVE)
    assert isinstance(code_rig.engine.delete_work(attempt_id), Done)
    result = _done(code_rig, _put(code_rig, attempt_id, "d/a"))
    assert [file.problem is None for file in result.files] == [False]
    assert not list(_blobs(code_rig).upload_folder().glob("??/*"))


SAVE = 'cd "$PEARL_CHECKPOINT" && mkdir step-1 && printf hello > step-1/a && ln -s step-1 latest && echo half > next.tmp'


def _save(rig: Rig, key: str, task_id: str = "save-1") -> StagerResult:
    target = UploadTarget(folder=str(_blobs(rig).upload_folder()))
    return _done(rig, StagerTask(task_id, "save", key, is_checkpoint=True, target=target))


def _entries(rig: Rig, result: StagerResult) -> tuple[RestoredEntry, ...]:
    return tuple(
        RestoredEntry(
            file.path,
            file.kind,
            _blobs(rig).reference(Blob(file.sha256, file.size_bytes), valid_s=60)
            if file.kind == "file"
            else None,
            file.executable,
            file.link_target,
        )
        for file in result.files
    )


def test_a_checkpoint_that_is_saved_can_be_restored_elsewhere(code_rig: Rig) -> None:
    """What is in place in a checkpoint folder is saved, and is what an attempt finds that it is restored for."""
    _need_stager(code_rig)
    run(code_rig, SAVE, checkpoint="job_a")
    result = _save(code_rig, "job_a")
    assert sorted(file.path for file in result.files) == ["latest", "step-1", "step-1/a"]
    _, log = run(
        code_rig,
        'cd "$PEARL_CHECKPOINT" && ls && cat latest/a && echo more > step-2',
        checkpoint="job_b",
        restore=_entries(code_rig, result),
    )
    assert log.split() == [b"latest", b"step-1", b"hello"]
    _, log = run(code_rig, 'ls "$PEARL_CHECKPOINT"', checkpoint="job_b")
    assert log.split() == [b"latest", b"step-1", b"step-2"], "later attempts go on from there"


def test_a_save_sends_only_what_changed(code_rig: Rig) -> None:
    """A second save sends the bytes of new files only, and its manifest names all."""
    _need_stager(code_rig)
    run(code_rig, SAVE, checkpoint="job_a")
    assert _save(code_rig, "job_a").sent_bytes == 5
    run(code_rig, 'printf more > "$PEARL_CHECKPOINT/step-2"', checkpoint="job_a")
    again = _save(code_rig, "job_a", "save-2")
    assert (again.sent_bytes, len(again.files)) == (4, 4)


def test_a_restore_replaces_what_an_engine_had(code_rig: Rig) -> None:
    """A restored checkpoint is the newest: older files of the engine are gone."""
    _need_stager(code_rig)
    run(code_rig, 'echo old > "$PEARL_CHECKPOINT/stale"', checkpoint="job_a")
    _, log = run(code_rig, 'ls -A "$PEARL_CHECKPOINT"', checkpoint="job_a", restore=())
    assert log == b""


def test_a_restore_that_leads_outside_or_is_damaged_starts_nothing(code_rig: Rig) -> None:
    """An order with an entry outside the folder is refused, and one whose bytes have changed never runs."""
    _need_stager(code_rig)
    run(code_rig, SAVE, checkpoint="job_a")
    entries = _entries(code_rig, _save(code_rig, "job_a"))
    bad = code_rig.order(checkpoint="job_b", restore=(RestoredEntry("../x", "folder"),))
    assert isinstance(code_rig.engine.start(bad), Refused)
    _blobs(code_rig).path(HELLO).write_bytes(b"HELLO")
    attempt_id = code_rig.start(checkpoint="job_b", restore=entries)
    report = code_rig.ended(attempt_id)
    assert report.started_us is None and report.end_reason is EndReason.ENGINE_LOST
