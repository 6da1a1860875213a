"""The fleet as the router sees it, for a person."""

import asyncio
import dataclasses

import grpc
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import fleet_pb2, router_service_pb2, router_service_pb2_grpc

from services.chassis.channel import open_channel
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


async def fleet(address: str) -> tuple[WorkerRow, ...] | None:
    """The workers as the router has them now, or None when it does not answer."""
    seen = await heard(address)
    return None if seen is None else tuple(row(worker) for worker in seen.workers)


def drained(seen: router_service_pb2.WatchFleetResponse) -> tuple[str, ...]:
    """What operators have taken out of service, as `hybrid drain` takes it."""
    drains = seen.drains
    return (
        *(f"gateway {name}" for name in drains.gateways),
        *(f"worker {name}" for name in drains.workers),
        *(f"route {route.model}/{route.provider}" for route in drains.routes),
    )


async def heard(address: str) -> router_service_pb2.WatchFleetResponse | None:
    """What the router says now, or None when it does not answer."""
    try:
        async with asyncio.timeout(_SECONDS), open_channel(address) as channel:
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
