"""That the remote suite finds, reckons and tells rightly; and one short run of its parts on the upstream itself."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cpu import Usage
from benchmarks.measure import Load, Round
from benchmarks.remote import __main__ as command
from benchmarks.remote import cores, figures, memory, plots, run, suite, table
from benchmarks.remote.contenders import Contenders
from benchmarks.remote.search import greatest
from benchmarks.remote.windows import Failed
from benchmarks.system import System, free_port

_PLAN = suite.Plan(
    rounds=2,
    seconds=0.1,
    requests=(1,),
    streams=(4,),
    token_ms=10.0,
    limit=64,
    search_seconds=0.1,
    memory_streams=4,
)
_REQUESTS, _STREAMS = Load("requests", 1), Load("streams", 4)


def _round(us: Mapping[str, float], *, units: int = 100, p50: float = 1.0, p99: float = 2.0, **more: int) -> Round:
    used = {role: Usage(ns=round(1e3 * one * units)) for role, one in us.items()}
    return Round(1.0, units, {"p50_ms": p50, "p99_ms": p99, "failed": 0, "late": 0, **more}, used, 50.0, 1.0)


@given(st.integers(0, 5000), st.integers(1, 64), st.integers(1, 2048))
def test_the_search_finds_the_greatest_within_its_precision_in_few_tries(truth: int, first: int, limit: int) -> None:
    tried: list[int] = []

    def holds(number: int) -> bool:
        tried.append(number)
        return number <= truth

    first = min(first, limit)
    found = greatest(holds, first=first, limit=limit, within=1.12)
    assert found <= min(truth, limit)
    assert found * 1.12 >= min(truth, limit) - 1
    assert len(tried) == len(set(tried)) <= 20
    assert all(1 <= number <= limit for number in tried)


def test_a_rate_is_kept_where_tokens_come_and_gaps_are_short() -> None:
    assert suite.keeps(4, _round({}, units=400), _PLAN)
    assert not suite.keeps(4, _round({}, units=370), _PLAN)  # of 400 that are offered
    assert not suite.keeps(4, _round({}, units=400, p99=20.1), _PLAN)
    assert not suite.keeps(4, _round({}, units=400, failed=1), _PLAN)
    assert not suite.keeps(4, _round({}, units=400, late=1), _PLAN)


def _windows() -> list[suite.Window]:
    tools = {"client": 20.0, "upstream": 30.0}
    direct = [_round(tools, p50=0.5 + number, p99=1.0 + number) for number in range(2)]
    ours = [
        _round({"gateway": 60.0, "envoy": 40.0, **tools}, p50=2.5 + number, p99=9.0 + number) for number in range(2)
    ]
    peer: list[Round | Failed] = [_round({"peer": 800.0, **tools}, p50=4.5, p99=5.0), Failed("HTTP/1.1 503 | busy")]
    named: dict[str, Sequence[Round | Failed]] = {figures.DIRECT: direct, figures.OURS: ours, "peer": peer}
    return [
        suite.Window(system, _REQUESTS, outcomes[number]) for number in range(2) for system, outcomes in named.items()
    ]


def test_tools_do_not_count_as_the_system() -> None:
    row = figures.figures(_windows(), [], _PLAN)["CPU per request, 1 client, µs"]
    assert row[figures.OURS].values == pytest.approx([100.0, 100.0])
    assert row["peer"].ratio(row[figures.OURS]) == pytest.approx(8.0)
    assert figures.DIRECT not in row


def test_requests_that_failed_have_a_row_where_there_are_any() -> None:
    (direct, ours, *_), row = _windows(), "requests, one after the other: failed of them"
    assert row not in figures.figures([direct, ours], [], _PLAN)
    some = dataclasses.replace(ours, outcome=_round({"gateway": 1.0}, failed=3))
    rows = figures.figures([direct, some], [], _PLAN)
    assert rows[row][figures.OURS].values == [3.0]
    assert rows["CPU per request, 1 client, µs"][figures.OURS] == figures.Figure([], ["3 of 1 failed"])


def test_what_has_not_begun_is_behind_and_no_failure() -> None:
    windows = [
        suite.Window(figures.DIRECT, _STREAMS, _round({"client": 10.0, "upstream": 9.0}, units=400)),
        suite.Window(figures.OURS, _STREAMS, _round({"gateway": 50.0}, units=172, late=3)),
    ]
    rows = figures.figures(windows, [], _PLAN)
    assert rows["4 streams: not begun after a minute"][figures.OURS].values == [3.0]
    assert rows["CPU per token, 4 streams, µs"][figures.OURS].values == pytest.approx([50.0])


def test_what_is_added_is_told_beside_the_direct_answer_of_the_same_round() -> None:
    rows = figures.figures(_windows(), [], _PLAN)
    assert rows["added latency p50, 1 client, ms"][figures.OURS].values == [2.0, 2.0]
    assert rows["added latency p99, 1 client, ms"]["peer"].values == [4.0]


def test_tokens_are_told_by_those_offered_and_by_what_a_core_bears() -> None:
    windows = [
        suite.Window(figures.DIRECT, _STREAMS, _round({"client": 10.0, "upstream": 9.0}, units=400)),
        suite.Window(figures.OURS, _STREAMS, _round({"gateway": 50.0}, units=172)),
    ]
    rates = [suite.Rate(figures.OURS, 3, 299.0, []), suite.Rate(figures.DIRECT, 64, 6400.0, [])]
    rows = figures.figures(windows, rates, _PLAN)
    told = {name: row[figures.OURS].median for name, row in rows.items()}
    assert told["delivered of those offered, 4 streams, %"] == pytest.approx(43.0)
    assert told["tokens/s that a core bears by CPU per token, 4 streams"] == pytest.approx(20_000.0)
    assert told["tokens/s with a p99 gap ≤ 20 ms"] == 299.0
    alone = figures.tools(windows, rates, _PLAN)
    assert alone["client, µs of CPU per token, 4 streams"].values == pytest.approx([10.0])
    assert alone["highest tokens/s with a p99 gap ≤ 20 ms"].values == [6400.0]


def test_a_table_has_medians_spreads_ratios_and_failures() -> None:
    rows = {
        "x": {
            figures.OURS: figures.Figure([10.0, 12.0, 11.0]),
            "peer": figures.Figure([5.5], ["no | answer"]),
            "other": figures.Figure([], ["gave\nup"]),
        }
    }
    assert table.table(rows, [figures.OURS, "peer", "other", "none"]).splitlines() == [
        "| | mesh | peer | other | none |",
        "|---|---:|---:|---:|---:|",
        "| x | 11.0 (10.0–12.0) | 5.50, failed in 1 of 2 rounds ×0.50 | failed: gave up | – |",
    ]


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=9), st.floats(0.001, 1e6))
def test_a_ratio_is_between_those_of_the_least_and_the_greatest(values: list[float], ours: float) -> None:
    ratio = figures.Figure(values).ratio(figures.Figure([ours]))
    assert ratio is not None
    assert min(values) / ours <= ratio * (1 + 1e-9)
    assert ratio <= max(values) / ours * (1 + 1e-9)


def test_nothing_has_no_ratio() -> None:
    one, none, zero = figures.Figure([1.0]), figures.Figure(), figures.Figure([0.0])
    assert one.ratio(none) is none.ratio(one) is one.ratio(zero) is None


def test_a_plot_of_equal_figures_is_an_equal_file(tmp_path: pathlib.Path) -> None:
    rows = figures.figures(_windows(), [], _PLAN)
    one, other = (plots.draw(rows, [figures.OURS, "peer", "none"], tmp_path / name) for name in ("a.svg", "b.svg"))
    assert one.read_bytes() == other.read_bytes()
    assert b"<svg" in one.read_bytes()


def test_tools_have_a_core_and_come_first() -> None:
    where = cores.places({3, 1, 2}, nice=0)
    assert (where.tools.cores, where.system.cores) == ({1}, {1, 2, 3})
    assert where.system.nice > where.tools.nice


def test_what_is_started_at_a_place_runs_there() -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    place = cores.Place({min(os.sched_getaffinity(0))}, min(19, mine + 1))
    with cores.starter(place) as thread:
        assert thread.submit(os.sched_getaffinity, 0).result() == place.cores
        assert thread.submit(os.getpriority, os.PRIO_PROCESS, 0).result() == place.nice
    assert os.getpriority(os.PRIO_PROCESS, 0) == mine


def test_a_process_named_twice_takes_its_memory_once() -> None:
    once, twice = memory.of({"me": [os.getpid()]}), memory.of({"me": [os.getpid()], "again": [os.getpid()]})
    assert once.rss >= once.pss > 1 << 20
    assert twice.rss < 1.5 * once.rss


def test_a_kept_run_says_no_path_of_the_machine() -> None:
    found = run.Found(windows=_windows(), rates=[suite.Rate("peer", 0, 0.0, [(1, "no")])])
    taking_part = Contenders(versions={"peer": "1.2"}, failures={"x": "why"})
    kept = json.loads(
        json.dumps(command.content(found, taking_part, _PLAN, cores.places({0, 1}, nice=0), ["--lock", "/tmp/l"]))
    )
    assert kept["command"] == "python -m benchmarks.remote --lock …"
    assert kept["figures"]["CPU per request, 1 client, µs"]["peer"]["failures"] == ["HTTP/1.1 503 | busy"]
    assert kept["not_started"] == {"x": "why"}
    assert kept["versions"]["peer"] == "1.2"


@pytest.mark.slow
def test_windows_rates_and_memory_of_the_upstream_itself() -> None:
    with run.field_of(_PLAN.token_ms) as (field, port):
        processes = {"upstream": [field.upstream.pid]}
        direct = System(figures.DIRECT, port, processes, model="bench", key="any", headers={"x-any": "header"})
        found = list(suite.windows(field, [direct], [_REQUESTS, _STREAMS], seconds=1.0))
        rate = suite.rate(field, direct, dataclasses.replace(_PLAN, limit=1))
        load = Load("streams", _PLAN.memory_streams, pace_ms=3_600_000)
        rest, _ = memory.per_stream(field, direct, load)
    assert [one.load for one in found] == [_REQUESTS, _STREAMS]
    assert not any(isinstance(one.outcome, Failed) for one in found), found
    assert rate.tried[0][0] == 1
    assert rest.pss > 1 << 20


@pytest.mark.slow
def test_a_system_that_fails_is_a_result() -> None:
    with run.field_of(_PLAN.token_ms) as (field, _):
        gone = System("gone", free_port(), {"gone": [field.upstream.pid]}, model="bench")
        assert isinstance(field.window(gone, _REQUESTS, seconds=0.1), Failed)
