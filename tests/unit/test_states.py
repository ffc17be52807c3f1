"""The states of an execution: small, pure, and held to for every sequence of changes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.executions.states import (
    INTERRUPTED,
    MAX_DELAY_SECONDS,
    STOPPED,
    TERMINAL,
    TRANSITIONS,
    Change,
    Patience,
    RetryOn,
    Status,
    after,
    delay_seconds,
    end_of_attempt,
)
from pressroom.press import Reason

changes = st.sampled_from(list(Change))
reasons = st.sampled_from(list(Reason))
patiences = st.builds(
    Patience,
    attempts=st.integers(1, 200),
    max_attempts=st.integers(1, 100),
    retry_on=st.frozensets(st.sampled_from(list(RetryOn))),
    delay_seconds=st.floats(0, 3600),
    cancel_requested=st.booleans(),
)


@given(st.lists(changes, max_size=50))
def test_a_terminal_state_never_changes_whatever_happens(happening: list[Change]) -> None:
    status, ended = Status.PENDING, None
    for change in happening:
        following = after(status, change)
        if ended is not None:
            assert following is None
        status = following or status
        if status in TERMINAL:
            ended = ended or status
            assert status is ended


@given(st.lists(changes, max_size=50))
def test_nothing_succeeds_or_fails_that_no_worker_has_claimed(happening: list[Change]) -> None:
    status, claimed = Status.PENDING, False
    for change in happening:
        following = after(status, change)
        claimed |= following is Status.RUNNING
        status = following or status
    assert claimed or status in (Status.PENDING, Status.CANCELLED)


def test_every_state_can_be_reached_and_every_state_under_way_can_end() -> None:
    reached = {Status.PENDING} | set(TRANSITIONS.values())
    assert reached == set(Status)
    for status in set(Status) - TERMINAL:
        assert any(after(status, change) in TERMINAL for change in Change)
    assert not any(status in TERMINAL for status, _ in TRANSITIONS)


@given(st.one_of(st.none(), reasons), patiences)
def test_the_end_of_an_attempt_is_a_change_that_a_running_execution_can_make(
    reason: Reason | None, patience: Patience
) -> None:
    assert after(Status.RUNNING, end_of_attempt(reason, patience)) is not None


@given(reasons, patiences)
def test_an_execution_is_not_tried_for_ever(reason: Reason, patience: Patience) -> None:
    if patience.attempts >= patience.max_attempts and reason != INTERRUPTED:
        assert end_of_attempt(reason, patience) is not Change.PUT_BACK


@given(reasons, patiences)
def test_what_was_to_be_cancelled_is_not_tried_again(reason: Reason, patience: Patience) -> None:
    if patience.cancel_requested or reason == STOPPED:
        assert end_of_attempt(reason, patience) in (Change.CANCELLED, Change.FAILED)


@pytest.mark.parametrize(
    ("reason", "retry_on", "change"),
    [
        (None, [], Change.SUCCEEDED),
        (Reason.CELL_ERROR, [], Change.FAILED),
        (Reason.CELL_ERROR, ["worker_lost", "timed_out"], Change.FAILED),
        (Reason.CELL_ERROR, ["any_failure"], Change.PUT_BACK),
        (Reason.TIMED_OUT, ["timed_out"], Change.PUT_BACK),
        (Reason.TIMED_OUT, ["worker_lost"], Change.FAILED),
        (Reason.WORKER_LOST, ["worker_lost"], Change.PUT_BACK),
        (Reason.WORKER_LOST, ["any_failure"], Change.PUT_BACK),
        (Reason.WORKER_LOST, [], Change.FAILED),
        (Reason.INTERRUPTED, [], Change.PUT_BACK),
        (Reason.CANCELLED, ["any_failure"], Change.CANCELLED),
    ],
)
def test_it_is_tried_again_for_the_reasons_that_were_asked(
    reason: Reason | None, retry_on: list[str], change: Change
) -> None:
    assert end_of_attempt(reason, Patience(1, 3, retry_on, 10)) is change


@given(patiences, st.integers())
def test_each_wait_is_at_least_the_delay_doubled_and_at_most_half_as_much_more(patience: Patience, seed: int) -> None:
    seconds = delay_seconds("timed_out", patience, random.Random(seed))
    doubled = min(patience.delay_seconds * 2.0 ** min(patience.attempts - 1, 30), MAX_DELAY_SECONDS)
    assert doubled <= seconds <= 1.5 * doubled


def test_an_interruption_and_a_first_lost_worker_make_nobody_wait() -> None:
    assert delay_seconds(INTERRUPTED, Patience(3, 3, [], 100), random.Random(1)) == 0
    assert delay_seconds("worker_lost", Patience(1, 3, [], 100), random.Random(1)) == 0
    assert delay_seconds("worker_lost", Patience(2, 3, [], 100), random.Random(1)) >= 200
