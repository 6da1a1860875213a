"""`python -m benchmarks.first_byte`: what each part of the way adds until the first byte of an answer is there.

The same generation, asked of the worker itself, of the gateway and of the edge, in turn, by one process: a busy moment
hits all of them. The worker answers at once, so what is measured is the way.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import pathlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
import uvloop
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.worker.v1 import worker_service_pb2 as worker
from hybridinference.worker.v1 import worker_service_pb2_grpc as worker_grpc

from benchmarks import report
from benchmarks.calibration import calibrate
from benchmarks.client import request
from benchmarks.quantiles import quantile
from benchmarks.system import System, mesh

_RESULTS = pathlib.Path(__file__).parent / "results"
_TOKENS = 4
_DIRECT = "worker, gRPC"
_WARM_UP = 20

Ask = Callable[[], Awaitable[float]]


@dataclasses.dataclass(frozen=True, slots=True)
class Times:
    """Seconds to the first byte, by way, in the order in which they were measured."""

    clients: int
    seconds: Mapping[str, Sequence[float]]

    def rows(self) -> list[dict[str, Any]]:
        """For each way: milliseconds, and what it adds to asking the worker directly, pair by pair."""
        direct = self.seconds[_DIRECT]
        rows = []
        for way, taken in self.seconds.items():
            ordered = sorted(taken)
            added = [one - other for one, other in zip(taken, direct, strict=True)]
            rows.append(
                {
                    "way": way,
                    "p50_ms": quantile(ordered, 0.5) * 1e3,
                    "p99_ms": quantile(ordered, 0.99) * 1e3,
                    "added_p50_ms": statistics.median(added) * 1e3,
                    "ratio_p50": quantile(ordered, 0.5) / quantile(sorted(direct), 0.5),
                }
            )
        return rows


def _spec(model: str) -> generation.GenerationSpec:
    message = conversation.Message(role=conversation.ROLE_USER, parts=[conversation.Part(text="one two three four")])
    options = json.dumps({"echo": {"tokens": _TOKENS}})
    return generation.GenerationSpec(model=model, messages=[message], provider_options_json=options)


async def _first(call: Any, counts: Callable[[Any], bool]) -> float:
    """Seconds until a message of the stream counts; then the stream is read to its end."""
    begun, taken = time.perf_counter(), 0.0
    async for message in call:
        if not taken and counts(message):
            taken = time.perf_counter() - begun
    return taken


class _Http:
    """One kept connection to the edge."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._request = request("echo", tokens=_TOKENS, stream=True)

    async def ask(self) -> float:
        begun = time.perf_counter()
        self._writer.write(self._request)
        await self._reader.readuntil(b"data: ")
        taken = time.perf_counter() - begun
        await self._reader.readuntil(b"\r\n0\r\n\r\n")
        return taken


@contextlib.asynccontextmanager
async def _ways(system: System) -> AsyncIterator[dict[str, Ask]]:
    """Each way, with connections of its own that stay open."""
    run = f"unix:{system.home}/run"
    body = request("echo", tokens=_TOKENS, stream=True).partition(b"\r\n\r\n")[2]
    spec = _spec("echo")
    async with contextlib.AsyncExitStack() as stack:

        async def channel(address: str) -> grpc.aio.Channel:
            # Else channels of one process to one address would share a connection.
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.default_authority", "localhost")]
            return await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))

        direct = worker_grpc.WorkerServiceStub(await channel(f"{run}/worker-echo-0.sock"))
        near = await channel(f"{run}/gateway.sock")
        typed, compatible = inference_grpc.InferenceServiceStub(near), openai_grpc.OpenAIServiceStub(near)
        edge = inference_grpc.InferenceServiceStub(await channel(f"127.0.0.1:{system.port}"))
        reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
        stack.callback(writer.close)
        http = _Http(reader, writer)
        streamed = inference.StreamGenerateRequest(spec=spec)
        yield {
            _DIRECT: lambda: _first(
                direct.Execute(worker.ExecuteRequest(spec=spec)), lambda said: said.event.HasField("delta")
            ),
            "gateway, gRPC": lambda: _first(typed.StreamGenerate(streamed), lambda said: said.event.HasField("delta")),
            "gateway, OpenAI's bytes": lambda: _first(
                compatible.CreateChatCompletion(HttpBody(data=body)), lambda said: bool(said.data)
            ),
            "edge, gRPC": lambda: _first(edge.StreamGenerate(streamed), lambda said: said.event.HasField("delta")),
            "edge, OpenAI over HTTP": http.ask,
        }


async def _take_turns(system: System, times: int) -> dict[str, list[float]]:
    """One client: every way once, then again, each time beginning with another."""
    async with _ways(system) as ways:
        names = list(ways)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(times + _WARM_UP):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                taken = await ways[name]()
                if turn >= _WARM_UP:
                    seconds[name].append(taken)
        return seconds


async def measure(system: System, *, clients: int, times: int) -> Times:
    """Have so many clients take turns at every way, each so many times."""
    kept = await asyncio.gather(*[_take_turns(system, times) for _ in range(clients)])
    return Times(clients, {name: [taken for one in kept for taken in one[name]] for name in kept[0]})


def table(measured: Times) -> str:
    """A row for each way."""
    lines = [f"### {measured.clients} at once\n", "| asked of | p50, ms | p99, ms | added, p50, ms | ratio |"]
    lines.append("|---|---:|---:|---:|---:|")
    for row in measured.rows():
        numbers = f"{row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['added_p50_ms']:+.2f} | {row['ratio_p50']:.2f}"
        lines.append(f"| {row['way']} | {numbers} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_byte", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8], help="how many ask at once")
    parser.add_argument("--times", type=int, default=400, help="how often each client asks each way")
    parser.add_argument("--name", help="keep the results under this name")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    calibration = calibrate()
    with mesh(workers=1, token_ms=0) as system:
        measured = [uvloop.run(measure(system, clients=each, times=arguments.times)) for each in arguments.clients]
    print("\n".join(map(table, measured)))
    if arguments.name:
        content = {
            "command": " ".join(["python -m benchmarks.first_byte", *sys.argv[1:]]),
            "machine": report.machine(),
            "versions": report.versions(),
            "calibration_ms": calibration,
            "measured": [{"clients": one.clients, "ways": one.rows()} for one in measured],
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        print(report.keep(arguments.results, arguments.name, "json", text))


if __name__ == "__main__":
    main()
