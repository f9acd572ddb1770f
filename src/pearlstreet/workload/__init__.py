"""PURE: what somebody wants to run, as values: job specifications and Python environments."""
