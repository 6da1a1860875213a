"""A router process with workers that only report, and a gateway's side of the conversation with it."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import grpc
from google.rpc import status_pb2
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc
from hybridinference.worker.v1 import worker_service_pb2 as worker

from benchmarks.child import ENVIRONMENT, ended
from services.chassis.channel import open_channel
from services.chassis.deadline import to_duration

_UP_SECONDS = 20.0
_REPORT_SECONDS = 1.0
_BLOCKS = 24
_BLOCK_TOKENS = 64

_CONFIG = """
access: {{keyless: true}}
providers:
  main: {{kind: echo, models: [pm], workers: [{workers}]}}
models:
  - {{name: m, strategy: {strategy}, routes: [{{provider: main}}]}}
router: {{listen: "{listen}"}}
metrics: {{listen: "unix:{{process}}.metrics.sock"}}
log: {{level: warning}}
"""


async def _report(_: worker.WatchStatusRequest, __: Any) -> AsyncIterator[worker.WatchStatusResponse]:
    """All that a worker does here: it says each second that it serves."""
    for sequence in itertools.count(1):
        status = worker_status.WorkerStatus(
            state=worker_status.WORKER_STATE_SERVING,
            epoch=1,
            sequence=sequence,
            models=[worker_status.WorkerModel(name="pm", capabilities=[model.CAPABILITY_CHAT])],
        )
        yield worker.WatchStatusResponse(status=status)
        await asyncio.sleep(_REPORT_SECONDS)


@contextlib.asynccontextmanager
async def reporting(home: pathlib.Path, workers: int) -> AsyncIterator[Sequence[str]]:
    """Workers that report. Their addresses."""
    addresses = [f"unix:{home}/w{index}.sock" for index in range(workers)]
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        _report,
        request_deserializer=worker.WatchStatusRequest.FromString,
        response_serializer=worker.WatchStatusResponse.SerializeToString,
    )
    name = worker.DESCRIPTOR.services_by_name["WorkerService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"WatchStatus": handler}),))
    for address in addresses:
        server.add_insecure_port(address)
    await server.start()
    try:
        yield addresses
    finally:
        await server.stop(None)


@contextlib.contextmanager
def routing(home: pathlib.Path, addresses: Sequence[str], *, listen: str, strategy: str) -> Iterator[int]:
    """A router with a core of its own, and the caller with what is left. Its process id."""
    workers = ", ".join(f'"{address}"' for address in addresses)
    config = home / "mesh.yaml"
    config.write_text(_CONFIG.format(workers=workers, listen=listen, strategy=strategy), encoding="utf-8")
    cores = os.sched_getaffinity(0)
    first, rest = {min(cores)}, cores - {min(cores)}
    # Threads inherit the cores of the one that starts them: those of the router must be set before it begins.
    os.sched_setaffinity(0, first)
    process = subprocess.Popen(
        [sys.executable, "-m", "services.router", "--config", str(config)],
        cwd=home,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
    )
    os.sched_setaffinity(0, rest or cores)
    try:
        with ended(process, ask=True):
            yield process.pid
    finally:
        os.sched_setaffinity(0, cores)


class Gateway:
    """A gateway's streams. What it has to say while a message is on its way goes together into the next one."""

    def __init__(self, stub: "router_grpc.RouterServiceAsyncStub", *, seed: int) -> None:
        self._call: Any = stub.Place()
        self._chance = random.Random(seed)
        self._shared = [self._chance.getrandbits(64) for _ in range(4)]
        self._name, self._asked = f"gateway-{seed}", 0
        self._outbox = router.PlaceRequest(
            commands=[router.PlaceCommand(hello=router.Hello(gateway=self._name))],
        )
        self._wake = asyncio.Event()
        self._wake.set()
        self._waiting: dict[str, asyncio.Future[placement.Placement]] = {}
        self.messages = 0

    async def converse(self) -> None:
        """Write and read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            while (response := await self._call.read()) is not grpc.aio.EOF:
                for answer in response.answers:
                    self._waiting.pop(answer.placement.generation_id).set_result(answer.placement)
            raise RuntimeError(f"the router ended the stream: {await self._call.details()}")

    async def opened(self) -> None:
        """Wait until the router knows its fleet."""
        async with asyncio.timeout(_UP_SECONDS):
            await self._call.initial_metadata()

    async def place(self) -> placement.Placement:
        """Ask for a place, with a prompt whose beginning others have as well."""
        self._asked += 1
        ask = placement.PlacementAsk(
            generation_id=f"{self._name}-{self._asked}",
            model="m",
            input_tokens=_BLOCKS * _BLOCK_TOKENS,
            max_output_tokens=500,
            capabilities=[model.CAPABILITY_CHAT],
            time_left=to_duration(60),
            prefix_hashes=[*self._shared, *(self._chance.getrandbits(64) for _ in range(_BLOCKS - 4))],
            block_tokens=_BLOCK_TOKENS,
        )
        waiting: asyncio.Future[placement.Placement] = asyncio.get_running_loop().create_future()
        self._waiting[ask.generation_id] = waiting
        self._say(router.PlaceCommand(ask=ask))
        return await waiting

    def begins(self, placed: placement.Placement) -> None:
        """It has begun to answer."""
        content = placement.FirstContent(attempt_id=placed.attempt_id, latency=to_duration(0.1))
        self._say(router.PlaceCommand(first_content=content))

    def ends(self, placed: placement.Placement) -> None:
        """It has ended well."""
        outcome = placement.AttemptOutcome(
            attempt_id=placed.attempt_id,
            status=status_pb2.Status(),
            committed=True,
            duration=to_duration(1.0),
            wanted=True,
        )
        outcome.usage.input_tokens, outcome.usage.output_tokens = _BLOCKS * _BLOCK_TOKENS, 100
        self._say(router.PlaceCommand(outcome=outcome))

    def _say(self, command: router.PlaceCommand) -> None:
        self._outbox.commands.append(command)
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            ready, self._outbox = self._outbox, router.PlaceRequest()
            if ready.commands:
                self.messages += 1
                await self._call.write(ready)


async def _follow(stub: "router_grpc.RouterServiceAsyncStub") -> None:
    """Read the fleet, as every gateway does."""
    async for _ in stub.WatchFleet(router.WatchFleetRequest(), wait_for_ready=True):
        pass


@contextlib.asynccontextmanager
async def gateways(listen: str, count: int) -> AsyncIterator[Sequence[Gateway]]:
    """So many gateways, each with a connection of its own, once the router knows its fleet."""
    async with contextlib.AsyncExitStack() as stack:
        stubs = [
            router_grpc.RouterServiceStub(await stack.enter_async_context(open_channel(listen))) for _ in range(count)
        ]
        await asyncio.gather(*[_follow_first(stub) for stub in stubs])
        up = [Gateway(stub, seed=number) for number, stub in enumerate(stubs)]
        tasks = [asyncio.create_task(_follow(stub)) for stub in stubs]
        tasks += [asyncio.create_task(gateway.converse()) for gateway in up]
        try:
            await asyncio.gather(*[gateway.opened() for gateway in up])
            yield up
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _follow_first(stub: "router_grpc.RouterServiceAsyncStub") -> None:
    """Wait until the router is there."""
    call = stub.WatchFleet(router.WatchFleetRequest(), wait_for_ready=True)
    async with asyncio.timeout(_UP_SECONDS):
        await call.read()
    call.cancel()
