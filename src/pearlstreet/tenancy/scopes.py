"""Scopes and roles as data. A scope is `thing:verb`; a role is a set of scopes.

Operator duties are separated (三权分立): `system` runs the center, `security` manages access, `audit` only reads. An account
has at most one operator role, and an operator account is no member of an organisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

SCOPES: Mapping[str, str] = {
    "jobs:read": "See jobs, their logs, metrics and artefacts",
    "jobs:write": "Submit jobs and upload their inputs",
    "jobs:cancel": "Cancel jobs",
    "jobs:exec": "Run commands inside running jobs",
    "hub:read": "See repositories of data sets and models, and download their files",
    "hub:write": "Create and change repositories of data sets and models",
    "nodes:read": "See nodes, accelerators and capacity",
    "nodes:write": "Drain, resume, label and benchmark nodes",
    "keys:own": "Create, list and revoke one's own API keys",
    "keys:read": "List other people's API keys",
    "keys:write": "Revoke other people's API keys",
    "users:read": "See users and members",
    "users:write": "Create, suspend and invite users, and set their roles",
    "membership:own": "Answer one's own invitations, leave organisations, choose one's default organisation",
    "projects:read": "See projects",
    "projects:write": "Create and rename projects",
    "orgs:read": "See the organisation",
    "orgs:write": "Rename the organisation; with an operator role also create and suspend organisations",
    "export:read": "Export all data of the organisation as one archive",
    "credit:read": "See balance, statement and invoices",
    "credit:write": "Top up and adjust credit",
    "credit:approve": "Approve another person's top-up",
    "prices:read": "See price lists",
    "prices:write": "Publish price lists",
    "quotas:read": "See quotas and shares",
    "quotas:write": "Set quotas and shares",
    "retention:write": "Set how long outputs are kept",
    "scheduling:read": "See the scheduling policy, queues and reservations",
    "scheduling:write": "Set the scheduling policy, queues and reservations",
    "decisions:read": "See the planner's decisions and earlier policies, and replay them",
    "energy:read": "See the site's energy facts",
    "energy:write": "Set the site's energy facts",
    "secrets:read": "List the names of secrets",
    "secrets:write": "Set and delete secrets",
    "notices:own": "Read one's own notices and change their settings",
    "notices:write": "Set up the organisation's notices and webhooks",
    "audit:read": "Read the audit log",
    "audit:verify": "Verify the audit log and the books",
    "settings:read": "See the center's settings",
    "settings:write": "Change the center's settings",
    "backup:write": "Make a backup",
    "metrics:read": "Read Prometheus metrics",
}


class OrgRole(StrEnum):
    """Role of a member in one organisation."""

    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"


class OperatorRole(StrEnum):
    """Operator role: a duty in running the center."""

    SYSTEM = "system"
    SECURITY = "security"
    AUDIT = "audit"


EVERYONE = frozenset(
    {
        "energy:read",
        "hub:read",
        "keys:own",
        "membership:own",
        "nodes:read",
        "notices:own",
        "prices:read",
        "scheduling:read",
    }
)
"""Scopes of every account."""

_VIEWER = EVERYONE | {
    "jobs:read",
    "projects:read",
    "orgs:read",
    "users:read",
    "credit:read",
    "quotas:read",
    "secrets:read",
}
_MEMBER = _VIEWER | {"hub:write", "jobs:write", "jobs:cancel", "jobs:exec", "secrets:write"}
_OWNER = _MEMBER | {
    "users:write",
    "projects:write",
    "orgs:write",
    "keys:read",
    "keys:write",
    "notices:write",
    "export:read",
    "audit:read",
    "retention:write",
}

ORG_ROLES: Mapping[OrgRole, frozenset[str]] = {
    OrgRole.VIEWER: _VIEWER,
    OrgRole.MEMBER: _MEMBER,
    OrgRole.OWNER: _OWNER,
}
"""Scopes in an organisation by the role in it."""

OPERATOR_ROLES: Mapping[OperatorRole, frozenset[str]] = {
    OperatorRole.SYSTEM: EVERYONE
    | {
        "nodes:write",
        "jobs:read",
        "jobs:cancel",
        "orgs:read",
        "orgs:write",
        "projects:read",
        "users:read",
        "credit:read",
        "credit:write",
        "credit:approve",
        "prices:write",
        "quotas:read",
        "quotas:write",
        "retention:write",
        "scheduling:write",
        "energy:write",
        "decisions:read",
        "settings:read",
        "settings:write",
        "notices:write",
        "backup:write",
        "metrics:read",
        "export:read",
    },
    OperatorRole.SECURITY: EVERYONE
    | {"users:read", "users:write", "keys:read", "keys:write", "orgs:read", "projects:read", "settings:read"},
    OperatorRole.AUDIT: EVERYONE
    | {"audit:read", "audit:verify", "credit:read", "decisions:read", "quotas:read", "orgs:read"},
}
"""Scopes in the whole center, including all organisations, by operator role."""

PROJECT_SCOPES = frozenset(
    {
        "credit:read",
        "energy:read",
        "hub:read",
        "hub:write",
        "jobs:cancel",
        "jobs:exec",
        "jobs:read",
        "jobs:write",
        "keys:own",
        "nodes:read",
        "prices:read",
        "projects:read",
        "quotas:read",
        "scheduling:read",
        "secrets:read",
        "secrets:write",
    }
)
"""Scopes that apply to a single project, and so the only scopes that a key tied to a project can have."""

READ_ONLY = frozenset(scope for scope in SCOPES if scope.endswith(":read")) | {
    "keys:own",
    "membership:own",
    "notices:own",
}
"""Scopes that remain in a suspended organisation: reading, and exporting its data."""
