"""Page of the projects that may use a repository in their jobs, where projects ask and its administrators decide."""

from __future__ import annotations

from pearlstreet.base.errors import InvalidInput
from pearlstreet.base.text import text
from pearlstreet.console.hub_view import named_repo, open_repo
from pearlstreet.console.page import ConsolePage
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.hub.approvals import ApprovalState, decide_approval, list_approvals, request_approval
from pearlstreet.tenancy.orgs import DEFAULT_PROJECT

STATES = {
    ApprovalState.PENDING: (text("waiting for a decision"), "wait"),
    ApprovalState.APPROVED: (text("approved"), "good"),
    ApprovalState.REJECTED: (text("rejected"), "bad"),
    ApprovalState.REVOKED: (text("revoked"), "bad"),
}
DAYS_MAX = 3650


def show(request: PageRequest) -> PageResponse:
    """Show the requests of projects that the visitor may see."""
    at = open_repo(request)
    found = list_approvals(request.store, request.actor, at.repo.kind, at.repo.full_name)
    own = sorted(request.actor.org_slugs.values())
    return View(
        "hub_approvals.html",
        {"title": at.repo.full_name, "at": at, "approvals": found, "states": STATES, "own": own},
    )


def ask(request: PageRequest) -> PageResponse:
    """Request that jobs of a project may read the repository."""
    kind, name = named_repo(request)
    org, _, project = request.value("project").partition("/")
    reason = request.value("reason")[:500]
    if not reason:
        raise InvalidInput(text("Say what the project needs the data for"))
    place = (org, project or DEFAULT_PROJECT)
    request_approval(request.store, request.actor, kind, name, place, reason)
    return Redirect(request.path, text("Your request is stored"))


def approve(request: PageRequest) -> PageResponse:
    """Let jobs of a project read the repository."""
    return _decide(request, ApprovalState.APPROVED)


def reject(request: PageRequest) -> PageResponse:
    """Reject the request of a project."""
    return _decide(request, ApprovalState.REJECTED)


def revoke(request: PageRequest) -> PageResponse:
    """Revoke the approval of a project."""
    return _decide(request, ApprovalState.REVOKED)


def _decide(request: PageRequest, state: ApprovalState) -> PageResponse:
    kind, name = named_repo(request)
    said = request.value("days")
    if said and not (said.isascii() and said.isdigit() and len(said) < 5 and int(said) <= DAYS_MAX):
        raise InvalidInput(text("Days are a number from 0 to {most}", most=DAYS_MAX))
    decide_approval(
        request.store,
        request.actor,
        kind,
        name,
        request.value("approval"),
        state,
        request.value("note")[:500],
        int(said or 0),
    )
    return Redirect(request.path, text("The decision is stored"))


PAGES = (
    ConsolePage(
        "/hub/{repo_type}/{repo_org}/{repo_name}/approvals",
        text("Use in jobs"),
        show,
        scope="hub:read",
        actions={"ask": ask, "approve": approve, "reject": reject, "revoke": revoke},
    ),
)
