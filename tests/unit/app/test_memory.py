"""Memory that was needed once goes back to the system."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, threading
from pearlstreet.app.memory import limit_arenas, return_free_memory

def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

limit_arenas()
kept = []
def fill():
    kept.extend(bytes(1000) for _ in range(60_000))
    kept.append(object())
for _ in range(2):
    thread = threading.Thread(target=fill); thread.start(); thread.join()
pinned = kept[-1]
full = rss()
kept.clear()
return_free_memory()
print(full - rss())
"""


@pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="/proc tells a process's memory on Linux only"
)
def test_freed_memory_of_threads_is_returned() -> None:
    freed = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert int(freed) > 60_000_000, "half of the 120 MB at least"
