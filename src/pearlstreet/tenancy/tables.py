"""Tables of the package `tenancy`."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.store.row_names import named
from pearlstreet.store.tables import id_column, metadata

orgs = sa.Table(
    "orgs",
    metadata,
    id_column(),
    sa.Column("slug", sa.String(40), nullable=False, unique=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("state", sa.String(24), nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    info=named("org", "slug"),
)

projects = sa.Table(
    "projects",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), sa.ForeignKey("orgs.id"), nullable=False),
    sa.Column("slug", sa.String(40), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("org_id", "slug"),
    info=named("prj", "slug"),
)

users = sa.Table(
    "users",
    metadata,
    id_column(),
    sa.Column("name", sa.String(40), nullable=False, unique=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("email", sa.String(254), nullable=True),
    sa.Column("state", sa.String(24), nullable=False),
    # A single column, so that no account can have two operator roles.
    sa.Column("operator_role", sa.String(16), nullable=True),
    sa.Column("password_hash", sa.String(200), nullable=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    # Default organisation of requests that name none. Only the user changes it; cleared when the membership ends.
    sa.Column("default_org_id", sa.String(40), nullable=True),
    # The organisation in which the account was created; the account can be closed only when that organisation is closed.
    sa.Column("origin_org_id", sa.String(40), nullable=True),
    info=named("usr", "name"),
)

memberships = sa.Table(
    "memberships",
    metadata,
    sa.Column("user_id", sa.String(40), sa.ForeignKey("users.id"), primary_key=True),
    sa.Column("org_id", sa.String(40), sa.ForeignKey("orgs.id"), primary_key=True, index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
)

invitations = sa.Table(
    "invitations",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), sa.ForeignKey("orgs.id"), nullable=False, index=True),
    # Login name or e-mail address as the owner wrote it. The account of the address is never shown.
    sa.Column("invitee", sa.String(254), nullable=False),
    # The account that may answer; NULL for an e-mail address until a user enters the mailed code.
    sa.Column("user_id", sa.String(40), nullable=True, index=True),
    sa.Column("code_hash", sa.String(64), nullable=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.String(40), nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
    sa.Column("ended_us", sa.BigInteger, nullable=True),
)
"""`created_by` is the inviter's user id."""

api_keys = sa.Table(
    "api_keys",
    metadata,
    id_column(),
    sa.Column("user_id", sa.String(40), sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("org_id", sa.String(40), sa.ForeignKey("orgs.id"), nullable=True, index=True),
    # The only project in which the key works; NULL: the whole organisation.
    sa.Column("project_id", sa.String(40), nullable=True),
    # The key that created this key; revoking it revokes this key.
    sa.Column("parent_id", sa.String(40), nullable=True, index=True),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
    sa.Column("revoked_us", sa.BigInteger, nullable=True),
    sa.Column("last_used_us", sa.BigInteger, nullable=True),
    info=named("key", "label"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    id_column(),
    sa.Column("user_id", sa.String(40), sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("peer", sa.String(64), nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("last_seen_us", sa.BigInteger, nullable=False),
)

password_links = sa.Table(
    "password_links",
    metadata,
    id_column(),
    sa.Column("user_id", sa.String(40), sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
)

sign_in_failures = sa.Table(
    "sign_in_failures",
    metadata,
    # "user " or "peer " and a hash, because the input of unknown persons is not stored.
    sa.Column("subject", sa.String(80), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_us", sa.BigInteger, nullable=False, index=True),
    sa.Column("locked_until_us", sa.BigInteger, nullable=False),
)

identities = sa.Table(
    "identities",
    metadata,
    # Digest of (issuer, subject), because both together may be too long for a primary key.
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("issuer", sa.String(500), nullable=False),
    sa.Column("subject", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(40), sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
)

oidc_flows = sa.Table(
    "oidc_flows",
    metadata,
    sa.Column("state_hash", sa.String(64), primary_key=True),
    sa.Column("provider", sa.String(40), nullable=False),
    sa.Column("binding_hash", sa.String(64), nullable=False),
    sa.Column("redirect_uri", sa.String(500), nullable=False),
    sa.Column(
        "sealed", sa.LargeBinary, nullable=False, info={"sealed": "oidc flow {state_hash}"}
    ),  # nonce, verifier
    sa.Column("created_us", sa.BigInteger, nullable=False, index=True),
)

terminal_codes = sa.Table(
    "terminal_codes",
    metadata,
    sa.Column("code_hash", sa.String(64), primary_key=True),
    sa.Column("user_id", sa.String(40), sa.ForeignKey("users.id"), nullable=False),
    sa.Column("provider", sa.String(40), nullable=False),
    # SHA-256 of a secret that only the program knows (RFC 7636), so that a leaked code is useless.
    sa.Column("challenge", sa.String(64), nullable=False),
    sa.Column("until_us", sa.BigInteger, nullable=False, index=True),
)
"""Sign-ins that a browser has finished and the waiting program has not fetched yet."""

secrets = sa.Table(
    "secrets",
    metadata,
    id_column(),
    sa.Column("org_id", sa.String(40), sa.ForeignKey("orgs.id"), nullable=False),
    # Empty for a secret of the whole organisation.
    sa.Column("project_id", sa.String(40), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False, info={"sealed": "secret {id}"}),
    sa.Column("updated_us", sa.BigInteger, nullable=False),
    sa.Column("updated_by", sa.String(80), nullable=False),
    sa.UniqueConstraint("org_id", "project_id", "name"),
    info=named("sec", "name"),
)
