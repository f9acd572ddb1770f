"""Commands that bring files and histories into the hub and out of it."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import plural, text
from pearlstreet.base.units import format_bytes
from pearlstreet.cli.output import done, say
from pearlstreet.cli.profile import client
from pearlstreet.client import hub_archives
from pearlstreet.client.hub_mirror import RemoteHub, mirror

NAME_HELP = "organisation/name, datasets/organisation/name; @REVISION may follow"
Repo = Annotated[str, typer.Argument(help=NAME_HELP, metavar="REPO")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Do not print each file")]


def add_to(hub: typer.Typer) -> None:
    """Add the commands to those of the hub."""
    hub.command("import")(import_source)
    hub.command("export")(export_target)
    hub.command("mirror")(mirror_repository)


def _report(path: str, size_bytes: int) -> None:
    say("{path}: {size}", path=path, size=format_bytes(size_bytes))


def _ignore(path: str, size_bytes: int) -> None:
    pass


def import_source(
    repo: Repo,
    source: Annotated[
        Path, typer.Argument(help="Folder, file, snapshot folder of the Hugging Face cache, or tar archive")
    ],
    history: Annotated[
        bool, typer.Option("--history", help="The archive holds a history: pearl hub export --history")
    ] = False,
    into: Annotated[str, typer.Option(help="Folder in the repository")] = "",
    title: Annotated[str, typer.Option("--message", "-m", help="Title of the revision")] = "",
    create_it: Annotated[bool, typer.Option("--create", help="Create the repository first")] = False,
    quiet: Quiet = False,
) -> None:
    """Import a folder, a tar archive, or a history, into a repository."""
    progress = _ignore if quiet else _report
    with client() as center:
        if create_it:
            center.hub.create(repo.partition("@")[0])
        if history:
            count = hub_archives.import_history(center.hub, repo, source, progress=progress)
            done(
                plural("{count} commit is in {name}", "{count} commits are in {name}", count=count, name=repo)
            )
            return
        if source.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")):
            commit = hub_archives.import_tar(
                center.hub, repo, source, into=into, title=title, progress=progress
            )
        else:
            commit = center.hub.upload(repo, source, into=into, title=title, progress=progress)
    done("Revision {commit} of {name}", commit=commit[:12], name=repo)


def export_target(
    repo: Repo,
    target: Annotated[Path, typer.Argument(help="New folder, or name of a new .tar or .tar.gz")],
    history: Annotated[
        bool, typer.Option("--history", help="All branches and tags with their history, as an archive")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Export a revision into a folder or tar archive, or the repository with its history."""
    progress = _ignore if quiet else _report
    with client() as center:
        if history:
            count = hub_archives.export_history(center.hub, repo, target, progress=progress)
            done(
                plural(
                    "{count} commit is in {name}",
                    "{count} commits are in {name}",
                    count=count,
                    name=str(target),
                )
            )
            return
        if target.name.endswith((".tar", ".tar.gz", ".tgz")):
            count = hub_archives.export_tar(center.hub, repo, target, progress=progress)
        else:
            count = center.hub.download(repo, target, progress=progress)
    done(
        plural(
            "{count} file is in {folder}", "{count} files are in {folder}", count=count, folder=str(target)
        )
    )


def mirror_repository(
    source: Annotated[str, typer.Argument(help="Repository of the other hub", metavar="SOURCE")],
    repo: Repo,
    endpoint: Annotated[
        str, typer.Option("--from", help="Address of the other hub; of a Pearlstreet center: https://…/hf")
    ],
    token_variable: Annotated[
        str, typer.Option("--token-from", help="Environment variable with the token for the other hub")
    ] = "",
    create_it: Annotated[bool, typer.Option("--create", help="Create the repository first")] = False,
    quiet: Quiet = False,
) -> None:
    """Make a branch equal to a revision of another hub, through this machine; repeated, it fetches what changed."""
    if token_variable and not os.environ.get(token_variable):
        raise InvalidInput(text("The variable {name} is not set", name=token_variable))
    remote = RemoteHub(endpoint, os.environ.get(token_variable) if token_variable else None)
    with closing(remote), client() as center:
        if create_it:
            center.hub.create(repo.partition("@")[0])
        made = mirror(center.hub, remote, source, repo, progress=_ignore if quiet else _report)
    if made.commit is None:
        done("{name} has not changed", name=source)
        return
    done(
        "Revision {commit} of {name}: {fetched} files fetched, {unchanged} unchanged, {deleted} deleted",
        commit=made.commit[:12],
        name=repo,
        fetched=made.fetched,
        unchanged=made.unchanged,
        deleted=made.deleted,
    )
