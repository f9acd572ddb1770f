"""Every page of the console. A new page is one module in pages/ and one line here."""

from __future__ import annotations

from pearlstreet.console.page import Page
from pearlstreet.console.pages import (
    accelerators,
    account,
    billing,
    home,
    incidents,
    invoices,
    jobs,
    keys,
    members,
    nodes,
    preferences,
    prices,
    projects,
    quotas,
    secrets,
    sign_in,
    statement,
    submit,
    users,
)

PAGES: tuple[Page, ...] = (
    *home.PAGES,
    *sign_in.PAGES,
    *preferences.PAGES,
    *jobs.PAGES,
    *submit.PAGES,
    *billing.PAGES,
    *statement.PAGES,
    *invoices.PAGES,
    *projects.PAGES,
    *members.PAGES,
    *keys.PAGES,
    *secrets.PAGES,
    *users.PAGES,
    *account.PAGES,
    *nodes.PAGES,
    *accelerators.PAGES,
    *incidents.PAGES,
    *prices.PAGES,
    *quotas.PAGES,
)
