"""The fleet as the router sees it, for a person."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import grpc
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import drains_pb2, fleet_pb2, router_service_pb2, router_service_pb2_grpc

from services.chassis.channel import open_channel
from services.chassis.credentials import Credentials
from services.chassis.deadline import to_seconds

_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker. Times in milliseconds; None where nothing is known yet."""

    worker: str
    provider: str
    kind: str
    health: str
    models: tuple[str, ...]
    leases: int
    running: int
    waiting: int
    capacity: int
    kv_usage: float | None
    first_content_ms: float | None
    status_age_ms: float | None
    loading_progress: float | None
    pid: int


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What routers say. `workers` is None where none answers; `drained` is what operators have taken out of service."""

    workers: tuple[WorkerRow, ...] | None
    drained: tuple[str, ...]


async def fleet(routers: Sequence[str], credentials: Credentials | None = None) -> tuple[WorkerRow, ...] | None:
    """The workers as `seen` has them."""
    return (await seen(routers, credentials)).workers


async def seen(routers: Sequence[str], credentials: Credentials | None = None) -> Seen:
    """What the routers at these addresses say now.

    What workers report is told as the first of them says it. Each router knows its own leases alone: they are summed.
    `credentials` prove us to those on ports.
    """
    answers = await asyncio.gather(*(_heard(address, credentials) for address in routers))
    heard = [answer for answer in answers if answer is not None]
    if not heard:
        return Seen(None, ())
    leases = Counter[str]()
    for answer in heard:
        leases.update({each.worker: each.leases for each in answer.workers})
    rows = [row(worker) for worker in heard[0].workers]
    # One that has just started may not have been told.
    told = next((answer.drains for answer in heard if answer.HasField("drains")), drains_pb2.Drains())
    return Seen(tuple(dataclasses.replace(each, leases=leases[each.worker]) for each in rows), tuple(_named(told)))


def _named(drains: drains_pb2.Drains) -> Iterator[str]:
    """What is out of service, as `hybrid drain` takes it."""
    yield from (f"gateway {name}" for name in drains.gateways)
    yield from (f"worker {name}" for name in drains.workers)
    yield from (f"route {route.model}/{route.provider}" for route in drains.routes)


async def _heard(address: str, credentials: Credentials | None) -> router_service_pb2.WatchFleetResponse | None:
    try:
        async with asyncio.timeout(_SECONDS), open_channel(address, "router", credentials) as channel:
            stub = router_service_pb2_grpc.RouterServiceStub(channel)
            watch = stub.WatchFleet(router_service_pb2.WatchFleetRequest())
            try:
                async for response in watch:
                    return response
            finally:
                watch.cancel()
    except (grpc.aio.AioRpcError, TimeoutError):
        pass  # whoever asks shows that the router is missing
    return None


def row(worker: fleet_pb2.FleetWorker) -> WorkerRow:
    """A worker as a row."""
    status: worker_status.WorkerStatus = worker.status
    first, age = worker.first_content_latency, worker.status_age
    return WorkerRow(
        worker=worker.worker,
        provider=worker.provider,
        kind=status.kind,
        health=fleet_pb2.WorkerHealth.Name(worker.health).removeprefix("WORKER_HEALTH_").lower(),
        models=tuple(dict.fromkeys(route.model for route in worker.routes)),
        leases=worker.leases,
        running=status.running,
        waiting=status.waiting,
        capacity=status.capacity,
        kv_usage=status.kv_usage if status.HasField("kv_usage") else None,
        first_content_ms=to_seconds(first) * 1e3 if worker.HasField("first_content_latency") else None,
        status_age_ms=to_seconds(age) * 1e3 if worker.HasField("status_age") else None,
        loading_progress=status.loading_progress if status.HasField("loading_progress") else None,
        pid=status.pid,
    )
