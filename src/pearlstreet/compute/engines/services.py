"""Services: attempts that run until they are stopped, with ports, probes, restarts and drain."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import Literal

from pearlstreet.base.outcome import Refused
from pearlstreet.base.text import Text, text

PORT_NAME = re.compile(r"[a-z][a-z0-9]{0,14}")
RESTARTS_MAX = 1000
RestartWhen = Literal["never", "on_failure", "always"]


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port on which each task of a service listens."""

    name: str
    """At most 15 small letters and digits, a letter first; the task reads its port from $PEARL_PORT_<NAME>."""
    port: int
    """Port of rank 0; the engine may add to it so that ranks on one machine do not meet."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A check that is repeated while a task runs."""

    kind: Literal["http", "tcp", "exec"]
    port: str = ""
    """Name of the port, for `http` and `tcp`."""
    path: str = "/"
    """Path of a GET request for `http`; an answer below 400 is a success."""
    command: tuple[str, ...] = ()
    """Command run inside the task for `exec`; exit code 0 is a success."""
    period_s: float = 10.0
    timeout_s: float = 2.0
    successes: int = 1
    """Number of successes in a row after which the check holds."""
    failures: int = 3
    """Number of failures in a row after which it no longer holds."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a task that ended is started again, in the same attempt and on the same devices."""

    when: RestartWhen = "on_failure"
    maximum: int = 5
    """Maximum number of restarts of a task; after one more end the attempt ends."""
    backoff_s: float = 1.0
    """Time before the first restart; it doubles with each, up to `backoff_max_s`."""
    backoff_max_s: float = 300.0

    def delay_s(self, restarts: int) -> float:
        """Return the time before the restart after `restarts` earlier ones."""
        return min(self.backoff_s * 2.0 ** min(restarts, 32), self.backoff_max_s)


@dataclass(frozen=True, slots=True)
class ServiceOrder:
    """What makes an attempt a service."""

    ports: tuple[ServicePort, ...] = ()
    readiness: Probe | None = None
    """Check whether a task can take requests; None: it can as soon as it runs."""
    liveness: Probe | None = None
    """Check whether a task still works; one that fails it is killed, which counts as a failure for `restart`."""
    startup_grace_s: float = 60.0
    """Time from the start of a task in which failures of the liveness probe do not count."""
    restart: RestartPolicy = RestartPolicy()
    drain_s: float = 30.0
    """Time for which the center lets a drain wait for open connections."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address at which the center reaches a port of a task."""

    port: str
    address: str
    """`unix:` and the path of a socket on the engine's machine, or `tcp:` and host:port."""


def bad_service(service: ServiceOrder) -> Refused | None:
    """Return why an order's service cannot be right, or None."""
    problem = _problem(service)
    return None if problem is None else Refused("bad_service", problem)


def _problem(service: ServiceOrder) -> Text | None:
    names = [port.name for port in service.ports]
    if len(set(names)) != len(names) or not all(PORT_NAME.fullmatch(name) for name in names):
        return text("Ports need different names of at most 15 small letters and digits, a letter first")
    if not all(1024 <= port.port <= 60_000 for port in service.ports):
        return text("A port of a service is between 1024 and 60000")
    for probe in (service.readiness, service.liveness):
        if probe is None:
            continue
        if probe.kind == "exec" and not probe.command:
            return text("A probe of kind exec needs a command")
        if probe.kind != "exec" and probe.port not in names:
            return text(
                "The probe names the port {port}, which the service does not have", port=repr(probe.port[:40])
            )
        if not probe.path.isascii() or not probe.path.startswith("/") or any(c <= " " for c in probe.path):
            return text("The path of a probe starts with / and has no spaces")
        if min(probe.period_s, probe.timeout_s) < 0.05 or min(probe.successes, probe.failures) < 1:
            return text("Period and timeout of a probe are at least 0.05 s, its counts at least 1")
    restart = service.restart
    if restart.maximum > RESTARTS_MAX:
        return text("A task is restarted at most {count} times", count=RESTARTS_MAX)
    if (
        restart.maximum < 0
        or restart.backoff_s < 0
        or restart.backoff_max_s < 0
        or service.startup_grace_s < 0
        or service.drain_s < 0
    ):
        return text("Times and counts of a service must not be negative")
    return None


def connect_unix(address: str, timeout_s: float) -> socket.socket:
    """Return a connection to an endpoint of the form `unix:PATH`, whose path may be longer than that of a socket. Raises OSError."""
    folder, name = os.path.split(address.removeprefix("unix:"))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    handle = -1
    try:
        handle = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        connection.settimeout(timeout_s)
        connection.connect(f"/proc/self/fd/{handle}/{name}")
    except OSError:
        connection.close()
        raise
    finally:
        if handle >= 0:
            os.close(handle)
    return connection
