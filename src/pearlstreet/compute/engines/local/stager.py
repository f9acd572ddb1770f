"""Where the local engine's stager finds the files of attempts and checkpoints, and keeps its tasks."""

from __future__ import annotations

from pathlib import Path

from pearlstreet.base.outcome import Outcome, Refused
from pearlstreet.base.text import text
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.orders import plain_id
from pearlstreet.compute.engines.staging import process
from pearlstreet.compute.engines.staging.model import StagerReport, StagerTask, task_json

STAGER = "stager"
"""Folder of the stager's tasks in the folder of an attempt."""


def start(folders: Folders, task: StagerTask) -> Outcome[None]:
    """Start a task unless it runs or is done. The caller has checked that an attempt has ended."""
    if not plain_id(task.subject) or not plain_id(task.task_id):
        return _bad_name(task)
    root = folders.checkpoint(task.subject) if task.is_checkpoint else _attempt(folders, task) / "outputs"
    notes = _notes(folders, task)
    notes.mkdir(mode=0o700, parents=True, exist_ok=True)
    return process.start_process(notes / task.action, task_json(task, str(root), str(notes)))


def report(folders: Folders, task: StagerTask) -> Outcome[StagerReport]:
    """Return the state of a task."""
    if not plain_id(task.subject):
        return _bad_name(task)
    return process.read_report(_notes(folders, task) / task.action, task)


def _notes(folders: Folders, task: StagerTask) -> Path:
    return folders.notes(task.subject) if task.is_checkpoint else _attempt(folders, task) / STAGER


def _attempt(folders: Folders, task: StagerTask) -> Path:
    return folders.attempt(task.subject)


def _bad_name(task: StagerTask) -> Refused:
    return Refused("bad_id", text("{id} cannot be an attempt's id", id=repr(task.subject[:80])))
