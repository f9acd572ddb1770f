"""What a job tries in order to get out, and does not get."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.engines import value_of
from tests.unit.engines_local.kit import Bench, until

from pearlstreet.base.outcome import Refused
from pearlstreet.compute.engines.protocol import AttemptReport, Binding, Mount, Stage, TaskState

TRY = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, action):
    try:
        got = action()
    except BaseException as error:
        print(name, 'REFUSED', type(error).__name__, flush=True)
    else:
        print(name, 'DONE', repr(got)[:200], flush=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), '')
"""
CALLS = {"ptrace": "101, 16, 1", "mount": "165, b'x', b'/tmp', b'tmpfs'", "unshare": "272, 0x10000000",
         "keyctl": "250, 0, -3", "bpf": "321, 0", "userfaultfd": "323, 0", "perf": "298, 0, 0, -1",
         "setns": "308, 0, 0", "module": "175, 0", "kexec": "246, 0", "reboot": "169, 0", "io_uring": "425, 1",
         "vm_read": "310, 1", "clone_newuser": "56, 0x10000011"}  # fmt: skip


@pytest.fixture(params=["bubblewrap", "landlock"])
def walled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, sandbox=request.param)
    yield made
    made.clean_up()


def tried(bench: Bench, lines: str, **wishes: object) -> tuple[dict[str, str], AttemptReport]:
    """What became of each attempt, by name."""
    report, log = bench.python(TRY + lines, **wishes)
    found = {line.split()[0]: line.split()[1] for line in log.splitlines() if len(line.split()) > 1}
    assert found, log
    return found, report


def test_the_servers_files_cannot_be_read(walled: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "pearl.db"
    secret.write_text("everything")
    secret.chmod(0o644)
    other = walled.start("echo mine > result; sleep 60")
    until(lambda: walled.report(other).state is TaskState.RUNNING)
    folder = walled.attempt_folder(other)
    paths = [
        secret,
        folder / "order.json",
        folder / "work" / "result",
        Path("/etc/shadow"),
        Path("/root/.profile"),
    ]
    lines = "\n".join(f"attempt('{path.name}', lambda: open({str(path)!r}).read())" for path in paths)
    found, _ = tried(walled, lines)
    assert set(found.values()) == {"REFUSED"}, found
    assert len(found) == len(paths)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers in this test are those of x86_64")
def test_dangerous_system_calls_are_refused(walled: Bench) -> None:
    lines = "\n".join(f"attempt({name!r}, lambda: call({words}))" for name, words in CALLS.items())
    found, _ = tried(walled, lines)
    assert found == dict.fromkeys(CALLS, "REFUSED")


def test_the_host_cannot_be_written(walled: Bench) -> None:
    lines = "\n".join(
        f"attempt({path!r}, lambda: open({path!r}, 'w'))"
        for path in (
            "/etc/pearl",
            "/usr/pearl",
            "/sys/kernel/pearl",
            "/proc/sys/kernel/core_pattern",
            "/pearl-x",
            "/dev/sda",
            "/dev/mem",
        )
    )
    found, _ = tried(walled, lines)
    assert set(found.values()) == {"REFUSED"}, found


def test_nobody_becomes_root(walled: Bench) -> None:
    found, _ = tried(
        walled,
        "if os.getuid() == 0:\n    attempt('chown', lambda: os.chown('/tmp', 1, 1))\n"
        "else:\n    attempt('setuid', lambda: os.setuid(0))\n"
        "caps = [l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapPrm', 'CapAmb'))]\n"
        "print('caps', 'NONE' if {int(c, 16) for c in caps} == {0} else caps)\n"
        "nnp = [l.split()[1] for l in open('/proc/self/status') if l.startswith('NoNewPrivs')]\n"
        "print('nnp', nnp[0])\n",
    )
    assert found.pop("caps") == "NONE"
    assert found.pop("nnp") == "1"
    assert set(found.values()) == {"REFUSED"}


def test_other_processes_cannot_be_touched(walled: Bench) -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"],
                              env={"SECRET": "of-another", "PATH": os.environ["PATH"]}, stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert victim.stdout is not None and victim.stdout.readline()
        lines = (
            f"attempt('kill', lambda: os.kill({victim.pid}, 9))\n"
            f"attempt('server', lambda: os.kill({os.getpid()}, 0))\n"
            f"def secret():\n    data = open('/proc/{victim.pid}/environ').read()\n    assert 'of-another' in data\n"
            "attempt('environ', secret)\n"
            f"attempt('mem', lambda: open('/proc/{victim.pid}/mem', 'rb').read(1))\n"
        )
        found, _ = tried(walled, lines)
        assert set(found.values()) == {"REFUSED"}, found
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()
        assert victim.stdout is not None
        victim.stdout.close()


def test_the_host_is_not_on_the_jobs_network(walled: Bench) -> None:
    with socket.socket() as listener, socket.socket(socket.AF_UNIX) as abstract:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        name = f"\0pearl-test-{os.getpid()}"
        abstract.bind(name)
        abstract.listen()
        port = listener.getsockname()[1]
        found, _ = tried(
            walled,
            f"attempt('loopback', lambda: socket.create_connection(('127.0.0.1', {port}), 2))\n"
            "attempt('internet', lambda: socket.create_connection(('1.1.1.1', 53), 2))\n"
            f"attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect({name!r}))\n"
            "attempt('vsock', lambda: socket.socket(40, 1))\n"
            "attempt('packet', lambda: socket.socket(17, 3))\n",
        )
    assert set(found.values()) == {"REFUSED"}, found


def test_the_ranks_of_a_gang_reach_each_other(walled: Bench) -> None:
    program = """
import os, socket, time
where = (os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']))
if os.environ['RANK'] == '0':
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(where); listener.listen()
    other, _ = listener.accept()
    print('heard', other.recv(100).decode(), 'of', os.environ['WORLD_SIZE'])
else:
    for _ in range(200):
        try:
            line = socket.create_connection(where); break
        except OSError:
            time.sleep(0.02)
    line.sendall(b'rank 1')
"""
    report, log = walled.python(program, tasks=2)
    assert report.exit_code == 0, log
    assert log == "heard rank 1 of 2\n"


def test_a_sealed_job_sees_only_itself(sealed: Bench) -> None:
    report, log = sealed.python(
        "import os\nprint(sorted(int(n) for n in os.listdir('/proc') if n.isdigit()))\n"
        "print(sorted(os.listdir('/pearl')), os.listdir('/tmp'), os.listdir('/home') if os.path.exists('/home') else '')\n"
        "print(open('/etc/passwd').read().count(':'), os.getcwd(), os.uname().nodename)\n"
    )
    assert report.exit_code == 0, log
    pids, places, names = log.splitlines()
    assert max(eval(pids)) < 20
    assert places == "['home', 'metrics.jsonl', 'outputs', 'work'] [] "
    assert names == "18 /pearl/work pearl"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to become")
def test_a_sealed_job_of_root_is_not_root_outside(sealed: Bench) -> None:
    first = sealed.start("echo up; sleep 60", tenant_id="org_a")
    second = sealed.start("echo up; sleep 60", tenant_id="org_b")
    until(lambda: "up" in sealed.log(first) and "up" in sealed.log(second))
    owners = [(sealed.attempt_folder(one) / "work").stat().st_uid for one in (first, second)]
    assert 0 not in owners
    assert owners[0] != owners[1]
    for attempt_id, owner in zip((first, second), owners, strict=True):
        users = {
            folder.stat().st_uid
            for folder in Path("/proc").glob("[0-9]*")
            if f"PEARL_ATTEMPT_ID={attempt_id}".encode() in _environment(folder)
        }
        assert users == {owner}


def test_a_shown_folder_does_not_show_what_is_hidden_in_it(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    (shown / "data").mkdir(parents=True)
    (shown / "data" / "pearl.db").write_text("everything")
    (shown / "tool").write_text("useful\n")
    bench = Bench(tmp_path, sandbox="bubblewrap", read_only=(str(shown),), hidden=(str(shown / "data"),))
    report, log = bench.run(f"cat {shown}/tool; ls {shown}/data; cat {shown}/data/pearl.db")
    assert "useful" in log
    assert "everything" not in log
    assert report.exit_code != 0
    bench.clean_up()


def test_mounts_are_read_only_unless_they_are_not(sealed: Bench, tmp_path: Path) -> None:
    for name in ("kept", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
        (tmp_path / name / "data").write_text("the data\n")
    mounts = (Mount(str(tmp_path / "kept"), "/in"), Mount(str(tmp_path / "open"), "/out", writable=True))
    _, log = sealed.run("cat /in/data; echo x > /in/new || echo refused; echo y > /out/new", mounts=mounts)
    assert "the data" in log and "refused" in log
    assert not (tmp_path / "kept" / "new").exists()
    assert (tmp_path / "open" / "new").read_text() == "y\n"


def test_secrets_stay_out_of_command_lines_and_logs(walled: Bench) -> None:
    secret = "s3cr3t-密码-value"
    order = walled.order(
        'echo "key: $KEY"; printf %s "$KEY" | cut -c1-8; echo ready; sleep 60',
        variables={"KEY": secret},
        secret_names=frozenset({"KEY"}),
    )
    walled.engine.start(order)
    until(lambda: "ready" in walled.log(order.attempt_id))
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            assert secret.encode() not in (folder / "cmdline").read_bytes()
        except OSError:
            continue
    log = walled.log(order.attempt_id)
    assert secret not in log
    assert log.startswith("key: *******")
    walled.engine.stop(order.attempt_id, grace_s=0)
    folder = walled.attempt_folder(order.attempt_id)
    assert (folder / "order.json").stat().st_mode & 0o777 == 0o600
    assert secret not in repr(walled.ended(order.attempt_id))


def test_a_preloaded_library_never_runs_outside(sealed: Bench, tmp_path: Path) -> None:
    """A job's own LD_PRELOAD must reach the job, never the program that builds its sandbox."""
    trace = tmp_path / "trace"
    report, log = sealed.run("echo $LD_PRELOAD", variables={"LD_PRELOAD": str(trace), "LD_DEBUG": "files"})
    assert report.exit_code == 0
    assert str(trace) in log
    assert "bwrap" not in log


def test_the_sandbox_dies_with_its_supervisor(sealed: Bench) -> None:
    import json

    attempt_id = sealed.start("echo up; sleep 300")
    until(lambda: "up" in sealed.log(attempt_id))
    launched = json.loads((sealed.attempt_folder(attempt_id) / "launched.json").read_text())
    mark = f"PEARL_ATTEMPT_ID={attempt_id}".encode()
    os.kill(launched["pid"], signal.SIGKILL)
    until(lambda: not any(mark in _environment(folder) for folder in Path("/proc").glob("[0-9]*")))


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def test_threads_and_queues_of_a_program_work(walled: Bench) -> None:
    """The filter must not break what honest programs do: threads, pools of processes, shared memory, DNS files."""
    program = """
import concurrent.futures, multiprocessing, socket, subprocess, tempfile, threading
if __name__ == '__main__':
    thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        print(sum(pool.map(abs, range(10))))
    lock = multiprocessing.Lock()
    print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())
    print(socket.gethostbyname('localhost'), tempfile.TemporaryFile().write(b'abc'))
"""
    report, log = walled.run(
        'printf %s "$PROGRAM" > main.py; exec python3 main.py', variables={"PROGRAM": program}
    )
    assert (report.exit_code, log) == (0, "thread\n45\nchild\n127.0.0.1 3\n")


def test_listening_threads_are_not_left(bench: Bench) -> None:
    before = threading.active_count()
    bench.run("true")
    assert threading.active_count() == before


def test_inputs_appear_at_their_mounts_and_cannot_be_changed_there(sealed: Bench, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("the labels\n")
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        archive.add(tmp_path / "labels.csv", "a/b.csv")
    stages = (
        Stage(str(tmp_path / "labels.csv"), "inputs/LABELS/labels.csv"),
        Stage(str(tmp_path / "train.tar"), "inputs/TRAIN", "archive"),
    )
    script = (
        "cat /data/labels.csv /mnt/train/a/b.csv $PEARL_INPUT_TRAIN/a/b.csv; "
        "echo x > /data/labels.csv; echo x > /mnt/train/new; rm /mnt/train/a/b.csv; mkdir /data/more; ls /data /mnt"
    )
    report, log = sealed.run(
        script,
        stages=stages,
        bindings=(Binding("inputs/LABELS/labels.csv", "/data/labels.csv"), Binding("inputs/TRAIN", "/mnt/train")),
        path_variables={"PEARL_INPUT_TRAIN": "inputs/TRAIN"},
    )  # fmt: skip
    assert report.exit_code == 0, log
    assert log.count("the labels\n") == 3
    assert log.count("Read-only file system") == 4, log
    work = sealed.attempt_folder(report.attempt_id) / "work" / "inputs"
    assert (
        (work / "LABELS" / "labels.csv").read_text() == (work / "TRAIN/a/b.csv").read_text() == "the labels\n"
    )


def test_without_bubblewrap_inputs_are_where_their_variables_say(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sandbox="none")
    (tmp_path / "labels.csv").write_text("the labels\n")
    report, log = bench.run(
        "cat $PEARL_INPUT_LABELS; cat /pearl-test-mount",
        stages=(Stage(str(tmp_path / "labels.csv"), "inputs/LABELS/labels.csv"),),
        bindings=(Binding("inputs/LABELS/labels.csv", "/pearl-test-mount"),),
        path_variables={"PEARL_INPUT_LABELS": "inputs/LABELS/labels.csv"},
    )
    assert log.startswith("the labels\n") and report.exit_code != 0
    bench.clean_up()


def test_the_ranks_of_a_gang_share_memory_and_nobody_else_does(sealed: Bench) -> None:
    program = """
        import mmap, os, sys, time
        rank = os.environ['PEARL_RANK']
        def shared(name):
            handle = os.open('/dev/shm/' + name, os.O_RDWR | os.O_CREAT)
            os.ftruncate(handle, 4096)
            return mmap.mmap(handle, 4096)
        ours, theirs = shared(rank), shared(str(1 - int(rank)))
        ours[:5] = b'hello'
        until = time.monotonic() + 30
        while theirs[:5] != b'hello' and time.monotonic() < until:
            time.sleep(0.01)
        print(open('/proc/mounts').read())
        print('heard', bytes(theirs[:5]).decode(), flush=True)
        time.sleep(float(os.environ['LINGER_S']))
    """
    words = {"PROGRAM": textwrap.dedent(program), "LINGER_S": "300"}
    gang = sealed.start('exec python3 -c "$PROGRAM"', tasks=2, variables=words)
    until(lambda: all("heard hello" in sealed.log(gang, rank) for rank in (0, 1)))
    assert " /dev/shm tmpfs " in sealed.log(gang), "it is memory, not disk"
    others = [
        sealed.run("ls -A /dev/shm; echo looked")[1],
        sealed.run("ls -A /dev/shm; echo looked", tasks=2)[1],
    ]
    assert others == ["looked\n", "looked\n"]
    shown = sealed.attempt_folder(gang) / "shm"
    assert list(shown.iterdir()) == [], "nothing of it is seen outside"
    value_of(sealed.engine.stop(gang, grace_s=0))
    sealed.ended(gang)


def test_a_binding_cannot_lead_out_of_the_work_folder(bench: Bench) -> None:
    for binding in (Binding("../order.json", "/data"), Binding("x", "data"), Binding("x", "/data/../etc")):
        answer = bench.engine.start(bench.order("true", bindings=(binding,)))
        assert isinstance(answer, Refused) and answer.code == "path_escape", answer
