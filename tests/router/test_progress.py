"""Whether a worker gets on with what it has."""

import math

import pytest

from services.router.progress import Pending, Progress


def _waiting(*attempts: tuple[str, float], expected: float | None = None, tokens: int = 0) -> Progress:
    progress = Progress(3.0)
    for name, placed_at in attempts:
        progress.on_waiting(name, Pending(tokens, placed_at, expected))
    return progress


def test_who_has_nothing_to_do_does_not_stall() -> None:
    progress = _waiting(("a", 10.0))
    progress.on_left("a")
    assert progress.stalls_at == math.inf
    assert not progress.look(1e9)


@pytest.mark.parametrize(("expected", "patience"), [(None, 3.0), (0.1, 3.0), (2.0, 20.0)])
def test_patience_is_ten_times_what_was_expected_and_some_seconds_at_least(
    expected: float | None, patience: float
) -> None:
    progress = _waiting(("a", 10.0), expected=expected)
    assert not progress.stalled(10.0 + patience - 0.01)
    assert progress.stalled(10.0 + patience)


def test_where_nothing_was_expected_it_is_what_is_usual_and_what_a_long_prompt_takes() -> None:
    progress = _waiting(("a", 10.0), tokens=50_000)
    assert progress.stalls_at == 10.0 + 100.0
    progress = _waiting()
    progress.on_first_content(2.0, 9.0)
    progress.on_waiting("a", Pending(0, 10.0, None))
    assert progress.stalls_at == 10.0 + 20.0


def test_a_queue_that_moves_is_no_stall() -> None:
    progress = _waiting(("a", 10.0), ("b", 10.0))
    for second in range(11, 30):
        progress.on_moved(float(second))
        assert not progress.stalled(second + 2.9)
    assert progress.stalled(29 + 3.0)


def test_the_next_oldest_counts_once_the_oldest_has_left() -> None:
    progress = _waiting(("a", 10.0), ("b", 12.0))
    progress.on_left("a")
    assert progress.stalls_at == 15.0
    progress.on_left("a")
    assert (progress.stalls_at, progress.tokens) == (15.0, 0)


def test_one_that_has_stalled_stays_so_when_its_callers_give_up_until_something_comes() -> None:
    progress = _waiting(("a", 10.0))
    assert progress.look(13.0)
    progress.on_left("a")
    assert progress.stalled(13.1)
    progress.on_moved(20.0)
    assert not progress.stalled(1e9)


def test_a_caller_who_gives_up_early_makes_nobody_stall() -> None:
    progress = _waiting(("a", 10.0))
    progress.on_left("a")
    assert not progress.look(14.0)


def test_a_trial_is_due_ten_seconds_after_the_last_attempt_went_there() -> None:
    progress = _waiting(("a", 10.0), ("b", 12.0))
    progress.look(13.0)
    assert progress.bars(13.0) == (True, 22.0)
    assert progress.bars(21.9) == (True, 22.0)
    assert progress.bars(22.0) == (False, math.inf)
    progress.on_waiting("trial", Pending(0, 22.0, None))
    assert progress.bars(22.0) == (True, 32.0)


def test_a_new_process_has_not_stalled_and_gets_its_time_for_what_is_still_to_be_ended() -> None:
    progress = _waiting(("a", 10.0))
    progress.look(50.0)
    progress.reset(60.0)
    assert not progress.stalled(62.9)
    assert progress.stalled(63.0)


def test_what_was_lost_in_a_stall_makes_no_new_one_but_what_comes_later_may() -> None:
    progress = _waiting(("lost", 10.0))
    progress.look(13.0)
    progress.on_moved(20.0)
    assert not progress.stalled(1e9)
    progress.on_waiting("new", Pending(0, 21.0, None))
    assert progress.stalls_at == 24.0
    progress.on_left("new")
    assert not progress.stalled(1e9)
