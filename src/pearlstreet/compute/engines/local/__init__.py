"""The local engine runs jobs on this machine, in a sandbox, under supervisors that outlive the server."""

from pearlstreet.compute.engines.local.engine import LocalEngine as LocalEngine
from pearlstreet.compute.engines.local.policy import Reserve as Reserve
from pearlstreet.compute.engines.local.policy import SandboxPolicy as SandboxPolicy
