"""Preparation of an attempt's tasks from the plan: stage files, set up namespaces, build command lines."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from . import files, linux
from .checkpoint import drop_unfinished
from .files import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Failed(Exception):
    """Raised if the attempt ends before it ran, with an end reason and a message."""

    def __init__(self, reason: str, message: dict[str, object] | None) -> None:
        self.reason, self.message = reason, message
        super().__init__(reason)


class Launcher:
    """Preparation that all tasks of an attempt share."""

    Failed = Failed

    def __init__(self, folder: str, plan: dict[str, Any]) -> None:
        self._folder, self._plan = folder, plan
        self._reachable: dict[str, str] = {}

    def stage(self, interrupted: Callable[[], bool]) -> None:
        """Give the folders to the tenant's user and copy the stages, unless `interrupted`. Raises Failed, OSError."""
        user = self._plan["user"]
        owner = (user["uid"], user["gid"]) if user is not None else None
        if self._plan.get("restore") is not None:
            self._restore(owner, interrupted)
        if owner is not None:
            for name in ("work", "outputs", "tmp", "home"):
                os.chown(f"{self._folder}/{name}", *owner, follow_symlinks=False)
            for path in self._plan["owned"]:
                os.chown(path, *owner, follow_symlinks=False)
        if self._plan.get("checkpoint"):
            drop_unfinished(self._plan["checkpoint"])
        if not self._plan["stages"]:
            return
        with self._failures() as step:
            from ...staging.runner.inputs import (
                InputWriter,
            )  # only if there is something to copy: hashlib takes long

            writer = InputWriter(
                f"{self._folder}/work", owner, self._plan["disk_bytes"], interrupted, self._folder
            )
            try:
                for stage in self._plan["stages"]:
                    step["path"] = stage["target"]
                    writer.put(stage)
            finally:
                writer.close()

    def _restore(self, owner: tuple[int, int] | None, interrupted: Callable[[], bool]) -> None:
        """Replace the checkpoint folder by the checkpoint of the last attempt, which ran elsewhere. Raises Failed, OSError."""
        with self._failures() as step:
            from ...staging.runner.checkpoint import restore

            step["path"] = "$PEARL_CHECKPOINT"
            plan = self._plan
            restore(plan["checkpoint"], self._folder, plan["restore"], owner, plan["disk_bytes"], interrupted)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[dict[str, str]]:
        """Turn what may happen while files are put in place into Failed; `path` names what is put."""
        from ...staging.runner.inputs import Interrupted, StageError

        step = {"path": ""}
        try:
            yield step
        except Interrupted as error:
            raise Failed("stopped", None) from error
        except StageError as error:
            raise Failed("start_failed", error.args[0]) from error
        except OSError as error:
            if error.errno in files.FULL:
                raise
            message = text(
                "{path} could not be put in place: {reason}",
                path=step["path"],
                reason=error.strerror or str(error),
            )
            raise Failed("engine_lost", message) from error

    def open_walls(self) -> None:
        """Set up the namespaces and filters that all tasks of the attempt share. Raises OSError."""
        if self._plan["own_network"]:
            self._plan["user_namespace"] = linux.own_network()
        if self._plan["shared_memory_bytes"]:
            self._share_memory(f"{self._folder}/{files.SHARED_MEMORY}")
        if self._plan["sandbox"] == "landlock" and self._plan.get("own_memory", True):
            self._keep_memory_apart()
        if self._plan["seccomp"] is not None:
            with open(self._plan["seccomp"], "rb") as file:
                self._plan["seccomp_program"] = file.read()
        if self._plan["sandbox"] == "bubblewrap" and self._plan["user"] is not None:
            from .sources import bind_reachable, paths_in

            paths = [path for task in self._plan["tasks"] for path in paths_in(task["walls"])]
            self._reachable = bind_reachable(list(dict.fromkeys(paths)), [self._folder])

    def _keep_memory_apart(self) -> None:
        """Create a private /dev/shm and IPC namespace, which Landlock does not restrict. Raises OSError."""
        from .sources import own_memory

        size_bytes = sum(task["limits"]["memory_bytes"] for task in self._plan["tasks"])
        alone = own_memory(size_bytes)
        self._plan["user_namespace"] = alone or self._plan.get("user_namespace", False)

    def _share_memory(self, path: str) -> None:
        """Create one /dev/shm for all tasks; if no tmpfs can be mounted, it is on disk and counts as disk use."""
        from .sources import share_memory

        os.mkdir(path, 0o700)
        os.chmod(path, 0o1777)  # noqa: S103  # beneath a folder that only the server may enter
        try:
            alone = share_memory(path, self._plan["shared_memory_bytes"])
            self._plan["user_namespace"] = alone or self._plan.get("user_namespace", False)
        except OSError:
            self._plan["shared_on_disk"] = True

    def program(self, task: dict[str, Any]) -> tuple[list[bytes], dict[bytes, bytes], list[int]]:
        """Return the command to execute, its environment and the descriptors that it inherits."""
        command = [encode(part) for part in self._plan["command"]]
        variables = {encode(name): encode(value) for name, value in task["variables"].items()}
        if self._plan["sandbox"] != "bubblewrap":
            return command, variables, []
        arguments = [self._argument(item) for item in task["walls"]]
        for name, value in variables.items():
            arguments += [b"--setenv", name, value]
        keep = []
        if self._plan["seccomp"] is not None:
            program = memory_file(self._plan["seccomp_program"])
            keep.append(program)
            arguments += [b"--seccomp", str(program).encode()]
        options = memory_file(b"".join(item + b"\0" for item in arguments))
        keep.append(options)
        # The variables are passed with the options in a memory file: every user of the host can read command lines.
        bwrap = [encode(self._plan["bwrap"]), b"--args", str(options).encode(), b"--", *command]
        return bwrap, {b"PATH": b"/usr/local/bin:/usr/bin:/bin"}, keep

    def _argument(self, item: Any) -> bytes:
        if isinstance(item, dict):
            path: str = item["path"]
            return encode(self._reachable.get(path, path))
        return encode(str(item))


def encode(value: str) -> bytes:
    """Encode a string for system calls."""
    return value.encode("utf-8", "surrogateescape")


def memory_file(data: bytes) -> int:
    """Return a descriptor from which `data` can be read once."""
    handle = os.memfd_create("pearl", os.MFD_CLOEXEC)
    while data:
        data = data[os.write(handle, data) :]
    os.lseek(handle, 0, os.SEEK_SET)
    return handle
