"""How often a key is told how the mesh is doing."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.overview.pace import A_SECOND, AT_ONCE, Pace


def test_ten_pages_of_one_key_are_told_every_two_seconds_for_as_long_as_they_want() -> None:
    pace = Pace()
    for second in range(0, 600, 2):
        assert [pace.taken("k", 60, now=float(second)) for _ in range(10)] == [0.0] * 10


def test_a_key_that_asks_without_end_is_told_when_to_come_back_and_others_are_told_meanwhile() -> None:
    pace = Pace()
    answers = [pace.taken("k", 200, now=5.0) for _ in range(10)]
    told = answers.count(0.0)
    assert told == AT_ONCE // 220
    wait = answers[-1]
    assert 0 < wait <= 220 / A_SECOND
    assert pace.taken("other", 200, now=5.0) == 0
    assert pace.taken("k", 200, now=5.0 + wait / 2) > 0
    assert pace.taken("k", 200, now=5.001 + wait) == 0


def test_keys_are_forgotten_once_they_have_everything_again() -> None:
    pace = Pace()
    for number in range(3000):
        assert pace.taken(f"k{number}", 200, now=float(number)) == 0
    assert len(pace._left) <= 1025


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 3)), max_size=60))
def test_no_key_is_told_more_than_its_room_and_what_time_gives(asked: list[tuple[int, float]]) -> None:
    pace, now, spent = Pace(), 0.0, 0
    for requests, passed in asked:
        now += passed
        if pace.taken("k", requests, now=now) == 0:
            spent += requests
    assert spent <= AT_ONCE + A_SECOND * now + 1e-3
