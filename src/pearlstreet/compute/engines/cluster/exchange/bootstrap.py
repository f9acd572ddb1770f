"""Script of a job whose nodes share no folder with the center: it fetches the program of the nodes, checks it, and starts it."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass

BOOTSTRAP = """\
import hashlib, io, json, os, ssl, sys, tarfile, tempfile, time, urllib.request
given = json.loads(os.environ["PEARL_EXCHANGE"])
context = ssl.create_default_context()
if given["authority"]:
    context.load_verify_locations(cadata=given["authority"])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
for pause_s in (1, 2, 4, 8, 15, 30, 60, 60, 0):
    try:
        data = opener.open(given["address"].rstrip("/") + "/program/" + given["program"], timeout=60).read()
        break
    except OSError as error:
        print("The center cannot be reached:", error, file=sys.stderr, flush=True)
        if not pause_s:
            sys.exit(78)
        time.sleep(pause_s)
if hashlib.sha256(data).hexdigest() != given["program"]:
    sys.exit("The program of the center is not the one that this job was submitted for")
with tempfile.TemporaryDirectory(prefix="pearl-program-", dir=given["folder"]) as folder:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder)
    sys.path.insert(0, folder)
    from pearlstreet.compute.engines.cluster.exchange.node import main
    code = main()
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """How nodes reach the exchange."""

    address: str
    program: bytes
    authority: str = ""
    """Certificate in PEM that the nodes trust beside those of their system."""
    folder: str = "/var/tmp"  # noqa: S108  # each user has a folder of its own there, which it alone may enter
    """Folder on the disk of each node in which every user may create one of its own."""

    def script(self, python: str, attempt_id: str, token: str, nodes: int) -> str:
        """Return the job's script. The token in it is good for one report of each node, and tells nothing after that."""
        given = {
            "address": self.address,
            "attempt": attempt_id,
            "token": token,
            "program": hashlib.sha256(self.program).hexdigest(),
            "authority": self.authority,
            "folder": self.folder,
        }
        lines = [
            "#!/bin/sh",
            f"PEARL_EXCHANGE={shlex.quote(json.dumps(given))}",
            f"PEARL_BOOTSTRAP={shlex.quote(BOOTSTRAP)}",
            "export PEARL_EXCHANGE PEARL_BOOTSTRAP",
        ]
        program = f"{shlex.quote(python)} -I -S -c 'import os; exec(os.environ.pop(\"PEARL_BOOTSTRAP\"))'"
        if nodes == 1:
            return "\n".join([*lines, f"exec {program}", ""])
        gang = f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --kill-on-bad-exit=1"
        return "\n".join(
            [*lines, "PEARL_MASTER=$(hostname)", "export PEARL_MASTER", f"exec {gang} {program}", ""]
        )
