"""Program of a node that shares no folder with the center: gets its part of an attempt, runs it, and brings the results back.

It runs as the Unix user of the organisation, in a folder of its own on the node's disk, and leaves nothing of the attempt there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from pearlstreet.compute.engines.cluster import node_folders, node_program
from pearlstreet.compute.engines.cluster.exchange.client import Center, Refused, Unreachable
from pearlstreet.compute.engines.cluster.exchange.upload import (
    FINAL_S,
    CheckpointUpload,
    LogUpload,
    TreeUpload,
)
from pearlstreet.compute.engines.local import clearing
from pearlstreet.compute.engines.local.folders import Folders
from pearlstreet.compute.engines.local.supervisor import files
from pearlstreet.compute.engines.local.supervisor.checkpoint import saved_us
from pearlstreet.compute.engines.local.supervisor.files import text
from pearlstreet.compute.engines.orders import plain_id
from pearlstreet.compute.engines.staging.runner.inputs import InputWriter, StageError

BEGIN_S = 300.0
"""Time within which the center must answer at the beginning."""
ROUND_S = 1.0
CACHED_S = 7 * 86_400.0
"""Age after which an environment that no attempt used is deleted from the node."""
ABANDONED_S = 86_400.0


def main() -> int:
    """Run this node's part of an attempt and return the exit code."""
    given = json.loads(os.environ.pop("PEARL_EXCHANGE"))
    number = int(os.environ.get("SLURM_NODEID", "0"))
    if not plain_id(given["attempt"]):
        return node_program.REFUSED
    center = Center(given["address"], given["attempt"], number, given["authority"])
    try:
        center.claim(given.pop("token"), secrets.token_hex(16), within_s=BEGIN_S)
    except Refused as refused:
        print(refused, file=sys.stderr)  # noqa: T201
        return node_program.STARTED_BEFORE if refused.status == 409 else node_program.REFUSED
    except Unreachable as error:
        print(f"The center cannot be reached: {error}", file=sys.stderr)  # noqa: T201
        return node_program.REFUSED
    root = make_root(given["folder"])
    _sweep(root)
    place = root / "attempts" / given["attempt"]
    try:
        return _run(center, root, place, number)
    finally:
        center.close()
        with contextlib.suppress(OSError):
            clearing.delete_tree(place, Folders(root).trash)


def make_root(base: str) -> Path:
    """Return this user's folder below `base` on this node, which no other user may enter. Raises OSError."""
    node = "".join(
        character
        for character in os.environ.get("SLURMD_NODENAME", "node")
        if character.isalnum() or character in "-."
    )
    folder = Path(base, f"pearl-{os.getuid()}")
    for path in (folder, folder / f"node-{node}"):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        stats = path.lstat()
        if stats.st_uid != os.getuid() or stats.st_mode & 0o170077 != 0o040000:
            raise PermissionError(f"{path} belongs to another user or is open to others")
    root = folder / f"node-{node}"
    for name in ("attempts", "mounts", "checkpoints"):
        (root / name).mkdir(mode=0o700, exist_ok=True)
    return root


def _sweep(root: Path) -> None:
    """Delete what interrupted attempts left a day ago, and environments that were not used for a week."""
    now_s = time.time()
    for path in [*(root / "attempts").iterdir(), *(root / "checkpoints").iterdir()]:
        with contextlib.suppress(OSError):
            is_held = any(files.is_locked(str(lock)) for lock in path.glob("node-*/lock"))
            if not is_held and now_s - path.lstat().st_mtime > ABANDONED_S:
                clearing.delete_tree(path, Folders(root).trash)
    for lock in (root / "mounts").glob("*.lock"):
        with contextlib.suppress(OSError), _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if now_s - lock.lstat().st_mtime > CACHED_S:
                clearing.delete_tree(lock.with_suffix(""), Folders(root).trash)
                lock.unlink()


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def _run(center: Center, root: Path, place: Path, number: int) -> int:
    with contextlib.ExitStack() as held:
        try:
            settings = center.call("GET", "order", within_s=BEGIN_S)
            node_folders.make_attempt_folders(place, settings["nodes"])
            checkpoint = _fetch(center, root, place, settings, held)
        except (Refused, Unreachable, StageError, OSError) as error:
            return _refuse(center, error)
        per_node = settings["ranks_per_node"]
        node = node_folders.node_folder(place, number)
        fetched_us = saved_us(str(checkpoint)) if checkpoint is not None else None
        told_us = settings.get("saved_us")
        times = {fetched_us: told_us} if fetched_us is not None and told_us is not None else {}
        logs = LogUpload(center, node, range(number * per_node, (number + 1) * per_node), times)
        saved = CheckpointUpload(center.copy(), checkpoint) if checkpoint is not None else None
        child = _start(place)
        if saved is not None:
            saved.start()
        code = _watch(center, child, logs, node)
        _finish(center, logs, saved, place)
        return code


def _refuse(center: Center, error: Exception) -> int:
    """Tell the center why the node does not run the attempt."""
    reason = str(error)[:300]
    print(reason, file=sys.stderr)  # noqa: T201
    ended: dict[str, object] = {"state": "exited", "tasks": [], "started_us": None, "saved_us": None}
    message = text("The node cannot run the attempt: {reason}", reason=reason)
    if isinstance(error, StageError):
        message = error.args[0]
    ended |= {"end_reason": "engine_lost", "ended_us": files.WallClock().now_us(), "exit_code": None}
    with contextlib.suppress(Refused, Unreachable):
        center.call("PUT", "records/state", {**ended, "message": message}, within_s=BEGIN_S)
    return node_program.REFUSED


def _fetch(
    center: Center, root: Path, place: Path, settings: Mapping[str, Any], held: contextlib.ExitStack
) -> Path | None:
    """Get inputs, environments and checkpoints, and write the order; the checkpoint folder. Raises what `_run` catches."""
    order = settings["order"]
    center.unpack("work", str(place / "work"), within_s=BEGIN_S)
    if order["stages"]:
        writer = InputWriter(
            str(place / "work"), None, int(order["limits"]["disk_gib"] * 2**30), lambda: False, str(place)
        )
        try:
            for stage in order["stages"]:
                writer.put(stage)
        finally:
            writer.close()
    mounts = [
        {**mount, "source": str(_mount(center, root, number, digest, held))}
        for number, (mount, digest) in enumerate(zip(order["mounts"], settings["digests"], strict=True))
    ]
    checkpoint = Folders(root).checkpoint(order["checkpoint"]) if order["checkpoint"] else None
    if checkpoint is not None:
        if checkpoint.exists():
            clearing.delete_tree(checkpoint, Folders(root).trash)  # another node may have gone on since
        checkpoint.mkdir(mode=0o700)
        held.callback(clearing.delete_tree, checkpoint, Folders(root).trash)
        center.unpack("checkpoint", str(checkpoint), within_s=BEGIN_S)
    local = {**settings, "order": {**order, "stages": [], "mounts": mounts}}
    local["hidden"] = [*settings["hidden"], str(root.parent)]
    files.write_json(str(place), node_folders.ORDER, local)
    return checkpoint


def _mount(center: Center, root: Path, number: int, digest: str, held: contextlib.ExitStack) -> Path:
    """Return a folder of the center as it lies in this node's cache, fetched if it is new. Its lock keeps it there."""
    final = root / "mounts" / digest
    lock = final.with_name(f"{digest}.lock")
    with _locked(lock, fcntl.LOCK_EX):
        if not final.exists():
            partial = final.with_name(f"{digest}.partial")
            if partial.exists():
                clearing.delete_tree(partial, Folders(root).trash)
            partial.mkdir(mode=0o700)
            center.unpack(f"mount-{number}", str(partial), within_s=BEGIN_S)
            partial.rename(final)
        os.utime(lock)
    held.enter_context(_locked(lock, fcntl.LOCK_SH))
    return final


def _start(place: Path) -> int:
    """Run the node's tasks under their supervisor in a process of its own; its id."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = node_program.main(["", str(place)])
        finally:
            os._exit(code)

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, pass_on)
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    return child


def _watch(center: Center, child: int, logs: LogUpload, node: Path) -> int:
    """Send what is new and look for a stop until the tasks are over; the exit code."""
    stop: object = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        with contextlib.suppress(Unreachable, Refused):
            logs.send()
            told = center.call("GET", "control", within_s=ROUND_S)["stop"]
            if told is not None and told != stop:
                files.write_json(str(node), files.STOP, told)
                stop = told
        _wait(child)


def _wait(child: int) -> None:
    """Wait for the end of a process for ROUND_S at most; it stays to be reaped."""
    until_s = time.monotonic() + ROUND_S
    while time.monotonic() < until_s:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.05)


def _finish(center: Center, logs: LogUpload, saved: CheckpointUpload | None, place: Path) -> None:
    """Send all results and then the last state. Where the center stays silent too long, they are lost with the node's folder."""
    try:
        with contextlib.suppress(Refused):
            center.call("POST", "keep", {"kind": "uploading"}, within_s=FINAL_S)
        logs.send(within_s=FINAL_S)
        TreeUpload(center, place / "outputs", "outputs").send(within_s=FINAL_S)
        with contextlib.suppress(Refused):
            center.call("POST", "keep", {"kind": "outputs"}, within_s=FINAL_S)
        if saved is not None:
            saved.finish()
        logs.send_state(is_last=True, within_s=FINAL_S)
    except Unreachable as error:
        print(f"The center cannot be reached: {error}", file=sys.stderr)  # noqa: T201
