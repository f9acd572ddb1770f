"""`python -I -S entry.py ATTEMPT_FOLDER ACK_FD`: lets its caller go, then supervises the attempt until it is over.

`python -I -S entry.py --fork-server SOCKET_FD`: the same for every attempt it is asked for, until the socket is closed.
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
