"""Requests come as traces and settings have them."""

import gzip
import itertools
import pathlib
import statistics

import pytest

from services.router.simulator.mesh import requests
from services.router.simulator.sections import Generated, Tenant, Traffic
from services.router.simulator.traffic import arrivals, generator, trace
from services.router.simulator.traffic.request import Request
from tests.router.simulator.scenes import scenario

_MOONCAKE = (
    '{"timestamp": 27000, "input_length": 1300, "output_length": 52, "hash_ids": [46, 47, 48]}\n'
    '{"timestamp": 27500, "input_length": 600, "output_length": 1, "hash_ids": [46, 50]}\n'
)
_AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n"
)


def _written(folder: pathlib.Path, text: str, *, packed: bool = False) -> pathlib.Path:
    path = folder / "trace"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_mooncakes_format_is_read(tmp_path: pathlib.Path, packed: bool) -> None:
    first, second = trace.read(_written(tmp_path, _MOONCAKE, packed=packed))
    assert (first.at, second.at) == (0.0, 0.5)
    assert (first.input_tokens, first.output_tokens) == (1300, 52)
    assert len(first.blocks) == 2, "only whole blocks can be found again"
    assert second.blocks == first.blocks[:1]


@pytest.mark.parametrize("packed", [False, True])
def test_azures_format_is_read(tmp_path: pathlib.Path, packed: bool) -> None:
    first, second = trace.read(_written(tmp_path, _AZURE, packed=packed))
    assert (first.at, second.at) == (0.0, pytest.approx(0.052))
    assert (second.input_tokens, second.output_tokens, second.blocks) == (3180, 8, ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1: neither JSON lines nor a header"),
        ("a,b\n1,2\n", ":1: neither JSON lines nor a header"),
        (_AZURE + "yesterday,1,2\n", ":4: not a line of an Azure trace"),
        (_MOONCAKE + '{"timestamp": 1}\n', ":3: not a line of a Mooncake trace"),
        (_MOONCAKE + "[]\n", ":3: not a line of a Mooncake trace"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "there are no requests in it"),
    ],
)
def test_what_is_no_trace_is_told_by_its_line(tmp_path: pathlib.Path, text: str, told: str) -> None:
    with pytest.raises(trace.TraceError, match=told):
        trace.read(_written(tmp_path, text))


def test_a_trace_that_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(trace.TraceError, match="cannot be read"):
        trace.read(tmp_path / "none")


def _source(count: int = 2000) -> list[Request]:
    return [Request(number, number * 0.1, 100, 10, conversation=number // 4) for number in range(count)]


def test_who_is_left_out_does_not_depend_on_the_rate() -> None:
    slow = arrivals.arrive(_source(), Traffic(rate=1.0), (), 7)
    fast = arrivals.arrive(_source(), Traffic(rate=4.0), (), 7)
    assert [request.identity for request in slow] == [request.identity for request in fast]
    assert [request.at for request in fast] == pytest.approx([request.at / 4 for request in slow])
    assert len(slow) == pytest.approx(1800, abs=60)
    assert {r.identity for r in slow} != {r.identity for r in arrivals.arrive(_source(), Traffic(), (), 8)}


def test_a_window_is_of_the_sources_time_and_begins_at_nought() -> None:
    traffic = Traffic(window_seconds=(50.0, 60.0), thin=0.0, jitter_seconds=0.0, rate=2.0)
    found = arrivals.arrive(_source(), traffic, (), 1)
    assert [request.identity for request in found] == list(range(500, 600))
    assert found[0].at == 0.0
    assert found[-1].at == pytest.approx(9.9 / 2)


def test_a_window_with_nothing_in_it_is_told(tmp_path: pathlib.Path) -> None:
    traffic = {"trace": str(_written(tmp_path, _AZURE)), "window_seconds": (100.0, 200.0)}
    with pytest.raises(trace.TraceError, match="no request is in the window"):
        requests(scenario(traffic=traffic), 1)


def test_tenants_share_the_traffic_and_a_conversation_has_one_of_them() -> None:
    tenants = (Tenant(key="greedy", share=3, weight=2, criticality="sheddable", first_seconds=9), Tenant(key="meek"))
    found = arrivals.arrive(_source(), Traffic(thin=0.0), tenants, 1)
    greedy = [request for request in found if request.key == "greedy"]
    assert len(greedy) == pytest.approx(1500, abs=120)
    assert {(r.key_weight, r.criticality, r.first_seconds) for r in greedy} == {(2.0, 1, 9.0)}
    keys = {}
    for request in found:
        assert keys.setdefault(request.conversation or -request.identity, request.key) == request.key


def test_the_generator_keeps_its_settings() -> None:
    settings = Generated(requests=4000, requests_per_second=5.0, burstiness=3.0, output_tokens=200, think_seconds=5)
    found = list(generator.generate(settings, 3))
    assert found == list(generator.generate(settings, 3))
    other = generator.generate(settings, 4)
    assert found[:9] != list(itertools.islice(other, 9))
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(found)]
    # Of gaps this uneven the mean of 4,000 has a standard error of 5 %.
    assert statistics.mean(gaps) == pytest.approx(0.2, rel=0.15)
    assert statistics.stdev(gaps) / statistics.mean(gaps) == pytest.approx(3.0, rel=0.15)
    assert statistics.median(request.output_tokens for request in found) == pytest.approx(200, rel=0.05)
    assert max(request.input_tokens + request.output_tokens for request in found) <= settings.context_tokens


def test_a_conversations_turn_begins_with_the_turns_before_it() -> None:
    turns: dict[int, list[Request]] = {}
    for request in generator.generate(Generated(requests=1000), 1):
        turns.setdefault(request.conversation, []).append(request)
    grown = [one for one in turns.values() if len(one) > 2]
    assert grown
    for one in grown:
        for earlier, later in itertools.pairwise(one):
            assert later.blocks[: len(earlier.blocks)] == earlier.blocks
            assert later.input_tokens > earlier.input_tokens + earlier.output_tokens


def test_popular_prefixes_are_shared_between_conversations() -> None:
    settings = Generated(requests=1000, prefixes=20, prefix_tokens=1024, continue_share=0.0)
    firsts = [request.blocks[0] for request in generator.generate(settings, 1)]
    most = max(firsts.count(block) for block in set(firsts))
    assert len(set(firsts)) == 20
    assert most > 3 * len(firsts) / 20
