"""What an operator sets: defaults, then the file `pearl.toml` in the data folder, then PEARL_* variables, then options.

Each setting is one field here; its name gives the key in the file, the variable (PEARL_LISTEN) and the option (--listen).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.text import text
from pearlstreet.compute.hardware.isolation import ISOLATIONS, Isolation, is_isolation
from pearlstreet.http.limits import HttpLimits
from pearlstreet.workload.environments.images import parse_registries

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DEFAULT_PORT = 7420
REMEMBERED = "database"
"""File in the data folder with the URL (no password) of its PostgreSQL database, for commands run without one."""
TABLES = ("uv", "oidc", "mail", "notices", "objects", "scheduling", "engines", "health")
"""Settings that are tables of the file; they have no variable and no option."""
RANGES: Mapping[str, tuple[float, float]] = {
    "port": (1, 65_535),
    "simulate_speed": (0.001, 1_000_000),
    "hold_window_s": (1, 366 * 86_400),
    "idle_percent": (0, 100),
    "idle_warn_hours": (0, 8_760),
    "idle_release_hours": (0, 8_760),
    "meter_interval_s": (0.1, 3_600),
    "start_timeout_s": (1, 86_400),
    "starting_max_s": (1, 86_400),
    "kept_days": (0, 36_500),
    "decision_log_mib": (1, 1_000_000),
    "decision_log_days": (0.01, 36_500),
    "upload_gib_max": (0, 1_000_000),
    "checkpoint_upload_s": (1, 86_400),
    "org_storage_gib": (0, 1_000_000_000),
    "project_uploads_max": (0, 1_000_000_000),
    "log_mib_max": (0, 1_000_000),
    "org_log_gib": (0, 1_000_000_000),
    "org_prepared_gib": (0, 1_000_000_000),
    "org_cache_gib": (0, 1_000_000_000),
    "outputs_kept_days": (0, 36_500),
    "reserve_cpus": (0, 100_000),
    "reserve_memory_gib": (0, 1_000_000),
    "rate_key_per_s": (0, 1_000_000),
    "rate_address_per_s": (0, 1_000_000),
    "rate_sign_ins_per_minute": (0, 1_000_000),
    "rate_org_accounts_per_day": (0, 1_000_000),
    "https_only_days": (0, 3_650),
    "http_connections": (16, 1_000_000),
    "http_connections_per_address": (1, 1_000_000),
    "http_streams": (1, 1_000_000),
    "http_streams_per_address": (1, 1_000_000),
    "http_streams_per_user": (1, 1_000_000),
    "http_header_bytes": (4_096, 65_536),
    "http_header_fields": (20, 1_000),
    "http_header_s": (1, 3_600),
    "http_transfer_bytes_per_s": (1, 1_000_000_000),
    "http_transfer_grace_s": (1, 3_600),
    "http_keep_alive_s": (1, 3_600),
    "http_handshake_s": (1, 3_600),
}
"""Minimum and maximum of each numeric setting."""


def default_data_dir(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder in PEARL_DATA, else the default in the user's data folder."""
    known = os.environ if environment is None else environment
    if known.get("PEARL_DATA"):
        return Path(known["PEARL_DATA"])
    if known.get("XDG_DATA_HOME"):
        return Path(known["XDG_DATA_HOME"]) / "pearlstreet"
    try:
        home = Path(known["HOME"]) if known.get("HOME") else Path.home()
    except RuntimeError:
        raise ConfigurationError(
            text("There is no home folder to keep the center's data in"),
            hint=text("Say where with --data, or set PEARL_DATA"),
        ) from None
    return home / ".local" / "share" / "pearlstreet"


@dataclass(frozen=True)
class Settings:
    """One center's settings."""

    data: Path
    """Data folder with everything the center keeps; readable by its user only."""
    listen: str = "127.0.0.1"
    """Address the server listens on; beyond loopback it needs TLS or a trusted proxy."""
    port: int = DEFAULT_PORT
    """TCP port the server listens on."""
    tls_cert: Path | None = None
    """File of the TLS certificate chain (PEM); needs `tls_key`."""
    tls_key: Path | None = None
    """File of the certificate's private key (PEM); needs `tls_cert`."""
    behind_proxy: bool = False
    """A trusted proxy in front does TLS and sets X-Forwarded-For; the only other way to leave loopback."""
    proxies: str = "127.0.0.1,::1"
    """Addresses or networks, separated by commas, of the proxies (`behind_proxy`) whose X-Forwarded-For is trusted."""
    database: str = ""
    """Database URL such as postgresql://user@host/name; empty: SQLite in the data folder."""
    public_url: str = ""
    """URL at which browsers reach the center, such as https://pearl.example.com; empty: as each request says."""
    name: str = "pearlstreet"
    """Name of the center, shown in the console, by `pearl` and in notices."""
    simulate: str = ""
    """Simulated hardware such as 4x8xH100-80G (nodes x devices x model), separated by commas; empty: this machine."""
    simulate_speed: float = 1.0
    """Simulated seconds that pass in one real second."""
    simulate_faults: str = ""
    """Faults of the simulated engine, such as ack_lost:0.1,node_flaps."""
    engines: Mapping[str, object] = field(default_factory=dict)
    """Engines of a center with several, by name, each with its `kind`; left out: this machine, or what `simulate` says."""
    network_allowed: bool = False
    """Jobs may ask for the network (`network: internet` in a specification)."""
    git_private_allowed: bool = False
    """Sources of jobs may be git repositories at addresses of the inner network."""
    image_registries: str = ""
    """Registries, separated by commas, whose container images jobs may use, such as docker.io,ghcr.io/acme; empty: none."""
    idle_percent: float = 5.0
    """Utilization in percent below which an accelerator of a running job is idle."""
    idle_warn_hours: float = 1.0
    """Hours for which all accelerators of a job are idle before its owner is notified; 0: never."""
    idle_release_hours: float = 0.0
    """Hours for which all accelerators of a job are idle before it is stopped, at least 15 minutes after the notice; 0: never."""
    idle_release_queues: str = ""
    """Queues, separated by commas, whose idle jobs are stopped; empty: all."""
    hold_window_s: float = 24 * 3600.0
    """Seconds of use, at most, that a hold on the balance covers; it is extended while an attempt runs."""
    meter_interval_s: float = 60.0
    """Seconds between two usage spans of a running attempt."""
    start_timeout_s: float = 60.0
    """Seconds after which an attempt that its engine has not begun to start is withdrawn and planned again."""
    starting_max_s: float = 3600.0
    """Seconds that an engine may take to get an attempt to run before it is planned again."""
    kept_days: float = 30.0
    """Days for which logs and metrics of ended attempts, and environments that no job uses, are kept."""
    upload_gib_max: float = 20.0
    """Size of the largest upload in GiB."""
    org_storage_gib: float = 1_000.0
    """Storage of an organisation without a quota on storage, in GiB; 0: no limit."""
    log_mib_max: float = 1_024.0
    """Largest log of a task, in MiB, that a job may ask for (`limits.log_mib`); 0: no limit."""
    org_log_gib: float = 50.0
    """Logs of an organisation, in GiB; beyond it the oldest parts are deleted. 0: no limit."""
    org_prepared_gib: float = 100.0
    """Environments and sources kept of an organisation, in GiB; beyond it the longest unused are deleted. 0: no limit."""
    org_cache_gib: float = 50.0
    """uv's cache of an organisation, in GiB; a larger one is emptied. 0: no limit."""
    project_uploads_max: int = 10_000
    """Number of uploads that a project keeps, whatever their size; 0: no limit."""
    outputs_kept_days: int = 0
    """Days for which outputs of jobs are kept where no rule says otherwise; 0: for ever."""
    scheduling: Mapping[str, object] = field(default_factory=dict)
    """Scheduling policy that holds until an operator sets another one at run time."""
    decision_log: str = "sampled"
    """Which decisions of the planner are kept: `off`, `sampled` (one a minute) or `on` (every one that did something)."""
    decision_log_mib: float = 256.0
    """Size in MiB up to which decisions are kept; the oldest are deleted first."""
    decision_log_days: float = 14.0
    """Days for which decisions are kept."""
    reserve_cpus: float = 0.0
    """CPU cores of this machine that jobs never get."""
    reserve_memory_gib: float = 1.0
    """Memory of this machine in GiB that jobs never get."""
    copy_before_upgrade: bool = True
    """Copy an older program's database into the folder `backups` before it is upgraded."""
    minimum_isolation: str = "none"
    """Minimum isolation between jobs: `none`, `landlock` or `bubblewrap`. Weaker nodes take no jobs."""
    require_sandbox: bool = False
    """Older form of `minimum_isolation = "landlock"`; the stronger of the two holds."""
    checkpoints_kept_days: float = 7.0
    """Days for which the checkpoints of an ended job are kept."""
    checkpoint_upload_s: float = 300.0
    """Time between two uploads of a running job's checkpoint, in a center of several engines that can move it."""
    org_checkpoint_gib: float = 200.0
    """Checkpoints of an organisation in GiB, beyond which those of jobs that ended first are deleted; 0: no limit."""
    builds_at_once: int = 2
    """Environments, images and sources that are built or fetched at once, each with 1 CPU core and 4 GiB of memory."""
    org_builds_at_once: int = 0
    """The same for one organisation; 0: only the limit of the center."""
    builds_billed: bool = False
    """Charge the CPU and memory time of building environments and fetching sources to the project whose job needs them."""
    uv: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of uv when it builds environments, such as `UV_INDEX_URL`."""
    oidc: Mapping[str, object] = field(default_factory=dict)
    """Sign-in providers, a table each: `[oidc.NAME]`."""
    mail: Mapping[str, object] = field(default_factory=dict)
    """Mail server for notices."""
    notices: Mapping[str, object] = field(default_factory=dict)
    """Further channels of notices by name, each with its `kind`; people choose them beside inbox and e-mail."""
    health: Mapping[str, object] = field(default_factory=dict)
    """Rules by which nodes with failing devices are drained, and where dcgm-exporter answers."""
    objects: Mapping[str, object] = field(default_factory=dict)
    """S3 bucket for uploads and artefacts; left out: the folder `blobs` of the data folder."""
    rate_key_per_s: float = 500.0
    """Requests a second of one key, in bursts of up to ten seconds' worth; 0: no limit."""
    rate_address_per_s: float = 1_000.0
    """Requests a second of one address (of IPv6: one /64 network), in bursts of up to ten seconds' worth; 0: no limit."""
    rate_sign_ins_per_minute: float = 120.0
    """Sign-in attempts a minute from one address, in bursts of up to a minute's worth; 0: no limit."""
    rate_org_accounts_per_day: int = 100
    """Accounts that the owners of one organisation may create in 24 hours; 0: no limit. Operators are not limited."""
    http_connections: int = 4_096
    """Open connections in all; fewer where the system gives fewer descriptors."""
    http_connections_per_address: int = 1_024
    """Open connections of one address (of IPv6: one /64 network); behind a proxy: its requests at the same time."""
    http_streams: int = 2_000
    """Event streams and followed logs in all."""
    http_streams_per_address: int = 512
    """Event streams and followed logs of one address."""
    http_streams_per_user: int = 256
    """Event streams and followed logs of one user or key."""
    http_header_bytes: int = 65_536
    """Bytes of a request line and its header fields."""
    http_header_fields: int = 100
    """Number of header fields of a request."""
    http_header_s: float = 20.0
    """Seconds to send a request's header."""
    http_transfer_bytes_per_s: float = 500.0
    """Minimum rate, in bytes a second, of a request body and of a response's reader."""
    http_transfer_grace_s: float = 20.0
    """Seconds that a transfer may lag behind `http_transfer_bytes_per_s`."""
    http_keep_alive_s: float = 75.0
    """Seconds an idle connection is kept."""
    http_handshake_s: float = 10.0
    """Seconds for a TLS handshake."""
    https_only_days: float = 180.0
    """Days for which browsers that came by HTTPS must not come without it (HSTS); 0: no such header."""
    webhooks_private_allowed: bool = False
    """Webhooks may be sent to addresses of the inner network, and over plain HTTP."""

    @property
    def database_url(self) -> str:
        """Database URL that the store opens."""
        return self.database or f"sqlite:///{self.data / 'pearl.db'}"

    @property
    def isolation(self) -> Isolation:
        """Effective minimum isolation: the stronger of `minimum_isolation` and `require_sandbox`."""
        minimum = self.minimum_isolation if is_isolation(self.minimum_isolation) else ISOLATIONS[-1]
        return "landlock" if self.require_sandbox and minimum == "none" else minimum

    @property
    def http_limits(self) -> HttpLimits:
        """Limits of the HTTP server on connections, streams, headers and transfer rates."""
        names = (item.name for item in dataclasses.fields(HttpLimits))
        return HttpLimits(
            **{name: getattr(self, f"http_{name}") for name in names if hasattr(self, f"http_{name}")}
        )

    @property
    def url(self) -> str:
        """URL at which the center answers."""
        host = f"[{self.listen}]" if ":" in self.listen else self.listen
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"


def load_settings(
    data: Path | None, options: Mapping[str, object], environment: Mapping[str, str] | None = None
) -> Settings:
    """Return settings merged from all four sources. Raises ConfigurationError naming the key and its source."""
    known = os.environ if environment is None else environment
    folder = (data or default_data_dir(known)).expanduser().absolute()
    values: dict[str, Any] = {}
    if (folder / REMEMBERED).is_file():
        values["database"] = (folder / REMEMBERED).read_text(encoding="utf-8").strip()
    file = folder / "pearl.toml"
    if file.is_file():
        values |= _from_file(file)
    for item in dataclasses.fields(Settings):
        variable = f"PEARL_{item.name.upper()}"
        if item.name not in ("data", *TABLES) and known.get(variable):
            values[item.name] = _convert(item.name, known[variable], variable)
    values |= {name: value for name, value in options.items() if value is not None}
    settings = Settings(data=folder, **values)
    check_settings(settings)
    return settings


def _from_file(file: Path) -> dict[str, Any]:
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            text("{file} is not TOML: {problem}", file=str(file), problem=str(error))
        ) from None
    names = {item.name for item in dataclasses.fields(Settings)} - {"data"}
    for key in raw:
        if key not in names:
            raise ConfigurationError(
                text("{file} sets {key}, which is not a setting", file=str(file), key=key),
                hint=text("Settings are: {names}", names=", ".join(sorted(names))),
            )
    return {key: _convert(key, value, str(file)) for key, value in raw.items()}


def _convert(name: str, value: Any, where: str) -> Any:
    wanted = typing.get_type_hints(Settings)[name]
    wrong = (name in TABLES and not isinstance(value, Mapping)) or (
        wanted is str and not isinstance(value, str)
    )
    wrong = wrong or (name == "uv" and not all(isinstance(item, str) for item in value.values()))
    kinds = [kind for kind in typing.get_args(wanted) if kind is not types.NoneType] or [wanted]
    try:
        if wrong:
            raise TypeError(name)
        if bool in kinds:
            return _boolean(value)
        if Path in kinds:
            return Path(str(value)).expanduser()
        if int in kinds or float in kinds:
            return kinds[0](str(value))  # parsed from its text, so that `true` and 1.5 are refused as a port
    except (TypeError, ValueError):
        raise ConfigurationError(
            text("{name} in {where} cannot be {value}", name=name, where=where, value=repr(value))
        ) from None
    return value


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("1", "true", "yes", "on"):
        return True
    if str(value).lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(value)


def check_settings(settings: Settings) -> None:
    """Check settings that depend on each other. Raises ConfigurationError."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise ConfigurationError(text("TLS needs both tls_cert and tls_key"))
    for file in (settings.tls_cert, settings.tls_key):
        if file is not None and not file.is_file():
            raise ConfigurationError(text("The TLS file {file} does not exist", file=str(file)))
    if settings.listen not in LOOPBACK and settings.tls_cert is None and not settings.behind_proxy:
        raise ConfigurationError(
            text("Listening on {listen} without TLS would send keys in the clear", listen=settings.listen),
            hint=text("Give --tls-cert and --tls-key, or --behind-proxy when a trusted proxy does TLS"),
        )
    check_proxies(settings.proxies)
    parse_registries(settings.image_registries)
    if not is_isolation(settings.minimum_isolation):
        raise ConfigurationError(
            text("minimum_isolation cannot be {value}", value=repr(settings.minimum_isolation)),
            hint=text("It is one of: {names}", names=", ".join(ISOLATIONS)),
        )
    for name, (least, most) in RANGES.items():
        value = getattr(settings, name)
        if not least <= value <= most:
            raise ConfigurationError(
                text(
                    "{name} is {value}; it must be from {least} to {most}",
                    name=name,
                    value=value,
                    least=f"{least:g}",
                    most=f"{most:.12g}",
                )
            )


def check_proxies(proxies: str) -> None:
    """Check that each entry is an IP address or network. Raises ConfigurationError."""
    for part in proxies.split(","):
        try:
            ipaddress.ip_network(part.strip())
        except ValueError:
            raise ConfigurationError(
                text("{part} in proxies is neither an address nor a network", part=repr(part.strip())),
                hint=text("Such as 127.0.0.1,10.0.0.0/8"),
            ) from None
