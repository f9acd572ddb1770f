"""Every reading method of `Client` and every reading command of `pearl`, for one tenant, hold nothing of another.

Methods and commands are found by walking both; a new one fails here until it stands among those that write, or its
parameters have values.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from pearlstreet.app.pearl import COMMAND_GROUPS
from pearlstreet.app.serve import bind
from pearlstreet.app.settings import Settings
from pearlstreet.app.web import create_web
from pearlstreet.base.errors import PearlError
from pearlstreet.cli.main import command_of, make_app
from pearlstreet.client import Client
from tests.cli.center import Pearl
from tests.isolation.requests import text_in
from tests.isolation.tenants import Tenant
from tests.isolation.world import Isolation, leaked

WRITING_METHODS = frozenset(
    [
        "backups.make",
        "budgets.set",
        "calibration.reset",
        "credit.add",
        "credit.approve",
        "credit.correct",
        "credit.reject",
        "credit.set_alert",
        "credit.set_limit",
        "energy.import_series",
        "energy.set",
        "engines.check",
        "engines.reconcile",
        "files.upload",
        "hub.change",
        "hub.create",
        "hub.create_ref",
        "hub.decide_access",
        "hub.decide_approval",
        "hub.delete",
        "hub.delete_ref",
        "hub.request_access",
        "hub.request_approval",
        "hub.set_role",
        "hub.upload",
        "incidents.retry",
        "invoices.issue",
        "invoices.set_buyer",
        "invoices.set_seller",
        "jobs.cancel",
        "jobs.submit",
        "keys.create",
        "keys.revoke",
        "nodes.burn_in",
        "nodes.drain",
        "nodes.forget",
        "nodes.keep_benchmark",
        "nodes.set_health_rules",
        "nodes.undrain",
        "notices.confirm",
        "notices.mark",
        "notices.set_preferences",
        "notices.test",
        "orgs.close",
        "orgs.create",
        "invitations.accept",
        "invitations.claim",
        "invitations.decline",
        "orgs.invite",
        "orgs.leave",
        "orgs.remove_member",
        "orgs.rename",
        "orgs.resume",
        "orgs.set_member",
        "orgs.suspend",
        "policy.rollback",
        "policy.set",
        "prices.publish",
        "prices.publish_toml",
        "projects.create",
        "queues.remove",
        "queues.set",
        "quotas.delete",
        "quotas.set",
        "quotes.accept",
        "quotes.ask",
        "quotes.withdraw",
        "secrets.delete",
        "secrets.set",
        "session.change_password",
        "session.end",
        "session.pick_up",
        "orgs.withdraw_invitation",
        "session.set_default_org",
        "session.set_password",
        "session.sign_in",
        "session.sign_out",
        "shares.delete",
        "shares.set",
        "shells.close",
        "shells.connect",
        "shells.open",
        "shells.resize",
        "shells.write",
        "storage.delete_artefact",
        "storage.delete_retention",
        "storage.delete_upload",
        "storage.pin",
        "storage.set_retention",
        "users.close",
        "users.create",
        "users.link_identity",
        "users.password_link",
        "users.resume",
        "users.set_duty",
        "users.suspend",
        "users.unlink_identity",
        "webhooks.add",
        "webhooks.enable",
        "webhooks.remove",
        "webhooks.test",
        "what_ifs.ask",
        "what_ifs.stop",
        "windows.end",
        "windows.make",
        "jobs.wait",
    ]
)
HUB_API_METHODS = frozenset(
    [
        "hub.commit",
        "hub.missing",
        "hub.open_file",
        "hub.put_history",
        "hub.send_large",
        "hub.tree",
        "hub.upload_groups",
    ]
)
"""Steps of uploads, archives and mirrors that speak the Hub API: test_hub.py asks each of its routes."""
WRITING_COMMANDS = frozenset(
    [
        "run",
        "exec",
        "port-forward",
        "cancel",
        "storage_delete",
        "storage_pin",
        "storage_reset-retention",
        "storage_retention",
        "simulate",
        "keys_create",
        "keys_revoke",
        "users_create",
        "users_set-password",
        "users_link",
        "users_duty",
        "users_suspend",
        "users_resume",
        "orgs_create",
        "orgs_suspend",
        "orgs_resume",
        "orgs_close",
        "invitations_accept",
        "invitations_claim",
        "invitations_decline",
        "orgs_invite",
        "orgs_leave",
        "orgs_role",
        "orgs_use",
        "orgs_withdraw",
        "orgs_remove",
        "projects_create",
        "secrets_set",
        "secrets_delete",
        "nodes_drain",
        "nodes_undrain",
        "credit_add",
        "credit_approve",
        "credit_reject",
        "prices_publish",
        "billing_buyer",
        "billing_seller",
        "billing_credit-limit",
        "budgets_set",
        "notices_read",
        "notices_prefs",
        "notices_confirm",
        "notices_test",
        "notices_balance-below",
        "webhooks_add",
        "webhooks_test",
        "webhooks_enable",
        "webhooks_remove",
        "quotas_set",
        "quotas_delete",
        "shares_set",
        "shares_delete",
        "policy_set",
        "policy_rollback",
        "queues_set",
        "queues_remove",
        "windows_maintain",
        "windows_reserve",
        "windows_end",
        "what-if_ask",
        "what-if_stop",
        "quote_ask",
        "quote_accept",
        "quote_withdraw",
        "calibration_reset",
        "energy_set",
        "energy_import",
        "hub_accept",
        "hub_approve",
        "hub_ask",
        "hub_branch",
        "hub_change",
        "hub_create",
        "hub_delete",
        "hub_reject",
        "hub_request",
        "hub_role",
        "hub_import",
        "hub_mirror",
        "hub_tag",
        "hub_upload",
        "incidents_retry",
        "engine_check",
        "engine_reconcile",
        "engines_check",
        "engines_reconcile",
        "backups_make",
        "passwd",
        "bench_node",
    ]
)
LOCAL_COMMANDS = frozenset(
    [
        "up",
        "down",
        "backup",
        "restore",
        "demo",
        "login",
        "logout",
        "cluster_plan",
        *(
            f"{group}_add_{kind}"
            for group in ("engine", "engines")
            for kind in ("slurm", "local", "simulated")
        ),
        "offline_recover",
        "offline_rotate-key",
        "sim_run",
        "sim_replay",
        "referee_openb",
        "referee_jobs",
        "estimate_file",
        "estimate_train",
        "estimate_serve",
        "hub_env",
    ]
)
"""Commands that ask no centre, or start one."""
NAMES = {
    "job": "job", "job_id": "job", "org": "org", "user": "user", "key": "key", "upload": "upload", "month": "month",
    "quote": "quote", "quote_id": "quote", "webhook": "webhook", "hook": "webhook", "delivery": "delivery",
    "question": "what_if", "what_if": "what_if", "project": "project", "artefact": "artefact", "notice": "notice", "shell": "shell",
    "repo": "repository", "repository": "repository", "build": "build",
}  # fmt: skip
PLAIN = {
    "engine": "simulated",
    "scenario": "1t-50-days",
    "name": "1t-50-days",
    "series": "grid",
    "decision": "none",
    "number": "1",
}
"""Parameters that name nothing of a tenant."""


@pytest.fixture(scope="module")
def url(isolation: Isolation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the isolation world on a real socket."""
    listening = bind(Settings(data=tmp_path_factory.mktemp("socket"), port=0))
    config = uvicorn.Config(
        create_web(isolation.world.center, isolation.world.services), log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    ends = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < ends, "the server did not start"
        time.sleep(0.01)
    yield "http://{}:{}".format(*listening.getsockname()[:2])
    server.should_exit = True
    thread.join(30)
    listening.close()


@pytest.fixture(scope="module")
def contents(isolation: Isolation) -> frozenset[str]:
    """Everything that only alder may see."""
    return isolation.contents(isolation.alder)


METHODS_THAT_SHOW_NO_TENANT = frozenset(
    [
        "backups.list",
        "decisions.list",
        "decisions.replay",
        "decisions.show",
        "energy.history",
        "energy.hours",
        "energy.presets",
        "energy.series",
        "energy.show",
        "engines.get",
        "engines.list",
        "incidents.list",
        "invoices.seller",
        "orgs.closing",
        "jobs.idle",
        "jobs.schema",
        "ledger.beancount",
        "ledger.proof",
        "nodes.accelerators",
        "nodes.burn_ins",
        "notices.kinds",
        "notices.unread",
        "policy.history",
        "policy.show",
        "prices.current",
        "prices.current_toml",
        "prices.list",
        "quotes.scenario",
        "quotes.scenarios",
        "credit.list_all",
        "audit.verify",
    ]
)
"""About the centre, or for operators only, or a number."""
COMMANDS_THAT_SHOW_NO_TENANT = frozenset(
    [
        "shares_list",  # names only the organisation that it was asked about, and weights
        "accelerators",
        "backups_list",
        "books",
        "decisions_list",
        "decisions_show",
        "decisions_replay",
        "energy_show",
        "energy_history",
        "energy_presets",
        "engine",
        "engine_show",
        "engines",
        "engines_show",
        "idle",  # names the organisation that it was asked about, and a project that every organisation has
        "incidents_list",
        "notices_kinds",
        "nodes",
        "nodes_health",
        "policy_show",
        "policy_history",
        "prices_show",
        "proof",
        "quote_scenario",
        "audit_verify",
        "metrics",
        "quote_compare",
        "shares_list",
        "webhooks_deliveries",
    ]
)
"""About the centre, or for operators only, or numbers of one thing: asked about a foreign one they are refused.

`shares_list` names its organisation by the slug that the call itself gave, which does not count here."""


def _reading_methods() -> list[str]:
    with Client("http://127.0.0.1:9", key="none") as client:
        nouns = {name: noun for name, noun in vars(client).items() if not name.startswith("_")}
    names = [
        f"{name}.{method}"
        for name, noun in nouns.items()
        for method, _ in inspect.getmembers(noun, inspect.ismethod)
        if not method.startswith("_")
    ]
    unasked = WRITING_METHODS | HUB_API_METHODS
    assert not unasked - set(names), unasked - set(names)
    return sorted(set(names) - unasked)


def _commands() -> dict[str, Any]:
    """Every command by its words joined with _."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        inner = getattr(command, "commands", {})
        for name, one in inner.items():
            walk(one, (*words, name))
        if words and (not inner or getattr(command, "invoke_without_command", False)):
            found["_".join(words)] = command

    walk(command_of(make_app(COMMAND_GROUPS)), ())
    return found


COMMANDS = _commands()
READING_COMMANDS = sorted(set(COMMANDS) - WRITING_COMMANDS - LOCAL_COMMANDS)


def test_every_command_is_sorted() -> None:
    assert not (WRITING_COMMANDS | LOCAL_COMMANDS) - set(COMMANDS)


def _values(name: str, tenant: Tenant) -> list[str]:
    """What a parameter may be. Raises KeyError for one that has no values yet."""
    return [PLAIN[name]] if name in PLAIN else tenant.ids[NAMES[name]]


def _calls(method: Any, tenant: Tenant, folder: Path) -> Iterator[dict[str, Any]]:
    """Arguments for a method: every value of its first required parameter, and `org` where it takes one."""
    parameters = inspect.signature(method).parameters.values()
    needed = [one.name for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    rest: dict[str, Any] = {"org": tenant.slug} if "org" in {one.name for one in parameters} else {}
    for name in needed[1:]:
        rest[name] = folder / "file" if name in ("target", "folder") else _values(name, tenant)[0]
    for value in _values(needed[0], tenant) if needed else [None]:
        yield rest | ({needed[0]: value} if needed else {})


@dataclass(frozen=True)
class Said:
    """What a call gave."""

    asked: str
    text: str
    was_refused: bool


def _call(method: Any, arguments: dict[str, Any], folder: Path) -> Said:
    """What a method gives, to the end, with the files it writes; or the words of its refusal."""
    asked = " ".join(map(str, arguments.values()))
    try:
        found = method(**arguments)
        whole = list(found) if hasattr(found, "__next__") else found
    except PearlError as error:
        return Said(asked, str(error), True)
    said = text_in(whole) if isinstance(whole, bytes) else str(whole)
    return Said(asked, said + _files(folder), False)


def _files(folder: Path) -> str:
    """Names and texts of all files that were written, which are taken away."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    said = "".join(f"{file.name}\n{text_in(file.read_bytes())}" for file in files)
    for file in files:
        file.unlink()
    return said


def _check(
    isolation: Isolation, contents: frozenset[str], calls: Callable[..., Iterator[Said]], shows: bool
) -> None:
    """Alder sees its own things, birch none of them, and birch is refused when it names one."""
    alder, birch = isolation.alder, isolation.birch
    shown = "".join(_unnamed(said) for said in calls(alder, alder) if not said.was_refused)
    assert bool(leaked(shown, contents)) == shows, shown[:500]
    for things in (birch, alder):
        for said in calls(birch, things):
            assert not leaked(said.text, contents, said.asked), said.asked
            assert said.was_refused or not _names(alder, said.asked), said


def _names(tenant: Tenant, asked: str) -> bool:
    common = {tenant.first("month")}
    return any(
        value in asked.split() for values in tenant.ids.values() for value in values if value not in common
    )


def _unnamed(said: Said) -> str:
    """The answer without the things that the request named."""
    text = said.text
    for word in said.asked.split():
        text = text.replace(word, "") if len(word) > 5 else text
    return text


@pytest.mark.parametrize("name", _reading_methods())
def test_a_method_of_the_client_shows_its_own_tenant_and_nobody_else(
    isolation: Isolation, url: str, contents: frozenset[str], name: str, tmp_path: Path
) -> None:
    noun, _, of = name.partition(".")

    def calls(tenant: Tenant, things: Tenant) -> Iterator[Said]:
        with Client(url, tenant.keys["owner"]) as client:
            method = getattr(getattr(client, noun), of)
            for arguments in _calls(method, things, tmp_path):
                yield _call(method, arguments, tmp_path)

    _check(isolation, contents, calls, name not in METHODS_THAT_SHOW_NO_TENANT)


def _command_lines(name: str, tenant: Tenant, folder: Path) -> Iterator[list[str]]:
    """Ways to call a command: every value of its first argument, with `--org` where it takes one."""
    command = COMMANDS[name]
    arguments = [one.name for one in command.params if one.param_type_name == "argument"]
    options = {one for parameter in command.params for one in parameter.opts}
    rest = ["--org", tenant.slug] if "--org" in options else []
    if name in ("artefacts", "orgs_export", "hub_download"):
        rest += ["--to", str(folder / "file")]
    if name == "hub_export":
        rest += [str(folder / "file.tar")]
    for value in _first_values(name, arguments, tenant, folder):
        yield [*name.split("_"), *([value] if value else []), *rest]


def _first_values(name: str, arguments: list[str], tenant: Tenant, folder: Path) -> list[str]:
    if not arguments or name in ("accelerators", "nodes", "nodes_health", "hub_list", "hub_search"):
        return [""]
    if arguments[0] == "file":
        return [str(folder / "file")]
    return _values(arguments[0], tenant)


@pytest.mark.parametrize("name", READING_COMMANDS)
def test_a_command_shows_its_own_tenant_and_nobody_else(
    isolation: Isolation, url: str, contents: frozenset[str], name: str, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()

    def calls(tenant: Tenant, things: Tenant) -> Iterator[Said]:
        variables = {"PEARL_URL": url, "PEARL_KEY": tenant.keys["owner"], "PEARL_LANG": "en"}
        pearl = Pearl(variables | {"PEARL_CONFIG": str(tmp_path / "none"), "XDG_STATE_HOME": str(tmp_path)})
        for words in _command_lines(name, things, kept):
            answer = pearl(*words, COLUMNS="400")
            assert "made a mistake" not in answer.err, answer.err
            yield Said(" ".join(words), answer.out + answer.err + _files(kept), answer.code != 0)

    _check(isolation, contents, calls, name not in COMMANDS_THAT_SHOW_NO_TENANT)
