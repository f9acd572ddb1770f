"""`pearl port-forward`: a port of a running service at a port of this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import text
from pearlstreet.cli.output import done, err, say
from pearlstreet.cli.profile import client
from pearlstreet.cli.shells import send_input
from pearlstreet.client.shells import INPUT_BYTES
from pearlstreet.client.transport import ApiError, Unreachable

if TYPE_CHECKING:
    from pearlstreet.client import Client, results

LOOPBACK = "127.0.0.1"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("port-forward")(forward)


def forward(
    job_id: Annotated[str, typer.Argument(help="Job id", metavar="JOB")],
    port: Annotated[
        str,
        typer.Argument(help="Port of the service, or LOCAL:PORT; by default its only one", metavar="[PORT]"),
    ] = "",
    rank: Annotated[int, typer.Option(help="Which task")] = 0,
) -> None:
    """Reach a port of a running service at 127.0.0.1, through the center, until Ctrl-C."""
    number, name = _parse(port)
    with client() as center:
        first = center.shells.connect(job_id, name, rank=rank)  # so that what is wrong is said at once
        center.shells.close(job_id, first["id"])
        try:
            listener = socket.create_server((LOOPBACK, number))
        except OSError as error:
            message = text(
                "Port {port} of this machine cannot be used: {reason}", port=number, reason=error.strerror
            )
            raise InvalidInput(message, problems=[Problem("PORT", message)]) from None
        with listener:
            shown = first["command"][-1]
            local = "http://{}:{}".format(*listener.getsockname()[:2])
            done("Port {port} of {job} is at {address} until Ctrl-C", port=shown, job=job_id, address=local)
            while True:
                link, _ = listener.accept()
                threading.Thread(target=_serve, args=(center, job_id, shown, rank, link), daemon=True).start()


def _parse(port: str) -> tuple[int, str]:
    """Return local port (0: any free one) and name of `web` or `8080:web`. Raises InvalidInput."""
    local, colon, name = port.rpartition(":")
    if not colon:
        return 0, port
    if not local.isdigit() or not 0 < int(local) < 65_536:
        message = text("{port} is not LOCAL:PORT such as 8080:web", port=port)
        raise InvalidInput(message, problems=[Problem("PORT", message)])
    return int(local), name


def _serve(center: Client, job_id: str, port: str, rank: int, link: socket.socket) -> None:
    """Pass one connection on to the service and its answers back."""
    with link:
        try:
            shell = center.shells.connect(job_id, port, rank=rank)
        except (ApiError, Unreachable) as error:
            err.print(say("A connection was refused: {reason}", reason=str(error)), style="dim")
            return
        threading.Thread(target=_send, args=(center, shell, link), daemon=True).start()
        with contextlib.suppress(ApiError, Unreachable, OSError):
            for part in center.shells.output(job_id, shell["id"]):
                link.sendall(part)
        with contextlib.suppress(ApiError, Unreachable):
            center.shells.close(job_id, shell["id"])
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)


def _send(center: Client, shell: results.Shell, link: socket.socket) -> None:
    """Give the service what the local program sends, and its end."""
    send_input(center, shell, lambda: link.recv(INPUT_BYTES))
