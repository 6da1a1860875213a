"""Where a gateway's CPU goes: threads by the kernel's accounting, the main thread's layers by py-spy's samples."""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence

from benchmarks.measure import Load, client, measure
from benchmarks.system import System

_RATE = 400

_WAITING = re.compile(r"epoll_p?wait ")
_SEND = re.compile(r"sendmsg ")
_WAKE = re.compile(r"(eventfd_write|write|syscall|sock_recv\w*|recv) \(")
_GRPC = "cygrpc"
_LOOP = "Runner.run "  # what is nearer to the root is how the process began
# The first that matches the Python frame nearest to the leaf. None: its caller says what it was for.
_PYTHON: Sequence[tuple[str, str | None]] = (
    ("Queue.get ", "attempt: waiting for events, credit"),
    ("asyncio/", None),
    ("json/", None),
    ("gateway/session.py", "session: reading, parsing, handing out"),
    ("grpc/aio/_call.py", "session: reading, parsing, handing out"),
    ("grpc/_common.py", "session: reading, parsing, handing out"),
    ("Gateway.read ", "session: reading, parsing, handing out"),
    ("Attempt.deliver", "session: reading, parsing, handing out"),
    ("Attempt._wake", "session: reading, parsing, handing out"),
    ("gateway/attempt.py", "attempt: waiting for events, credit"),
    ("gateway/generation.py", "generation: commit, counting"),
    ("gateway/undertaking.py", "generation: commit, counting"),
    ("openai/chat/response.py", "SSE codec"),
    ("openai/lines.py", "SSE codec"),
    ("skeleton/sse.py", "SSE codec"),
    ("openai/face.py", "face"),
    ("openai/reply.py", "face"),
    ("openai/chat/answer.py", "face"),
    ("skeleton/gateway.py", "face"),
    ("chassis/", "chassis: interceptor, logs, metrics"),
    ("gateway/spool", "recorder and spool"),
    ("gateway/recorder.py", "recorder and spool"),
    ("gateway/placement.py", "placement and fleet"),
    ("gateway/fleet.py", "placement and fleet"),
)
_WRITE = "face: context.write (serialize, HTTP/2 frames)"
_BODY = "face: building HttpBody, resuming"


# The same for a worker, whatever its provider.
_WORKER: Sequence[tuple[str, str | None]] = (
    ("asyncio/", None),
    ("h11/", "transport: h11"),
    ("httpcore", "transport: httpcore"),
    ("httpx2/", "transport: httpx, anyio"),
    ("anyio/", "transport: httpx, anyio"),
    ("vendor/upstream.py", "vendor: reading, bounds on waiting"),
    ("vendor/stream.py", "vendor: reading, bounds on waiting"),
    ("vendor/frames.py", "vendor: events out of bytes"),
    ("workers/openai/", "wire: decoding"),
    ("workers/gemini/", "wire: decoding"),
    ("workers/vllm/", "wire: decoding"),
    ("json/", "wire: decoding"),
    ("workers/echo.py", "echo: pacing"),
    ("vllm/", "vLLM: its side of the engine"),
    ("msgspec", "vLLM: its side of the engine"),
    ("zmq/", "vLLM: its side of the engine"),
    ("workers/execution.py", "attempt: grammar, deadline"),
    ("workers/order.py", "attempt: grammar, deadline"),
    ("workers/account.py", "status, metrics, logs"),
    ("workers/grammar.py", "attempt: grammar, deadline"),
    ("workers/session.py", "session: credit, outbox, writing"),
    ("workers/outbox.py", "session: credit, outbox, writing"),
    ("workers/service.py", "session: credit, outbox, writing"),
    ("workers/status.py", "status, metrics, logs"),
    ("chassis/", "status, metrics, logs"),
)


def worker_layer(stack: Sequence[str]) -> str | None:
    """What a sample of a worker's main thread was for; None when it was waiting."""
    return layer(stack, _WORKER)


def layer(stack: Sequence[str], marks: Sequence[tuple[str, str | None]] = _PYTHON) -> str | None:
    """What a sample of the main thread was for; None when it was waiting. `stack` begins at the root."""
    in_grpc = False
    for frame in reversed(stack):
        if _WAITING.match(frame):
            return None
        if _SEND.match(frame):
            return "system calls: sending to a peer"
        if _WAKE.match(frame):
            return "system calls: waking threads and the loop"
        if _LOOP in frame:
            break
        in_grpc = in_grpc or _GRPC in frame
        if ".py:" in frame:
            name = next((name for mark, name in marks if mark in frame), None)
            if name == "face":
                return _WRITE if in_grpc else _BODY
            if name is not None:
                return name
    return "grpc.aio: completions, tasks" if in_grpc else "event loop: uvloop, asyncio"


def fold(lines: Iterable[str], of: Callable[[Sequence[str]], str | None] = layer) -> collections.Counter[str]:
    """Samples of the main thread by layer, from py-spy's raw format."""
    layers: collections.Counter[str] = collections.Counter()
    for line in lines:
        path, _, count = line.rpartition(" ")
        stack = path.split(";")
        if any("<module>" in frame for frame in stack) and (name := of(stack)) is not None:
            layers[name] += int(count)
    return layers


def profile(system: System, load: Load, *, seconds: float) -> dict[str, float]:
    """µs of the gateway's CPU per token, by layer. What is not the main thread's goes by the thread's name.

    The costs are those of a window without the profiler; its samples only share out the main thread's.
    """
    window = measure(system, load, seconds=seconds)
    threads = {name: ns / 1e3 / window.units for name, ns in window.processes["gateway"].threads.items()}
    layers = fold(_samples(system, load, seconds=seconds))
    main = threads.pop("main")
    shares = {name: main * count / layers.total() for name, count in layers.items()}
    return shares | {f"thread: {_THREADS.get(name, name)}": us for name, us in threads.items()}


# grpc.aio's own thread has no name but the process's.
_THREADS = {"python": "grpc.aio's poller and Python's own", "event_engine": "gRPC's event engine"}


def _samples(system: System, load: Load, *, seconds: float) -> list[str]:
    with client(system, load):
        time.sleep(1.0)
        return samples(system.processes["gateway"][0], seconds=seconds)


def samples(pid: int, *, seconds: float) -> list[str]:
    """Stacks of a process in py-spy's raw format."""
    with tempfile.NamedTemporaryFile("r", suffix=".txt") as raw:
        spy = str(pathlib.Path(sys.executable).with_name("py-spy"))
        command = [spy, "record", "--native", "--format", "raw", "-o", raw.name, "-p", str(pid)]
        command += ["-r", str(_RATE), "-d", str(round(seconds))]
        subprocess.run(command, check=True, capture_output=True, timeout=seconds + 60)
        return pathlib.Path(raw.name).read_text(encoding="utf-8").splitlines()


def table(profiles: dict[str, dict[str, float]]) -> str:
    """One row for each layer, one column for each system, and the difference of the first two."""
    names = sorted({name for one in profiles.values() for name in one}, key=lambda name: ("thread" in name, name))
    width = max(len(name) for name in names)
    systems = list(profiles)
    lines = [" " * width + "".join(f"{name:>12}" for name in systems) + "  difference"]
    for name in [*names, "sum"]:
        values = [sum(one.values()) if name == "sum" else one.get(name, 0.0) for one in profiles.values()]
        if max(values) >= 0.05:
            lines.append(f"{name:<{width}}" + "".join(f"{value:12.1f}" for value in (*values, values[0] - values[1])))
    return "\n".join(lines) + "\n"
