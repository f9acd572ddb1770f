"""Commands inside a running job: by `pearl exec` on pipes and on a terminal, by the API and by the console; and who may not."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.cli.center import PASSWORD, Center, Pearl, a_center, a_tenant

SMALL = ("--cpus", "0.5", "--memory-gib", "0.25", "-t", "5m")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    with a_center(tmp_path_factory.mktemp("shells")) as made:
        yield made


@pytest.fixture(scope="module")
def ann(here: Center) -> Pearl:
    return a_tenant(here, "studio", "ann")


@pytest.fixture(scope="module")
def bob(here: Center) -> Pearl:
    return a_tenant(here, "other", "bob")


@pytest.fixture(scope="module")
def job(ann: Pearl) -> str:
    script = 'echo "the log"; echo of-the-task > mark; sleep 240'
    made = ann.right("run", *SMALL, "--name", "explore", "-e", "WHO=ann", "--json", "--", "sh", "-c", script)
    found = str(made.value["id"])
    deadline = time.monotonic() + 60
    while ann.right("job", found, "--json").value["state"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_a_command_runs_where_the_job_runs_and_gives_its_exit_code(ann: Pearl, job: str) -> None:
    answer = ann("exec", job, "--", "sh", "-c", 'cat mark; echo "$WHO"; echo wrong >&2; exit 5')
    assert answer.code == 5, answer
    assert "of-the-task\nann\n" in answer.out and "wrong" in answer.out
    assert "of-the-task" not in ann.right("logs", job).out, "the log is the task's alone"


def _real(ann: Pearl) -> dict[str, str]:
    return {**os.environ, **ann.variables, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


PEARL = (sys.executable, "-c", "from pearlstreet.app.pearl import main; main()")


def test_standard_input_goes_through_byte_by_byte(ann: Pearl, job: str) -> None:
    data = bytes(range(256)) * 2000
    command = [*PEARL, "exec", job, "--", "sh", "-c", "cat > copy; wc -c < copy; cat copy | sha256sum"]
    done = subprocess.run(command, input=data, capture_output=True, env=_real(ann), timeout=120, check=True)
    size, digest = done.stdout.split(b"\n")[:2]
    assert int(size) == len(data)
    back = subprocess.run(
        [*PEARL, "exec", job, "--", "cat", "copy"], capture_output=True, env=_real(ann), timeout=120, check=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert back.stdout == data and digest


def test_a_shell_on_a_terminal_takes_keys_and_ends_with_exit(ann: Pearl, job: str) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PEARL, "exec", job], stdin=theirs, stdout=theirs, stderr=theirs, env=_real(ann), close_fds=True
    ) as process:
        os.close(theirs)
        os.write(ours, b'stty -echo; echo "in $((40+2)) $(cat mark)"; test -t 0 && echo tty; exit 6\n')
        seen, deadline = b"", time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    seen += os.read(ours, 65536)
                except OSError:
                    break
        process.wait(timeout=30)
    os.close(ours)
    assert b"in 42 of-the-task" in seen and b"tty" in seen, seen
    assert process.returncode == 6, seen


def test_what_cannot_be_run_says_why(ann: Pearl, job: str) -> None:
    answer = ann("exec", job, "--", "no-such-command")
    assert answer.code == 1 and "No such file or directory" in answer.err
    answer = ann("exec", job, "--rank", "1", "--", "true")
    assert answer.code == 1 and "no task 1" in answer.err
    over = ann.right("run", *SMALL, "-F", "--json", "--", "true").out
    ended = re.search(r"job_[0-9a-z]+", over)
    assert ended is not None
    answer = ann("exec", ended[0], "--", "true")
    assert answer.code == 1 and "does not run" in answer.err


def _api(pearl: Pearl) -> httpx.Client:
    key = pearl.right("keys", "create", "for-a-test", "--json").value["key"]
    return httpx.Client(
        base_url=pearl.variables["PEARL_URL"] + "/api/v1",
        headers={"authorization": f"Bearer {key}"},
        timeout=30,
    )


def test_nobody_else_may_and_nobody_else_sees_a_shell(ann: Pearl, bob: Pearl, job: str) -> None:
    assert "no job" in bob("exec", job, "--", "true").err
    narrow = ann.right("keys", "create", "narrow", "--scope", "jobs:read", "--json").value["key"]
    refused = ann("exec", job, "--", "true", PEARL_KEY=narrow)
    assert refused.code == 1 and "jobs:exec" in refused.err
    with _api(ann) as mine, _api(bob) as his:
        made = mine.post(f"/jobs/{job}/shells", json={"command": ["sleep", "60"]})
        assert made.status_code == 201, made.text
        path = made.headers["location"].removeprefix("/api/v1")
        for asked in ("", "/output"):
            assert his.get(path + asked).status_code == 404
        assert his.post(path + "/input", content=b"x").status_code == 404
        assert his.delete(path).status_code == 404
        assert mine.get(path).json()["ended"] is False
        assert mine.post(path + "/input?offset=5", content=b"x").status_code == 409, "a gap"
        assert mine.post(path + "/input", content=b"x" * 70_000).status_code == 413
        assert mine.delete(path).status_code == 200
        assert mine.get(path + "/output").content == b""
        assert mine.get(path).json()["ended"] is True
        for body in (
            {"command": [""]},
            {"command": ["a\0"]},
            {"rank": -1},
            {"columns": 0},
            {"term": "a b"},
            {"x": 1},
        ):
            assert mine.post(f"/jobs/{job}/shells", json=body).status_code in (400, 422), body


def test_a_repeated_request_runs_the_command_once(ann: Pearl, job: str) -> None:
    with _api(ann) as mine:
        body = {"command": ["sh", "-c", "echo once >> times"]}
        headers = {"idempotency-key": "shell-of-a-test"}
        first, second = (mine.post(f"/jobs/{job}/shells", json=body, headers=headers) for _ in range(2))
        assert first.status_code == second.status_code == 201 and first.json()["id"] == second.json()["id"]
        assert mine.get(f"/jobs/{job}/shells/{first.json()['id']}/output").content == b""
    assert ann.right("exec", job, "--", "cat", "times").out == "once\n"


def test_every_shell_is_in_the_audit_log_with_its_command(ann: Pearl, here: Center, job: str) -> None:
    ann.right("exec", job, "--", "echo", "audited-word")
    with _api(ann) as mine:
        rows = mine.get("/audit?limit=100").json()["items"]
    found = [row for row in rows if row["action"] == "job.exec" and "audited-word" in json.dumps(row)]
    assert len(found) == 1 and found[0]["target"] == job, rows[:3]


def _token(page: httpx.Response) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found is not None, page.text[:500]
    return found[1]


def test_the_page_of_the_job_runs_a_command_and_shows_what_it_wrote(ann: Pearl, job: str) -> None:
    with httpx.Client(base_url=ann.variables["PEARL_URL"], timeout=60, follow_redirects=True) as browser:
        browser.post("/sign-in", data={"do": "in", "name": "ann", "password": PASSWORD})
        page = browser.get(f"/jobs/{job}")
        assert "Run a command inside the job" in page.text
        form = {"token": _token(page), "do": "exec", "rank": "0", "command": "cat mark; echo '<b>'; exit 4"}
        answer = browser.post(f"/jobs/{job}", data=form)
        assert answer.status_code == 200, answer.text[:500]
        assert "of-the-task\n<b>" in unescape(answer.text) and "<b>" not in answer.text
        assert "exit code 4" in answer.text
        empty = browser.post(f"/jobs/{job}", data=form | {"command": " "})
        assert empty.status_code == 422 and "Name a command" in empty.text


def test_the_end_of_the_job_ends_its_shells(ann: Pearl, tmp_path: Path) -> None:
    made = ann.right("run", *SMALL, "--json", "--", "sh", "-c", "until [ -e go ]; do sleep 0.1; done")
    job = made.value["id"]
    while ann.right("job", job, "--json").value["state"] != "running":
        time.sleep(0.1)
    started = time.monotonic()
    answer = ann("exec", job, "--", "sh", "-c", "trap '' TERM HUP; touch go; sleep 100")
    assert answer.code != 0 and time.monotonic() - started < 30
    while ann.right("job", job, "--json").value["state"] not in ("succeeded", "failed"):
        time.sleep(0.1)
    assert ann.right("job", job, "--json").value["state"] == "succeeded"
