"""Entry point of supervisors: forks, so that the caller can continue, and supervises one attempt until its end.

`python -I -S entry.py ATTEMPT_FOLDER ACK_FD` supervises one attempt; `python -I -S entry.py --fork-server SOCKET_FD` forks
a supervisor for each request on the socket until it is closed.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    if os.fork() != 0:
        os._exit(0)
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if sys.argv[1] == "--fork-server":
        __import__("supervisor.forkserver", fromlist=["serve"]).serve(int(sys.argv[2]))
    else:
        __import__("supervisor.main", fromlist=["main"]).main(sys.argv[1], int(sys.argv[2]))
