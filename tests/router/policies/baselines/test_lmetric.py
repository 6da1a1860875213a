"""LMetric. blitz-serving/blitz-router: docs/dsl/policies.md, `lmetric-q`: min by prefill_tokens x (bs + 1)."""

from services.router.policies.baselines.hot_prefixes import HotPrefixes, Reading
from services.router.policies.baselines.lmetric import LMetric
from tests.router.policies.fields import Field


def test_the_score_is_tokens_to_be_read_times_the_batch_with_the_request() -> None:
    field = Field(2, LMetric()).loads(3, 0).waits(0, 500)
    score = field.strategy.score(field.request(hits=(900, 0)), field.targets[0], field.now)
    assert score is not None
    assert score.value == (500 + 100) * 4


def test_a_warm_busy_worker_and_a_cold_idle_one_are_told_apart_by_the_product() -> None:
    field = Field(2, LMetric()).loads(3, 0)
    assert field.choice(field.request(hits=(800, 0))) == 0  # 200 x 4 < 1000 x 1
    assert field.choice(field.request(hits=(700, 0))) == 1


def test_chance_decides_between_equals() -> None:
    field = Field(3, LMetric())
    assert {field.choice() for _ in range(60)} == {0, 1, 2}


def _hot(detector: HotPrefixes, times: int, *, holders: int = 2, others: int = 2, prefers: bool = True) -> list[bool]:
    return [detector.on_request(Reading(1, holders, others, prefers), now=float(turn)) for turn in range(times)]


def test_a_class_is_hot_after_twice_its_holders_in_a_row_once_it_is_suspect() -> None:
    # Suspect from the fifth on; the fourth of those that still go to a holder makes it hot.
    assert _hot(HotPrefixes(), 10) == [False] * 7 + [True] * 3


def test_requests_that_would_leave_the_holders_keep_a_class_from_being_hot() -> None:
    assert not any(_hot(HotPrefixes(), 30, prefers=False))


def test_a_class_that_all_or_none_have_is_not_hot() -> None:
    assert not any(_hot(HotPrefixes(), 30, others=0))
    assert not any(_hot(HotPrefixes(), 30, holders=0))


def test_a_class_within_its_share_of_holders_is_not_hot() -> None:
    detector = HotPrefixes()
    for turn in range(100):
        assert not detector.on_request(Reading(turn % 3, 2, 2, True), now=turn * 0.1)


def test_a_class_cools_down_when_its_window_has_passed() -> None:
    detector = HotPrefixes(window_seconds=60.0)
    _hot(detector, 20)
    assert not detector.on_request(Reading(1, 2, 2, True), now=1000.0)


def test_the_holders_of_a_hot_prefix_are_left_out() -> None:
    field = Field(3, LMetric(detect=True))
    blocks, chosen = [1, 2, 3, 4], []
    for _ in range(12):
        chosen.append(field.choice(field.request(tokens=257, blocks=blocks, hits=(256, 0, 0))))
        field.now += 0.1
    assert chosen[:5] == [0] * 5
    assert 0 not in chosen[-5:]
