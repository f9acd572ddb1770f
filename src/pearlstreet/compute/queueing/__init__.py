"""Decides what runs next and where: waiting requests, policy, quotas, fair shares, windows and planning cycles."""
