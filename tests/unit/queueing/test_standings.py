"""Fair share tells of each project what the project holds, not what its organisation does."""

from __future__ import annotations

from pearlstreet.compute.queueing.quotas import standings
from pearlstreet.compute.scheduling.builder import build
from pearlstreet.compute.scheduling.rows import Account, NodeRow, Usage


def test_each_project_is_told_its_own_share_and_that_of_its_organisation() -> None:
    accounts = [
        Account("acme", "large", usage=Usage(cpu_h=300.0)),
        Account("acme", "small", usage=Usage(cpu_h=100.0)),
        Account("acme", "idle"),
        Account("beta", "new"),
    ]
    nodes = [NodeRow("a", 64_000, 512 << 10)]
    found = {
        one.project_id: one for one in standings(build(now_us=0, nodes=nodes, accounts=accounts), 3600.0, {})
    }
    large, small = found["large"], found["small"]
    assert large.org_share > large.share > small.share > 0
    for one in (large, small):
        said = str(one.why)
        assert said.startswith(
            f"With recent and present use it holds {100 * one.share:.3g} % of the center's CPU cores"
        )
        assert f"its organisation holds {100 * one.org_share:.3g} % of" in said
    assert str(found["idle"].why).startswith("It has used nothing lately; its organisation holds")
    assert str(found["new"].why) == "Its organisation has used nothing lately, so it goes first"
    assert found["new"].rank == 1
