"""How many of the last attempts went well."""

from hypothesis import given
from hypothesis import strategies as st

from services.router.window import Window


def test_what_is_older_than_the_window_does_not_count() -> None:
    window = Window(30.0)
    window.add(100.0, well=False)
    window.add(110.0, well=True)
    assert (window.well, window.total) == (1, 2)
    window.add(131.0, well=True)
    assert (window.well, window.total) == (2, 2)
    window.add(1e6, well=False)
    assert (window.well, window.total) == (0, 1)


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60), st.floats(1, 60, allow_subnormal=False))
def test_it_counts_what_a_list_of_the_last_buckets_would(steps: list[tuple[float, bool]], seconds: float) -> None:
    window, now, seen = Window(seconds), 0.0, []
    for passed, well in steps:
        now += passed
        window.add(now, well=well)
        seen.append((now // (seconds / 10), well))
        kept = [well for bucket, well in seen if bucket > now // (seconds / 10) - 10]
        assert (window.well, window.total) == (sum(kept), len(kept))
