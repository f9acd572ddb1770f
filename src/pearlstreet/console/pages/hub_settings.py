"""The page of a repository's settings: visibility, gate, persons, branches and tags, name and end."""

from __future__ import annotations

from collections.abc import Callable

from pearlstreet.base.errors import InvalidInput, Problem
from pearlstreet.base.text import Text, text
from pearlstreet.console.hub_view import VISIBILITIES, named_repo, open_repo, repo_path
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.pages.hub_repo import REPO
from pearlstreet.hub import repositories, requests, revisions
from pearlstreet.hub.browsing import list_roles, list_shares
from pearlstreet.hub.model import MAIN, Gate, RefKind, RepoRole, RequestState, Visibility

GATES = (
    (Gate.NONE.value, text("everybody who sees it gets the files")),
    (Gate.AUTO.value, text("a request is accepted at once")),
    (Gate.MANUAL.value, text("an administrator decides on each request")),
)
USES = (
    ("download", text("may be downloaded")),
    ("jobs", text("are used in jobs of approved projects only")),
)
ROLES = {
    RepoRole.READ: text("may download"),
    RepoRole.WRITE: text("may change files"),
    RepoRole.ADMIN: text("administrator"),
}
STATES = {
    RequestState.PENDING: text("waiting for a decision"),
    RequestState.ACCEPTED: text("accepted"),
    RequestState.REJECTED: text("rejected"),
}


def show(request: PageRequest) -> PageResponse:
    """Show the settings of a repository to those who may change them. Raises Forbidden."""
    at = open_repo(request, MAIN)
    kind, name = named_repo(request)
    store, actor = request.store, request.actor
    asked = requests.list_requests(store, actor, kind, name)
    return View(
        "hub_settings.html",
        {
            "title": at.repo.full_name,
            "at": at,
            "visibilities": [(one.value, request.say(said)) for one, said in VISIBILITIES.items()],
            "gates": [(code, request.say(said)) for code, said in GATES],
            "uses": [(code, request.say(said)) for code, said in USES],
            "roles": [(one.value, request.say(said)) for one, said in ROLES.items()],
            "role_labels": {one.value: said for one, said in ROLES.items()},
            "states": STATES,
            "persons": list_roles(store, actor, kind, name),
            "shared": list_shares(store, actor, kind, name),
            "requests": sorted(asked, key=lambda one: one.state is not RequestState.PENDING),
        },
    )


def _done(request: PageRequest, notice: Text) -> Redirect:
    return Redirect(request.path, notice)


def change(request: PageRequest) -> PageResponse:
    """Change visibility, sharing, gate, and whether files are for jobs only."""
    kind, name = named_repo(request)
    days = request.value("gate_days") or "0"
    try:
        visibility, gate = Visibility(request.value("visibility")), Gate(request.value("gate"))
        gate_days = int(days)
        if not 0 <= gate_days <= 3650:
            raise ValueError
    except ValueError:
        raise _wrong("gate_days", text("Write a number of days from 0 (without end) to 3650")) from None
    shared = [one for one in request.value("shared").replace(",", " ").split() if one]
    repositories.change_settings(
        request.store,
        request.actor,
        kind,
        name,
        visibility=visibility,
        gate=gate,
        gate_days=gate_days,
        jobs_only={"jobs": True, "download": False}.get(request.value("use")),
        shared_with=shared,
    )
    return _done(request, text("The settings are saved"))


def rename(request: PageRequest) -> PageResponse:
    """Give the repository another name."""
    kind, name = named_repo(request)
    new = f"{name.partition('/')[0]}/{request.value('new_name')}"
    made = repositories.move_repo(request.store, request.actor, kind, name, new)
    return Redirect(f"{repo_path(made)}/settings", text("It is now called {name}", name=made.full_name))


def delete(request: PageRequest) -> PageResponse:
    """Delete the repository, whose name must be entered."""
    kind, name = named_repo(request)
    if request.value("typed") != name:
        raise _wrong("typed", text("Enter the name of the repository: {name}", name=name))
    repositories.delete_repo(request.store, request.actor, kind, name)
    return Redirect("/hub", text("{name} is deleted", name=name))


def _decide(state: RequestState) -> Callable[[PageRequest], PageResponse]:
    def decide(request: PageRequest) -> PageResponse:
        kind, name = named_repo(request)
        user = request.value("user")
        requests.decide_request(request.store, request.actor, kind, name, user, state, request.value("note"))
        return _done(request, text("The request of {user} is {state}", user=user, state=STATES[state]))

    return decide


def set_role(request: PageRequest) -> PageResponse:
    """Give a person a role, or take it away."""
    kind, name = named_repo(request)
    said = request.value("role")
    role = RepoRole(said) if said in set(RepoRole) else None
    requests.set_role(request.store, request.actor, kind, name, request.value("user"), role)
    return _done(request, text("The settings are saved"))


def create_ref(request: PageRequest) -> PageResponse:
    """Create a branch or tag."""
    kind, name = named_repo(request)
    ref = RefKind.TAG if request.value("ref_kind") == "tag" else RefKind.BRANCH
    revisions.create_ref(
        request.store,
        request.actor,
        kind,
        name,
        ref,
        request.value("ref_name"),
        request.value("at_rev") or MAIN,
    )
    return _done(request, text("{name} is created", name=request.value("ref_name")))


def delete_ref(request: PageRequest) -> PageResponse:
    """Delete a branch or tag."""
    kind, name = named_repo(request)
    ref = RefKind.TAG if request.value("ref_kind") == "tag" else RefKind.BRANCH
    revisions.delete_ref(request.store, request.actor, kind, name, ref, request.value("ref_name"))
    return _done(request, text("{name} is deleted", name=request.value("ref_name")))


def _wrong(field: str, message: Text) -> InvalidInput:
    return InvalidInput(message, problems=[Problem(field, message)])


PAGES = (
    ConsolePage(
        f"{REPO}/settings",
        text("Settings of the repository"),
        show,
        scope="hub:write",
        actions={
            "change": change,
            "rename": rename,
            "delete": delete,
            "accept": _decide(RequestState.ACCEPTED),
            "reject": _decide(RequestState.REJECTED),
            "role": set_role,
            "create_ref": create_ref,
            "delete_ref": delete_ref,
        },
    ),
)
