"""How long to wait before a process is started again."""

from hypothesis import given
from hypothesis import strategies as st

from services.cli.backoff import Backoff

BACKOFF = Backoff()


def test_the_wait_doubles_from_a_fifth_of_a_second_to_ten_seconds() -> None:
    assert [BACKOFF.delay(crashes) for crashes in range(1, 9)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_life_of_half_a_minute_is_forgiven() -> None:
    assert BACKOFF.crashes(7, lived=30.0) == 1


def test_a_shorter_life_counts() -> None:
    assert BACKOFF.crashes(7, lived=29.9) == 8


@given(st.integers(min_value=1))
def test_the_wait_is_bounded_however_often_it_crashes(crashes: int) -> None:
    assert 0.2 <= BACKOFF.delay(crashes) <= 10.0
