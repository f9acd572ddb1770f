"""Predictions come from the tenant's own history, the closest that has enough of it."""

from __future__ import annotations

from pearlstreet.compute.scheduling.predict import Past, Predictor, stem
from pearlstreet.compute.scheduling.rows import Request

ONE, EIGHT = Request(count=1), Request(count=8)


def past(
    run_s: float, *, org: str = "red", user: str = "ada", name: str = "train", request: Request = ONE
) -> Past:
    return Past(org, user, name, request, 1, run_s)


def test_the_same_job_of_the_same_user_tells_most() -> None:
    predictor = Predictor()
    predictor.learn([past(100), past(110), *(past(9000, name="other") for _ in range(20))])
    found = predictor.predict("red", "ada", "train-3", ONE)
    assert found is not None
    assert (found.likely_s, found.rests_on) == (105, 2)


def test_it_falls_back_to_the_user_then_the_request_then_the_organisation() -> None:
    predictor = Predictor()
    predictor.learn([past(10, name="a"), past(20, name="b"), past(30, name="c")])
    predictor.learn(past(100 + i, user="bob", request=EIGHT) for i in range(3))

    def likely(user: str, request: Request) -> float | None:
        found = predictor.predict("red", user, "new", request)
        return None if found is None else found.likely_s

    assert likely("ada", ONE) == 20
    assert likely("eve", EIGHT) == 101
    assert likely("eve", Request(count=2)) == 65


def test_nothing_is_learnt_from_other_tenants() -> None:
    predictor = Predictor()
    predictor.learn(past(60) for _ in range(50))
    assert predictor.predict("blue", "ada", "train", ONE) is None


def test_the_band_holds_eight_in_ten() -> None:
    predictor = Predictor()
    predictor.learn(past(float(i)) for i in range(1, 12))
    found = predictor.predict("red", "ada", "train", ONE)
    assert found is not None
    assert (found.low_s, found.likely_s, found.high_s) == (2, 6, 10)


def test_old_run_times_are_forgotten() -> None:
    predictor = Predictor()
    predictor.learn(past(5) for _ in range(100))
    predictor.learn(past(5000) for _ in range(64))
    found = predictor.predict("red", "ada", "train", ONE)
    assert found is not None
    assert found.low_s == 5000


def test_numbers_at_the_end_of_a_name_do_not_matter() -> None:
    assert stem("train-17") == stem("train-18") == "train"
    assert stem("2024") == "2024"
