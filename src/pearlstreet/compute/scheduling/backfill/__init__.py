"""Who may pass a blocked job: one file a policy."""
