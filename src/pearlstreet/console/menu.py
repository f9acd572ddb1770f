"""The menu. A visitor sees the items whose pages they may open."""

from __future__ import annotations

from pearlstreet.base.text import text
from pearlstreet.console.page import NavGroup, NavItem

MENU: tuple[NavGroup, ...] = (
    NavGroup(
        text("Work"),
        (
            NavItem("/", text("Overview"), "home", "o"),
            NavItem("/jobs", text("Jobs"), "jobs", "j"),
            NavItem("/submit", text("New job"), "plus", "+"),
            NavItem("/quotes", text("Quotes"), "price", "z"),
            NavItem("/billing", text("Billing"), "money", "b"),
            NavItem("/what-if", text("What if"), "chart", "h"),
        ),
    ),
    NavGroup(
        text("Organisation"),
        (
            NavItem("/projects", text("Projects"), "folder", "p"),
            NavItem("/members", text("Members"), "users", "m"),
            NavItem("/secrets", text("Secrets"), "lock", "x"),
            NavItem("/keys", text("API keys"), "key", "k"),
            NavItem("/users", text("Users"), "user", "u"),
            NavItem("/notices", text("Notices"), "bell", "i"),
            NavItem("/memberships", text("My organisations"), "building", "2"),
            NavItem("/account", text("My account"), "user", "y"),
        ),
    ),
    NavGroup(
        text("Center"),
        (
            NavItem("/nodes", text("Nodes"), "nodes", "n"),
            NavItem("/accelerators", text("Accelerators"), "chip", "a"),
            NavItem("/energy", text("Energy"), "bolt", "g"),
            NavItem("/quotas", text("Quotas"), "scale", "q"),
            NavItem("/policy", text("Scheduling"), "scale", "s"),
            NavItem("/queues", text("Queues"), "jobs", "w"),
            NavItem("/windows", text("Maintenance"), "nodes", "v"),
            NavItem("/decisions", text("Decisions"), "audit", "d"),
            NavItem("/calibration", text("Calibration"), "chart", "1"),
            NavItem("/prices", text("Prices"), "price", "c"),
            NavItem("/orgs", text("Organisations"), "building", "r"),
            NavItem("/credit", text("Credit"), "money", "t"),
            NavItem("/incidents", text("Incidents"), "alert", "f"),
            NavItem("/audit", text("Audit log"), "audit", "l"),
            NavItem("/settings", text("Settings"), "settings", "e"),
        ),
    ),
)
