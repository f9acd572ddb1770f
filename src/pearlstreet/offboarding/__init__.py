"""Leaving the center: a tenant's data as one archive, and the end of a tenant."""
