"""Makes the engine of a Slurm cluster from its table in the settings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.compute.engines.host import (
    EngineHost,
    Options,
    read_number,
    read_placement,
    read_submit_window,
    read_text,
)
from pearlstreet.compute.engines.slurm.doctor import CheckedSlurmEngine, Doctor
from pearlstreet.compute.engines.slurm.engine import PLACEMENTS, SlurmEngine, SlurmSettings
from pearlstreet.compute.engines.slurm.exchange_keys import EXCHANGE_KEYS, make_mirror, read_exchange
from pearlstreet.compute.engines.slurm.hostlist import expand_hosts
from pearlstreet.compute.engines.slurm.transports import TRANSPORT_KEYS, make_transport, need_keys
from pearlstreet.compute.engines.slurm.users import TenantUsers
from pearlstreet.compute.hardware.isolation import ISOLATIONS, is_isolation

_TEXTS = (
    *TRANSPORT_KEYS,
    "shared",
    *EXCHANGE_KEYS,
    "users",
    "partition",
    "account",
    "qos",
    "reservation",
    "python",
    "isolation",
    "models",
    "topology_conf",
)
_REQUIRED = ("users", "partition")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def make_slurm(host: EngineHost, options: Options) -> SlurmEngine:
    """Return the engine of a cluster. Raises ConfigurationError for settings that cannot be used."""
    words = {key: read_text(host, options, key) for key in _TEXTS}
    transport = make_transport(host, words)
    exchange = read_exchange(host, words)
    need_keys(host, words, *_REQUIRED, *(() if exchange else ("shared",)))
    isolation = words["isolation"] or "bubblewrap"
    if not is_isolation(isolation):
        raise ConfigurationError(
            text(
                "{key} in [engines.{name}] must be one of {values}",
                key="isolation",
                name=host.name,
                values=", ".join(ISOLATIONS),
            )
        )
    shared = Path(words["shared"]) if exchange is None else make_mirror(host.folder)
    if not shared.is_absolute() or not shared.is_dir():
        raise ConfigurationError(
            text(
                "{key} in [engines.{name}] must be the absolute path of a folder",
                key="shared",
                name=host.name,
            )
        )
    placement = read_placement(host, options, PLACEMENTS, "node")
    settings = SlurmSettings(
        shared=shared,
        partition=words["partition"],
        account=words["account"],
        qos=words["qos"],
        reservation=words["reservation"],
        python=words["python"] or "/usr/bin/python3",
        isolation=isolation,
        models=_models(host, words["models"]),
        settle_s=read_number(host, options, "settle_s", 5.0),
        placement=placement,
        topology_conf=words["topology_conf"],
        exchange=exchange,
        submit_window=read_submit_window(host, options) if placement == "engine" else None,
    )
    host.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    users, is_rest = _users(host, words["users"]), words["transport"] in ("", "rest")
    return CheckedSlurmEngine(
        host.folder,
        settings,
        transport,
        TenantUsers(host.folder, users, is_shared=os.geteuid() != 0),
        doctor=Doctor(
            transport,
            settings,
            users,
            host.clock,
            host.rng,
            rest=words["rest"] if is_rest else "",
            jwt_key=words["jwt_key"] if is_rest else "",
            slurm_conf=words["slurm_conf"],
        ),
        name=host.name,
        node_name=host.node_name,
        clock=host.clock,
        hidden=(str(host.data),),
    )


def _users(host: EngineHost, words: str) -> tuple[str, ...]:
    try:
        names = expand_hosts(words.replace(" ", ""))
    except ValueError:
        names = ()
    if not names or not all(_USER.fullmatch(name) for name in names) or "root" in names:
        raise ConfigurationError(
            text(
                "{key} in [engines.{name}] must name Unix users, root not among them",
                key="users",
                name=host.name,
            )
        )
    return names


def _models(host: EngineHost, words: str) -> Mapping[str, str]:
    pairs = [part.partition("=") for part in words.replace(" ", "").split(",") if part]
    if not all(kind and model for kind, _, model in pairs):
        raise ConfigurationError(
            text(
                "{key} in [engines.{name}] must look like {example}",
                key="models",
                name=host.name,
                example="h100=h100-sxm-80g",
            )
        )
    return {kind: model for kind, _, model in pairs}
