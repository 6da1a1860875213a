"""Deadlines and durations."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.deadline import Deadline, to_duration, to_seconds

_SECONDS = st.floats(min_value=0, max_value=1e6)


@settings(deadline=None)  # a busy machine is no fault
@given(seconds=_SECONDS, now=_SECONDS)
def test_what_is_left_never_falls_below_nothing(seconds: float, now: float) -> None:
    deadline = Deadline.after(seconds, now=now)
    left = deadline.left(now=now)
    assert left is not None
    assert abs(left - seconds) < 1e-6
    assert deadline.left(now=now + seconds + 1) == 0.0


@settings(deadline=None)  # a busy machine is no fault
@given(now=_SECONDS, bound=_SECONDS)
def test_no_deadline_is_never_until_it_is_bounded(now: float, bound: float) -> None:
    never = Deadline.after(None, now=now)
    assert never.left(now=now) is None
    assert never.earlier(bound, now=now).at == now + bound


@settings(deadline=None)  # a busy machine is no fault
@given(first=_SECONDS, second=_SECONDS)
def test_the_earlier_of_two_deadlines_counts(first: float, second: float) -> None:
    assert Deadline(first).earlier(second, now=0.0).at == min(first, second)


@settings(deadline=None)  # a busy machine is no fault
@given(seconds=_SECONDS)
def test_seconds_survive_the_wire(seconds: float) -> None:
    assert abs(to_seconds(to_duration(seconds)) - seconds) < 1e-6


def test_a_duration_is_the_nearest_in_nanoseconds() -> None:
    assert [to_duration(seconds).ToJsonString() for seconds in (0.002, 1.5, 2.9999999999)] == ["0.002s", "1.500s", "3s"]
