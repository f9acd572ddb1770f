"""What Slurm's states of jobs and nodes mean for us, as data. Pure.

Source: the manual pages squeue(1), sacct(1) and sinfo(1) of Slurm 22.05 and 24.11.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pearlstreet.base.text import Text, text
from pearlstreet.compute.engines.protocol import EndReason


class JobPhase(StrEnum):
    """Phase of a job of Slurm, as far as we need to tell them apart."""

    WAITING = "waiting"
    """It has no machines."""
    STARTING = "starting"
    """It has machines, and its script does not run yet."""
    RUNNING = "running"
    ENDING = "ending"
    """Its script has ended or is being ended; its machines are not free yet."""
    OVER = "over"


JOB_PHASES: Mapping[str, JobPhase] = {
    "PENDING": JobPhase.WAITING,
    "CONFIGURING": JobPhase.STARTING,
    "POWER_UP_NODE": JobPhase.STARTING,
    "RUNNING": JobPhase.RUNNING,
    "RESIZING": JobPhase.RUNNING,
    "SIGNALING": JobPhase.RUNNING,
    "STOPPED": JobPhase.RUNNING,
    "SUSPENDED": JobPhase.RUNNING,
    "EXPEDITING": JobPhase.RUNNING,
    "UPDATE_DB": JobPhase.RUNNING,
    "COMPLETING": JobPhase.ENDING,
    "STAGE_OUT": JobPhase.ENDING,
    "REQUEUED": JobPhase.WAITING,
    "REQUEUE_FED": JobPhase.WAITING,
    "REQUEUE_HOLD": JobPhase.WAITING,
    "RESV_DEL_HOLD": JobPhase.WAITING,
    "SPECIAL_EXIT": JobPhase.WAITING,
    "BOOT_FAIL": JobPhase.OVER,
    "CANCELLED": JobPhase.OVER,
    "COMPLETED": JobPhase.OVER,
    "DEADLINE": JobPhase.OVER,
    "FAILED": JobPhase.OVER,
    "LAUNCH_FAILED": JobPhase.OVER,
    "NODE_FAIL": JobPhase.OVER,
    "OUT_OF_MEMORY": JobPhase.OVER,
    "PREEMPTED": JobPhase.OVER,
    "RECONFIG_FAIL": JobPhase.OVER,
    "REVOKED": JobPhase.OVER,
    "TIMEOUT": JobPhase.OVER,
}
"""State of a job → phase."""

JOB_ENDS: Mapping[str, tuple[EndReason, Text | None]] = {
    "COMPLETED": (EndReason.EXITED, None),
    "FAILED": (EndReason.EXITED, None),
    "TIMEOUT": (EndReason.TIME_LIMIT, text("Slurm ended the job at its time limit")),
    "DEADLINE": (EndReason.TIME_LIMIT, text("Slurm ended the job at its deadline")),
    "OUT_OF_MEMORY": (
        EndReason.MEMORY_LIMIT,
        text("Slurm ended the job: it used more memory than it had asked for"),
    ),
    "CANCELLED": (EndReason.ENGINE_LOST, text("The job was cancelled in Slurm, not by this center")),
    "PREEMPTED": (EndReason.ENGINE_LOST, text("Slurm took the machines for a job of higher priority")),
    "NODE_FAIL": (EndReason.ENGINE_LOST, text("A machine of the job failed")),
    "BOOT_FAIL": (EndReason.ENGINE_LOST, text("A machine of the job did not boot")),
    "LAUNCH_FAILED": (EndReason.ENGINE_LOST, text("Slurm could not launch the job on its machines")),
    "RECONFIG_FAIL": (EndReason.ENGINE_LOST, text("Slurm could not configure a machine of the job")),
    "REVOKED": (EndReason.ENGINE_LOST, text("The job was taken over by another cluster of the federation")),
}
"""State of a job that is over → why the attempt ended; a stop that we asked for comes before it."""

REQUEUED = (EndReason.ENGINE_LOST, text("Slurm took the machines and queued the job again"))
"""End of an attempt whose job Slurm started anew: a job that runs twice would be two attempts."""
VANISHED = text("Slurm no longer knows the job")
"""Message of an attempt whose job Slurm has forgotten, unless its nodes wrote how it ended."""

NODE_OUT: Mapping[str, Text] = {
    "DOWN": text("Slurm reports it down"),
    "DRAIN": text("Slurm has drained it"),
    "DRAINED": text("Slurm has drained it"),
    "DRAINING": text("Slurm is draining it"),
    "ERROR": text("Slurm reports an error"),
    "FAIL": text("Slurm reports that it will fail soon"),
    "FAILING": text("Slurm reports that it will fail soon"),
    "FUTURE": text("It is not part of the cluster yet"),
    "INVALID_REG": text("It has less than Slurm's configuration says"),
    "MAINTENANCE": text("It is in maintenance"),
    "MAINT": text("It is in maintenance"),
    "NOT_RESPONDING": text("It does not respond to Slurm"),
    "NO_RESPOND": text("It does not respond to Slurm"),
    "POWERED_DOWN": text("Slurm has powered it down"),
    "POWER_DOWN": text("Slurm has powered it down"),
    "POWERING_DOWN": text("Slurm is powering it down"),
    "POWERING_UP": text("It is booting"),
    "REBOOT_ISSUED": text("It is rebooting"),
    "REBOOT_REQUESTED": text("It is about to reboot"),
    "UNKNOWN": text("Slurm does not know its state yet"),
}
"""State or flag of a node that takes it out of service → what it says."""
NODE_IN = frozenset(
    {
        "IDLE",
        "ALLOCATED",
        "MIXED",
        "COMPLETING",
        "COMPLETED",
        "PLANNED",
        "RESERVED",
        "CLOUD",
        "DYNAMIC_NORM",
        "DYNAMIC_FUTURE",
        "UNDRAIN",
    }
)
"""States and flags of a node in service."""


def job_phase(states: Iterable[str]) -> JobPhase:
    """Return the phase of a job that has these states at once, such as COMPLETED and COMPLETING.

    A job with a state that we do not know counts as running, so that it is neither doubled nor forgotten.
    """
    phases = {JOB_PHASES.get(state, JobPhase.RUNNING) for state in states}
    for phase in (JobPhase.WAITING, JobPhase.ENDING, JobPhase.STARTING, JobPhase.OVER):
        if phase in phases:
            return phase
    return JobPhase.RUNNING


def job_end(states: Iterable[str]) -> tuple[EndReason, Text | None]:
    """Return why an attempt ended whose job is over with these states."""
    return next((JOB_ENDS[state] for state in states if state in JOB_ENDS), (EndReason.ENGINE_LOST, None))


def node_problem(states: Iterable[str]) -> Text | None:
    """Return why a node is out of service; None: it is in service."""
    found = {state.rstrip("*$@#~!%^-").upper() for state in states} | {
        "NOT_RESPONDING" for state in states if state.endswith("*")
    }
    for state in sorted(found):
        if state in NODE_OUT:
            return NODE_OUT[state]
    unknown = sorted(found - NODE_IN)
    return text("Slurm reports the state {state}", state=unknown[0]) if unknown else None
