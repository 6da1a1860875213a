"""Peak EWMA.

Finagle: finagle-core/src/test/scala/com/twitter/finagle/loadbalancer/p2c/P2CPeakEwmaTest.scala, whose three runs are
repeated here on fewer nodes, with its decay of 150 steps of the clock.
"""

import collections
import math
from collections.abc import Sequence

import pytest

from services.router.policies.baselines.peak_ewma import PeakEwma, PeakMean
from services.router.request import Request
from tests.router.policies.fields import Field


def _run(latencies: Sequence[int], requests: int) -> Field:
    """A request for each step of the clock, ending after its target's latency. Targets' turns count them."""
    field = Field(len(latencies), PeakEwma(decay_seconds=150.0))
    ends: dict[int, list[tuple[int, Request]]] = collections.defaultdict(list)
    for step in range(requests):
        field.now = float(step)
        request = field.request()
        chosen = field.choice(request)
        field.place(chosen, request)
        field.targets[chosen].turn += 1
        ends[step + latencies[chosen]].append((chosen, request))
        for index, ended in ends.pop(step, ()):
            field.end(index, ended, float(latencies[index]))
    return field


def test_identical_nodes_share_evenly() -> None:
    counts = [target.turn for target in _run([5] * 10, 4000).targets]
    assert max(counts) - min(counts) < 120, counts


def test_a_node_without_history_is_probed_at_most_once() -> None:
    counts = [target.turn for target in _run([1] * 10 + [10_000], 4000).targets]
    assert counts[-1] == 1


def test_a_node_of_twice_the_latency_gets_clearly_less() -> None:
    counts = [target.turn for target in _run([5] * 10 + [10], 4000).targets]
    assert counts[-1] < 0.8 * sum(counts[:-1]) / 10, counts


def test_a_decay_time_later_a_silent_mean_is_a_share_of_e() -> None:
    # linkerd2-proxy, linkerd/ewma/src/lib.rs, test_decay.
    mean = PeakMean()
    mean.observe(1.0, 1.0, 10.0)
    assert mean.value == 1.0
    mean.observe(0.0, 11.0, 10.0)
    assert mean.value == pytest.approx(math.exp(-1))


def test_a_peak_replaces_the_mean_at_once_and_a_lower_latency_moves_it_little() -> None:
    # linkerd2-proxy, linkerd/ewma/src/lib.rs, test_add_peak and test_add_peak_retains_higher_value.
    mean = PeakMean()
    mean.observe(1.0, 1.0, 10.0)
    mean.observe(10.0, 1.5, 10.0)
    assert mean.value == 10.0
    mean.observe(1.0, 1.6, 10.0)
    assert 9.0 < mean.value < 10.0


def test_a_score_changes_nothing() -> None:
    field = Field(2, PeakEwma())
    request = field.request()
    field.place(0, request)
    field.end(0, request, 2.0)
    field.loads(3, 0)
    field.now += 10
    seen = [field.strategy.score(request, field.targets[0], field.now) for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0] is not None
    assert seen[0].value == pytest.approx(2 * math.exp(-1) * 4)


def test_first_contents_count_where_that_is_wanted() -> None:
    field = Field(2, PeakEwma(until="first_content"))
    request = field.request()
    field.end(0, request, 50.0)
    field.strategy.on_first_content(request, field.targets[0], 0.5, field.now)
    score = field.strategy.score(request, field.targets[0], field.now)
    assert score is not None
    assert score.terms["mean_seconds"] == 0.5


def test_a_new_process_has_no_history() -> None:
    field = Field(2, PeakEwma())
    field.end(0, field.request(), 5.0)
    field.strategy.on_reset(field.targets[0])
    score = field.strategy.score(field.request(), field.targets[0], field.now)
    assert score is not None
    assert score.terms["mean_seconds"] == 0.0
