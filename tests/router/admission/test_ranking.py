"""The lowest of values that change."""

from hypothesis import given
from hypothesis import strategies as st

from services.router.admission.ranking import Ranking

_NAMES = ("a", "b", "c", "d")


@given(st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(("add", "discard", "set")), st.integers(0, 5))))
def test_the_least_is_found_whatever_changes(steps: list[tuple[str, str, int]]) -> None:
    values = dict.fromkeys(_NAMES, 0.0)
    ranking, there = Ranking(lambda name: values[name]), set()
    for name, act, value in steps:
        match act:
            case "add":
                ranking.add(name)
                there.add(name)
            case "discard":
                ranking.discard(name)
                there.discard(name)
            case _:
                values[name] = value
                ranking.lowered(name)
        assert len(ranking) == len(there)
        assert ranking.least() == min(there, key=lambda one: (values[one], one), default=None)


def test_entries_that_are_out_of_date_do_not_pile_up() -> None:
    ranking = Ranking(lambda _: 1.0)
    for _ in range(10_000):
        ranking.add("a")
        ranking.discard("a")
        ranking.add("b")
    assert len(ranking._heap) < 200
