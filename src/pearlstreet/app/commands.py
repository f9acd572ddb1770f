"""Commands that run or keep a center on this machine: up, down, backup, restore, demo."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pearlstreet.app.detached import First, start_detached, warn_of
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import plural, text
from pearlstreet.base.units import format_bytes
from pearlstreet.cli.output import confirm, done, err, language, say, show_json, warn

NOTHING_FIRST = First(keys=None, links=None)
STOP_S = 40.0
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder (default: PEARL_DATA, else ~/.local/share/pearlstreet)"),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, backup, restore, demo):
        app.command()(command)


def up(
    data: Data = None,
    listen: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1)")] = None,
    port: Annotated[int | None, typer.Option(help="Port (default 7420)")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="TLS certificate file")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="TLS key file")] = None,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="A trusted proxy in front does TLS")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://user@host/name (default: SQLite in the data folder)")
    ] = None,
    simulate: Annotated[
        str | None, typer.Option(help="Pretend hardware, e.g. 4x8xH100-80G,2x8xAscend910B")
    ] = None,
    simulate_speed: Annotated[float | None, typer.Option(help="How many times faster than real time")] = None,
    simulate_faults: Annotated[
        str | None, typer.Option(help="Faults of the simulated engine, e.g. ack_lost:0.1,node_flaps")
    ] = None,
    busy: Annotated[
        bool, typer.Option("--busy/--idle", help="With --simulate: tenants that keep it busy")
    ] = True,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once it answers; pearl down ends it")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a center on this machine. The first start prints the operators' keys and links, once."""
    from pearlstreet.app.settings import load_settings

    options = {
        "listen": listen,
        "port": port,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "behind_proxy": behind_proxy,
        "database": database,
        "simulate": simulate,
        "simulate_speed": simulate_speed,
        "simulate_faults": simulate_faults,
    }
    settings = load_settings(data, options)
    if detach:
        first = start_detached(settings.data, options, busy=busy)
        _announce(settings, first, as_json)
        return
    _serve(settings, busy, as_json)


def _serve(settings: Any, busy: bool, as_json: bool) -> None:
    from pearlstreet.app.demo_load import keep_busy
    from pearlstreet.app.serve import serve

    report = os.environ.pop("PEARL_READY_FD", None)

    def ready(assembled: Any, first: Any) -> None:
        made = _first(settings, first) if first else NOTHING_FIRST
        if settings.simulate and busy:
            keep_busy(settings, assembled)
        notices = [notice.render(language()) for notice in assembled.center.notices]
        if report is not None:
            with os.fdopen(int(report), "w") as pipe:
                json.dump({**made, "notices": notices}, pipe)
        else:
            warn_of(notices)
            _announce(settings, made, as_json)

    serve(settings, ready)


def _first(settings: Any, first: Any) -> First:
    """Return the operators' keys and the links with which they set console passwords; they are shown once."""
    base = settings.public_url or settings.url
    return First(
        keys={role.value: key for role, key in first.credentials.items()},
        links={role.value: f"{base}/set-password?link={token}" for role, token in first.tokens.items()},
    )


def _announce(settings: Any, first: First, as_json: bool) -> None:
    if as_json:
        show_json({"url": settings.url, "data": str(settings.data), **first})
        sys.stdout.flush()
        return
    done("The center answers at {url}; its data is in {data}", url=settings.url, data=str(settings.data))
    if first["keys"] and first["links"]:
        warn(say("These keys of the operators are shown once. Keep them safe; they end after 30 days:"))
        for role, key in first["keys"].items():
            err.print(f"  {role:9s} {key}", markup=False, soft_wrap=True)
        err.print(say("In the browser, each operator sets a password with their link, within 72 hours:"))
        for role, link in first["links"].items():
            err.print(f"  {role:9s} {link}", markup=False, soft_wrap=True)
    err.print(say("Sign in: pearl login --url {url} --key KEY", url=settings.url), markup=False)
    if settings.simulate:
        err.print(say("Its hardware is simulated: {simulate}", simulate=settings.simulate), markup=False)


def down(data: Data = None) -> None:
    """Stop the center of the data folder. Running jobs go on; it finds them again."""
    from pearlstreet.app.settings import load_settings
    from pearlstreet.app.state import stop

    folder = load_settings(data, {}).data
    pid = stop(folder)
    if pid is None:
        done("No center runs from {data}", data=str(folder))
        return
    until = time.monotonic() + STOP_S
    while not _is_free(folder):
        if time.monotonic() > until:
            raise ConfigurationError(
                text("Process {pid} has not ended after {seconds} s", pid=pid, seconds=f"{STOP_S:g}")
            )
        time.sleep(0.05)
    done("The center has stopped; jobs that were running run on")


def _is_free(data: Path) -> bool:
    """Return whether no server holds the lock of the data folder."""
    import fcntl

    try:
        with (data / "lock").open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def demo(
    stop: Annotated[bool, typer.Option("--stop", help="End what the demo left running")] = False,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="On a Slurm cluster of 8 virtual nodes on this machine (as root)"),
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="The demo's data folder (default: .demo, or .demo-cluster)")
    ] = None,
    port: Annotated[int, typer.Option(help="Port")] = 7421,
) -> None:
    """Start a center, make a tenant with a balance, train a real model as a job, show its invoice."""
    from pearlstreet.app.demo import run_demo
    from pearlstreet.app.demo_cluster import run_demo_cluster, stop_demo_cluster

    folder = (data or Path(".demo-cluster" if cluster else ".demo")).absolute()
    if stop:
        down(folder)
        if cluster:
            stop_demo_cluster(folder)
    elif cluster:
        run_demo_cluster(folder, port)
    else:
        run_demo(folder, port)


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write")],
    data: Data = None,
    with_key: Annotated[bool, typer.Option("--with-key", help="Put the encryption key in as well")] = False,
) -> None:
    """Copy a center (running or not) into one checked file."""
    from pearlstreet.app.backup_commands import make_backup
    from pearlstreet.app.settings import load_settings

    report = make_backup(load_settings(data, {}), file, with_key=with_key)
    done(
        plural(
            "{file} holds {count} file, {size}",
            "{file} holds {count} files, {size}",
            file=str(file),
            count=report.files,
            size=format_bytes(report.bytes),
        )
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that pearl backup made")],
    data: Data = None,
    key_file: Annotated[
        Path | None, typer.Option(help="The center's encryption key, when the backup has none")
    ] = None,
    yes: Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in the data folder")] = False,
) -> None:
    """Bring a center back from a backup and prove its books on the copy."""
    from pearlstreet.app.backup_commands import restore_backup
    from pearlstreet.app.settings import load_settings

    settings = load_settings(data, {})
    if force:
        confirm("Replace everything in {data}?", yes, data=str(settings.data))
    words = restore_backup(settings, file, key_file=key_file, force=force)
    done("Restored to {data}. {words}", data=str(settings.data), words=words.render(language()))
