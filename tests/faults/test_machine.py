"""What jobs do to a machine, and what happens to them there: through the whole product, in real processes."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from pearlstreet.compute.engines.local.supervisor import files
from tests.crash.server import Server

SMALL = {"cpus": 0.2, "memory_gib": 0.25}
QUICK = {"grace": 0.5}


def _shell(script: str, **spec: Any) -> dict[str, Any]:
    usual = {"command": ["/bin/sh", "-c", script], "per_task": SMALL, "time_limit": "2m"}
    limits = {**QUICK, **spec.pop("limits", {})}
    return {**usual, "limits": limits, **spec}


def _attempts(server: Server, job: str) -> list[dict[str, Any]]:
    with server.tenant() as http:
        found: list[dict[str, Any]] = http.get(f"/jobs/{job}/attempts").json()["items"]
    return found


def _has_control_groups(server: Server, job: str) -> bool:
    return "cgroup" in (_attempts(server, job)[-1]["wall"] or "")


def test_a_flood_of_log_lines_is_cut_in_the_middle_and_the_job_goes_on(server: Server) -> None:
    script = "echo first; seq 1 2000000; echo last"
    job = server.submit(**_shell(script, limits={"log_mib": 1}))
    assert server.wait(job)["state"] == "succeeded"
    folder = server.attempts / str(server.job(job)["attempt_id"]) / "logs"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2 << 20
    head = server.log_of(job)
    assert head.startswith(b"first\n")
    with server.tenant() as http:
        followed = http.get(f"/jobs/{job}/logs", params={"follow": "true"}).content
    assert followed.endswith(b"last\n")
    assert len(followed) < 2 << 20


def test_a_fork_bomb_ends_itself_and_nobody_else(server: Server) -> None:
    other = server.submit(**_shell("sleep 3; echo fine"))
    bomb = server.submit(
        **_shell("boom() { boom | boom & wait; }; boom", limits={"pids": 64}, time_limit="15s")
    )
    assert server.wait(bomb)["state"] in ("failed", "succeeded")
    assert server.wait(other)["state"] == "succeeded"
    assert server.wait(server.submit(**_shell("echo still here")))["state"] == "succeeded"


def test_a_memory_hog_is_ended_and_told_its_limit(server: Server) -> None:
    hog = "import time; x = []\nwhile True: x.append(bytearray(8 << 20)); time.sleep(0.01)"
    job = server.submit(command=["python3", "-c", hog], per_task=SMALL, time_limit="60s", limits=QUICK)
    ended = server.wait(job)
    assert ended["state"] == "failed"
    if not _has_control_groups(server, job):
        pytest.skip("control groups are absent: this host lets nobody make them")
    assert ended["reason_code"] == "memory_limit"
    assert ended["reason"] == "Task 0 used more memory than its limit of 0.25 GiB"


def test_a_job_that_fills_the_disk_is_ended_and_told_its_limit(server: Server) -> None:
    job = server.submit(
        **_shell("head -c 60000000 /dev/zero > big; sleep 30", limits={"disk_gib": 0.02}, time_limit="60s")
    )
    ended = server.wait(job)
    assert (ended["state"], ended["reason_code"]) == ("failed", "disk_limit")
    assert ended["reason"].startswith("The attempt wrote more than its disk limit of 0.02 GiB")


def test_a_job_beyond_its_time_limit_is_ended_and_told_so(server: Server) -> None:
    job = server.submit(**_shell("echo begun; sleep 60", time_limit="1s"))
    ended = server.wait(job)
    assert (ended["state"], ended["reason_code"]) == ("failed", "time_limit")
    assert ended["reason"] == "The time limit of 1 s is reached"
    assert server.log_of(job).startswith(b"begun\n")


def test_work_whose_supervisor_was_killed_runs_again_and_is_not_billed(server: Server) -> None:
    job = server.submit(**_shell('[ -e "$HOME/x" ]; echo begun; sleep 4; echo over'))
    server.wait(job, "running")
    (first,) = _attempts(server, job)
    time.sleep(1.2)  # long enough for a span: what was metered is given back
    os.kill(server.supervisors()[first["id"]][0], signal.SIGKILL)
    assert server.wait(job)["state"] == "succeeded"
    lost, again = _attempts(server, job)
    assert lost["end_reason"] == "engine_lost"
    assert lost["message"] == "The attempt's supervisor was killed"
    assert again["end_reason"] == "exited"
    query = (
        "SELECT t.external_id AS attempt, sum(c.amount_micro) AS paid FROM ledger_charges c"
        " JOIN ledger_streams t ON t.id = c.stream_id WHERE t.reference = ? GROUP BY t.external_id"
    )
    paid = {row["attempt"]: row["paid"] for row in server.rows(query, job)}
    assert paid.get(lost["id"], 0) == 0
    server.prove()


def test_a_job_killed_from_outside_counts_as_its_own_end(server: Server) -> None:
    job = server.submit(**_shell("kill -9 $$"))
    ended = server.wait(job)
    assert (ended["state"], ended["exit_code"]) == ("failed", 137)


def test_a_job_is_cancelled_while_it_runs(server: Server) -> None:
    job = server.submit(**_shell("trap 'echo bye; exit 3' TERM; echo begun; while :; do sleep 0.1; done"))
    server.wait(job, "running")
    while b"begun" not in server.log_of(job):
        time.sleep(0.02)
    with server.tenant() as http:
        assert http.post(f"/jobs/{job}/cancel").status_code == 200
    ended = server.wait(job)
    assert (ended["state"], ended["reason_code"]) == ("cancelled", "cancelled")
    assert ended["reason"].startswith("Cancelled by ")
    assert server.log_of(job).endswith(b"bye\n"), "it had its time to end in order"


def test_a_job_is_cancelled_at_once_while_its_environment_is_made(server: Server) -> None:
    job = server.submit(**_shell("true", environment={"packages": ["no-such-package-of-pearlstreet==9.9"]}))
    with server.tenant() as http:
        assert http.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert server.job(job)["attempts"] == 0


def test_an_environment_that_cannot_be_built_fails_the_job_with_the_end_of_its_log(server: Server) -> None:
    name = "no-such-package-of-pearlstreet"
    job = server.submit(**_shell("true", environment={"packages": [f"{name}==1.0"]}))
    ended = server.wait(job)
    assert (ended["state"], ended["reason_code"]) == ("failed", "preparation_failed")
    assert ended["reason"].startswith("The environment could not be built: ")
    assert name in ended["reason"] or "resolve" in ended["reason"], ended["reason"]
    assert ended["attempts"] == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "localhost", "[::1]"])
def test_a_git_address_inside_the_network_is_refused(server: Server, host: str) -> None:
    with server.tenant() as http:
        answer = http.post("/jobs", json={**_shell("true"), "git": {"url": f"https://{host}/team/train.git"}})
    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["problems"]
    assert problem["field"] == "git.url"
    assert problem["message"]


def test_jobs_run_on_while_the_server_is_away(server: Server) -> None:
    """Stopped in order, then killed: the same process beats on through both."""
    beat = 'while [ ! -e "$PEARL_OUTPUTS/enough" ]; do date +%s%N >> "$PEARL_OUTPUTS/beats"; sleep 0.1; done'
    job = server.submit(**_shell(beat))
    server.wait(job, "running")
    attempt = str(server.job(job)["attempt_id"])
    supervisor, started = server.supervisors()[attempt], server.job(job)["started"]
    beats = server.attempts / attempt / "outputs" / "beats"
    for how in (signal.SIGTERM, signal.SIGKILL):
        assert server.end(how) in (0, -9)
        before = len(beats.read_text().split())
        until = time.monotonic() + 20
        while len(beats.read_text().split()) < before + 5:
            assert time.monotonic() < until, "it stands still without its server"
            time.sleep(0.05)
        server.start()
        assert server.supervisors()[attempt] == supervisor
        assert server.job(job)["started"] == started
        assert server.job(job)["state"] == "running"
    (server.attempts / attempt / "outputs" / "enough").touch()
    assert server.wait(job)["state"] == "succeeded"
    assert len(_attempts(server, job)) == 1
    server.prove()


def test_a_number_that_was_given_to_another_process_is_not_mistaken_for_a_supervisor(server: Server) -> None:
    """As after a restart of the machine: the attempt's supervisor is gone, its pid belongs to somebody else."""
    job = server.submit(**_shell("sleep 30", retries={"max": 0, "on": ["failure"]}))
    server.wait(job, "running")
    attempt = str(server.job(job)["attempt_id"])
    folder = str(server.attempts / attempt)
    server.kill()
    pid, _ = server.supervisors()[attempt]
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while files.is_locked(f"{folder}/{files.LOCK}"):
        assert time.monotonic() < until
        time.sleep(0.02)
    launched = files.read_json(folder, files.LAUNCHED)
    assert launched is not None
    files.write_json(folder, files.LAUNCHED, {**launched, "pid": os.getpid()})
    order = files.read_json(folder, files.ORDER)
    assert order is not None
    files.write_json(folder, files.ORDER, {**order, "boot_id": "another start of the machine"})
    server.start()
    ended = server.wait(job)
    assert (ended["state"], ended["reason_code"]) == ("failed", "engine_lost")
    assert ended["reason"] == "The machine was restarted while the attempt ran"
