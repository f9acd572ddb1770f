"""Container images made of programs of this machine, and a real registry (Docker Distribution) on loopback that serves them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.center import free_port
from tests.engines_present import has_program, need

LOGIN = "puller:pull-me"
_HTPASSWD = "puller:$2b$04$zMJm2.mj/VCe3L1jQLMheeSNLldy4P4GOI7GlYNDvrf0S7P/0PP6e\n"
"""The line of LOGIN in a file of Apache's htpasswd (bcrypt)."""
PROGRAMS = ("sh", "cat", "ls", "id", "env", "sed", "touch", "sleep", "grep", "mkdir")


@dataclass(frozen=True)
class Registry:
    """A running registry that wants LOGIN."""

    host: str
    folder: Path

    def push(self, root: Path, name: str, *config: str) -> str:
        """Push a folder as the image `name` with options of `umoci config`; its name in full."""
        layout = self.folder / "layouts" / re.sub(r"\W", "-", name)
        layout.parent.mkdir(exist_ok=True)
        _run("umoci", "init", "--layout", layout)
        _run("umoci", "new", "--image", f"{layout}:made")
        _run("umoci", "insert", "--rootless", "--image", f"{layout}:made", root, "/")
        _run("umoci", "config", "--image", f"{layout}:made", "--config.env", "WHO=the-image", *config)
        target = f"docker://{self.host}/{name}"
        policy = ("--insecure-policy", "--dest-tls-verify=false", "--dest-creds", LOGIN)
        _run("skopeo", "copy", *policy, f"oci:{layout}:made", target)
        return f"{self.host}/{name}"


@contextmanager
def a_registry(folder: Path) -> Iterator[Registry]:
    """Start a registry over `folder` and end it. Skips without its programs."""
    for program in ("skopeo", "umoci", "docker-registry"):
        need(has_program(program), program)
    port = free_port()
    (folder / "htpasswd").write_text(_HTPASSWD)
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
        f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
    )
    with (folder / "log").open("wb") as log:
        command = ["docker-registry", "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(port, process, folder / "log")
            yield Registry(f"127.0.0.1:{port}", folder)
        finally:
            process.terminate()
            process.wait(10)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).close()
        except urllib.error.HTTPError:
            return  # 401: it runs and wants a login
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


def make_root(root: Path, programs: Sequence[str] = PROGRAMS, *, python: bool = False) -> Path:
    """Fill a folder with programs of this machine and the libraries that they need, and with Python if wanted."""
    for name in ("bin", "etc", "opt", "usr/local/lib", "usr/local/bin", "var"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in programs:
        found = shutil.which(name)
        assert found is not None
        _copy(Path(found), root / "bin" / name, root)
    if python:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        library = Path(sys.base_prefix) / "lib" / version
        _copy(Path(sys.base_prefix) / "bin" / version, root / "usr/local/bin/python3", root)
        ignored = shutil.ignore_patterns(
            "site-packages", "test", "tests", "idlelib", "__pycache__", "config-*"
        )
        shutil.copytree(library, root / "usr/local/lib" / version, ignore=ignored, symlinks=True)
        for extension in (root / "usr/local/lib" / version / "lib-dynload").glob("*.so"):
            _libraries(extension, root)
    (root / "opt" / "mark").write_text("of the image\n")
    return root


def unpacked(root: Path) -> Path:
    """Add to a root what a fetched image always has."""
    (root / "var" / "tmp").mkdir(exist_ok=True)
    for name in ("hosts", "resolv.conf"):
        (root / "etc" / name).touch()
    return root


def _copy(source: Path, target: Path, root: Path) -> None:
    shutil.copy2(source.resolve(), target)
    _libraries(source, root)


def _libraries(program: Path, root: Path) -> None:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for path in re.findall(r"(/\S+\.so\S*)", listed):
        place = root / path.lstrip("/")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(path).resolve(), place)


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
