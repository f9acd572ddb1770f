"""A server under attack: honest requests are sent beside one, and timed. As a program it prints a table of all attacks.

`python -m tests.security.http_siege [--seconds 10]` is part of `make security`.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.crash.server import Server
from tests.security.http_attackers import ATTACKS

HEALTH = b"GET /health HTTP/1.1\r\nhost: center\r\nconnection: close\r\n\r\n"
P95_S = 0.5
"""What /health may take while an attack goes on."""
JOB = {"name": "honest", "command": ["true"], "per_task": {"cpus": 1, "memory_gib": 1}, "simulate": "1s"}


@dataclass
class Siege:
    """What happened during one attack."""

    seconds: list[float] = field(default_factory=list)
    """Of each honest request that was answered."""
    failures: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    """What the attacker got."""
    job_state: str = ""
    rss_mb: float = 0.0

    @property
    def p95_s(self) -> float:
        """95th percentile of honest requests; one without an answer counts as endless."""
        times = sorted([*self.seconds, *(float("inf") for _ in self.failures)])
        return times[min(len(times) - 1, int(len(times) * 0.95))]


def ask_health(port: int) -> float:
    """Ask on a new connection; seconds until the whole answer. Raises OSError."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as asking:
        asking.sendall(HEALTH)
        answer = b""
        while part := asking.recv(4096):
            answer += part
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"answered {answer[:80]!r}")
    return time.perf_counter() - began


def besiege(server: Server, attack: str, seconds: float) -> Siege:
    """Run one attack; ask /health all the while, and run a job of an honest tenant."""
    command = [sys.executable, "-m", "tests.security.http_attackers", attack, str(server.port), str(seconds)]
    attacker = subprocess.Popen(command, stdout=subprocess.PIPE)
    siege = Siege()
    try:
        time.sleep(min(1.0, seconds / 4))
        until = time.monotonic() + seconds - min(1.0, seconds / 4)
        job = _submit(server, until)
        while time.monotonic() < until or not (siege.seconds or siege.failures):
            try:
                siege.seconds.append(ask_health(server.port))
            except OSError as error:
                siege.failures.append(str(error))
            time.sleep(0.05)
        siege.job_state = str(server.wait(job)["state"])
        assert server.process is not None
        siege.rss_mb = psutil.Process(server.process.pid).memory_info().rss / 1e6
        printed, _ = attacker.communicate(timeout=seconds + 30)
        siege.answers = json.loads(printed)
    finally:
        attacker.kill()
        attacker.wait()
    return siege


def _submit(server: Server, until_s: float) -> str:
    """Submit as a client does that honours Retry-After: the attacker shares its address, and so its connection limit."""
    while True:
        try:
            return server.submit(**JOB)
        except (AssertionError, httpx.TransportError):
            if time.monotonic() > until_s:
                raise
            time.sleep(0.5)


def refused(server: Server) -> dict[str, float]:
    """What the server says it refused, by reason."""
    found = {}
    with server.http(server.keys["system"]) as system:
        text = system.get(f"{server.url}/metrics").text
    for line in text.splitlines():
        if line.startswith("pearl_http_refused_total{"):
            reason, _, count = line.partition("} ")
            found[reason.split('"')[1]] = float(count)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each attack")
    parser.add_argument("attacks", nargs="*", default=list(ATTACKS))
    options = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory(prefix="pearl-siege-") as folder:
        # attacker and tenant share loopback: limits by address would refuse the tenant what only the attacker asks
        rates = {"PEARL_RATE_ADDRESS_PER_S": "0", "PEARL_RATE_SIGN_INS_PER_MINUTE": "0"}
        server = Server(Path(folder) / "data", "--simulate", "4x8xH100-80G", environment=rates)
        try:
            server.start()
            server.make_tenant()
            calm = sorted(ask_health(server.port) for _ in range(100))
            print(f"calm: /health p95 {calm[95] * 1000:.0f} ms")
            for attack in options.attacks:
                siege = besiege(server, attack, options.seconds)
                held = siege.p95_s <= P95_S and siege.job_state == "succeeded"
                if not held:
                    missed.append(attack)
                print(
                    f"{attack:24} /health p95 {siege.p95_s * 1000:6.0f} ms of {len(siege.seconds)} "
                    f"({len(siege.failures)} unanswered), job {siege.job_state}, {siege.rss_mb:.0f} MB; "
                    f"attacker: {siege.answers} {'' if held else 'MISSED'}",
                    flush=True,
                )
            print(f"refused: {refused(server)}")
        finally:
            server.clean_up()
    print(
        f"/health p95 <= {P95_S} s under {len(options.attacks) - len(missed)} of {len(options.attacks)} attacks"
    )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
