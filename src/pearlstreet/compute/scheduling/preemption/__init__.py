"""Preemption: each file says whom a blocked job may displace; `search` finds the cheapest set of victims."""
