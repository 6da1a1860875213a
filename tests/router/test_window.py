"""How many of the last attempts went well."""

from hypothesis import given
from hypothesis import strategies as st

from services.router.window import Window


def test_what_is_older_than_the_window_does_not_count() -> None:
    window = Window(30.0, 20)
    window.add(100.0, well=False)
    window.add(110.0, well=True)
    assert (window.well, window.total) == (1, 2)
    window.add(130.0, well=True)
    assert (window.well, window.total) == (2, 2)
    window.add(1e6, well=False)
    assert (window.well, window.total) == (0, 1)


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60), st.integers(1, 30))
def test_it_counts_the_last_attempts_that_are_not_too_old(steps: list[tuple[float, bool]], attempts: int) -> None:
    window, now, seen = Window(30.0, attempts), 0.0, []
    for passed, well in steps:
        now += passed
        window.add(now, well=well)
        seen.append((now, well))
        kept = [went_well for at, went_well in seen[-attempts:] if at > now - 30.0]
        assert (window.well, window.total) == (sum(kept), len(kept))
