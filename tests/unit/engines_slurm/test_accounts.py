"""What Slurm's accounting lists, as sacct and slurmrestd write it, becomes the account of an attempt, and of nobody else's job."""

from __future__ import annotations

from dataclasses import replace

from pearlstreet.base.clock import US_PER_S
from pearlstreet.compute.engines.accounts import JobAccount
from pearlstreet.compute.engines.slurm.lookup import accounts_by_attempt
from pearlstreet.compute.engines.slurm.model import SlurmJob
from pearlstreet.compute.engines.slurm.parsing import parse_accounts, parse_sacct

JOB = SlurmJob(7, "pearl:att_1", "games", ("COMPLETED",), submit_s=90, start_s=100, end_s=160)


def test_sacct_and_slurmrestd_tell_the_same() -> None:
    sacct = "7|games|COMPLETED|90|100|160|pearl:att_1\n7.batch||COMPLETED|100|100|160|batch\n"
    number = {"set": True, "infinite": False, "number": 100}
    old = {"job_id": 7, "name": "pearl:att_1", "user": "games", "state": {"current": "COMPLETED"}}
    old_times = {"submission": 90, "start": 100, "end": 160}
    new = {**old, "state": {"current": ["COMPLETED"]}, "time": {**old_times, "start": number}}
    assert parse_sacct(sacct) == parse_accounts([{**old, "time": old_times}]) == [JOB]
    assert parse_accounts([new, {"job_id": "?"}]) == [JOB]


def test_states_with_words_and_names_with_bars_are_read() -> None:
    (job,) = parse_sacct("8|games|CANCELLED by 0|90|Unknown|160|a|b\n")
    assert (job.states, job.start_s, job.name) == (("CANCELLED",), None, "a|b")


def test_only_jobs_of_our_users_that_ran_and_ended_count() -> None:
    others = [
        replace(JOB, user="news"),
        replace(JOB, end_s=None),
        replace(JOB, start_s=None),
        replace(JOB, states=("RUNNING",)),
        replace(JOB, name="mine"),
    ]
    assert accounts_by_attempt(others, ("games",), {}) == {}
    expected = JobAccount("att_1", "7", 100 * US_PER_S, 160 * US_PER_S)
    assert accounts_by_attempt([JOB], ("games",), {}) == {"att_1": expected}


def test_the_job_we_submitted_counts_and_a_second_one_that_did_nothing_does_not() -> None:
    second = replace(JOB, job_id=8, end_s=101)
    assert accounts_by_attempt([second, JOB], ("games",), {})["att_1"].job == "7"
    assert accounts_by_attempt([second, JOB], ("games",), {"att_1": "8"})["att_1"].job == "8"


def test_a_job_without_a_user_counts_only_by_the_number_that_we_were_given() -> None:
    unnamed = replace(JOB, user="")
    assert accounts_by_attempt([unnamed], ("games",), {"att_1": "7"})["att_1"].job == "7"
    assert accounts_by_attempt([unnamed], ("games",), {"att_1": "9"}) == {}
    assert accounts_by_attempt([unnamed], ("games",), {}) == {}
