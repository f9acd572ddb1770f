"""Who may do what: organisations, projects, users, roles and scopes, API keys, sign-in, tenants' secrets."""
