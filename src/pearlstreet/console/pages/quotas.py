"""Page of quotas, fair-share weights and the fair-share ranking."""

from __future__ import annotations

from collections.abc import Sequence

from pearlstreet.base.text import text
from pearlstreet.compute.hardware.catalogue import catalogue
from pearlstreet.console.form_parsing import number_in, wrong
from pearlstreet.console.page import ConsolePage, MenuGroup, MenuPlace
from pearlstreet.console.page_request import PageRequest, PageResponse, Redirect, View
from pearlstreet.console.paging import cut, page_number
from pearlstreet.services.nodes import NodesService
from pearlstreet.services.scheduling import QuotasService, QuotaUse, QuotaWish
from pearlstreet.storage.quota import STORAGE
from pearlstreet.tenancy.directory import org_names, project_names
from pearlstreet.tenancy.orgs import list_orgs

ORGS_OFFERED = 1000


def show(request: PageRequest, quotas: QuotasService, nodes: NodesService) -> PageResponse:
    """Show the fair-share ranking, all quotas with their use, and all weights."""
    store, actor = request.store, request.actor
    half_life_s, standings = quotas.fair_share(actor)
    uses = quotas.list_uses(actor, request.org)
    shares = quotas.list_shares(actor, request.org)
    if request.org is not None:
        mine = {org.id for org in list_orgs(store, actor, limit=ORGS_OFFERED) if org.slug == request.org}
        standings = [one for one in standings if one.org_id in mine]
    shown = cut(standings, page_number(request))
    may_write = actor.may("quotas:write")
    places = [
        *((one.org_id, one.project_id) for one in shown.rows),
        *((one.quota.org_id, one.quota.project_id) for one in uses),
        *((one.org_id, one.project_id) for one in shares),
    ]
    orgs = org_names(store, actor, (org for org, _ in places))
    projects = project_names(store, actor, (project for _, project in places if project))
    return View(
        "quotas.html",
        {
            "half_life_s": half_life_s,
            "shown": shown,
            "widest": max((max(one.org_share, one.share) for one in standings), default=0.0),
            "quotas": [_quota(use) for use in uses],
            "shares": shares,
            "org_of": lambda org_id: orgs.get(org_id, org_id),
            "project_of": lambda project_id: projects.get(project_id, project_id),
            "may_write": may_write,
            "offered": list_orgs(store, actor, limit=ORGS_OFFERED) if may_write else (),
            "resources": _resources(request, nodes) if may_write else (),
        },
    )


def _quota(use: QuotaUse) -> dict[str, object]:
    wish = use.quota.wish
    ceiling = wish.maximum if wish.maximum is not None else wish.guaranteed
    return {
        "row": use.quota,
        "wish": wish,
        "used": use.used,
        "borrowed": use.used is not None and wish.guaranteed is not None and use.used > wish.guaranteed,
        "full": use.used is not None and ceiling is not None and use.used >= ceiling,
        "whole": ceiling or 0.0,
    }


def _resources(request: PageRequest, nodes: NodesService) -> Sequence[str]:
    """Return the resources that quotas can limit, with the device families in the pool."""
    models = {device.model for node in nodes.view_pool(request.actor).nodes for device in node.report.devices}
    families = {known.family.upper() for model in models if (known := catalogue().get(model)) is not None}
    return (
        "cards",
        "pflops",
        "cpus",
        "queued_jobs",
        STORAGE,
        *(f"cards:{family}" for family in sorted(families)),
    )


def set_quota(request: PageRequest, quotas: QuotasService) -> PageResponse:
    """Create or replace a quota."""
    wish = QuotaWish(
        request.value("resource"),
        number_in(request, "guaranteed"),
        number_in(request, "maximum"),
        request.value("borrow") == "yes",
    )
    made = quotas.set_quota(
        request.actor,
        _org(request, "quota_org"),
        wish,
        project=request.value("quota_project") or None,
    )
    return Redirect("/quotas", text("The quota on {resource} is set", resource=made.wish.resource))


def delete_quota(request: PageRequest, quotas: QuotasService) -> PageResponse:
    """Delete a quota."""
    gone = quotas.delete_quota(request.actor, request.value("quota"))
    return Redirect("/quotas", text("The quota on {resource} is deleted", resource=gone.wish.resource))


def set_weight(request: PageRequest, quotas: QuotasService) -> PageResponse:
    """Set the fair-share weight of an organisation, or of a project within its organisation."""
    weight = number_in(request, "weight")
    if weight is None:
        raise wrong("weight", text("Enter a weight"))
    org = _org(request, "weight_org")
    quotas.set_share(request.actor, org, weight, project=request.value("weight_project") or None)
    return Redirect("/quotas", text("The weight of {org} is set", org=org))


def delete_weight(request: PageRequest, quotas: QuotasService) -> PageResponse:
    """Reset a weight to 1."""
    org = request.value("org")
    quotas.delete_share(request.actor, org, project=request.value("project") or None)
    return Redirect("/quotas", text("The weight is reset to 1"))


def _org(request: PageRequest, field: str) -> str:
    if not request.value(field):
        raise wrong(field, text("Choose an organisation"))
    return request.value(field)


PAGES = (
    ConsolePage(
        "/quotas",
        text("Quotas and fair share"),
        show,
        scope="quotas:read",
        actions={
            "set": set_quota,
            "delete": delete_quota,
            "weigh": set_weight,
            "unweigh": delete_weight,
        },
        menu=MenuPlace(MenuGroup.CENTER, 4, "scale", "q", label=text("Quotas")),
    ),
)
