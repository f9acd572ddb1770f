"""The wheel contains the compiled translations, which a center without Babel reads."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
sys.modules["babel"] = None
from pearlstreet.base.text import text
print(text("The disk is full").render("zh-CN"))
"""


def test_an_installed_wheel_speaks_chinese(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if "/locale/" in name]
        archive.extractall(tmp_path / "installed")
    assert files == ["pearlstreet/locale/zh_CN/LC_MESSAGES/pearlstreet.mo"]
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r})\n{SCRIPT}"],
        capture_output=True, encoding="utf-8", check=True, env={"PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert shown.stdout == "磁盘已满\n"
