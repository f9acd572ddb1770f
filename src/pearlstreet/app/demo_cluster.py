"""`pearl demo --cluster`: the demo on a real Slurm of virtual nodes, where one job trains on two of them. Safe to run again."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from pearlstreet.app.demo import DemoPlan, run_demo
from pearlstreet.app.state import running
from pearlstreet.app.virtual_cluster import (
    DEVICES,
    MODEL,
    NODES,
    VirtualCluster,
    missing_part,
    read_cluster,
    start_cluster,
    stop_cluster,
)
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.cli.output import done, err, language, say, warn

ENGINE = "hpc"
SETTINGS = "pearl.toml"


def run_demo_cluster(data: Path, port: int) -> None:
    """Start (or find) cluster and center, train on two nodes, show the invoice. Without Slurm it says what is missing."""
    missing = missing_part()
    if missing is not None:
        problem, fix = missing
        warn(say("The demo on a cluster was skipped: {problem}", problem=problem.render(language())))
        err.print(fix.render(language()), markup=False, soft_wrap=True)
        return
    cluster = read_cluster(data)
    if cluster is None:
        if running(data) is not None:
            raise ConfigurationError(
                text("A center runs in {data}, but its cluster does not", data=str(data)),
                hint=text("Stop it first: {command}", command=_stop_command(data)),
            )
        cluster = start_cluster(
            data, lambda step: err.print(step.render(language()), markup=False, soft_wrap=True)
        )
    done(
        "Slurm runs {nodes} virtual nodes with {count} pretended {model} each; its files are in {folder}",
        nodes=NODES,
        count=DEVICES,
        model=MODEL,
        folder=str(cluster.folder),
    )
    _write_settings(data, cluster)
    plan = DemoPlan(
        "digits-gang",
        is_gang=True,
        has_example_prices=False,
        credit="500",
        enough="300",
        stop=_stop_command(data),
    )
    run_demo(data, port, plan)


def stop_demo_cluster(data: Path) -> None:
    """End the jobs and daemons of the demo's cluster and delete its files."""
    if stop_cluster(data):
        done("The cluster has stopped; its jobs and files are gone")


def _stop_command(data: Path) -> str:
    if data == Path(".demo-cluster").absolute():
        return "make demo-cluster-stop"
    return f"{Path(sys.argv[0]).name} demo --cluster --stop --data {shlex.quote(str(data))}"


def _write_settings(data: Path, cluster: VirtualCluster) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in cluster.options.items()]
    content = "\n".join([f"[engines.{ENGINE}]", *lines, ""])
    (data / SETTINGS).write_text(content, encoding="utf-8")
