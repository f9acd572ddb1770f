"""`pearl demo`: from nothing to a trained model and its invoice, in one command. Safe to run again."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pearlstreet.app.demo_site import state_example_site
from pearlstreet.app.detached import start_detached
from pearlstreet.app.recipes import recipe
from pearlstreet.app.state import running
from pearlstreet.base.errors import ConfigurationError, PearlError
from pearlstreet.base.money import parse_yuan
from pearlstreet.base.text import text
from pearlstreet.cli.following import follow_job
from pearlstreet.cli.jobs import read_specification, upload_files
from pearlstreet.cli.output import done, err, facts, language, out, say, table, warn
from pearlstreet.client import ApiError, Client, results
from pearlstreet.client.profile import Profile, save_profile

ORG, USER = "demo", "demo"
ENOUGH = "10"
"""Balance in yuan below which the tenant gets a credit, where a plan names no other."""
STATE = "demo.json"
LOG_LINES = 4
"""Lines shown of the log of a gang's second task."""
PORTS = 20
"""Number of ports tried, counting up from the requested one."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What a demo shows: the recipe that it trains, and what belongs to its center."""

    recipe: str = "digits"
    is_gang: bool = False
    """Whether the recipe runs several tasks, so that the log of a second one is shown."""
    has_example_prices: bool = True
    """Whether prices are raised, so that seconds of work on some cores show on the invoice."""
    credit: str = "100"
    """Yuan that a tenant gets whose balance is below `enough`."""
    enough: str = ENOUGH
    stop: str = ""
    """Command that stops it; empty: `pearl down`."""


def run_demo(data: Path, port: int, plan: DemoPlan = DemoPlan()) -> None:
    """Start (or find) the center, make the tenant, train, show everything. Exits 1 when the job fails."""
    began = time.monotonic()
    url = _center(data, port)
    key, password = _tenant(data, url, plan)
    os.environ["PEARL_CONFIG"] = str(data / "profiles.toml")
    save_profile("default", Profile(url, key, ORG))
    with Client(url, key, language=language()) as tenant:
        balance = tenant.request("GET", f"/orgs/{ORG}/balance")["available"]
        done("Tenant {org} has {balance} yuan", org=ORG, balance=balance)
        job = _train(tenant, plan)
        _show(tenant, job)
    _farewell(data, url, time.monotonic() - began, password, plan)
    if job["state"] != "succeeded":
        raise SystemExit(1)


def _farewell(data: Path, url: str, seconds: float, password: str | None, plan: DemoPlan) -> None:
    command = "pearl" if Path(sys.argv[0]).name != "pearl" else os.path.relpath(sys.argv[0])
    shown = command if not command.startswith("..") else sys.argv[0]
    done("Finished in {seconds} s. The center runs on at {url}", seconds=f"{seconds:.1f}", url=url)
    if password is not None:
        words = say(
            "In the browser:  {url}  as {user}, password {password}", url=url, user=USER, password=password
        )
        err.print(f"{words} {say('(shown once)')}", markup=False, soft_wrap=True)
    else:
        err.print(say("In the browser:  {url}  as {user}", url=url, user=USER), markup=False)
    profiles = shlex.quote(str(data / "profiles.toml"))
    err.print(say("Look around:  export PEARL_CONFIG={file}; {command} jobs", file=profiles, command=shown))
    stop = plan.stop or f"{shown} down --data {shlex.quote(str(data))}"
    err.print(
        say("Stop it:      {command}", command=stop if data != Path(".demo").absolute() else "make demo-stop")
    )


def _center(data: Path, port: int) -> str:
    state = running(data)
    if state is not None:
        done("A demo center already answers at {url}", url=state["url"])
        return str(state["url"])
    chosen = _free_port(port)
    err.print(say("Starting a center in {data} …", data=str(data)))
    first = start_detached(data, {"port": chosen, "meter_interval_s": None}, busy=False)
    if first["keys"]:
        _keep(data, operator_keys=first["keys"])
    url = f"http://127.0.0.1:{chosen}"
    done("The center answers at {url}", url=url)
    return url


def _free_port(wished: int) -> int:
    for port in range(wished, wished + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ConfigurationError(
        text("Ports {first} to {last} are all taken", first=wished, last=wished + PORTS - 1),
        hint=text("Choose another with --port"),
    )


def _tenant(data: Path, url: str, plan: DemoPlan) -> tuple[str, str | None]:
    """Return the tenant's key, good for a balance that is enough, and a password that was just set; what is missing is made."""
    password = None
    kept: dict[str, Any] = _kept(data)
    key = kept.get("tenant_key")
    if key is None or not _works(url, key, f"/orgs/{ORG}/balance"):
        key, password = _make_tenant(data, url, plan)
        _keep(data, tenant_key=key)
    with Client(url, key) as tenant:
        balance = parse_yuan(tenant.request("GET", f"/orgs/{ORG}/balance")["available"])
    if balance < parse_yuan(plan.enough):
        with Client(url, _operator(data, url, "system"), language=language()) as system:
            system.request("POST", f"/orgs/{ORG}/credit", {"amount": plan.credit, "memo": "demo"})
        done("{yuan} yuan are credited", yuan=plan.credit)
    return str(key), password


def _make_tenant(data: Path, url: str, plan: DemoPlan) -> tuple[str, str]:
    with Client(url, _operator(data, url, "system"), language=language()) as system:
        state_example_site(system, has_example_prices=plan.has_example_prices)
        _unless_there(lambda: system.request("POST", "/orgs", {"slug": ORG, "name": "Demo tenant"}))
    with Client(url, _operator(data, url, "security"), language=language()) as security:
        account = {"name": USER, "org": ORG, "role": "owner"}
        _unless_there(lambda: security.request("POST", "/users", account))
        key, password = _key_for(security, url, USER, ORG)
    done("Organisation {org} and its owner {user} are made", org=ORG, user=USER)
    return key, password


def _key_for(security: Client, url: str, user: str, org: str | None) -> tuple[str, str]:
    """Set a fresh password, sign in with it, make a key: as a person does it. The key and the password."""
    password = secrets.token_urlsafe(18)
    token = security.request("POST", f"/users/{user}/password-link")["token"]
    with Client(url, language=language()) as stranger:
        stranger.request("POST", "/set-password", {"token": token, "password": password})
        session = stranger.request("POST", "/sign-in", {"name": user, "password": password})["token"]
    with Client(url, session, language=language()) as person:
        return str(person.request("POST", "/keys", {"label": "demo", "org": org})["key"]), password


def _operator(data: Path, url: str, duty: str) -> str:
    """Return a working operator's key: that of the first run, else one recovered from the center's files."""
    keys: dict[str, str] = _kept(data).get("operator_keys", {})
    if duty in keys and _works(url, keys[duty], "/me"):
        return keys[duty]
    if duty == "security":
        from pearlstreet.app.backup_commands import recover_security

        key = recover_security(data)
    else:
        with Client(url, _operator(data, url, "security"), language=language()) as security:
            key, _ = _key_for(security, url, duty, None)
    _keep(data, operator_keys=_kept(data).get("operator_keys", {}) | {duty: key})
    return key


def _works(url: str, key: str, path: str) -> bool:
    try:
        with Client(url, key) as holder:
            holder.request("GET", path)
    except ApiError as error:
        if error.status in (401, 403, 404):
            return False
        raise
    return True


def _unless_there(call: Callable[[], object]) -> None:
    try:
        call()
    except ApiError as error:
        if error.status != 409:
            raise


def _train(tenant: Client, plan: DemoPlan) -> results.Job:
    spec, folder = read_specification(recipe(plan.recipe) / "job.yaml")
    job = tenant.jobs.submit(upload_files(tenant, spec, folder, ORG), org=ORG)
    done("Submitted {job}; its log:", job=job["id"])
    ended = follow_job(tenant, job["id"])
    if ended["attempt_id"] is not None and plan.is_gang:
        out.title(say("End of the log of rank 1"))
        parts = tenant.jobs.logs(job["id"], attempt=ended["attempt_id"], rank=1, follow=False)
        lines = b"".join(parts).decode(errors="replace").splitlines()
        out.print("\n".join(lines[-LOG_LINES:]), markup=False)
    return ended


def _show(tenant: Client, job: results.Job) -> None:
    if job["state"] != "succeeded":
        reason = job["reason"] or "-"
        warn(say("{job} has {state}: {reason}", job=job["id"], state=say(job["state"]), reason=reason))
    out.title("What happened")
    table(
        ("Time", "State", "Reason"),
        [(row["at"][11:23], row["to_state"], row["reason"]) for row in tenant.jobs.timeline(job["id"])],
    )
    for attempt in tenant.jobs.attempts(job["id"]):
        facts(
            {
                "Placed on": ", ".join(dict.fromkeys(task["node"] for task in attempt["placement"]["tasks"])),
                "Why there": attempt["why_here"],
                "Isolation": attempt["wall"],
            }
        )
    out.title("What it left")
    items = tenant.jobs.artefacts(job["id"])
    rows = [(i["path"], i["size_bytes"], i["sha256"][:16]) for i in items]
    table(("File", "Bytes", "SHA-256"), rows, right=(1,))
    measured = [s["values"] for s in tenant.jobs.metrics(job["id"]) if "held_out_accuracy" in s["values"]]
    if measured:
        accuracy = f"{measured[-1]['held_out_accuracy']:.4f}"
        done("Accuracy on held out data: {accuracy}", accuracy=accuracy)
    _show_cost(tenant, job)


def _show_cost(tenant: Client, job: results.Job) -> None:
    out.title("What it used and cost")
    try:
        cost = tenant.jobs.cost(job["id"])
        table(
            ("Resource", "Used", "Unit", "Yuan"),
            [(line["label"], line["quantity"], line["unit"], line["amount"]) for line in cost["lines"]],
            right=(1, 3),
        )
        out.title("Invoice of the month, so far")
        month = job["submitted"][:7]
        answer = tenant.raw("GET", f"/orgs/{ORG}/invoices/{month}", format="text", draft="true")
        out.print(answer.text, markup=False)
    except PearlError as error:
        warn(error.message)


def _kept(data: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((data / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _keep(data: Path, **values: object) -> None:
    temporary = data / f"{STATE}.tmp"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(_kept(data) | values, stream)
    temporary.replace(data / STATE)
