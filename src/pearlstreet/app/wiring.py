"""Assembles a center: folders, database, key, engines, loops."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import sqlalchemy as sa

import pearlstreet.app.tables  # noqa: F401  the metadata must be whole
from pearlstreet import __version__
from pearlstreet.app.backups import FOLDER as BACKUPS
from pearlstreet.app.backups import backup_lister, backup_maker
from pearlstreet.app.engines import engine_kinds, engine_notices, make_engines
from pearlstreet.app.events import events_loop
from pearlstreet.app.health import fetch_metrics, health_from_settings
from pearlstreet.app.scheduling import decisions_from_settings, policy_from_settings
from pearlstreet.app.settings import REMEMBERED, Settings
from pearlstreet.base.clock import US_PER_S, SystemClock
from pearlstreet.base.errors import ConfigurationError
from pearlstreet.base.plugins import problems as plugin_problems
from pearlstreet.base.rng import SystemRng
from pearlstreet.base.services import Services
from pearlstreet.base.text import Text, text
from pearlstreet.center import Center
from pearlstreet.compute.execution.health_loop import health_loop
from pearlstreet.compute.jobs.loops import job_loops
from pearlstreet.compute.jobs.runtime import DataFolders, JobsSettings, Runtime
from pearlstreet.compute.jobs.startup_recovery import recover
from pearlstreet.compute.whatif.loop import what_if_loop
from pearlstreet.energy.measuring import measure_loop
from pearlstreet.http.rate_limiter import Rates
from pearlstreet.http.stream_limiter import StreamLimiter
from pearlstreet.hub.collector import hub_loop
from pearlstreet.hub.hub import Hub
from pearlstreet.hub.preview.inspector import inspect_loop
from pearlstreet.ledger.loops import ledger_loops
from pearlstreet.ledger.prices import ensure_default_prices
from pearlstreet.objects.configured import blobs_from_settings
from pearlstreet.offboarding.loop import closing_loop
from pearlstreet.quotes.calibrating import calibration_loop
from pearlstreet.services.builds import BuildsService
from pearlstreet.services.engines import EnginesService
from pearlstreet.services.jobs import JobsService
from pearlstreet.services.nodes import NodesService
from pearlstreet.services.offboarding import OffboardingService
from pearlstreet.services.quotes import QuotesService
from pearlstreet.services.scheduling import DecisionsService, PolicyService, QuotasService, WindowsService
from pearlstreet.services.shells import ShellsService
from pearlstreet.services.storage import StorageService
from pearlstreet.store import leases
from pearlstreet.store.backup import copy_database
from pearlstreet.store.core import Store
from pearlstreet.store.database import Database
from pearlstreet.store.instance_lock import acquire_instance_lock
from pearlstreet.store.keyring import unlock
from pearlstreet.store.loop import Loop
from pearlstreet.store.migrations import head, migrate, outdated
from pearlstreet.store.tables import state_events
from pearlstreet.tenancy.notices.channel_registry import channels_from_settings
from pearlstreet.tenancy.notices.loops import notice_loops
from pearlstreet.tenancy.notices.mail import SmtpMailer, mail_from_settings
from pearlstreet.tenancy.notices.sending import Channels
from pearlstreet.tenancy.oidc_settings import clients_from_settings
from pearlstreet.workload.environments.images import parse_registries


@dataclass(frozen=True)
class Assembled:
    """A center that is ready to serve."""

    center: Center
    services: Services
    """What API and console may ask of the center."""
    runtime: Runtime
    loops: Sequence[Loop]
    lock: IO[bytes]


def lock_data(data: Path) -> IO[bytes]:
    """Lock the data folder for this server. Raises ConfigurationError while another server uses it."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (data / "lock").open("ab+")
    except OSError as error:
        raise ConfigurationError(
            text(
                "The data folder {folder} cannot be used: {problem}",
                folder=str(data),
                problem=error.strerror or "",
            )
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise ConfigurationError(
            text("Another server already uses {folder}", folder=str(data)),
            hint=text("pearl down ends it; or choose another folder with --data"),
        ) from None
    return file


def open_store(
    settings: Settings,
    *,
    given_key: str | None = None,
    alone: bool = False,
    tell: Callable[[Text], None] = lambda _: None,
) -> Store:
    """Return the store, migrated (reported to `tell`) and unlocked. `alone` takes the database's instance lock.

    Raises ConfigurationError.
    """
    clock = SystemClock()
    store = Store(Database(settings.database_url), clock=clock, rng=SystemRng())
    try:
        if alone:
            acquire_instance_lock(store.database, clock)
        upgrade(settings, store, tell)
        newest_us = store.read(lambda tx: tx.scalar(sa.select(sa.func.max(state_events.c.at_us))))
        clock.not_before(newest_us or 0)
        key = given_key if given_key is not None else os.environ.get("PEARL_SECRET_KEY")
        unlocked = unlock(store, settings.data / "secret.key", key)
        _remember_database(unlocked.database, settings.data)
    except BaseException:
        store.close()  # a failed start must close its connections: Python 3.13 warns of each open one
        raise
    return unlocked


def upgrade(settings: Settings, store: Store, tell: Callable[[Text], None]) -> None:
    """Migrate the database to this program's schema. An older one is copied first, so that it can be restored.

    Raises ConfigurationError for a newer program's database, Unavailable when the copy cannot be written.
    """
    old = outdated(store.database)
    if old is not None and settings.copy_before_upgrade:
        # The name holds the newest event number, so that a retry after a failure makes no second copy.
        newest = store.read(lambda tx: tx.scalar(sa.select(sa.func.max(state_events.c.seq)))) or 0
        copy = copy_database(store.database, settings.data / BACKUPS, f"before-upgrade-{old}-{newest}")
        tell(
            text(
                "The database is brought from schema {old} to {new}; a copy of the old one is {file}",
                old=old,
                new=head() or "",
                file=str(copy),
            )
        )
    migrate(store.database)


def _remember_database(database: Database, data: Path) -> None:
    """Write the PostgreSQL URL to the folder, so that a later `pearl backup` does not copy an empty SQLite file."""
    if not database.is_sqlite:
        (data / REMEMBERED).write_text(database.url.set(password=None).render_as_string() + "\n")


def assemble(settings: Settings, *, given_key: str | None = None) -> Assembled:
    """Return the center with its loops and lock, ready to serve. Raises ConfigurationError."""
    lock = lock_data(settings.data)
    told: list[Text] = []
    store = open_store(settings, given_key=given_key, alone=True, tell=told.append)
    # This server holds the locks of folder and database, so every remaining lease is stale.
    store.write(leases.free_all)
    store.write(ensure_default_prices)
    folders = DataFolders(settings.data)
    folders.create()
    engines = make_engines(settings, store)
    runtime = Runtime(
        engines=engines,
        engine_kinds=engine_kinds(settings),
        folders=folders,
        settings=jobs_settings(settings),
        store=store,
        stored_blobs=blobs_from_settings(
            settings.objects,
            os.environ,
            folder=folders.blobs,
            work=settings.data / "objects",
            now_s=lambda: store.clock.now_us() / US_PER_S,
        ),
    )
    store.write(lambda tx: recover(tx, runtime))
    channels, channel_problems = notice_channels(settings, os.environ)
    notices = (*told, *plugin_problems(), *channel_problems, *engine_notices(engines))
    center = Center(
        store=store,
        version=__version__,
        hub=Hub(runtime.blobs, folders.root / "hub", runtime.settings),
        name=settings.name,
        oidc=clients_from_settings(settings.oidc, store.clock),
        public_url=settings.public_url.rstrip("/"),
        backup=backup_maker(store, settings.data),
        backups=backup_lister(settings.data),
        notices=notices,
        channels=channels,
        rates=Rates(
            settings.rate_key_per_s,
            settings.rate_address_per_s,
            settings.rate_sign_ins_per_minute,
            settings.rate_org_accounts_per_day,
        ),
        streams=StreamLimiter(settings.http_limits),
        started_us=store.clock.now_us(),
    )
    loops = (
        *job_loops(runtime),
        health_loop(engines, health_from_settings(settings.health), fetch_metrics),
        what_if_loop(runtime),
        *ledger_loops(),
        calibration_loop(),
        closing_loop(runtime),
        hub_loop(center.hub),
        inspect_loop(center.hub),
        measure_loop(runtime),
        *notice_loops(channels, store.clock),
        events_loop(settings.data / "log"),
    )
    return Assembled(center, make_services(store, runtime), runtime, loops, lock)


def make_services(store: Store, runtime: Runtime) -> Services:
    """Return the services that routes and pages may name in their signatures. A new noun's service is one more line."""
    return Services(
        JobsService(store, runtime),
        BuildsService(store, runtime),
        ShellsService(store, runtime),
        NodesService(store, runtime),
        EnginesService(store, runtime),
        StorageService(store, runtime),
        QuotesService(store, runtime),
        OffboardingService(store, runtime),
        PolicyService(store, runtime),
        DecisionsService(store, runtime),
        WindowsService(store),
        QuotasService(store, runtime),
    )


def notice_channels(settings: Settings, environment: Mapping[str, str]) -> tuple[Channels, Sequence[Text]]:
    """Return the channels that notices are sent by, and a sentence for each that was skipped. Raises ConfigurationError."""
    mail = mail_from_settings(settings.mail, environment.get("PEARL_MAIL_PASSWORD"))
    url = settings.public_url.rstrip("/")
    mailer = SmtpMailer(mail, settings.name, url) if mail is not None else None
    named = channels_from_settings(settings.notices, center=settings.name, url=url)
    return Channels(mailer, settings.webhooks_private_allowed, named=named.channels), named.problems


def jobs_settings(settings: Settings) -> JobsSettings:
    """Return the settings of the package `jobs`."""
    return replace(
        JobsSettings(),
        policy=policy_from_settings(settings.scheduling),
        decisions=decisions_from_settings(settings),
        hold_window_s=settings.hold_window_s,
        idle_percent=settings.idle_percent,
        idle_warn_s=settings.idle_warn_hours * 3600,
        idle_release_s=settings.idle_release_hours * 3600,
        idle_release_queues=tuple(
            name.strip() for name in settings.idle_release_queues.split(",") if name.strip()
        ),
        meter_interval_s=settings.meter_interval_s,
        start_timeout_s=settings.start_timeout_s,
        starting_max_s=settings.starting_max_s,
        kept_s=settings.kept_days * 86_400,
        upload_bytes_max=int(settings.upload_gib_max * (1 << 30)),
        minimum_isolation=settings.isolation,
        org_storage_bytes_max=int(settings.org_storage_gib * (1 << 30)),
        project_uploads_max=settings.project_uploads_max,
        org_prepared_bytes_max=int(settings.org_prepared_gib * (1 << 30)),
        org_cache_bytes_max=int(settings.org_cache_gib * (1 << 30)),
        log_bytes_max=int(settings.log_mib_max * (1 << 20)),
        org_log_bytes_max=int(settings.org_log_gib * (1 << 30)),
        outputs_kept_days=settings.outputs_kept_days,
        network_allowed=settings.network_allowed,
        git_private_allowed=settings.git_private_allowed,
        image_registries=parse_registries(settings.image_registries),
        uv_variables=uv_variables(settings, os.environ),
        builds_at_once=settings.builds_at_once,
        org_builds_at_once=settings.org_builds_at_once,
        builds_billed=settings.builds_billed,
        burn_in_org=health_from_settings(settings.health).burn_in_org,
        checkpoint_upload_s=settings.checkpoint_upload_s,
        checkpoints_kept_s=settings.checkpoints_kept_days * 86_400,
        org_checkpoint_bytes_max=int(settings.org_checkpoint_gib * (1 << 30)),
    )


PASSED_ON = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"})


def uv_variables(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return uv's environment variables: the host's certificates, proxies and mirrors, overridden by the settings."""
    found = {"UV_SYSTEM_CERTS": "1"}
    found |= {
        name: value
        for name, value in environment.items()
        if name.startswith("UV_") or name.upper() in PASSED_ON
    }
    return found | dict(settings.uv)
