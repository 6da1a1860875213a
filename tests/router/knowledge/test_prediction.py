"""What a request is expected to take at a target."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.knowledge.prediction import predict
from services.router.worker import Pending
from tests.router.policies.targets import loaded, pool, request
from tests.router.scene import report


def test_an_idle_engine_takes_the_time_to_read_and_one_step() -> None:
    served = pool(1)
    taken = predict(request(served, input_tokens=2000), served.targets[0], 1000.0)
    assert taken.wait_seconds == 0
    assert taken.reading_seconds == pytest.approx(0.01 + 2000 * 5e-5)
    assert taken.step_seconds == pytest.approx(0.007)
    assert taken.first_content_seconds == pytest.approx(0.117)


def test_prompts_before_it_are_read_first() -> None:
    served = pool(1)
    target = loaded(served.targets[0], leases=1, pending=[Pending(8000, 1000.0, 1.0)])
    assert predict(request(served), target, 1000.0).wait_seconds == pytest.approx(8000 * 5e-5)


def test_what_is_cached_is_not_read() -> None:
    served = pool(2)
    served.prefixes.add(1, [1, 2, 3, 4])
    asked = request(served, input_tokens=300, blocks=[1, 2, 3, 4])
    cold, warm = (predict(asked, target, 1000.0) for target in served.targets)
    assert cold.reading_seconds - warm.reading_seconds == pytest.approx(256 * 5e-5)


def test_a_full_engine_is_waited_for_until_one_of_its_generations_ends() -> None:
    served = pool(1)
    target = loaded(served.targets[0], leases=4, capacity=4)
    taken = predict(request(served), target, 1000.0)
    # One of four ends in each quarter of the time that an answer takes.
    assert taken.wait_seconds == pytest.approx(300 * taken.step_seconds / 4)


def test_a_full_cache_is_waited_for_until_enough_of_what_is_in_it_ends() -> None:
    served = pool(1)
    target = served.targets[0]
    full = report(sequence=2, running=2, kv_usage=0.95, kv_capacity_tokens=40_000)
    target.worker.on_status(full, 1000.0)
    taken = predict(request(served, input_tokens=4000), target, 1000.0)
    # 38,000 are held. 4000 of the prompt and 300 of the answer lack 2300, and all that is held ends in 300 steps.
    assert taken.wait_seconds == pytest.approx(2300 / 38_000 * 300 * taken.step_seconds)


def test_contexts_slow_the_steps_of_an_engine_and_so_do_those_that_others_placed() -> None:
    served = pool(3)
    alone, mine, others = served.targets
    mine.worker.leases, mine.worker.context_placed = 2, 14_000
    others.worker.on_status(report(sequence=2, running=2, kv_usage=0.1, kv_capacity_tokens=140_000), 1000.0)
    steps = [predict(request(served), target, 1000.0).step_seconds for target in (alone, mine, others)]
    # Two generations, and 14,000 tokens that slow a step as 20 more would.
    assert steps == pytest.approx([0.007, 0.007 + 22 * 4e-5, 0.007 + 22 * 4e-5])


def test_one_that_keeps_somebody_waiting_far_too_long_is_expected_to_go_on_so() -> None:
    served = pool(1)
    target = loaded(served.targets[0], leases=1, pending=[Pending(100, 1000.0, 1.0)])
    assert predict(request(served), target, 1002.4).wait_seconds == pytest.approx(100 * 5e-5)
    assert predict(request(served), target, 1002.6).wait_seconds == pytest.approx(2.6)


def test_a_vendor_takes_what_it_takes_whatever_the_prompt() -> None:
    served = pool(1)
    target = loaded(served.targets[0], leases=3, kind="openai")
    short = predict(request(served, input_tokens=10), target, 1000.0)
    long = predict(request(served, input_tokens=50_000), target, 1000.0)
    assert short == long
    assert short.first_content_seconds == pytest.approx(0.6)


@given(
    leases=st.integers(0, 50),
    capacity=st.integers(0, 20),
    waiting=st.integers(0, 100_000),
    tokens=st.integers(1, 100_000),
    more=st.integers(0, 1000),
    kind=st.sampled_from(["vllm", "openai", "echo"]),
)
def test_it_is_finite_and_grows_with_load_and_with_what_is_to_be_read(
    leases: int, capacity: int, waiting: int, tokens: int, more: int, kind: str
) -> None:
    served = pool(2)
    less = loaded(
        served.targets[0], leases=leases, capacity=capacity, kind=kind, pending=[Pending(waiting, 1000.0, 9.0)]
    )
    busier = loaded(
        served.targets[1],
        leases=leases + more,
        capacity=capacity,
        kind=kind,
        pending=[Pending(waiting + more, 1000.0, 9.0)],
    )
    first = predict(request(served, input_tokens=tokens), less, 1000.0)
    then = predict(request(served, input_tokens=tokens + more), busier, 1000.0)
    assert all(math.isfinite(value) and value >= 0 for value in (*first, *then))
    assert first.wait_seconds <= then.wait_seconds
    assert first.first_content_seconds <= then.first_content_seconds + 1e-12
