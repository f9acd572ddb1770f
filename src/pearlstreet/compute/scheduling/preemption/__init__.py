"""Whom a blocked job may displace: one file a policy; `search` finds the cheapest of them."""
