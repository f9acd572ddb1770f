"""Turns the service in a job's specification into what engines are told. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pearlstreet.compute.engines.services import Probe, RestartPolicy, RestartWhen, ServiceOrder, ServicePort
from pearlstreet.workload.spec.model import JobSpec, ServiceProbe

_WHEN: Mapping[str, RestartWhen] = {"never": "never", "failure": "on_failure", "always": "always"}


def service_order(spec: JobSpec) -> ServiceOrder | None:
    """Return the service of a job; None: it is none."""
    service = spec.service
    if service is None:
        return None
    return ServiceOrder(
        ports=tuple(ServicePort(name, number) for name, number in service.ports.items()),
        readiness=_probe(service.readiness),
        liveness=_probe(service.liveness),
        startup_grace_s=service.startup_grace_s,
        restart=RestartPolicy(_WHEN[service.restarts.on], service.restarts.max),
        drain_s=service.drain_s,
    )


def _probe(probe: ServiceProbe | None) -> Probe | None:
    if probe is None:
        return None
    return Probe(
        kind="exec" if probe.port is None else "tcp" if probe.path is None else "http",
        port=probe.port or "",
        path=probe.path or "/",
        command=probe.command,
        period_s=probe.period_s,
        timeout_s=probe.timeout_s,
        successes=probe.successes,
        failures=probe.failures,
    )
