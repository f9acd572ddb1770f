"""The test cluster itself: jobs run on it, it ends without a trace, and its daemons can be ended one by one."""

from __future__ import annotations

import os
from pathlib import Path

from tests.engines.slurm_cluster import ClusterSize, SlurmCluster


def test_a_cluster_runs_a_job_with_gpus_and_leaves_no_process() -> None:
    cluster = SlurmCluster(ClusterSize(nodes=2, gpus=4))
    try:
        cluster.shared.chmod(0o777)
        result = cluster.shared / "result"
        job = cluster.submit_as_direct_user(
            "--gres=gpu:h100:3", "--wait", script=f'echo "$CUDA_VISIBLE_DEVICES" > {result}'
        )
        assert result.read_text() == "0,1,2\n"
        assert "JobState=COMPLETED" in cluster.run("scontrol", "show", "job", str(job))
        cluster.submit_as_direct_user(script="sleep 600")
    finally:
        cluster.close()
    assert not cluster.folder.exists()
    mark = f"SLURM_CONF={cluster.conf}".encode()
    assert not [
        process
        for process in Path("/proc").glob("[0-9]*")
        if process.name != str(os.getpid()) and mark in _environment(process)
    ]


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
