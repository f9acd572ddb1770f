"""Entry point of supervisors: forks, so that the caller can continue, and supervises one attempt until its end.

`python -I -S entry.py ATTEMPT_FOLDER ACK_FD` supervises one attempt; `python -I -S entry.py --fork-server SOCKET_FD` forks
a supervisor for each request on the socket until it is closed.
"""

from __future__ import annotations

import os
import sys


def _enter_packages(engines: str) -> None:
    """Make `engines` and `engines.local` importable without running their `__init__`, which would import the center."""
    for name, folder in (("engines", engines), ("engines.local", f"{engines}/local")):
        package = type(sys)(name)
        package.__path__ = [folder]
        sys.modules[name] = package


if __name__ == "__main__":
    if os.fork() != 0:
        os._exit(0)
    _enter_packages(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    if sys.argv[1] == "--fork-server":
        __import__("engines.local.supervisor.forkserver", fromlist=["serve"]).serve(int(sys.argv[2]))
    else:
        main = __import__("engines.local.supervisor.main", fromlist=["main"]).main
        main(sys.argv[1], int(sys.argv[2]))
