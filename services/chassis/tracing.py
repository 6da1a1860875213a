"""The traces of a process: a tracer, or none."""

import asyncio
import contextlib
import os
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Protocol

from prometheus_client import CollectorRegistry

from services.chassis.spans import Tracer

# What a stop gives the last spans.
_FAREWELL_SECONDS = 2.0


class Collector(Protocol):
    """Where spans are sent."""

    @property
    def endpoint(self) -> str:
        """`http://HOST:PORT`, or https."""

    @property
    def ca(self) -> str | None:
        """With https: PEM file of who signs its certificate."""


@contextlib.asynccontextmanager
async def open_tracing(
    collector: Collector | None, *, role: str, process: str, registry: CollectorRegistry
) -> AsyncIterator[Tracer | None]:
    """The process's tracer while the context lasts; None where there is no collector. Leaving sends what is left.

    Args:
        collector: where spans go.
        role: what kind of process it is: `gateway`, `router`, `worker`.
        process: its name.
        registry: where the metrics go.

    Raises:
        OSError: the file cannot be read.
    """
    if collector is None:
        yield None
        return
    # Nobody else pays for it: it is 5 MB and half a second at the start.
    from services.chassis.otlp import Sender

    sender = Sender(
        collector.endpoint,
        ca=None if collector.ca is None else pathlib.Path(collector.ca).read_bytes(),
        resource={"service.name": f"hybridinference-{role}", "service.instance.id": process},
        registry=registry,
    )
    try:
        yield Tracer(sender.emit, randomness=os.urandom, clock_ns=time.time_ns)
    finally:
        await asyncio.to_thread(sender.close, seconds=_FAREWELL_SECONDS)
