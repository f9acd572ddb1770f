"""Finds the Slurm jobs of attempts by the attempt id in the job name, and translates their states. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.accounts import JobAccount
from pearlstreet.compute.engines.cluster.report_merge import ClusterView, ViewPhase
from pearlstreet.compute.engines.slurm.model import SlurmJob
from pearlstreet.compute.engines.slurm.states import REQUEUED, VANISHED, JobPhase, job_end

PHASES: Mapping[JobPhase, ViewPhase] = {
    JobPhase.WAITING: ViewPhase.WAITING,
    JobPhase.STARTING: ViewPhase.STARTING,
    JobPhase.RUNNING: ViewPhase.RUNNING,
    JobPhase.ENDING: ViewPhase.OVER,
    JobPhase.OVER: ViewPhase.OVER,
}


def jobs_by_attempt(jobs: Iterable[SlurmJob]) -> dict[str, list[SlurmJob]]:
    """Return our jobs by attempt id, the oldest first."""
    found: dict[str, list[SlurmJob]] = {}
    for job in sorted(jobs, key=lambda job: (job.submit_s, job.job_id)):
        if job.attempt_id:
            found.setdefault(job.attempt_id, []).append(job)
    return found


def own_job(jobs: Iterable[SlurmJob], job_id: str, user: str) -> SlurmJob | None:
    """Return the job of an attempt: that with the number we were given, or else the oldest that bears its name.

    Numbers are used again after a while, and anybody may name a job as ours: user and name must both be right.
    """
    ours = [job for job in jobs if job.user == user]
    return next((job for job in ours if str(job.job_id) == job_id), ours[0] if ours and not job_id else None)


def view_of(job: SlurmJob | None, *, is_expected: bool) -> ClusterView:
    """Return what Slurm's list says about an attempt. `is_expected`: the job was submitted before the list was made."""
    if job is None:
        if not is_expected:
            return ClusterView(ViewPhase.UNKNOWN)
        return ClusterView(ViewPhase.OVER, message=VANISHED)
    if job.restarts:
        return ClusterView(ViewPhase.OVER, reason=REQUEUED[0], message=REQUEUED[1])
    phase = PHASES[job.phase]
    if phase is not ViewPhase.OVER:
        return ClusterView(phase, start_s=job.start_s if phase is not ViewPhase.WAITING else None)
    ends = [state for state in job.states if state != "COMPLETING"]
    if (
        not ends
    ):  # 22.05 shows a job whose machines are being freed as COMPLETING, and how it ended only afterwards
        return ClusterView(ViewPhase.RUNNING, start_s=job.start_s)
    reason, message = job_end(ends)
    return ClusterView(phase, job.start_s, job.end_s, reason, message, job.exit_code)


def accounts_by_attempt(
    jobs: Iterable[SlurmJob], users: Collection[str], journalled: Mapping[str, str]
) -> dict[str, JobAccount]:
    """Return what Slurm's accounting says of each attempt that ran and is over.

    Anybody may name a job as ours, so it must be one of our users', or, where the accounting names no user because the user has
    no association, bear the number that we were given. `journalled`: attempt → that number, where it is still known; else the
    job that ran longest counts, since a second one of an attempt does nothing.
    """
    found: dict[str, JobAccount] = {}
    for job in jobs:
        name, start_s, end_s = job.attempt_id, job.start_s, job.end_s
        number = journalled.get(name)
        is_ours = (
            name
            and (number == str(job.job_id) or number is None)
            and (job.user in users or (number and not job.user))
        )
        if (
            not is_ours
            or start_s is None
            or end_s is None
            or end_s < start_s
            or job.phase is not JobPhase.OVER
        ):
            continue
        known = found.get(name)
        account = JobAccount(name, str(job.job_id), start_s * US_PER_S, end_s * US_PER_S)
        if known is None or account.end_us - account.start_us > known.end_us - known.start_us:
            found[name] = account
    return found
