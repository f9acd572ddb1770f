"""Backfill policies: which jobs may pass a blocked one; one file per policy."""
