"""A Slurm cluster with accounting: MariaDB and slurmdbd beside its daemons, on loopback, in the cluster's own folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

from tests.engines.slurm_cluster import ClusterSize, SlurmCluster, free_ports
from tests.engines_present import has_program, need

DATABASE_USER = "mysql"
DBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/etc/jwt.key
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=root
StorageLoc=slurm_acct
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
"""
MORE = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/run/munge.sock
AccountingStorageTRES=gres/gpu"""


class AccountedCluster(SlurmCluster):
    """A running cluster whose jobs are in slurmdbd."""

    rest_plugins = "openapi/v0.0.38,openapi/dbv0.0.38"

    def __init__(self, size: ClusterSize) -> None:
        for program in ("slurmdbd", "mariadbd"):
            need(has_program(program) or Path("/usr/sbin", program).exists(), program)
        need(has_program("mariadb-install-db"), "mariadb-install-db")
        self._database_port, self._dbd_port = free_ports(2)
        super().__init__(size)

    def more_conf(self) -> str:
        return MORE.format(dbd_port=self._dbd_port, folder=self.folder)

    def start_accounting(self) -> None:
        data = self.folder / "database"
        data.mkdir()
        owner = pwd.getpwnam(DATABASE_USER)
        os.chown(data, owner.pw_uid, owner.pw_gid)
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={DATABASE_USER}"]
        done = subprocess.run(
            [*install, "--auth-root-authentication-method=normal", "--skip-test-db"],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-600:]
        options = [f"--datadir={data}", f"--port={self._database_port}", f"--socket={data}/socket"]
        options += [
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=0",
            f"--user={DATABASE_USER}",
        ]
        program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        self._spawn("mariadbd", [program, "--no-defaults", *options, f"--pid-file={data}/pid"])
        self._wait(lambda: _listens(self._database_port), "MariaDB does not listen")
        conf = self.folder / "etc" / "slurmdbd.conf"
        conf.write_text(
            DBD_CONF.format(
                folder=self.folder,
                host=socket.gethostname(),
                dbd_port=self._dbd_port,
                database_port=self._database_port,
            )
        )
        conf.chmod(0o600)
        self.start("slurmdbd")
        self.run("sacctmgr", "-i", "add", "cluster", "pearltest")

    def start(self, name: str) -> None:
        if name != "slurmdbd":
            super().start(name)
            return
        self._spawn(name, ["slurmdbd", "-D"])
        self._wait(lambda: _listens(self._dbd_port), "slurmdbd does not listen")

    def daemons(self) -> list[str]:
        return [*super().daemons(), "slurmdbd", "mariadbd"]


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
