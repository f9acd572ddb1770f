"""Reads the center's quotas, weights and windows for the worker process, as JSON with pseudonyms."""

from __future__ import annotations

import sqlalchemy as sa

from pearlstreet.compute.jobs.exporting import pseudonym
from pearlstreet.compute.queueing.fairness import load_accounts
from pearlstreet.compute.queueing.planner_rows import load_quotas
from pearlstreet.compute.queueing.tables import windows
from pearlstreet.compute.queueing.windows.model import from_row
from pearlstreet.compute.replay.scenario_overrides import Supposed, owners
from pearlstreet.compute.whatif.service import place_of
from pearlstreet.store.core import Tx
from pearlstreet.tenancy.model import SYSTEM


def real_terms(tx: Tx, org_id: str | None, since_us: int, until_us: int) -> dict[str, object]:
    """Return the present quotas and weights, and the windows between the two times.

    For a question of one organisation only its own quotas and weights are returned.
    """

    def owner(org: str, project: str) -> dict[str, str]:
        found_org, found_project = _pseudonyms(tx, org, project)
        return {"org": found_org, "project": found_project}

    limits = [quota for quota in load_quotas(tx) if org_id in (None, quota.org)]
    accounts = [account for account in load_accounts(tx) if org_id in (None, account.org)]
    near = (windows.c.until_us > since_us) & (windows.c.from_us < until_us)
    held = [from_row(row) for row in tx.rows(sa.select(windows).where(near).order_by(windows.c.id))]
    return {
        "quotas": [
            {
                **owner(quota.org, quota.project),
                "resource": quota.resource,
                "guaranteed": quota.guaranteed,
                "maximum": quota.maximum,
                "borrow": quota.borrow,
            }
            for quota in limits
        ],
        "accounts": [
            {**owner(one.org, one.project), "weight": one.weight, "org_weight": one.org_weight}
            for one in accounts
        ],
        "held": [
            {
                **owner(row.org, row.project),
                "id": row.id,
                "node": row.node,
                "device": row.device,
                "start_us": row.start_us,
                "end_us": row.end_us if window.ended_us is None else min(row.end_us, window.ended_us),
                "known_us": window.made_us,
            }
            for window in held
            if window.ended_us is None or window.ended_us > max(window.from_us, since_us)
            for row in window.rows()
        ],
    }


def named(tx: Tx, supposed: Supposed) -> dict[str, list[str]]:
    """Return the pseudonyms in the replayed jobs by `org` or `org/project` as a question names them."""
    return {
        f"{org}/{project}".rstrip("/"): list(_pseudonyms(tx, *place_of(tx, SYSTEM, org, project)))
        for org, project in owners(supposed)
    }


def _pseudonyms(tx: Tx, org_id: str, project_id: str) -> tuple[str, str]:
    return (
        pseudonym(tx, "org", org_id) if org_id else "",
        pseudonym(tx, "project", project_id) if project_id else "",
    )
