"""Registry of engine kinds. A new engine is one module and one line here; the conformance suite tests every entry.

Kinds that other packages bring are found as plugins of the group `pearlstreet.engines`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.plugins import Parts
from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.host import (
    PLACEMENT_OPTION,
    WINDOW_OPTION,
    EngineHost,
    Options,
    refuse_unknown,
)
from pearlstreet.compute.engines.protocol import Engine

Maker = Callable[[EngineHost, Options], Engine]


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One kind of engine: its name in the settings, what it is, and how one is made."""

    name: str
    summary: Text
    maker: str | Maker
    """Function, or `module:function`; ours are names, so that unused engines are not imported."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Keys of its table in the settings beside `kind`, with what each means."""

    def make(self, host: EngineHost, options: Options) -> Engine:
        """Return an engine. Raises ConfigurationError or InvalidInput for options that it cannot use."""
        refuse_unknown(host, options, self.options)
        return self._load()(host, options)

    def _load(self) -> Maker:
        if not isinstance(self.maker, str):
            return self.maker
        module, _, name = self.maker.partition(":")
        found: Maker = getattr(importlib.import_module(module), name)
        return found


_OURS = (
    EngineKind(
        "local",
        text("Runs jobs on this machine, each under its own supervisor"),
        "pearlstreet.compute.engines.local.making:make_local",
        {
            "reserve_cpus": "CPU cores of this machine that jobs do not get; default: the setting of that name.",
            "reserve_memory_gib": "Memory in GiB that jobs do not get; default: the setting of that name.",
            "mps_pipe": "Folder of the pipes of CUDA's MPS control daemon, such as `/tmp/nvidia-mps`: shares of devices are then enforced by MPS. Jobs reach the daemon, and a fault of one can end others on the device. Default: none.",
            **PLACEMENT_OPTION,
        },
    ),
    EngineKind(
        "simulated",
        text("Pretends to run jobs on any hardware, for looking around, planning and tests"),
        "pearlstreet.compute.engines.simulated.making:make_simulated",
        {
            "cluster": "Hardware such as `4x8xH100-80G` (nodes x devices x model), separated by commas; required.",
            "speed": "Simulated seconds that pass in one real second; default 1.",
            "faults": "Faults that it injects, such as `ack_lost:0.1,node_flaps`; default none.",
            **PLACEMENT_OPTION,
            **WINDOW_OPTION,
        },
    ),
    EngineKind(
        "slurm",
        text("Runs jobs on a cluster of Slurm, as Unix users of the organisations"),
        "pearlstreet.compute.engines.slurm.making:make_slurm",
        {
            "transport": "How Slurm is reached: `rest` (slurmrestd, the default) or `command` (sbatch, squeue, scontrol and scancel).",
            "rest": "Address of slurmrestd, such as `http://slurm:6820` or `unix:/run/slurmrestd.sock`; required by `rest`.",
            "jwt_key": "Path of the key that signs tokens (`jwt_key` of slurm.conf). Who has it can act as any user of the cluster, root included; required by `rest`.",
            "shared": "Folder at the same path on this machine and on every node; required without `exchange`.",
            "exchange": "Address at which nodes reach this server if they share no folder with it, such as `https://center:8470`; instead of `shared`.",
            "exchange_listen": "Address and port on which the server listens for the nodes; default: those of `exchange`.",
            "exchange_certificate": "Certificate in PEM for `exchange` with https; the nodes trust it beside those of their system.",
            "exchange_key": "Private key of that certificate, if it is not in the same file.",
            "node_folder": "With `exchange`: folder on each node's own disk where every user may create a folder; default `/var/tmp`.",
            "users": "Unix users as whom organisations' jobs run, one each, such as `pearl[001-064]`; required.",
            "partition": "Partition to which jobs are submitted; required.",
            "account": "Account of the jobs; default: that of each user.",
            "qos": "Quality of service of the jobs; default: that of each user.",
            "reservation": "Reservation in which the jobs run; default none.",
            "api_user": "User as whom slurmrestd is asked for jobs and nodes; default `root`.",
            "ssh": "Machine on which the commands run, such as `root@controller:22`, reached by OpenSSH; default: this one.",
            "ssh_key": "Private key for that machine; default: what ssh is configured to use.",
            "ssh_known_hosts": "File with the host key of that machine; default: that of the server's user.",
            "slurm_conf": "Path of slurm.conf for the commands; default: that of the machine.",
            "python": "Python 3.11 or newer on the nodes; default `/usr/bin/python3`.",
            "isolation": "Isolation that the nodes give: `bubblewrap` (default), `landlock` or `none`; a node that gives less runs nothing.",
            "models": "Accelerator models by the type of Slurm's gres, such as `h100=h100-sxm-80g`; default: what the catalogue knows.",
            "topology_conf": "Path of topology.conf on this machine, for racks and PODs of nodes; default: `scontrol show topology`, which only the transport `command` can ask.",
            "settle_s": "Seconds after which what a node wrote on the shared folder is seen here; default 5.",
            "placement": "What the center chooses for an attempt: `node`, its nodes (default; Slurm gives the devices out); `engine`, nothing.",
            **WINDOW_OPTION,
        },
    ),
)

ENGINES: Mapping[str, EngineKind] = Parts("pearlstreet.engines", {kind.name: kind for kind in _OURS})
"""Kinds of engines by name, those of plugins among them."""


def engine_kind(name: str) -> EngineKind:
    """Return the engine kind named `name`. Raises ConfigurationError that lists the known names."""
    kind = ENGINES.get(name)
    if kind is None:
        raise ConfigurationError(
            text("There is no engine called {name}", name=repr(name)),
            hint=text("Known engines: {names}", names=", ".join(ENGINES)),
        )
    return kind
