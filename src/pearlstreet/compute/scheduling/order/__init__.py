"""Which waiting job is considered first: one file a policy."""
