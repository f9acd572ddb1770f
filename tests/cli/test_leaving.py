"""Taking one's data away, and the end of a tenant, by the commands, against a real server."""

from __future__ import annotations

import tarfile
from pathlib import Path

from tests.cli.center import Center, a_tenant


def test_a_tenant_takes_everything_and_is_closed(center: Center, tmp_path: Path) -> None:
    eve, system = a_tenant(center, "leaver", "eve"), center.as_("system")
    eve.right("secrets", "set", "TOKEN", "--org", "leaver", stdin="hush\n")
    said = eve.right("orgs", "export", "leaver", "--to", str(tmp_path / "own.tar.gz"))
    assert "everything of leaver" in said.out + said.err
    with tarfile.open(tmp_path / "own.tar.gz") as tar:
        assert "organisation.json" in tar.getnames()
    assert "lacks" in eve("orgs", "close", "leaver", "--yes").err
    assert "--yes" in system("orgs", "close", "leaver").err
    ended = system.right("orgs", "close", "leaver", "--yes", "--reason", "moved away", "--json").value
    assert ended["phase"] == "closed"
    assert "closed" in eve("whoami").err
    system.right("orgs", "export", "leaver", "--to", str(tmp_path / "kept.tar.gz"))
    assert (tmp_path / "kept.tar.gz").stat().st_size == ended["archive"]["size_bytes"]
    again = system.right("orgs", "close", "leaver", "--yes")
    assert "leaver is closed" in again.out + again.err
    chinese = system.right("orgs", "close", "leaver", "--yes", PEARL_LANG="zh-CN")
    assert "leaver 已注销" in chinese.out + chinese.err
    assert "taken" in system("orgs", "create", "leaver").err
