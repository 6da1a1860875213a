"""That growth is told rightly: what is offered, what is counted, what is said of it."""

import json
import os
import statistics
import subprocess
import sys

import pytest

from benchmarks.scale import keeping, memory, parts
from benchmarks.scale.client import paces, request
from benchmarks.scale.window import Held, Streams
from benchmarks.system import System


@pytest.mark.parametrize("streams", [1, 2, 64, 4000])
def test_streams_of_different_paces_offer_the_rate_that_one_pace_would(streams: int) -> None:
    each = paces(40.0, streams, 0.25)
    assert sum(1e3 / pace for pace in each) == pytest.approx(streams * 1e3 / 40.0)
    assert len(set(each)) == streams
    assert max(each) / min(each) <= 1.25 / 0.75 + 1e-9


def test_a_request_says_its_own_pace() -> None:
    head, _, body = request(7.5).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["echo"]["token_ms"] == 7.5


def test_a_rate_is_shared_out_among_streams() -> None:
    assert Streams(64, 1600.0).token_ms == 40.0
    assert Streams(4000, 1600.0).token_ms == 2500.0


def test_a_larger_mesh_is_asked_for_as_much_by_each_or_in_all() -> None:
    each = [point.load for point in parts.PARTS["gateways, each with the same load"]]
    assert [load.rate / load.count for load in each if isinstance(load, Streams)] == [25.0, 25.0, 25.0]
    assert len({point.load for point in parts.PARTS["gateways, the same load in all"]}) == 1
    assert [point.label for point in parts.PARTS["workers"]] == ["1 worker", "4 workers", "16 workers", "64 workers"]


def test_what_the_kernel_shares_out_is_read() -> None:
    rollup = "55d0-7ffe ---p 00000000 00:00 0   [rollup]\nRss:   70500 kB\nPss:   43010 kB\nPss_Dirty:  40000 kB\n"
    assert memory.parse(rollup) == (43010, 70500)


def test_a_process_that_takes_memory_has_more_of_it() -> None:
    program = "import sys; sys.stdin.readline(); kept = b'x' * (16 << 20); print(flush=True); sys.stdin.readline()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        before = memory.of([child.pid])
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        grown = memory.of([child.pid]).pss - before.pss
        child.communicate(b"\n")
    assert 15 << 10 < grown < 24 << 10
    assert before.descriptors >= 3


def test_what_a_stream_holds_is_what_came_with_the_streams() -> None:
    before, during = {"gateway": memory.Memory(pss=40_000)}, {"gateway": memory.Memory(pss=90_000)}
    assert Held(1000, before, during, before).per_stream("gateway") == 50.0


def _round(gateway: float, worker: float = 10.0) -> keeping.Kept:
    return {"us": {"gateway": gateway, "worker": worker, "client": 99.0}, "units": 800, "seconds": 0.5}


def test_growth_is_the_median_of_what_rounds_say() -> None:
    first, later = [_round(50.0), _round(100.0), _round(60.0)], [_round(60.0), _round(110.0), _round(90.0)]
    assert keeping.growth(later, first, "gateway") == statistics.median([1.2, 1.1, 1.5])
    table = keeping.table({"1 gateway": first, "2 gateways": later})
    assert "| 2 gateways | 1600 | 10.0 (10.0–10.0) | 90.0 (60.0–110.0) |" in table
    assert table.splitlines()[-1].endswith("| 1.20 | 1.17 |")  # the client is no part of the mesh


def test_rounds_join_those_that_are_kept() -> None:
    kept = {"workers": {"1 worker": [1]}, "memory": {"some": {"a": 1}}}
    keeping.add(kept, {"workers": {"1 worker": [2], "4 workers": [3]}, "memory": {"some": {"a": 2}}})
    assert kept == {"workers": {"1 worker": [1, 2], "4 workers": [3]}, "memory": {"some": {"a": 2}}}


def test_a_start_is_told_by_process() -> None:
    one = {"seconds": 1.5, "cpu_seconds": 0.5, "pss": 40 << 10, "rss": 64 << 10}
    table = keeping.starts_table(
        {"together": [{"echo-0": one}], "alone": [{"worker": one}], "imports": [{"worker": 0.25}]}
    )
    assert table.splitlines()[-1] == (
        "| worker | 1.50 (1.50–1.50) | 1.50 (1.50–1.50) | 0.50 (0.50–0.50) | 0.25 (0.25–0.25) | 40.0 | 64.0 |"
    )


def test_this_process_is_one_of_a_system() -> None:
    system = System("test", 1, {"me": [os.getpid()]})
    assert memory.sample(system.processes)["me"].threads >= 1
