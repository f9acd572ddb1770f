"""Stored bytes of projects: metering, quotas, and reservations of running uploads."""
