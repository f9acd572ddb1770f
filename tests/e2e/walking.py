"""Every page of the registry as an address that exists in the center of these tests, and who may open it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pearlstreet.console.page import ConsolePage
from pearlstreet.console.registry import PAGES
from pearlstreet.tenancy.scopes import OPERATOR_ROLES, ORG_ROLES, OperatorRole, OrgRole
from tests.e2e.center import Center

LANGUAGES = ("en", "zh-CN")
SCOPES = {
    "system": OPERATOR_ROLES[OperatorRole.SYSTEM],
    "security": OPERATOR_ROLES[OperatorRole.SECURITY],
    "audit": OPERATOR_ROLES[OperatorRole.AUDIT],
    "owner": ORG_ROLES[OrgRole.OWNER],
    "viewer": ORG_ROLES[OrgRole.VIEWER],
}
NOT_PAGES = {
    "/sign-out": "goes elsewhere",
    "/preferences": "goes elsewhere",
    "/oidc/{provider}/start": "goes to the provider",
    "/oidc/{provider}/callback": "comes from the provider",
    "/jobs/{job}/log": "plain text for the script",
    "/artefacts/{artefact}": "a file",
    "/hub/{repo_type}/{repo_org}/{repo_name}/raw": "a file",
    "/audit/export": "a file",
    "/orgs/{org}/export": "a file",
    "/notices/webhooks/{hook}": "no webhook: its address would have to be a public one",
}
"""Addresses of the registry that show no page, and why."""


def may_open(page: ConsolePage, role: str) -> bool:
    """Whether a role may, as the registry says."""
    if page.scope is None:
        return True
    return page.scope in SCOPES[role] and (not page.at_center or role not in ("owner", "viewer"))


def filled(page: ConsolePage, center: Center, role: str) -> str | None:
    """The page's address about something that `role` may see; None when nothing of it can be named."""
    things = {
        "job": center.jobs["pretrain"],
        "node": "h100-0001",
        "engine": "simulated",
        "org": "acme",
        "user": "viewer" if role in ("owner", "viewer", "security") else role,
        "project": "default",
        "accelerator": "h100-sxm-80g",
        "month": "2020-01",
    } | center.things
    names = re.findall(r"\{(\w+)\}", page.path)
    if any(name not in things for name in names):
        return None
    return re.sub(r"\{(\w+)\}", lambda found: things[found[1]], page.path)


def pages() -> Iterator[ConsolePage]:
    """Every page that shows one."""
    return (page for page in PAGES if page.path not in NOT_PAGES)
