"""PURE: traces in, the same planner over virtual time, comparison out. No files, no clock, no store."""
