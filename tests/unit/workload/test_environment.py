"""Environments: what may be asked for, what counts as the same, and the command that builds one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uv
from hypothesis import given
from hypothesis import strategies as st

from pearlstreet.workload.environments.requirements import (
    package_problem,
    requirement_lines,
    requirements_problems,
)
from pearlstreet.workload.environments.spec import (
    LOCK,
    EnvironmentSpec,
    build_command,
    build_order,
    environment_of,
    lock_digest,
    own_python,
    run_variables,
)
from pearlstreet.workload.spec.model import Environment

BAD = [
    "", " ", "-r x.txt", "-e .", "--index-url https://evil.org", "--extra-index-url=x", "-i x", "--find-links /x",
    "--trusted-host x", "numpy --config-settings=x", "https://evil.org/x.whl", "git+https://github.com/a/b",
    "x @ https://evil.org/x.whl", "x @ file:///etc/passwd", "x@https://evil.org/x.whl", "./local", "../up", "/abs",
    "local.whl", "x.tar.gz", "~/x", "C:\\x", "numpy==", "numpy=1", "num py", "numpy\n-e .", "numpy\x00", "ñumpy",
    "numpy; os.system('x')", "$(id)", "`id`", "numpy'; id; '", "x" * 501, "[extra]", "file:x", "-", "numpy #\n-e .",
]  # fmt: skip


@pytest.mark.parametrize("package", BAD, ids=ascii)
def test_what_is_no_plain_package_is_refused(package: str) -> None:
    assert package_problem(package) is not None


@pytest.mark.parametrize(
    "package",
    ["numpy", "torch==2.9.0", "scikit-learn>=1.4,<2", "uvicorn[standard]", "x; python_version >= '3.11'", "a.b_c-d",
     "torch==2.9.0+cpu", "pandas~=2.2", " numpy "],
)  # fmt: skip
def test_a_plain_package_passes(package: str) -> None:
    assert package_problem(package) is None


def test_lines_of_requirements_are_joined_and_stripped_of_comments() -> None:
    source = "numpy>=2 \\\n  ,<3\n# whole line\n\nx==1  # why\ny==2 --hash=sha256:" + "a" * 64
    assert list(requirement_lines(source)) == [
        (1, "numpy>=2    ,<3"),
        (5, "x==1"),
        (6, "y==2 --hash=sha256:" + "a" * 64),
    ]
    assert list(requirements_problems(source)) == []


def test_every_bad_line_is_told_with_its_number() -> None:
    assert [number for number, _ in requirements_problems("a\n-e .\nb\nc @ https://x.org\n")] == [2, 4]


def test_the_same_wish_in_another_order_is_the_same_environment() -> None:
    first = environment_of(Environment(packages=("numpy", "Scipy>=1"), requirements="x==1\n"))
    second = environment_of(Environment(packages=("Scipy>=1",), requirements="# c\nx==1\nnumpy\n"))
    assert first is not None
    assert second is not None
    assert first.digest() == second.digest()
    assert EnvironmentSpec.from_json(first.to_json()) == first
    others = [
        environment_of(Environment(packages=("numpy",))),
        environment_of(Environment(packages=("numpy",), wheels_only=False)),
        environment_of(Environment(packages=("numpy",)), python="3.99"),
        environment_of(Environment(packages=("numpy",)), platform="linux-aarch64"),
    ]
    assert len({one.digest() for one in others if one is not None} | {first.digest()}) == 5


def test_an_image_or_nothing_needs_no_building() -> None:
    assert environment_of(None) is None
    assert environment_of(Environment(image="x")) is None


@given(st.lists(st.text(min_size=1, max_size=20), max_size=4))
def test_no_package_escapes_its_quotes(packages: list[str]) -> None:
    """Whatever got past the check would still be one word for the shell."""
    clean = tuple(one.replace("\x00", "").replace("\n", "") for one in packages)
    script = build_command(EnvironmentSpec("3.11", clean), Path("/t"), Path("/c"), Path("/bin/false"))[2]
    printed = next(line for line in script.split("\n") if line.startswith("printf")).split(" | /bin/false ")[
        0
    ]
    out = subprocess.run(["/bin/sh", "-c", printed], capture_output=True, check=True).stdout
    assert out.decode("utf-8", "surrogatepass") == ("\n".join(clean) or "") + "\n"


def test_small_environments_are_built_before_large_ones_and_each_once() -> None:
    small, large = EnvironmentSpec("3.11", ("a",)), EnvironmentSpec("3.11", ("a", "b"))
    assert build_order([large, small, large]) == [small, large]


def test_a_lock_is_the_same_whatever_surrounds_it() -> None:
    assert lock_digest("# made by uv\na==1 \\\n    --hash=sha256:x\n\n") == lock_digest(
        "a==1 \\\n  --hash=sha256:x"
    )
    assert lock_digest("a==1") != lock_digest("a==2")


def _wheel(folder: Path) -> None:
    """A tiny real package, so that the build needs no index."""
    with zipfile.ZipFile(folder / "pearl_probe-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pearl_probe.py", "ANSWER = 42\n")
        info = "pearl_probe-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pearl-probe\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_an_environment_is_really_built_locked_and_movable(tmp_path: Path) -> None:
    wheels, target, cache = tmp_path / "wheels", tmp_path / "it's a place", tmp_path / "cache"
    for folder in (wheels, target, cache):
        folder.mkdir()
    _wheel(wheels)
    spec = environment_of(Environment(packages=("pearl-probe",), python=own_python()))
    assert spec is not None
    command = build_command(spec, target, cache, Path(uv.find_uv_bin()))
    variables = {
        "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}",
        "UV_FIND_LINKS": str(wheels),
        "UV_OFFLINE": "1",
        "HOME": str(tmp_path),
    }
    built = subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    lock = (target / LOCK).read_text()
    assert lock.startswith("pearl-probe==1.0")
    assert "--hash=sha256:" in lock
    assert str(wheels) not in lock
    assert "http" not in lock
    moved = tmp_path / "moved"
    shutil.move(target, moved)
    done = subprocess.run(
        ["python", "-c", "import pearl_probe; print(pearl_probe.ANSWER)"],
        env=run_variables(moved), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "42\n", done.stderr


def test_a_package_nobody_has_is_told_and_nothing_is_installed(tmp_path: Path) -> None:
    spec = EnvironmentSpec(own_python(), ("pearl-surely-absent==9",))
    (tmp_path / "t").mkdir()
    command = build_command(spec, tmp_path / "t", tmp_path / "c", Path(uv.find_uv_bin()))
    path = f"{sys.base_prefix}/bin:{os.environ['PATH']}"
    failed = subprocess.run(
        command, env={"PATH": path, "UV_OFFLINE": "1", "HOME": str(tmp_path)}, cwd="/", capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert failed.returncode != 0
    assert "pearl-surely-absent" in failed.stderr
    assert not (tmp_path / "t" / "venv").exists()
