"""That a measurement measures: a short run of everything, and what is pure."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Literal

import psutil
import pytest

from benchmarks import cpu, first_byte, ledger, profile, workers
from benchmarks.measure import Load, measure
from benchmarks.quantiles import quantile, spread
from benchmarks.skeleton.running import skeleton

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.edge
def test_a_short_run_has_sane_numbers(tmp_path: pathlib.Path) -> None:
    for attempt in range(3):  # what else the machine does makes some of them slow
        cases = _short_run(tmp_path / str(attempt))
        streams = cases["mesh", "8 streams"]
        if 400 < streams["tokens/s"]["median"] < 850 and streams["pieces per HTTP write"]["median"] < 2.0:
            break
    assert 400 < streams["tokens/s"]["median"] < 850  # 800 are offered
    assert 1.0 <= streams["pieces per HTTP write"]["median"] < 2.0
    for role in ("worker", "gateway", "envoy"):
        assert 1.0 < streams[f"{role}, µs"]["median"] < 2_000.0
        assert 50.0 < cases["mesh", "requests, 2 at once"][f"{role}, µs"]["median"] < 50_000.0


def _short_run(results: pathlib.Path) -> dict[tuple[str, str], dict[str, dict[str, float]]]:
    """The figures by system and load."""
    asked = ["--mesh-only", "--rounds", "1", "--seconds", "1", "--streams", "8", "--requests", "2", "--name", "short"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", *asked, "--results", str(results)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/gen"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| gateway, µs |" in done.stdout
    (path,) = results.glob("*-short.json")
    return {(case["system"], case["load"]): case["figures"] for case in json.loads(path.read_text())["cases"]}


def test_what_a_way_adds_is_told_pair_by_pair() -> None:
    times = first_byte.Times(1, {"worker, gRPC": [1.0, 2.0, 9.0], "edge": [2.0, 4.0, 9.5]})
    direct, edge = times.rows()
    assert (direct["added_p50_ms"], direct["ratio_p50"]) == (0.0, 1.0)
    assert (edge["p50_ms"], edge["added_p50_ms"], edge["ratio_p50"]) == (4000.0, 1000.0, 2.0)


@pytest.mark.slow
@pytest.mark.edge
@pytest.mark.parametrize("kind", ["streams", "requests"])
def test_the_skeleton_answers_the_same_client(kind: Literal["streams", "requests"]) -> None:
    with skeleton(token_ms=10) as system:
        for _ in range(3):  # what else the machine does makes some of them slow
            one = measure(system, Load(kind, 4), seconds=0.5)
            if kind != "streams" or 100 < one.units / one.seconds < 450:
                break
    assert all(one.cost(role) > 1.0 for role in ("worker", "gateway", "envoy"))
    if kind == "streams":
        assert 100 < one.units / one.seconds < 450  # 400 are offered


def test_the_kernel_counts_what_a_process_burns() -> None:
    before = cpu.sample({"me": [os.getpid()]})["me"]
    sum(range(5_000_000))
    used = cpu.sample({"me": [os.getpid()]})["me"] - before
    assert used.ns > 10_000_000
    assert used.threads["main"] == pytest.approx(used.ns, rel=0.2)


def test_a_child_that_ends_while_it_is_looked_at_has_no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(process: psutil.Process) -> list[psutil.Process]:
        raise psutil.NoSuchProcess(process.pid)

    monkeypatch.setattr(psutil.Process, "children", gone)
    assert cpu.sample({"me": [os.getpid()]})["me"].ns > 0


def test_a_child_counts_with_its_parent_unless_it_has_a_name() -> None:
    burn = "sum(range(5_000_000)); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        together = cpu.sample({"me": [os.getpid()]})["me"].ns
        apart = cpu.sample({"me": [os.getpid()], "child": [child.pid]})
        child.communicate(b"\n")
    assert apart["child"].ns > 10_000_000
    assert together >= apart["child"].ns
    assert apart["me"].ns < together + 50_000_000


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (("uv_run (core.c:4)", "epoll_pwait (libc.so.6)"), None),
        (("WorkerSession._read (services/gateway/session.py:116)",), "session: reading, parsing, handing out"),
        (
            ("Attempt.events (services/gateway/attempt.py:92)", "Event.wait (asyncio/locks.py:210)"),
            "attempt: waiting for events, credit",
        ),
        (("Reply.write (services/gateway/openai/reply.py:98)",), "face: building HttpBody, resuming"),
        (
            ("Reply.write (services/gateway/openai/reply.py:100)", "0x7f (grpc/_cython/cygrpc.so)"),
            "face: context.write (serialize, HTTP/2 frames)",
        ),
        (("0x7f (grpc/_cython/cygrpc.so)", "sendmsg (libc.so.6)"), "system calls: sending to a peer"),
        (("0x7f (grpc/_cython/cygrpc.so)",), "grpc.aio: completions, tasks"),
    ],
)
def test_a_sample_belongs_to_the_layer_nearest_to_its_leaf(leaf: tuple[str, ...], expected: str | None) -> None:
    for program in ("services/gateway/__main__.py", "benchmarks/skeleton/gateway.py"):
        root = (f"<module> ({program}:90)", f"main ({program}:80)", "Runner.run (asyncio/runners.py:118)")
        assert profile.layer((*root, *leaf)) == expected


def test_other_threads_are_not_the_main_threads_samples() -> None:
    lines = [
        "<module> (x/__main__.py:1);_stream (services/gateway/openai/chat/answer.py:69) 3",
        "Thread._bootstrap (threading.py:1002);SpoolWriter._run (services/gateway/spool/writer.py:81) 9",
    ]
    assert profile.fold(lines).total() == 3


def test_quantiles_of_small_samples() -> None:
    assert quantile([], 0.5) == 0
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 3.0, 4.0]
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}


@pytest.mark.slow
def test_the_ledger_has_a_rate_and_costs() -> None:
    loaded = ledger.loading(10_000)
    assert loaded["requests_per_second"] > 100
    assert 5.0 < loaded["loader_us"] < 5000.0
    assert 5.0 < loaded["postgres_us"] < 5000.0
    assert 5.0 < ledger.accounting("warning", 200.0, 0.5)["gateway_us"] < 5000.0


@pytest.mark.slow
def test_a_worker_alone_has_a_cost_and_layers() -> None:
    with workers.subject("openai", token_ms=10) as one:
        for _ in range(3):  # what else the machine does makes some of them slow
            window = workers.measure(one, streams=4, seconds=0.5)
            if 100 < window.tokens / window.seconds < 450:
                break
    assert 100 < window.tokens / window.seconds < 450  # 400 are offered
    assert window.cost("worker") > 1.0
    assert "| openai |" in workers.table({"openai": [window]})


_A_BOUND = ("Upstream.read (services/workers/vendor/upstream.py:9)", "timeout_at (asyncio/timeouts.py:3)")


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (("ResponseHandler.data_received (aiohttp/client_proto.py:4)",), "transport: aiohttp"),
        (("Answer.events (services/workers/gemini/decode.py:9)",), "wire: decoding"),
        (_A_BOUND, "vendor: reading, bounds on waiting"),
    ],
)
def test_a_workers_sample_belongs_to_the_layer_nearest_to_its_leaf(leaf: tuple[str, ...], expected: str) -> None:
    root = ("<module> (services/workers/__main__.py:90)", "Runner.run (asyncio/runners.py:118)")
    assert profile.worker_layer((*root, *leaf)) == expected
