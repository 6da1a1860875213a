"""Where a request adds the least latency."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.config import strategy as settings
from services.config.model import Price
from services.router.policies.adaptive import Adaptive
from services.router.pools import Pool
from services.router.progress import Pending
from services.router.request import Request
from tests.router.policies.targets import loaded, pool, request

_PRICE = Price(input=1.0, output=4.0)


def _adaptive(**chosen: float) -> Adaptive:
    return Adaptive(settings.Adaptive(**chosen))


def _chosen(asked: Request, served: Pool, **chosen: float) -> str:
    return _adaptive(**chosen).choose(asked, served.targets, 1000.0, random.Random(1)).worker.name


def test_the_formula_by_hand() -> None:
    served = pool(1)
    target = loaded(served.targets[0], leases=3, pending=[Pending(4000, 1000.0, 1.0)])
    score = _adaptive().score(request(served, input_tokens=2000), target, 1000.0)
    # Read at 20,000 tokens a second after 10 ms. A token takes 7 ms, and 0.04 ms for each of three that run beside it.
    step = 0.007 + 3 * 4e-5
    assert score.terms["wait_seconds"] == pytest.approx(2 * 4000 / 20_000)
    assert score.terms["reading_seconds"] == pytest.approx(2 * (0.01 + 2000 / 20_000))
    assert score.terms["first_step_seconds"] == pytest.approx(2 * step)
    assert score.terms["stall_seconds"] == pytest.approx(3 * 2000 / 20_000)
    assert score.terms["writing_seconds"] == pytest.approx(300 * step)
    # It slows steps as one generation does, and its context of 2000 tokens as 2000 / 700 more.
    assert score.terms["slowing_seconds"] == pytest.approx(300 * 4e-5 * 4 * (1 + 2000 / 700))
    assert score.terms["price_seconds"] == 0
    assert score.value == pytest.approx(0.4 + 0.22 + 0.01424 + 0.3 + 2.136 + 0.185143, rel=1e-5)


def test_a_vendor_slows_nobody_down_and_its_price_is_time() -> None:
    served = pool(1)
    target = loaded(served.targets[0], leases=9, kind="openai", price=_PRICE)
    score = _adaptive(seconds_per_usd=500).score(request(served, input_tokens=2000), target, 1000.0)
    assert score.terms["stall_seconds"] == score.terms["slowing_seconds"] == 0
    # 2000 tokens at 1 USD and 300 at 4 USD for a million: 3.2 thousandths of a dollar.
    assert score.terms["price_nano_usd"] == pytest.approx(3_200_000)
    assert score.terms["price_seconds"] == pytest.approx(1.6)


def test_a_busy_worker_with_the_prompt_cached_beats_an_idle_one_until_it_is_too_busy() -> None:
    served = pool(2)
    blocks = list(range(1, 151))
    served.prefixes.add(0, blocks)
    asked = request(served, input_tokens=9600, blocks=blocks)
    loaded(served.targets[0], leases=3)
    assert _chosen(asked, served) == "main-0"
    loaded(served.targets[0], leases=4, pending=[Pending(20_000, 1000.0, 9.0)])
    assert _chosen(asked, served) == "main-1"


def test_a_long_prompt_goes_where_few_are_stalled() -> None:
    served = pool(2)
    loaded(served.targets[0], leases=20)
    loaded(served.targets[1], leases=1, pending=[Pending(8_000, 1000.0, 9.0)])
    assert _chosen(request(served, input_tokens=50), served) == "main-0"
    assert _chosen(request(served, input_tokens=30_000), served) == "main-1"


def test_one_that_hangs_is_left_alone() -> None:
    served = pool(2)
    loaded(served.targets[0], leases=1, pending=[Pending(10, 990.0, 0.1)])
    loaded(served.targets[1], leases=3)
    assert _chosen(request(served), served) == "main-1"


def test_one_that_failed_just_now_is_left_alone_for_a_while() -> None:
    served = pool(2)
    served.targets[0].speeds.penalise(5.0, 1000.0)
    assert _chosen(request(served), served) == "main-1"


def test_prompts_that_begin_alike_go_to_the_same_worker_and_others_elsewhere() -> None:
    served = pool(4)
    homes = {block: _chosen(request(served, blocks=[block, 7]), served) for block in range(1, 41)}
    assert len(set(homes.values())) == 4
    other = pool(4)
    assert homes == {block: _chosen(request(other, blocks=[block, 8]), other) for block in range(1, 41)}


def test_the_preference_is_worth_no_more_than_its_share() -> None:
    served = pool(2)
    first = _chosen(request(served, blocks=[1]), served)
    preferred = next(target for target in served.targets if target.worker.name == first)
    loaded(preferred, leases=40)
    assert _chosen(request(served, blocks=[1]), served) != first


def test_a_session_returns_to_its_workers_unless_they_are_busy() -> None:
    served = pool(6)
    homes = {_chosen(request(served, affinity=5), served) for _ in range(5)}
    assert len(homes) == 1
    target = next(target for target in served.targets if target.worker.name in homes)
    loaded(target, leases=30)
    second = _chosen(request(served, affinity=5), served)
    assert second not in homes
    assert _chosen(request(served, affinity=6, input_tokens=1), served)


def test_what_is_known_of_the_prompt_outweighs_the_session() -> None:
    served = pool(6)
    home = _chosen(request(served, affinity=5), served)
    elsewhere = next(target for target in served.targets if target.worker.name != home)
    served.prefixes.add(elsewhere.position, [1, 2, 3])
    assert _chosen(request(served, affinity=5, blocks=[1, 2, 3]), served) == elsewhere.worker.name


def test_each_part_can_be_switched_off() -> None:
    served = pool(2)
    served.prefixes.add(0, range(1, 21))
    asked = request(served, blocks=range(1, 21), input_tokens=1300)
    slow = loaded(served.targets[0], leases=4, pending=[Pending(10, 990.0, 0.1)])
    for _ in range(50):
        slow.speeds.on_read(3.0, 1.0, 8000, 1000.0)
        slow.speeds.on_written(3.0, 1.0, 200, 1000.0)

    def terms(**switches: bool) -> dict[str, float]:
        return dict(Adaptive(settings.Adaptive(), **switches).score(asked, slow, 1000.0).terms)

    whole, alike = terms(), terms(learning=False)
    assert whole["wait_seconds"] == pytest.approx(20.0)
    assert terms(age_guard=False)["wait_seconds"] < 0.1
    assert terms(externality=False)["stall_seconds"] == terms(externality=False)["slowing_seconds"] == 0
    assert terms(index=False)["uncached_tokens"] == 1300 > whole["uncached_tokens"] == 20
    for term in ("reading_seconds", "writing_seconds", "stall_seconds", "slowing_seconds"):
        assert whole[term] == pytest.approx(alike[term] * slow.speeds.prefill, rel=0.01)


def test_of_many_workers_the_one_with_the_prompt_is_found() -> None:
    served = pool(100)
    served.prefixes.add(77, range(1, 100))
    asked = request(served, input_tokens=6400, blocks=range(1, 100))
    assert all(
        _adaptive().choose(asked, served.targets, 1000.0, random.Random(seed)).position == 77 for seed in range(20)
    )


def test_of_many_workers_a_vendor_is_always_looked_at() -> None:
    served = pool(60)
    for target in served.targets:
        loaded(target, leases=100, pending=[Pending(1_000_000, 1000.0, 60.0)])
    loaded(served.targets[31], kind="openai", price=_PRICE)
    chosen = {_adaptive().choose(request(served), served.targets, 1000.0, random.Random(s)).position for s in range(20)}
    assert chosen == {31}


_TARGET = st.fixed_dictionaries(
    {
        "leases": st.integers(0, 40),
        "others": st.integers(0, 10),
        "capacity": st.sampled_from([0, 8, 64]),
        "kind": st.sampled_from(["vllm", "openai"]),
        "price": st.sampled_from([None, _PRICE]),
        "pending": st.lists(
            st.builds(Pending, st.integers(1, 20_000), st.floats(900, 1000), st.floats(0, 10)), max_size=3
        ),
    }
)


@given(
    states=st.lists(_TARGET, min_size=1, max_size=8),
    tokens=st.integers(1, 50_000),
    blocks=st.lists(st.integers(1, 9), max_size=6, unique=True),
    affinity=st.integers(0, 3),
    slo=st.sampled_from([None, 0.5, 5.0]),
)
def test_the_chosen_one_has_the_least_score_and_scores_are_finite(
    states: list[dict[str, object]], tokens: int, blocks: list[int], affinity: int, slo: float | None
) -> None:
    served = pool(len(states))
    for target, state in zip(served.targets, states, strict=True):
        loaded(target, **state)  # type: ignore[arg-type]
    for position in range(0, len(states), 2):
        served.prefixes.add(position, blocks[: position + 1])
    asked = request(served, input_tokens=tokens, blocks=blocks, affinity=affinity, slo=slo)
    strategy = _adaptive()
    chosen = strategy.choose(asked, served.targets, 1000.0, random.Random(1))
    scores = [strategy.score(asked, target, 1000.0).value for target in served.targets]
    assert all(math.isfinite(score) and score > 0 for score in scores)
    assert scores[chosen.position] == min(scores)


@given(leases=st.integers(0, 60), more=st.integers(1, 60), tokens=st.integers(1, 50_000), extra=st.integers(1, 50_000))
def test_the_score_grows_with_load_and_with_what_is_to_be_read(leases: int, more: int, tokens: int, extra: int) -> None:
    served = pool(2)
    less, busier = loaded(served.targets[0], leases=leases), loaded(served.targets[1], leases=leases + more)
    strategy, asked = _adaptive(), request(served, input_tokens=tokens)
    assert strategy.score(asked, less, 1000.0).value < strategy.score(asked, busier, 1000.0).value
    longer = request(served, input_tokens=tokens + extra)
    assert strategy.score(asked, less, 1000.0).value < strategy.score(longer, less, 1000.0).value
