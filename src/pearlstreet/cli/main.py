"""`pearl`: one command for each noun or verb. A new command is one module of its name, which is found here."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any, NoReturn

import typer

from pearlstreet import __version__, cli
from pearlstreet.base.clock import SystemClock, to_rfc3339
from pearlstreet.base.errors import InvalidInput, PearlError
from pearlstreet.base.text import text
from pearlstreet.cli.helping import speak
from pearlstreet.cli.output import show_error
from pearlstreet.cli.usage_errors import explained

MISUSED: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
"""Exception that typer raises for a wrong command line. Its package differs between versions of typer."""
Homes = Mapping[str, tuple[str, ...]]
"""Module → the commands and groups that its `register` adds."""
_LISTED: dict[str, tuple[str, ...]] = {
    "pearlstreet.cli.accounts": (
        "login", "logout", "whoami", "passwd", "keys", "users", "orgs", "projects", "secrets",
    ),
    "pearlstreet.cli.members": ("invitations",),
    "pearlstreet.cli.jobs": ("run", "jobs", "job", "logs", "cancel", "why", "artefacts", "checkpoints"),
    "pearlstreet.cli.shells": ("exec",),
    "pearlstreet.cli.port_forwarding": ("port-forward",),
    "pearlstreet.cli.metrics": ("metrics",),
    "pearlstreet.cli.simulate": ("simulate",),
    "pearlstreet.cli.trace": ("trace",),
    "pearlstreet.cli.referee": ("referee",),
    "pearlstreet.cli.nodes": ("nodes", "accelerators", "bench"),
    "pearlstreet.cli.engines": ("engines", "engine"),
    "pearlstreet.cli.money": ("balance", "statement", "invoice", "proof", "books", "credit", "prices"),
    "pearlstreet.cli.billing": ("billing", "budgets"),
    "pearlstreet.cli.notices": ("notices", "webhooks"),
    "pearlstreet.cli.storage": ("storage",),
    "pearlstreet.cli.hub": ("hub",),
    "pearlstreet.cli.operate": ("quotas", "shares", "fair-share", "audit"),
    "pearlstreet.cli.scheduling": ("policy", "queues", "windows", "decisions"),
    "pearlstreet.cli.what_if": ("what-if",),
    "pearlstreet.cli.quoting": ("quote",),
    "pearlstreet.cli.calibrating": ("calibration",),
    "pearlstreet.cli.energy": ("energy",),
    "pearlstreet.cli.estimating": ("estimate",),
}  # fmt: skip
"""Modules with several commands, or one of another name, in the order of the help. They are written out, so that a command
loads only its own module: building all of them takes longer than running one."""
HELPERS = frozenset(
    (
        "browser", "current_org", "following", "helping", "hub_archives", "main", "offers_table", "output",
        "parallel_replay", "profile", "reference", "usage_errors",
    )
)  # fmt: skip
"""Modules of this package without commands."""
_NAMED = (f"pearlstreet.cli.{name}" for _, name, _ in iter_modules(cli.__path__) if name not in HELPERS)
HOMES: Homes = _LISTED | {
    module: (module.rpartition(".")[2].replace("_", "-"),) for module in _NAMED if module not in _LISTED
}
"""All modules with commands. A module with one command bears its name and need not be listed."""
LOG = "cli.log"


def wanted(homes: Homes, arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Return the one command that is called; None when all of them are needed, for help, completion, or a slip."""
    first = arguments[0] if arguments else ""
    known = any(first in names for names in homes.values())
    plain = known or list(arguments) == ["--version"]
    return first if plain and "_PEARL_COMPLETE" not in environment else None


def make_app(more: Homes | None = None, only: str | None = None) -> typer.Typer:
    """Return the command line; `more`: modules of later packages. `only`: with no other command than this."""
    app = typer.Typer(
        name="pearl",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(pearl)
    for module, names in {**(more or {}), **HOMES}.items():
        if only is None or only in names:
            import_module(module).register(app)
    if only is not None:
        app.registered_commands = [one for one in app.registered_commands if _name(one) == only]
        app.registered_groups = [one for one in app.registered_groups if one.name == only]
    return app


def _name(command: Any) -> str:
    return str(command.name or command.callback.__name__.replace("_", "-"))


def pearl(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version")] = False,
) -> None:
    """Run an AI computing center, and work on one."""
    if version:
        sys.stdout.write(f"pearl {__version__}\n")
    elif context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def command_of(app: typer.Typer) -> Any:
    """Return the whole tree of commands, with help in the reader's language."""
    root = typer.main.get_command(app)
    for parameter in root.params:
        if getattr(parameter, "help", "") and parameter.help.startswith("Show completion"):  # type: ignore[attr-defined]
            parameter.help = "Show the shell's completion script"  # type: ignore[attr-defined]
        elif getattr(parameter, "help", "") and parameter.help.startswith("Install completion"):  # type: ignore[attr-defined]
            parameter.help = "Let the shell complete commands and options"  # type: ignore[attr-defined]
    speak(root)
    return root


def run(app: typer.Typer) -> NoReturn:
    """Run the command line: errors become messages and exit codes (0 right, 1 failed, 2 misused, 130 interrupted)."""
    try:
        code = command_of(app)(standalone_mode=False)
        sys.stdout.flush()
    except PearlError as error:
        _fail(error, 1)
    except MISUSED as error:
        _misused(error)
    except typer.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            sys.exit(130)
        _fail(PearlError(text("Nothing was done")), 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(PearlError(_words(error)), 1)
    except Exception:  # noqa: BLE001  the last net: a traceback helps the developer, in a file
        _unexpected()
    sys.exit(code if isinstance(code, int) else 0)


def _fail(error: PearlError, code: int) -> NoReturn:
    show_error(error)
    sys.exit(code)


def _misused(error: Any) -> NoReturn:
    message = error.format_message()
    where = error.ctx.command_path if getattr(error, "ctx", None) is not None else "pearl"
    hint = text("See {command} --help", command=where)
    _fail(InvalidInput(explained(message), hint=hint), getattr(error, "exit_code", 2))


def _words(error: OSError) -> Any:
    problem = error.strerror or str(error)
    if error.filename:
        return text("{file}: {problem}", file=str(error.filename), problem=problem)
    return text("{problem}", problem=problem)


def _unexpected() -> NoReturn:
    kind, error, _ = sys.exc_info()
    said = f"{kind.__name__ if kind else ''}: {error}"
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    file = Path(base) / "pearlstreet" / LOG
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as log:
            log.write(f"{to_rfc3339(SystemClock().now_us())} pearl {__version__}\n{traceback.format_exc()}\n")
    except OSError:
        _fail(PearlError(text("The program made a mistake: {problem}", problem=said)), 1)
    hint = text("Details are in {file}", file=str(file))
    _fail(PearlError(text("The program made a mistake: {problem}", problem=said), hint=hint), 1)
