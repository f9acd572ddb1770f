"""A center whose jobs run on a real Slurm cluster, from the command line to the invoice."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cli.center import Center, Pearl, a_center, a_tenant, until
from tests.conformance.slurm_rig import cluster, options
from tests.months import present_month

pytestmark = pytest.mark.slow
TWO_GPUS = ("--accelerator", "H100", "--count", "2", "--cpus", "2", "--memory-gib", "1", "-t", "5m")


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """A center with one engine: the cluster that tests share."""
    folder = tmp_path_factory.mktemp("slurm-center")
    (folder / "data").mkdir()
    lines = (f"{key} = {json.dumps(value)}" for key, value in {"kind": "slurm", **options(folder)}.items())
    (folder / "data" / "pearl.toml").write_text("[engines.hpc]\n" + "\n".join(lines) + "\n")
    with a_center(folder) as made:
        yield made


@pytest.fixture(scope="module")
def ann(center: Center) -> Pearl:
    return a_tenant(center, "studio", "ann")


def test_a_job_trains_on_the_cluster_and_is_billed_exactly(center: Center, ann: Pearl) -> None:
    script = 'echo "step 1 on $CUDA_VISIBLE_DEVICES of $PEARL_NODE"; sleep 2; echo weights > $PEARL_OUTPUTS/model.bin'
    answer = ann.right("run", *TWO_GPUS, "-F", "--", "sh", "-c", script)
    assert "step 1 on 0,1 of hpc:n" in answer.out, answer
    job = ann.right("jobs", "--json").rows[0]["id"]
    assert "model.bin" in ann.right("job", job).out

    def invoiced() -> bool:
        return bool(ann.right("invoice", present_month(), "--json").value["lines"])

    until(invoiced)
    assert center.as_("audit").right("proof", "--json").value["is_right"] is True
    jobs = cluster().run("squeue", "-h", "-t", "all", "-o", "%j %u").splitlines()
    assert [line.split()[1] for line in jobs if line.startswith("pearl:")][-1] != "root"
