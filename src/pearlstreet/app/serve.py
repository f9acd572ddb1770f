"""Runs a center (API, console and loops in one process) until SIGTERM or SIGINT."""

from __future__ import annotations

import gc
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
import uvicorn

from pearlstreet.app.logs import configure_logs
from pearlstreet.app.memory import limit_arenas, memory_loop
from pearlstreet.app.settings import Settings
from pearlstreet.app.state import STATE, write_state
from pearlstreet.app.web import create_web
from pearlstreet.app.wiring import Assembled, assemble
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.compute.execution.inventory_loop import take_inventory
from pearlstreet.http.addresses import TrustedProxies
from pearlstreet.http.descriptors import permitted_connections, raise_descriptor_limit
from pearlstreet.http.limits import HttpLimits
from pearlstreet.http.server import GuardedServer
from pearlstreet.store.loop import LoopRunner
from pearlstreet.tenancy.bootstrap import FirstKeys, bootstrap

SWITCH_INTERVAL_S = 0.001
"""Thread switch interval of the interpreter, in seconds (Python's default: 5 ms). The writer thread releases the GIL at
every statement and waits up to this long to get it back while other threads parse requests."""
COLLECT_AFTER = (20_000, 20, 1_000)
"""Thresholds of Python's garbage collector for its three generations (Python's default: 700, 10, 10)."""
BACKLOG = 4_096
"""Number of connections that the kernel queues before they are accepted (Linux's default somaxconn)."""
log = structlog.get_logger("server")


def serve(settings: Settings, ready: Callable[[Assembled, FirstKeys | None], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called once requests are answered, with the first run's keys.

    Raises ConfigurationError before anything was started.
    """
    limit_arenas()
    os.umask(0o077)  # overrides the caller's umask: only the server's user may read the center's files
    configure_logs(settings.data / "log")
    check_tls(settings)
    limits = http_limits(settings)
    listening = bind(settings)
    assembled = assemble(settings)
    store = assembled.center.store
    runtime = assembled.runtime
    take_inventory(store, runtime.engines, runtime.settings.minimum_isolation)
    _tune_gc_and_gil()
    runner = LoopRunner(store, [*assembled.loops, memory_loop()])
    server = GuardedServer(_config(settings, assembled), limits, trusted_proxies(settings), store.clock)
    runner.start()
    write_state(settings.data / STATE, settings)
    for notice in assembled.center.notices:
        log.warning("notice", text=str(notice))
    try:
        # Create the first keys last: a failed start must not create keys that are never shown.
        _run(server, listening, lambda: ready(assembled, bootstrap(store)))
    finally:
        assembled.runtime.stopping.set()
        runner.stop()
        for engine in assembled.runtime.engines.values():
            engine.close()
        store.close()
        (settings.data / STATE).unlink(missing_ok=True)
        assembled.lock.close()


def http_limits(settings: Settings) -> HttpLimits:
    """Return the limits of the settings, with no more connections than the system gives descriptors for."""
    limits = settings.http_limits
    descriptors = raise_descriptor_limit()
    permitted = permitted_connections(limits.connections, descriptors)
    if permitted < limits.connections:
        log.warning(
            "fewer connections", wanted=limits.connections, permitted=permitted, descriptors=descriptors
        )
    return replace(limits, connections=permitted)


def trusted_proxies(settings: Settings) -> TrustedProxies:
    """Return the proxies whose X-Forwarded-For is trusted."""
    return TrustedProxies(settings.proxies if settings.behind_proxy else "")


def check_tls(settings: Settings) -> None:
    """Check that the TLS certificate and its key can be loaded. Raises ConfigurationError."""
    if settings.tls_cert is None:
        return
    try:
        # OpenSSL would ask on the terminal for the password of an encrypted key.
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trial.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            text(
                "The TLS files {cert} and {key} cannot be used: {problem}",
                cert=str(settings.tls_cert),
                key=str(settings.tls_key),
                problem=getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error),
            ),
            hint=text(
                "They must be PEM files: the certificate (its chain after it) and its key without a password"
            ),
        ) from None


def bind(settings: Settings) -> socket.socket:
    """Return the listening socket. Raises ConfigurationError when the port is in use."""
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.listen, settings.port))
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            text(
                "Cannot listen on {listen}:{port}: {problem}",
                listen=settings.listen,
                port=settings.port,
                problem=error.strerror or str(error),
            ),
            hint=text("Another program may use the port; choose one with --port"),
        ) from None
    listening.listen(BACKLOG)
    return listening


def _config(settings: Settings, assembled: Assembled) -> uvicorn.Config:
    return uvicorn.Config(
        create_web(
            assembled.center,
            assembled.services,
            https_only_days=settings.https_only_days,
            requests_per_address=settings.http_connections_per_address if settings.behind_proxy else 0,
        ),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips=settings.proxies if settings.behind_proxy else "",
        ssl_certfile=str(settings.tls_cert) if settings.tls_cert else None,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
        timeout_graceful_shutdown=5,
        ws="none",
    )


def _run(server: uvicorn.Server, listening: socket.socket, ready: Callable[[], None]) -> None:
    started = server.startup

    async def startup(sockets: Any = None) -> None:
        await started(sockets)
        ready()

    server.startup = startup  # type: ignore[method-assign]
    _outlive_signals()
    server.run(sockets=[listening])


def _outlive_signals() -> None:
    """Ignore the signal that uvicorn raises again after it has stopped, so that the store closes in order."""
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: None)


def _tune_gc_and_gil() -> None:
    """Shorten the thread switch interval, freeze startup objects, and raise the garbage collector's thresholds.

    A full collection in a loaded center takes 100 ms and ran every other second. Startup objects live as long as the
    process, and nearly all later objects are freed by reference counting.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
