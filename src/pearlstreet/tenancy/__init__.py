"""Tenancy and access: organisations, projects, users, roles and scopes, API keys, sign-in, tenants' secrets."""
