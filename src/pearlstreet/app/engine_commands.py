"""`pearl engine add`: tries an engine, shows its checks and its table of the settings, and writes the table into pearl.toml."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pearlstreet.base.errors import Conflict, InvalidInput, PearlError, Problem
from pearlstreet.base.text import text
from pearlstreet.cli.engines import engines
from pearlstreet.cli.output import confirm, done, err, language, say, table, warn

if TYPE_CHECKING:
    from pearlstreet.app.settings import Settings
    from pearlstreet.compute.engines.checks import EngineCheck

FILE = "pearl.toml"
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder (default: PEARL_DATA, else ~/.local/share/pearlstreet)"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]
Unchecked = Annotated[bool, typer.Option("--unchecked", help="Write the table also if a check fails")]
Alone = Annotated[bool, typer.Option("--without-local", help="This machine runs no jobs from then on")]
Name = Annotated[str, typer.Argument(help="Name of the engine in this center", metavar="NAME")]
Value = Mapping[str, object]
add = typer.Typer(help="Add an engine to the settings of this center.", no_args_is_help=True)
engines.add_typer(add, name="add")


def register(app: typer.Typer) -> None:
    """Add nothing more: the commands belong to the group of engines, which registers itself."""


@add.command("slurm")
def add_slurm(
    name: Name,
    rest: Annotated[str, typer.Option(help="Address of slurmrestd, e.g. http://slurm:6820")] = "",
    jwt_key: Annotated[str, typer.Option(help="File of the key that signs tokens")] = "",
    shared: Annotated[str, typer.Option(help="Folder at the same path here and on every node")] = "",
    exchange: Annotated[
        str,
        typer.Option(help="Address at which nodes reach this server where they share no folder with it"),
    ] = "",
    users: Annotated[str, typer.Option(help="Unix users of organisations, e.g. pearl[001-064]")] = "",
    partition: Annotated[str, typer.Option(help="Partition for the jobs")] = "",
    more: Annotated[
        list[str] | None, typer.Option("--set", help="Another key of the table: KEY=VALUE; repeatable")
    ] = None,
    alone: Alone = False,
    unchecked: Unchecked = False,
    data: Data = None,
    yes: Yes = False,
) -> None:
    """Add a cluster that Slurm runs. What is not given is asked for."""
    given = {"rest": rest, "jwt_key": jwt_key, "shared": shared, "users": users, "partition": partition}
    extra = {**_pairs(more or []), **({"exchange": exchange} if exchange else {})}
    if "exchange" in extra:
        del given["shared"]
    by_commands = extra.get("transport") == "command"
    needed = [key for key in given if not (by_commands and key in ("rest", "jwt_key"))]
    asked = {**given, **_ask([key for key in needed if not given[key] and key not in extra])}
    options = {**{key: value for key, value in asked.items() if value}, **extra}
    _add(data, name, "slurm", options, alone=alone, unchecked=unchecked, yes=yes)


@add.command("local")
def add_local(
    name: Annotated[str, typer.Argument(help="Name of the engine in this center", metavar="NAME")] = "local",
    reserve_cpus: Annotated[float | None, typer.Option(help="CPU cores that jobs do not get")] = None,
    reserve_memory_gib: Annotated[
        float | None, typer.Option(help="Memory in GiB that jobs do not get")
    ] = None,
    unchecked: Unchecked = False,
    data: Data = None,
    yes: Yes = False,
) -> None:
    """Add this machine."""
    numbers = {"reserve_cpus": reserve_cpus, "reserve_memory_gib": reserve_memory_gib}
    options = {key: value for key, value in numbers.items() if value is not None}
    _add(data, name, "local", options, alone=True, unchecked=unchecked, yes=yes)


@add.command("simulated")
def add_simulated(
    name: Name,
    cluster: Annotated[str, typer.Option(help="Pretended hardware, e.g. 4x8xH100-80G")],
    speed: Annotated[float | None, typer.Option(help="How many times faster than real time")] = None,
    alone: Alone = False,
    data: Data = None,
    yes: Yes = False,
) -> None:
    """Add a simulated cluster, which only pretends to run jobs."""
    options: dict[str, object] = {"cluster": cluster, **({} if speed is None else {"speed": speed})}
    _add(data, name, "simulated", options, alone=alone, unchecked=False, yes=yes)


QUESTIONS = {
    "rest": "Address of slurmrestd",
    "jwt_key": "File of the key that signs tokens",
    "shared": "Folder at the same path here and on every node",
    "users": "Unix users of organisations",
    "partition": "Partition for the jobs",
}


def _pairs(words: Sequence[str]) -> dict[str, object]:
    pairs = [word.partition("=") for word in words]
    wrong = [word for word, (key, mark, _) in zip(words, pairs, strict=True) if not (key and mark)]
    if wrong:
        raise InvalidInput(text("{words} is not of the form KEY=VALUE", words=", ".join(wrong)))
    return {key: _number(value) for key, _, value in pairs}


def _number(value: str) -> object:
    try:
        return int(value) if value.isdecimal() else float(value)
    except ValueError:
        return value


def _ask(keys: Sequence[str]) -> Mapping[str, str]:
    """Return what a person answers. Raises InvalidInput where nobody can be asked."""
    if keys and not sys.stdin.isatty():
        problems = [Problem(f"--{key.replace('_', '-')}", text("It is missing")) for key in keys]
        raise InvalidInput(text("An engine of this kind needs more"), problems=problems)
    return {key: str(typer.prompt(text(QUESTIONS[key]).render(language()))) for key in keys}


def _add(
    data: Path | None, name: str, kind: str, options: Value, *, alone: bool, unchecked: bool, yes: bool
) -> None:
    """Try the engine, show what would be written, and write it. Raises PearlError and writes nothing."""
    from pearlstreet.app.settings import load_settings

    settings = load_settings(data, {})
    if name in settings.engines or (not settings.engines and not alone and name == "local" != kind):
        raise Conflict(text("There is an engine {name} already", name=name))
    tables: dict[str, Value] = {name: {"kind": kind, **options}}
    if not settings.engines and not alone:
        tables = {"local": {"kind": "local"}, **tables}
    lines = _lines(tables)
    content = _joined(settings, lines)
    found = _try(settings, name, kind, options)
    _show(found)
    if not unchecked and any(check.problem is not None and check.blocking for check in found):
        raise PearlError(
            text("Jobs could not run on {name}, so nothing was written", name=name),
            hint=text("Repair what failed, or add --unchecked"),
        )
    if "local" in tables and kind != "local":
        warn(say("This machine stays an engine beside it; --without-local leaves it out"))
    err.print(say("To be added to {file}:", file=str(settings.data / FILE)), markup=False)
    for line in lines:
        err.print(f"  {line}", markup=False, soft_wrap=True)
    confirm("Write it?", yes)
    _write(settings.data / FILE, content)
    done("The engine {name} is in the settings; it works from the next start of the center", name=name)


def _joined(settings: Settings, lines: Sequence[str]) -> str:
    """Return the settings file with more tables. Raises ConfigurationError if the center would not start with it."""
    from dataclasses import replace

    from pearlstreet.app.engines import engine_kinds

    file = settings.data / FILE
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    content = before + ("\n" if before and not before.endswith("\n") else "") + ("\n" if before else "")
    content += "\n".join(lines) + "\n"
    try:
        found = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(
            text("{file} would not be TOML any more: {problem}", file=str(file), problem=str(error)),
            hint=text("Write its engines as tables [engines.NAME]"),
        ) from None
    engine_kinds(replace(settings, engines=found["engines"]))
    return content


def _try(settings: Settings, name: str, kind: str, options: Value) -> Sequence[EngineCheck]:
    """Make the engine in a folder that is deleted again, and return its checks. Raises ConfigurationError."""
    from pearlstreet.base.clock import SystemClock
    from pearlstreet.base.rng import SystemRng
    from pearlstreet.compute.engines.checks import CheckedEngine
    from pearlstreet.compute.engines.host import EngineHost
    from pearlstreet.compute.engines.registry import engine_kind
    from pearlstreet.services.engines import answers

    with tempfile.TemporaryDirectory(prefix="pearl-engine-") as folder:
        place = Path(folder)
        host = EngineHost(
            name,
            True,
            place,
            place / "engine",
            SystemClock(),
            SystemRng(),
            minimum_isolation=settings.isolation,
        )
        with err.status(say("Trying {name} …", name=name)):
            engine = engine_kind(kind).make(host, options)
            try:
                own = engine.checks() if isinstance(engine, CheckedEngine) else ()
                return [answers(engine), *own]
            finally:
                engine.close()


def _show(found: Sequence[EngineCheck]) -> None:
    rows = []
    for check in found:
        result = "good" if check.problem is None else "failed" if check.blocking else "limited"
        words = [part.render(language()) if part is not None else "" for part in (check.problem, check.fix)]
        rows.append((check.title.render(language()), result, *words))
    table(("Check", "Result", "Problem", "What to do"), rows)


def _lines(tables: Mapping[str, Value]) -> list[str]:
    lines: list[str] = []
    for name, values in tables.items():
        lines += ["", f"[engines.{name}]"] if lines else [f"[engines.{name}]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return lines


def _write(file: Path, content: str) -> None:
    """Replace the file whole, readable as before; a new one by its owner alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.new")
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(handle, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)
