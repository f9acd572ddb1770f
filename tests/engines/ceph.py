"""An S3 server of our own on loopback: Ceph's gateway over one monitor, manager and in-memory object daemon. 12 s to start."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from tests.engines_present import has_program, need

PROGRAMS = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool")
KEY_ID, SECRET = "testkey", "testsecret"
START_WITHIN_S = 90.0
_CONFIG = """
[global]
fsid={fsid}
mon host=127.0.0.1:{mon}
ms bind msgr2=false
ms bind port min={low}
ms bind port max={high}
auth cluster required=none
auth service required=none
auth client required=none
osd pool default size=1
osd pool default min size=1
osd crush chooseleaf type=0
osd pool default pg num=8
osd pool default pg autoscale mode=off
mon allow pool size one=true
mon max pg per osd=1000
run dir={folder}
log file={folder}/$name.log
admin socket={folder}/$name.asok
pid file={folder}/$name.pid
keyring=/dev/null
public addr=127.0.0.1
cluster addr=127.0.0.1
[mon]
mon data={folder}/mon
[mgr]
mgr data={folder}/mgr
[osd]
osd data={folder}/osd
osd objectstore=memstore
memstore device bytes=2147483648
[client.rgw.a]
rgw frontends=beast endpoint=127.0.0.1:{rgw}
"""


def start_gateway() -> CephGateway:
    """Return a gateway that answers. Another process may take one of its ports before it does: then a second try."""
    try:
        return CephGateway()
    except RuntimeError:
        return CephGateway()


class CephGateway:
    """Ceph's S3 gateway with one user (`KEY_ID`, `SECRET`). It ends with this process."""

    def __init__(self) -> None:
        need(all(map(has_program, PROGRAMS)), "Ceph's S3 gateway (radosgw)")
        self._folder = Path(tempfile.mkdtemp(prefix="pearl-ceph-"))
        for name in ("mon", "mgr", "osd"):
            (self._folder / name).mkdir()
        self._daemons: list[subprocess.Popen[bytes]] = []
        ports = _free_ports(4)
        self.endpoint = f"http://127.0.0.1:{ports[1]}"
        fsid = str(uuid.uuid4())
        low = max(ports) + 100 if max(ports) < 60_000 else 20_000
        self._config = self._folder / "ceph.conf"
        self._config.write_text(
            _CONFIG.format(
                fsid=fsid, mon=ports[0], rgw=ports[1], low=low, high=low + 300, folder=self._folder
            )
        )
        atexit.register(self.remove)
        try:
            self._boot(fsid, ports[0])
        except BaseException:
            self.remove()
            raise

    def _boot(self, fsid: str, port: int) -> None:
        monmap = self._folder / "monmap"
        self._run("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{port}]", "--fsid", fsid, monmap)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self._start("ceph-mon", "-i", "a")
        self._start("ceph-mgr", "-i", "a")
        osd = str(uuid.uuid4())
        self._run("ceph", "osd", "new", osd)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._start("ceph-osd", "-i", "0")
        self._start("radosgw", "-n", "client.rgw.a")
        self._wait()
        self._run(
            "radosgw-admin", "user", "create", "--uid=test", "--display-name=test", f"--access-key={KEY_ID}",
            f"--secret-key={SECRET}",
        )  # fmt: skip

    def pause(self) -> None:
        """Let the gateway answer nothing more until `resume`."""
        self._daemons[-1].send_signal(19)

    def resume(self) -> None:
        """Let the gateway answer again."""
        self._daemons[-1].send_signal(18)

    def remove(self) -> None:
        """End the daemons and delete their files."""
        for daemon in reversed(self._daemons):
            daemon.kill()
            daemon.wait()
        self._daemons.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        config = [] if program == "monmaptool" else ["-c", str(self._config)]
        command = [program, *config, *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, env=_environment()
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")

    def _start(self, program: str, *arguments: str) -> None:
        self._daemons.append(self._begin(program, "-c", str(self._config), "-f", *arguments))

    def _begin(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{command[0]}.out").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=_environment())

    def _wait(self) -> None:
        until = time.monotonic() + START_WITHIN_S
        while True:
            try:
                urllib.request.urlopen(self.endpoint, timeout=2).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                if time.monotonic() > until:
                    raise RuntimeError(f"Ceph did not start:\n{self._words()}") from None
                self._revive()
                time.sleep(0.2)
            else:
                return

    def _revive(self) -> None:
        """Start daemons that gave up again: one that asks the monitor too early is told a wrong fsid and ends."""
        for place, daemon in enumerate(self._daemons):
            if daemon.poll() is not None:
                self._daemons[place] = self._begin(*daemon.args)  # type: ignore[misc]

    def _words(self) -> str:
        """Return the last lines that the daemons wrote."""
        return "\n".join(
            f"{path.name}: {line}"
            for path in sorted(self._folder.glob("*.out")) + sorted(self._folder.glob("*.log"))
            for line in path.read_text(errors="replace").splitlines()[-5:]
        )


def _environment() -> dict[str, str]:
    return {**os.environ, "CEPH_ARGS": ""}


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
