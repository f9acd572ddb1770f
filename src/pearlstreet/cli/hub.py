"""Commands on the hub: repositories of models and data sets, their files, history and access."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import plural, text
from pearlstreet.base.units import format_bytes
from pearlstreet.cli import hub_archives
from pearlstreet.cli.accounts import Json, Yes
from pearlstreet.cli.hub_archives import Repo
from pearlstreet.cli.output import (
    confirm,
    done,
    facts,
    language,
    out,
    say,
    show_json,
    show_lines,
    table,
    time_cell,
)
from pearlstreet.cli.profile import client
from pearlstreet.client.profile import signed_in

if TYPE_CHECKING:
    from pearlstreet.client import results

hub = typer.Typer(help="Models and data sets: list, upload, download, share.", no_args_is_help=True)
User = Annotated[str, typer.Argument(help="Name of a user")]
KINDS = ("model", "dataset", "recipe")
SORTS = ("relevance", "updated", "created", "downloads", "size", "name")
GIB = 1 << 30
RATINGS = {
    "expected": text("expected of tensors and plain values"),
    "unknown": text("code of other packages"),
    "dangerous": text("dangerous"),
}
PREVIEWS = {
    "table": text("table"),
    "text": text("text"),
    "image": text("image"),
    "audio": text("sound"),
    "safetensors": text("tensors (safetensors)"),
    "pickle": text("pickle, which can run programs when it is loaded"),
    "none": text("no preview for this kind of file"),
    "empty": text("an empty file"),
    "broken": text("broken, or not what its name says"),
    "too_large": text("too large for a preview"),
}
DECISIONS = {
    "pending": text("waiting for a decision"),
    "accepted": text("accepted"),
    "rejected": text("rejected"),
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    hub_archives.add_to(hub)
    app.add_typer(hub, name="hub")


APPROVALS = {
    "pending": text("waiting for a decision"),
    "approved": text("approved"),
    "rejected": text("rejected"),
    "revoked": text("revoked"),
}


@hub.command("env")
def show_env() -> None:
    """Print the two variables with which the Hugging Face clients use this center: eval "$(pearl hub env)"."""
    used = signed_in()
    out.print(f"export HF_ENDPOINT={used.url.rstrip('/')}/hf", markup=False)
    out.print(f"export HF_TOKEN={used.key}", markup=False)


@hub.command("list")
def list_repositories(
    search: Annotated[str | None, typer.Argument(help="Words in name, tags or card")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="model, dataset or recipe")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this organisation")] = None,
    as_json: Json = False,
) -> None:
    """List the repositories that you see, last changed first."""
    _show_found(as_json, repo_type=_kind(kind), owner=owner, search=search, sort="updated")


@hub.command("search")
def search_repositories(
    words: Annotated[
        list[str] | None, typer.Argument(help="Words in name, tags or card, also Chinese", metavar="WORDS")
    ] = None,
    kind: Annotated[str | None, typer.Option("--type", help="model, dataset or recipe")] = None,
    task: Annotated[str | None, typer.Option(help="Task, such as text-generation")] = None,
    language: Annotated[str | None, typer.Option(help="Language, such as zh")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence, such as apache-2.0")] = None,
    tag: Annotated[str | None, typer.Option(help="Tag of the card")] = None,
    larger: Annotated[float | None, typer.Option(help="Only of at least this size in GiB", min=0)] = None,
    smaller: Annotated[float | None, typer.Option(help="Only of at most this size in GiB", min=0)] = None,
    sort: Annotated[
        str, typer.Option(help="relevance, updated, created, downloads, size or name")
    ] = "relevance",
    as_json: Json = False,
) -> None:
    """Search names, tags and cards of the repositories that you see; those that fit best come first."""
    if sort not in SORTS:
        raise InvalidInput(text("--sort is one of: {orders}", orders=", ".join(SORTS)))
    _show_found(
        as_json,
        repo_type=_kind(kind),
        search=" ".join(words or ()),
        task=task,
        language=language,
        licence=licence,
        tag=tag,
        size_bytes_min=None if larger is None else int(larger * GIB),
        size_bytes_max=None if smaller is None else int(smaller * GIB),
        sort=sort,
    )


def _kind(kind: str | None) -> str | None:
    if kind is not None and kind not in KINDS:
        raise InvalidInput(text("--type is one of: {kinds}", kinds=", ".join(KINDS)))
    return kind


def _show_found(as_json: bool, **filters: Any) -> None:
    with client() as center:
        rows = list(center.hub.list(**{name: value for name, value in filters.items() if value is not None}))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Repository", "Visibility", "Size", "Downloads", "Changed"),
        [
            (
                _written(row["type"], row["name"]),
                row["visibility"],
                format_bytes(row["size_bytes"]),
                row["downloads"],
                time_cell(row["updated_at"]),
            )
            for row in rows
        ],
        right=(2, 3),
    )


@hub.command("show")
def show(repo: Repo, as_json: Json = False) -> None:
    """Show a repository: access, newest revision, branches and tags."""
    with client() as center:
        found = center.hub.get(repo)
    if as_json:
        show_json(found)
        return
    one, commit = found["repository"], found["commit"]
    facts(
        {
            "Repository": _written(one["type"], one["name"]),
            "Visibility": one["visibility"],
            "Gate": one["gate"] or "-",
            "Tags": ", ".join(one["tags"]),
            "Parameters": one["parameters"] if one["parameters"] is not None else "-",
            "Size": format_bytes(one["size_bytes"]),
            "Downloads": one["downloads"],
            "Revision": commit["id"],
            "Title": commit["title"],
            "Files": commit["files"],
            "Branches": ", ".join(ref["name"] for ref in found["refs"] if ref["kind"] == "branch"),
            "Labels": ", ".join(ref["name"] for ref in found["refs"] if ref["kind"] == "tag"),
        }
    )
    for pickle in one["pickles"]:
        say(
            "{path} is a pickle, which can run programs when it is loaded ({rating}): {imports}",
            path=pickle["path"],
            rating=RATINGS[pickle["rating"]],
            imports=", ".join(pickle["imports"]) or "-",
        )


@hub.command("preview")
def preview(
    repo: Repo,
    file: Annotated[str, typer.Argument(help="Path of the file", metavar="PATH")] = "README.md",
    as_json: Json = False,
) -> None:
    """Show what a file holds: first rows, text, tensors, or what a pickle imports."""
    with client() as center:
        found = center.hub.preview(repo, file)
    if as_json:
        show_json(found)
        return
    kind, seen = found["kind"], found["facts"]
    facts({"Path": found["path"], "Size": format_bytes(found["size_bytes"]), "Kind": PREVIEWS[kind]})
    if kind == "text":
        out.print(str(seen["text"]), markup=False, highlight=False)
    for name in ("total", "row_count", "problem"):
        if seen.get(name) is not None:
            facts({{"total": "Parameters", "row_count": "Rows", "problem": "Problem"}[name]: seen[name]})
    _show_parts(kind, seen)


def _show_parts(kind: str, seen: dict[str, Any]) -> None:
    """Print the table that belongs to a kind of file."""
    if kind == "table":
        table(
            [column["name"] for column in seen["columns"]],
            [[_cell(one) for one in row] for row in seen["rows"]],
        )
    if kind == "safetensors":
        rows = [(one["name"], one["dtype"], "×".join(map(str, one["shape"]))) for one in seen["tensors"]]
        table(("Tensor", "Type", "Shape"), rows)
    if kind == "pickle":
        table(("Import", "Rating"), [(one["name"], RATINGS[one["rating"]]) for one in seen["imports"]])
        if not seen["is_complete"]:
            say("Parts of the file could not be followed; they may import anything.")


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


@hub.command("create")
def create(
    repo: Repo,
    visibility: Annotated[str, typer.Option(help="private, organisations or public")] = "private",
    as_json: Json = False,
) -> None:
    """Create a repository."""
    with client() as center:
        made = center.hub.create(repo, visibility=visibility)
    if as_json:
        show_json(made)
        return
    done("{name} is created", name=_written(made["type"], made["name"]))


@hub.command("files")
def list_files(
    repo: Repo,
    folder: Annotated[str, typer.Argument(help="Only this folder")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All files below it")] = False,
    as_json: Json = False,
) -> None:
    """List files and folders of a revision."""
    with client() as center:
        rows = list(center.hub.files(repo, folder=folder, recursive=recursive))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Path", "Size"),
        [
            (
                row["path"] + "/" * row["is_folder"],
                "" if row["size_bytes"] is None else format_bytes(row["size_bytes"]),
            )
            for row in rows
        ],
        right=(1,),
    )


@hub.command("log")
def show_log(repo: Repo, as_json: Json = False) -> None:
    """List the revisions that led to a branch or tag, newest first."""
    with client() as center:
        rows = list(center.hub.revisions(repo))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Revision", "Time", "By", "Title", "Files", "Size"),
        [
            (
                row["id"][:12],
                time_cell(row["at"]),
                row["author"],
                row["title"],
                row["files"],
                format_bytes(row["size_bytes"]),
            )
            for row in rows
        ],
        right=(4, 5),
    )


@hub.command("upload")
def upload(
    repo: Repo,
    source: Annotated[
        Path, typer.Argument(help="A file or a folder; also a snapshot folder of the Hugging Face cache")
    ],
    into: Annotated[str, typer.Option(help="Folder in the repository")] = "",
    title: Annotated[str, typer.Option("--message", "-m", help="Title of the revision")] = "",
    create_it: Annotated[bool, typer.Option("--create", help="Create the repository first")] = False,
) -> None:
    """Send files as one new revision of a branch. What the hub has already is not sent again."""
    with client() as center:
        if create_it:
            center.hub.create(repo.partition("@")[0])
        commit = center.hub.upload(repo, source, into=into, title=title)
    done("Revision {commit} of {name}", commit=commit[:12], name=repo)


@hub.command("download")
def download(
    repo: Repo,
    target: Annotated[Path, typer.Option("--to", help="Folder to write to")] = Path(),
    path: Annotated[list[str] | None, typer.Option(help="Only this file; several times for several")] = None,
) -> None:
    """Download the files of a revision into a folder."""
    with client() as center:
        count = center.hub.download(repo, target, paths=path or ())
    done(
        plural(
            "{count} file is in {folder}", "{count} files are in {folder}", count=count, folder=str(target)
        )
    )


@hub.command("lineage")
def show_lineage(
    repo: Repo,
    openlineage: Annotated[bool, typer.Option("--openlineage", help="As events of OpenLineage")] = False,
    as_json: Json = False,
) -> None:
    """Show which job, code and data made a revision, and what was made from it."""
    with client() as center:
        found = center.hub.lineage(repo)
    if openlineage:
        show_json(found["openlineage"])
        return
    if as_json:
        show_json(found)
        return
    git = found["facts"].get("git")
    facts(
        {
            "Revision": found["commit"],
            "Made by job": found["job"],
            "Code": f"{git['url']}@{git.get('ref', 'HEAD')}" if isinstance(git, dict) else None,
            "Quote": found["facts"].get("quote"),
        }
    )
    rows = [("made from", *_lineage_cells(one), found["job"]) for one in found["sources"]]
    for job in found["jobs"]:
        rows += [("became", *_lineage_cells(one), job["job"]) for one in job["made"]]
        if not job["made"]:
            rows.append(("read by", "", "", job["job"]))
    if rows:
        table(
            ("Direction", "Repository", "Revision", "Job"),
            [(say_direction(row[0]), *row[1:]) for row in rows],
        )
    if found["hidden"]:
        done(
            plural(
                "{count} more belongs to others and is not shown",
                "{count} more belong to others and are not shown",
                count=found["hidden"],
            )
        )


def say_direction(name: str) -> str:
    """Return the word for a direction of lineage in the reader's language."""
    return {"made from": say("made from"), "became": say("became"), "read by": say("read by")}[name]


def _lineage_cells(one: results.LineageRevision) -> tuple[str, str]:
    return _written(one["type"], one["repository"]), one["commit"][:12]


@hub.command("delete")
def delete(repo: Repo, yes: Yes = False) -> None:
    """Delete a repository with its history."""
    confirm("Delete {name} with its history for good?", yes, name=repo)
    with client() as center:
        center.hub.delete(repo)
    done("{name} is deleted", name=repo)


@hub.command("tag")
def tag(
    repo: Repo,
    name: Annotated[str, typer.Argument(help="Name of the tag")],
    message: Annotated[str, typer.Option("--message", "-m")] = "",
    drop: Annotated[bool, typer.Option("--delete", help="Delete the tag")] = False,
) -> None:
    """Set a tag at a revision, or delete it."""
    _ref(repo, "tag", name, message, drop)


@hub.command("branch")
def branch(
    repo: Repo,
    name: Annotated[str, typer.Argument(help="Name of the branch")],
    drop: Annotated[bool, typer.Option("--delete", help="Delete the branch")] = False,
) -> None:
    """Create a branch at a revision, or delete it."""
    _ref(repo, "branch", name, "", drop)


def _ref(repo: str, kind: str, name: str, message: str, drop: bool) -> None:
    with client() as center:
        if drop:
            center.hub.delete_ref(repo, kind, name)
        else:
            center.hub.create_ref(repo, kind, name, message=message)
    if drop:
        done("{name} is deleted", name=name)
    else:
        done("{name} is set at {repo}", name=name, repo=repo)


@hub.command("change")
def change(
    repo: Repo,
    rename: Annotated[str | None, typer.Option(help="New name, organisation/name")] = None,
    visibility: Annotated[str | None, typer.Option(help="private, organisations or public")] = None,
    gate: Annotated[str | None, typer.Option(help="none, auto or manual: who gets the files")] = None,
    gate_days: Annotated[int | None, typer.Option(help="Days that an accepted request is valid")] = None,
    jobs_only: Annotated[
        bool | None, typer.Option("--jobs-only/--downloadable", help="Files can be used in jobs only")
    ] = None,
    share: Annotated[list[str] | None, typer.Option(help="Organisation whose members may see it")] = None,
) -> None:
    """Change name, visibility, gate or sharing of a repository."""
    settings: dict[str, object] = {
        "name": rename,
        "visibility": visibility,
        "gate": "" if gate == "none" else gate,
        "gate_days": gate_days,
        "jobs_only": jobs_only,
        "shared_with": share,
    }
    with client() as center:
        made = center.hub.change(repo, **settings)
    done("{name} is changed", name=_written(made["type"], made["name"]))


@hub.command("access")
def show_access(repo: Repo, as_json: Json = False) -> None:
    """Show who may use a repository beside its organisation: roles, sharing, requests."""
    with client() as center:
        found = center.hub.access(repo)
    if as_json:
        show_json(found)
        return
    facts({"Shared with": ", ".join(found["shared_with"])})
    table(
        ("User", "Role", "Given by"), [(row["user"], row["role"], row["given_by"]) for row in found["roles"]]
    )
    if found["requests"]:
        out.title("Requests for access")
        table(
            ("User", "State", "Note", "Time", "Until"),
            [
                (row["user"], row["state"], row["note"], time_cell(row["at"]), time_cell(row["expires_at"]))
                for row in found["requests"]
            ],
        )


@hub.command("role")
def set_role(
    repo: Repo, user: User, role: Annotated[str, typer.Argument(help="read, write, admin or none")]
) -> None:
    """Give a person a role in one repository, or take it away."""
    with client() as center:
        center.hub.set_role(repo, user, None if role == "none" else role)
    done("{user} has the role {role} in {name}", user=user, role=role, name=repo)


@hub.command("request")
def request_access(repo: Repo, note: Annotated[str, typer.Option("--message", "-m")] = "") -> None:
    """Request the files of a gated repository, which accepts its licence."""
    with client() as center:
        made = center.hub.request_access(repo, note)
    done("Your request is {state}", state=DECISIONS[made["state"]])


@hub.command("accept")
def accept(repo: Repo, user: User) -> None:
    """Accept a person's request for access."""
    _decide(repo, user, "accepted", "")


@hub.command("reject")
def reject(repo: Repo, user: User, reason: Annotated[str, typer.Option("--message", "-m")] = "") -> None:
    """Reject a person's request for access."""
    _decide(repo, user, "rejected", reason)


def _decide(repo: str, user: str, state: str, note: str) -> None:
    with client() as center:
        center.hub.decide_access(repo, user, state, note)
    done("The request of {user} is {state}", user=user, state=DECISIONS[state])


@hub.command("approvals")
def list_approvals(repo: Repo, as_json: Json = False) -> None:
    """List the projects that asked to use a repository in their jobs, and the decisions."""
    with client() as center:
        rows = center.hub.approvals(repo)
    if as_json:
        show_lines(rows)
        return
    table(
        ("Project", "State", "Reason", "By", "Time", "Until", "Note"),
        [
            (
                row["project"],
                say("expired") if row["is_expired"] else APPROVALS[row["state"]].render(language()),
                row["reason"],
                row["requested_by"],
                time_cell(row["at"]),
                time_cell(row["expires_at"]),
                row["note"],
            )
            for row in rows
        ],
    )


ProjectName = Annotated[str, typer.Argument(help="organisation/project")]


@hub.command("ask")
def request_approval(
    repo: Repo, project: ProjectName, reason: Annotated[str, typer.Option("--message", "-m")]
) -> None:
    """Request that jobs of a project may read a repository that is used in jobs only."""
    org, _, name = project.partition("/")
    with client() as center:
        made = center.hub.request_approval(repo, org, name or "default", reason)
    done("The request of {project} is {state}", project=made["project"], state=APPROVALS[made["state"]])


@hub.command("approve")
def approve(
    repo: Repo,
    project: ProjectName,
    days: Annotated[int, typer.Option(help="Days that the approval is valid; 0: without end")] = 0,
    note: Annotated[str, typer.Option("--message", "-m")] = "",
    reject: Annotated[bool, typer.Option("--reject", help="Reject the request")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke the approval")] = False,
) -> None:
    """Let jobs of a project read a repository that is used in jobs only, or end that."""
    state = "revoked" if revoke else "rejected" if reject else "approved"
    with client() as center:
        made = center.hub.decide_approval(repo, project, state, note, days)
    done("The request of {project} is {state}", project=made["project"], state=APPROVALS[made["state"]])


@hub.command("downloads")
def list_downloads(repo: Repo, as_json: Json = False) -> None:
    """List who downloaded which revision, by the hour."""
    with client() as center:
        rows = list(center.hub.downloads(repo))
    if as_json:
        show_lines(rows)
        return
    table(
        ("Hour", "User", "Revision", "Files", "Size"),
        [
            (
                time_cell(row["hour"]),
                row["user"],
                row["commit"][:12],
                row["files"],
                format_bytes(row["size_bytes"]),
            )
            for row in rows
        ],
        right=(3, 4),
    )


def _written(kind: str, name: str) -> str:
    """Return a repository's name as commands take it."""
    return name if kind == "model" else f"{kind}s/{name}"
